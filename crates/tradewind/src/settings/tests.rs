use secrecy::ExposeSecret as _;

use super::{Flags, Settings};

fn build(file: &str, variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::build(file, &variables, &Flags::default())
}

fn error(file: &str, variables: &[(&str, &str)]) -> String {
    format!("{:#}", build(file, variables).unwrap_err())
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\n[delivery]\ntimeout_seconds = 20";
    assert_eq!(build(file, &[]).unwrap().listen.0.port(), 1);
    assert_eq!(build(file, &[]).unwrap().delivery.timeout_seconds, 20);
    let variables = [
        ("TRADEWIND_LISTEN", "127.0.0.1:2"),
        ("TRADEWIND_DELIVERY__TIMEOUT_SECONDS", "30"),
    ];
    let settings = build(file, &variables).unwrap();
    assert_eq!(
        (settings.listen.0.port(), settings.delivery.timeout_seconds),
        (2, 30)
    );
    let flags = Flags {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        ..Flags::default()
    };
    assert_eq!(
        Settings::build(file, &[], &flags).unwrap().listen.0.port(),
        3
    );
}

#[test]
fn networks_are_separated_by_commas() {
    let settings = build("", &[("TRADEWIND_WEBHOOK_ALLOW", "127.0.0.0/8, ::1/128")]).unwrap();
    assert_eq!(settings.webhook_allow.len(), 2);
    assert_eq!(
        build("webhook_allow = [\"10.0.0.0/8\"]", &[])
            .unwrap()
            .webhook_allow
            .len(),
        1
    );
}

#[test]
fn a_token_of_digits_is_still_text() {
    assert!(
        build("", &[("TRADEWIND_API_TOKEN", "123456")])
            .unwrap()
            .api_token
            .is_some()
    );
}

#[test]
fn a_token_that_is_no_text_is_not_told() {
    let error = error("api_token = 12345", &[]);
    assert!(
        error.contains("api_token") && !error.contains("12345"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_named() {
    assert!(error("tpyo = 1", &[]).contains("tpyo"));
    assert!(build("", &[("TRADEWIND_TPYO", "1"), ("TRADEWIND_X__Y", "1")]).is_ok());
    assert!(error("", &[("TRADEWIND_LISTEN", "nowhere")]).contains("listen"));
    assert!(
        error("", &[("TRADEWIND_DELIVERY__TIMEOUT_SECONDS", "900")])
            .contains("delivery.timeout_seconds: 900 is not 1 to 60")
    );
    assert!(error("a = 1\nb = = 1", &[]).contains("line 2"));
    assert!(!error("", &[("TRADEWIND_LISTEN", "nowhere")]).contains('\n'));
    assert!(error("[retention]\nevents_days = 2", &[]).contains("retention.events_days"));
    assert!(error("[retention]\nevents_days = 0", &[]).contains("retention.messages_days"));
}

#[test]
fn a_secret_can_be_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "from the file\n").unwrap();
    let path = path.to_str().unwrap();
    let secret = |settings: &Settings| {
        let secret = settings.meta.app_secret.as_ref().unwrap();
        secret.expose_secret().to_owned()
    };
    let by_variable = [("TRADEWIND_META__APP_SECRET_FILE", path)];
    assert_eq!(secret(&build("", &by_variable).unwrap()), "from the file");
    let by_file = format!("[meta]\napp_secret_file = {path:?}");
    assert_eq!(secret(&build(&by_file, &[]).unwrap()), "from the file");
    let token = build("", &[("TRADEWIND_API_TOKEN_FILE", path)]).unwrap();
    assert_eq!(token.api_token.unwrap().expose_secret(), "from the file");
    let both = format!("[meta]\napp_secret = \"x\"\napp_secret_file = {path:?}");
    assert_eq!(
        error(&both, &[]),
        "meta.app_secret_file: give the secret or the file, not both"
    );
    let missing = error("[meta]\napp_secret_file = \"/nowhere\"", &[]);
    assert!(
        missing.starts_with("meta.app_secret_file: /nowhere cannot be read"),
        "{missing}"
    );
}

#[test]
fn what_is_said_of_an_account_is_text_also_if_it_looks_like_a_number() {
    let variables = [
        ("TRADEWIND_META__APP_ID", "12345"),
        ("TRADEWIND_TWILIO__AUTH_TOKEN", "0123"),
    ];
    let settings = build("", &variables).unwrap();
    assert_eq!(settings.meta.app_id.as_deref(), Some("12345"));
    assert_eq!(settings.twilio.auth_token.unwrap().expose_secret(), "0123");
    let wrong = error("[twilio]\nauth_token = 4711", &[]);
    assert!(wrong.contains("must be a text in quotes"), "{wrong}");
    assert!(!wrong.contains("4711"), "{wrong}");
}

#[test]
fn a_secret_key_that_can_be_guessed_is_refused() {
    assert_eq!(
        error("secret_key = \"short\"", &[]),
        "secret_key: must be at least 32 characters"
    );
}
