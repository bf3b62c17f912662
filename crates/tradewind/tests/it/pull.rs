//! Pull: `events.list`, and `tradewind tail` and `tradewind listen` on top of it.

mod api;
mod listen;
mod tail;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{
    SOON,
    process::{Process, binary},
    server::{Server, TOKEN},
    until_some,
    visitor::Visitor,
};

/// Visitors of one channel, each with a conversation of its own.
async fn visitors(server: &Server, count: usize) -> Vec<Visitor> {
    let channel = server.connect_channel().await;
    let mut visitors = Vec::new();
    for _ in 0..count {
        visitors.push(Visitor::arrive(server, &channel).await);
    }
    visitors
}

async fn pull(server: &Server, body: Value) -> Value {
    server.call("events.list", body).await.ok()
}

/// The cursor of the end of the log.
async fn now(server: &Server) -> Value {
    let answer = pull(server, json!({"cursor": "now"})).await;
    assert_eq!(answer["data"], json!([]), "now is answered without events");
    answer["cursor"].clone()
}

fn texts(answer: &Value) -> Vec<String> {
    let events = answer["data"].as_array().unwrap().iter();
    events
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect()
}

/// A client of the server, in a directory of its own.
fn client(server: &Server, directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = binary();
    command
        .args(arguments)
        .args(["--url", &server.url("")])
        .env("TRADEWIND_TOKEN", TOKEN)
        .current_dir(directory.path());
    command
}

/// Starts a client and waits until the server has answered it.
async fn connect(server: &Server, directory: &TempDir, arguments: &[&str]) -> Process {
    let log = directory.path().join("stderr");
    let _ = std::fs::remove_file(&log);
    let process = Process::start(client(server, directory, arguments), &log);
    until_logged(&process, "connected to").await;
    process
}

async fn until_logged(process: &Process, text: &str) {
    let look = || process.log().contains(text).then_some(());
    until_some(SOON, look, || format!("no {text:?}: {}", process.log())).await;
}

/// Sends SIGINT, as Ctrl-C does.
fn interrupt(process: &Process) {
    let pid = process.pid().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(kill.unwrap().success());
}
