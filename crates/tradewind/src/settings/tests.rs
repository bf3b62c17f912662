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
