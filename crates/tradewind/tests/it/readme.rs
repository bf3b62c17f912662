//! The README's commands and bots, as they stand there.

use std::{net::TcpListener, path::PathBuf, process::Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::{
    SOON,
    server::{Server, TOKEN},
    until_some,
    visitor::Visitor,
};

fn readme() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The README's block of code in `language` that contains `part`.
fn block(language: &str, part: &str) -> String {
    let readme = readme();
    let blocks = readme
        .split("\n```")
        .filter_map(|text| text.strip_prefix(language)?.strip_prefix('\n'));
    let mut found = blocks.filter(|code| code.contains(part));
    found
        .next()
        .unwrap_or_else(|| panic!("no block of {language} with {part}"))
        .to_owned()
}

/// Starts a bot of the README and does what the README says then; a visitor must get an answer.
async fn try_bot(program: &str, language: &str, part: &str, file: &str) {
    let server = Server::start().await;
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let directory = TempDir::new().unwrap();
    let adapt = |text: &str| {
        text.replace("127.0.0.1:8080", &server.address.to_string())
            .replace("9000", &port.to_string())
    };
    std::fs::write(directory.path().join(file), adapt(&block(language, part))).unwrap();
    let mut command = Command::new(program);
    let bot: Child = command
        .arg(file)
        .current_dir(&directory)
        .env("TOKEN", TOKEN)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listening = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    until_some(SOON, listening, || {
        format!("{file} does not listen: {bot:?}")
    })
    .await;

    let commands = adapt(&block("sh", "webhooks.subscribe"));
    let curls = commands[commands.find("curl").unwrap()..].to_owned();
    let mut shell = Command::new("sh");
    let output = shell
        .args(["-ec", &curls])
        .env("TOKEN", TOKEN)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(r#""status":"Subscribed""#), "{said}");
    let channel = said.rsplit_once(r#"{"id":""#).unwrap().1.get(..36).unwrap();

    let visitor = Visitor::arrive(&server, channel).await;
    visitor.write(&server, "hello").await;
    let mut texts = Vec::new();
    let started = std::time::Instant::now();
    while texts.len() < 2 && started.elapsed() < SOON {
        texts = visitor.texts(&server).await;
    }
    assert_eq!(texts, ["hello", "You said: hello"]);
}

#[tokio::test]
async fn the_bot_in_python_answers() {
    try_bot("python3", "python", "http.server", "bot.py").await;
}

#[tokio::test]
async fn the_bot_in_javascript_answers() {
    try_bot("node", "js", "createServer", "bot.mjs").await;
}

#[test]
fn the_first_commands_are_the_ones_that_are_tested() {
    let readme = readme();
    assert!(readme.contains("```sh\ncargo run --release -- demo\n```"));
    assert!(readme.contains("```sh\nscripts/test\n```"));
    let script = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/try-demo"),
    );
    assert!(
        script
            .unwrap()
            .contains("cargo run --release --quiet -- demo")
    );
}
