//! The command line: what the program says, when it refuses to start, and how it ends.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::support::{
    SOON,
    process::binary,
    receiver::{Receiver, Reply},
    server::{Server, TOKEN},
    socket::Socket,
    visitor::Visitor,
};

async fn run(command: &mut Command) -> Output {
    let output = tokio::time::timeout(SOON, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("it should have ended: {command:?}"));
    output.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs what must be refused with the exit code 2 and nothing on standard output. Gives standard error.
async fn refused(command: &mut Command) -> String {
    let output = run(command).await;
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stdout, "", "nothing to be seen on standard output");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// The same, where one line must say it all.
async fn refused_in_one_line(command: &mut Command) -> String {
    let stderr = refused(command).await;
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("tradewind: "), "{stderr}");
    stderr
}

/// `tradewind serve` on a free port and this directory.
fn serve(data: &Path) -> Command {
    let mut command = binary();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data);
    command
}

async fn is_served_with(server: &Server, token: &str) -> bool {
    let answer = server.call_as(token, "channels.list", json!({})).await;
    answer.status == 200
}

// Help

/// What the help has to name of each command.
const HELP: &[(&[&str], &[&str])] = &[
    (
        &["--help"],
        &[
            "serve",
            "demo",
            "listen",
            "tail",
            "bench",
            "--help",
            "--version",
        ],
    ),
    (
        &["serve", "--help"],
        &[
            "--listen",
            "--data",
            "--webhook-allow",
            "--config",
            "127.0.0.1:8080",
            "TRADEWIND_API_TOKEN",
            "TRADEWIND_LOG",
            "Example:",
        ],
    ),
    (
        &["demo", "--help"],
        &["--listen", "--data", "127.0.0.1:8080", "./tradewind-demo"],
    ),
    (
        &["tail", "--help"],
        &[
            "--url",
            "--token",
            "TRADEWIND_TOKEN",
            "./tradewind-data/token",
            "--from",
            "--conversation",
            "--json",
            "Example:",
        ],
    ),
    (
        &["bench", "--help"],
        &[
            "--quick", "--runs", "--json", "--dir", "--strict", "main", "Example:",
        ],
    ),
    (&["backup", "--help"], &["--data", "--to", "Example:"]),
    (&["migrate", "--help"], &["--from", "--to", "Example:"]),
    (
        &["listen", "--help"],
        &[
            "--forward",
            "--url",
            "--secret",
            "--state",
            "--skip-after",
            "Example:",
        ],
    ),
];

#[tokio::test]
async fn help_names_every_command_and_option() {
    for (arguments, names) in HELP.iter().copied() {
        let output = run(binary().args(arguments)).await;
        assert!(output.status.success());
        let help = text(&output.stdout);
        for name in names {
            assert!(help.contains(name), "{arguments:?} lacks {name}: {help}");
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
        assert_eq!(text(&output.stderr), "");
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_package() {
    let output = run(binary().arg("--version")).await;
    let expected = format!("tradewind {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), expected)
    );
}

#[tokio::test]
async fn without_a_command_the_help_is_shown() {
    let help = refused(&mut binary()).await;
    assert!(help.contains("serve") && help.contains("demo"), "{help}");
}

#[tokio::test]
async fn an_unknown_command_or_option_is_named() {
    for arguments in [
        &["swerve"][..],
        &["serve", "--swerve"],
        &["serve", "swerve"],
    ] {
        let stderr = refused(binary().args(arguments)).await;
        assert!(stderr.contains("swerve"), "{stderr}");
    }
}

// Refusals

#[tokio::test]
async fn a_taken_port_is_named_in_one_line() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for command in ["serve", "demo"] {
        let mut command = {
            let data = directory.path().join(command);
            let mut start = binary();
            start
                .args([command, "--listen", &address, "--data"])
                .arg(data);
            start
        };
        let stderr = refused_in_one_line(&mut command).await;
        assert!(stderr.contains(&address), "{stderr}");
    }
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "the data was not touched");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named_in_one_line() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for data in [file.join("data"), file] {
        let stderr = refused_in_one_line(&mut serve(&data)).await;
        assert!(stderr.contains(data.to_str().unwrap()), "{stderr}");
    }
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_told_of_the_first_in_one_line() {
    let server = Server::start().await;
    let stderr = refused_in_one_line(&mut serve(&server.data)).await;
    assert!(
        stderr.contains(&format!("pid {}", server.pid())),
        "{stderr}"
    );
    assert!(stderr.contains(server.data.to_str().unwrap()), "{stderr}");
    assert!(is_served_with(&server, TOKEN).await, "the first goes on");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_in_one_line() {
    let directory = TempDir::new().unwrap();
    let garbage = "not a database ".repeat(1_000);
    std::fs::write(directory.path().join("tradewind.db"), &garbage).unwrap();
    let stderr = refused_in_one_line(&mut serve(directory.path())).await;
    assert!(stderr.contains("tradewind.db"), "{stderr}");
    let kept = std::fs::read_to_string(directory.path().join("tradewind.db"));
    assert_eq!(kept.unwrap(), garbage);
}

#[tokio::test]
async fn a_bad_option_is_named() {
    let directory = TempDir::new().unwrap();
    for (option, value) in [
        ("--webhook-allow", "127.0.0.0/33"),
        ("--webhook-allow", "localhost"),
        ("--listen", "nowhere"),
        ("--listen", "127.0.0.1:99999"),
        ("--listen", "8080"),
    ] {
        let mut command = binary();
        command
            .args(["serve", option, value, "--data"])
            .arg(directory.path());
        let stderr = refused(&mut command).await;
        assert!(
            stderr.contains(option) && stderr.contains(value),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_bad_variable_is_named_in_one_line() {
    let directory = TempDir::new().unwrap();
    for (name, value, says) in [
        ("TRADEWIND_LISTEN", "nowhere", "listen"),
        ("TRADEWIND_WEBHOOK_ALLOW", "127.0.0.0/33", "webhook_allow"),
        (
            "TRADEWIND_DELIVERY__TIMEOUT_SECONDS",
            "900",
            "delivery.timeout_seconds",
        ),
        (
            "TRADEWIND_DELIVERY__TIMEOUT_SECONDS",
            "soon",
            "timeout_seconds",
        ),
        ("TRADEWIND_SERVER__BODY_BYTES_MAX", "-1", "body_bytes_max"),
        ("TRADEWIND_API_TOKEN", "", "api_token"),
        ("TRADEWIND_API_TOKEN", "two words", "api_token"),
        (
            "TRADEWIND_CONFIG",
            "/nowhere/tradewind.toml",
            "/nowhere/tradewind.toml",
        ),
    ] {
        let stderr = refused_in_one_line(serve(directory.path()).env(name, value)).await;
        assert!(stderr.contains(says), "{name}={value}: {stderr}");
        assert!(
            !stderr.contains("two words"),
            "a token is not shown: {stderr}"
        );
    }
}

/// Docker and Kubernetes set such variables for a service of this name.
#[tokio::test]
async fn a_variable_that_is_no_setting_is_passed_over_with_a_warning() {
    let server = Server::start_with(move |command| {
        command
            .env("TRADEWIND_LOG", "warn")
            .env("TRADEWIND_PORT", "tcp://10.0.0.1:8080")
    })
    .await;
    assert!(is_served_with(&server, TOKEN).await);
    assert!(server.log().contains("TRADEWIND_PORT"), "{}", server.log());
}

#[tokio::test]
async fn a_bad_key_of_the_settings_file_is_named_in_one_line() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("settings.toml");
    for (text, says) in [
        ("tpyo = 1", "tpyo"),
        ("[server]\ntpyo = 1", "tpyo"),
        ("[tpyo]", "tpyo"),
        ("listen = \"nowhere\"", "listen"),
        ("webhook_allow = \"127.0.0.0/8\"", "webhook_allow"),
        ("[delivery]\nin_flight_max = 0", "delivery.in_flight_max"),
        ("this is no TOML", "not TOML"),
    ] {
        std::fs::write(&file, text).unwrap();
        let data = directory.path().join("data");
        for command in [
            serve(&data).arg("--config").arg(&file),
            serve(&data).env("TRADEWIND_CONFIG", &file),
        ] {
            let stderr = refused_in_one_line(command).await;
            assert!(stderr.contains(says), "{text}: {stderr}");
        }
    }
}

// Settings

/// The longest body that the server takes, from what it says of a longer one.
async fn body_bytes_max(server: &Server) -> u64 {
    let answer = server
        .call("messages.send", json!({ "x": "x".repeat(70_000) }))
        .await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    let number = message.split(' ').find_map(|word| word.parse().ok());
    number.unwrap()
}

#[tokio::test]
async fn a_setting_of_the_environment_applies() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__BODY_BYTES_MAX", "60000"))
            .await;
    assert_eq!(body_bytes_max(&server).await, 60_000);
}

#[tokio::test]
async fn a_setting_of_the_file_applies_wherever_the_file_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let file = path.join("tradewind.toml");
    std::fs::write(&file, "[server]\nbody_bytes_max = 50000").unwrap();
    let by_option = file.clone();
    let option = Server::start_with(move |command| command.arg("--config").arg(&by_option)).await;
    assert_eq!(body_bytes_max(&option).await, 50_000);
    let by_variable = file.clone();
    let variable =
        Server::start_with(move |command| command.env("TRADEWIND_CONFIG", &by_variable)).await;
    assert_eq!(body_bytes_max(&variable).await, 50_000);
    let default = Server::start_with(move |command| command.current_dir(&path)).await;
    assert_eq!(body_bytes_max(&default).await, 50_000);
    let both = Server::start_with(move |command| {
        command
            .env("TRADEWIND_SERVER__BODY_BYTES_MAX", "60000")
            .arg("--config")
            .arg(&file)
    })
    .await;
    assert_eq!(
        body_bytes_max(&both).await,
        60_000,
        "the environment wins over the file"
    );
}

#[tokio::test]
async fn webhooks_may_reach_what_the_environment_allows() {
    let allow = "10.0.0.0/8, 127.0.0.0/8";
    let server =
        Server::start_with(move |command| command.env("TRADEWIND_WEBHOOK_ALLOW", allow)).await;
    let receiver = Receiver::start().await;
    server.subscribe(&receiver.url()).await;
    server.converse("hello").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn an_open_network_for_webhooks_is_warned_of() {
    let mut server = Server::start_with(|command| {
        command
            .env("TRADEWIND_LOG", "warn")
            .args(["--webhook-allow", "0.0.0.0/0"])
    })
    .await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    assert!(server.log().contains("0.0.0.0/0"), "{}", server.log());
}

#[tokio::test]
async fn what_is_logged_to_a_file_has_no_colours() {
    let mut server = Server::start_with(|command| command.env("TRADEWIND_LOG", "debug")).await;
    server.converse("hello").await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    let log = server.log();
    assert!(
        log.contains("DEBUG") && !log.contains('\u{1b}'),
        "{log:.300}"
    );
}

// The admin token

#[tokio::test]
async fn the_first_start_prints_the_token_and_keeps_it_and_the_second_only_keeps_it() {
    let mut server = Server::start_with(|command| command.env_remove("TRADEWIND_API_TOKEN")).await;
    let line = server.line().await;
    let (place, token) = line.rsplit_once(' ').unwrap();
    let file = server.data.join("token");
    assert_eq!(place, format!("Admin token (kept in {}):", file.display()));
    assert!(token.starts_with("tw_") && token.len() > 40, "{token}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), token);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(is_served_with(&server, token).await);
    assert!(!is_served_with(&server, TOKEN).await);

    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    server.start_again().await;
    assert!(
        is_served_with(&server, token).await,
        "the token still works"
    );
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    assert_eq!(
        server.last_lines().await,
        [""; 0],
        "nothing more is printed"
    );
}

#[tokio::test]
async fn a_token_that_is_set_is_neither_printed_nor_kept() {
    let mut server = Server::start().await;
    assert!(is_served_with(&server, TOKEN).await);
    assert!(!server.data.join("token").exists());
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    assert_eq!(server.last_lines().await, [""; 0]);
    for entry in std::fs::read_dir(&server.data).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes
            .windows(TOKEN.len())
            .any(|part| part == TOKEN.as_bytes());
        assert!(!found, "the token stands in {}", path.display());
    }
}

#[tokio::test]
async fn only_the_owner_can_read_the_data() {
    let server = Server::start().await;
    server.converse("hello").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(&server.data), 0);
    for entry in std::fs::read_dir(&server.data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0, "{}", path.display());
    }
}

#[tokio::test]
async fn no_secret_and_no_message_is_ever_logged() {
    let server = Server::start_with(move |command| {
        command
            .env_remove("TRADEWIND_API_TOKEN")
            .env("TRADEWIND_LOG", "debug")
            .args(["--webhook-allow", "127.0.0.0/8"])
    });
    let mut server = server.await;
    let line = server.line().await;
    let token = line.rsplit_once(' ').unwrap().1.to_owned();
    // The first attempt fails, so that a failure is logged too.
    let receiver =
        Receiver::scripted(|_, before| Reply::status(if before.is_empty() { 500 } else { 200 }))
            .await;
    let webhook =
        json!({"url": receiver.url(), "headers": {"Authorization": "Bearer hook-s3cret"}});
    let webhook = server
        .call_as(&token, "webhooks.subscribe", webhook)
        .await
        .ok();
    let channel =
        json!({"source": "chat_plugin", "source_channel_id": "shop", "token": "provider-s3cret"});
    let channel = server
        .call_as(&token, "channels.connect", channel)
        .await
        .ok();
    let visitor = Visitor::arrive(&server, channel["id"].as_str().unwrap()).await;
    visitor.write(&server, "a private word").await;
    let mut socket = Socket::listen(&server, &visitor.token).await;
    let deliveries = receiver.wait_for(2, SOON).await;
    let conversation = deliveries[1].field("conversation_id");
    let reply = json!({"conversation_id": conversation, "message": {"text": "a private answer"}});
    server.call_as(&token, "messages.send", reply).await.ok();
    socket.frame().await;
    let bad = json!({"url": "http://127.0.0.1:9/", "headers": {"Authorization": "bad-s3cret\0"}});
    server.call_as(&token, "webhooks.subscribe", bad).await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    let log = server.log();
    assert!(
        log.contains("DEBUG"),
        "nothing was logged, so nothing was tested"
    );
    let secrets = [
        &token,
        webhook["api_secret"].as_str().unwrap(),
        &visitor.token,
        "s3cret",
        "private",
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was logged");
    }
}

// The end

#[tokio::test]
async fn sigterm_ends_it_in_time_whoever_is_connected() {
    let mut server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    // The client of these calls keeps a connection; beside it one that says nothing, and a socket.
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut socket = Socket::listen(&server, &visitor.token).await;
    server.terminate().await;
    assert!(server.ended(Duration::from_secs(10)).await.success());
    socket.end().await;
    assert_eq!(server.log(), "");
}

#[tokio::test]
async fn ctrl_c_ends_it_as_sigterm_does() {
    let mut server = Server::start().await;
    let pid = server.pid().to_string();
    run(Command::new("kill").args(["-INT", &pid])).await;
    assert!(server.ended(SOON).await.success());
}

// The demo

async fn start_demo() -> Server {
    Server::start_as("demo", |command| {
        command
            .env_remove("TRADEWIND_API_TOKEN")
            .env_remove("TRADEWIND_LOG")
    })
    .await
}

/// The channel of the chat page that the demo prints.
fn channel_of(demo: &Server) -> String {
    let (says, address) = demo.greeting.split_once("http://").unwrap();
    assert_eq!(says, "Write to the bot:  ");
    address.rsplit_once("/chat/").unwrap().1.to_owned()
}

#[tokio::test]
async fn the_demo_answers_a_visitor_and_shows_each_step() {
    let mut demo = start_demo().await;
    let channel = channel_of(&demo);
    let page = demo.get(&format!("chat/{channel}")).await;
    assert_eq!(page.status, 200);
    let visitor = Visitor::arrive(&demo, &channel).await;
    let mut socket = Socket::listen(&demo, &visitor.token).await;
    visitor.write(&demo, "hello").await;
    let echo = socket.frame().await;
    assert!(echo.contains("\"text\":\"hello\""), "{echo}");
    let answer = socket.frame().await;
    assert!(answer.contains("\"text\":\"You said: hello\""), "{answer}");
    let mut missing = vec!["message in", "event out", "reply in", "reply delivered"];
    let mut lines = Vec::new();
    while !missing.is_empty() {
        let line = demo.line().await;
        missing.retain(|step| !line.contains(step));
        lines.push(line);
    }
    let steps = lines.iter().filter(|line| line.contains("hello")).count();
    assert_eq!(steps, 3, "each step shows its text: {lines:#?}");
    demo.terminate().await;
    assert!(demo.ended(Duration::from_secs(10)).await.success());
    assert_eq!(demo.log(), "");
}

/// What it says first is where the contact's app is.
#[tokio::test]
async fn the_demo_plays_messenger_for_who_has_no_account() {
    let demo = Server::start_as("demo", |command| command.args(["--source", "facebook"]));
    let mut demo = demo.await;
    let page = demo.get("").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Meta is played by your machine"));
    let said = demo
        .request(reqwest::Method::POST, "say", &[], "do you ship?")
        .await;
    assert_eq!(said.unwrap().status, 200);
    let mut missing = vec!["message in", "event out", "reply in", "reply delivered"];
    missing.extend(["reply arrived", "reply read", "You said: do you ship?"]);
    while !missing.is_empty() {
        let line = demo.line().await;
        missing.retain(|step| !line.contains(step));
    }
    // The second answer may be on its way still.
    let started = Instant::now();
    let lines = loop {
        let lines = demo.get("lines/0").await.json();
        if lines.as_array().is_some_and(|lines| lines.len() >= 4) {
            break lines;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{lines}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let lines = lines.as_array().unwrap().iter();
    let mut shown: Vec<_> = lines.map(|line| line["text"].as_str().unwrap()).collect();
    shown.sort_unstable();
    let expected = [
        "Hello! Is anybody there?",
        "You said: Hello! Is anybody there?",
        "You said: do you ship?",
        "do you ship?",
    ];
    assert_eq!(shown, expected);
    demo.terminate().await;
    assert!(demo.ended(Duration::from_secs(10)).await.success());
    assert_eq!(demo.log(), "");
}

#[tokio::test]
async fn the_demo_starts_again_at_once_and_keeps_its_conversations() {
    let mut demo = start_demo().await;
    let channel = channel_of(&demo);
    let visitor = Visitor::arrive(&demo, &channel).await;
    let mut socket = Socket::listen(&demo, &visitor.token).await;
    visitor.write(&demo, "hello").await;
    socket.frame().await;
    socket.frame().await;
    let resume = demo
        .call_as(&visitor.token, "chatplugin.resumeToken", json!({}))
        .await
        .ok();
    demo.terminate().await;
    assert!(demo.ended(Duration::from_secs(10)).await.success());

    let started = Instant::now();
    demo.start_again().await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_eq!(channel_of(&demo), channel);
    let back = demo
        .call_as("", "chatplugin.authenticate", resume)
        .await
        .ok();
    assert_eq!(back["messages"].as_array().unwrap().len(), 2);
    let visitor = Visitor {
        token: back["token"].as_str().unwrap().to_owned(),
    };
    let mut socket = Socket::listen(&demo, &visitor.token).await;
    visitor.write(&demo, "again").await;
    socket.frame().await;
    let answer = socket.frame().await;
    assert!(answer.contains("\"text\":\"You said: again\""), "{answer}");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let mut server = Server::start_with(|command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command.env("TRADEWIND_LOG", "debug")
    })
    .await;
    let log = server.data.with_file_name("stderr");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    server.kill().await;
    server.start_again().await;
    let receiver =
        Receiver::scripted(|_, before| Reply::status(if before.is_empty() { 500 } else { 200 }))
            .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "one")
        .await;
    let came = receiver.wait_for(2, SOON).await;
    assert_eq!(came[0].body, came[1].body);
}

#[tokio::test]
async fn a_stop_is_heard_from_the_first_line_on() {
    for _ in 0..5 {
        let mut server = Server::start().await;
        server.terminate().await;
        assert!(server.ended(SOON).await.success());
    }
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_refused() {
    for wrong in ["warning", "info,nonsense", "tradewind=loud"] {
        let directory = TempDir::new().unwrap();
        let mut command = binary();
        let data = directory.path().join("data");
        command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .env("TRADEWIND_LOG", wrong);
        let output = command.output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}: {said}");
        assert!(
            said.starts_with("tradewind: TRADEWIND_LOG") && said.lines().count() == 1,
            "{said}"
        );
    }
}
