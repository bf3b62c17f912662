//! `tradewind tail`.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{client, connect, interrupt, now, pull, texts, until_logged, visitors};
use crate::support::{
    SOON,
    process::{Process, binary},
    server::{Server, TOKEN},
    until_some,
};

#[tokio::test]
async fn events_are_printed_as_they_come() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let (visitor, conversation) = server.converse("before").await;
    let mut tail = connect(&server, &directory, &["tail"]).await;
    visitor.write(&server, "two\nlines \u{1b}[31mred").await;
    let line = tail.line().await;
    let answer = json!({"conversation_id": conversation, "message": {"text": "answer"}});
    server.call("messages.send", answer).await.ok();
    let answer = tail.line().await;
    visitor.write(&server, &"long ".repeat(100)).await;
    let long = tail.line().await;

    let events = pull(&server, json!({})).await;
    let sent_at = |at: usize| events["data"][at]["sent_at"].as_str().unwrap();
    let short = &conversation[30..];
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&line)[..4], [sent_at(1), "CHAT_PLUGIN", "in", short]);
    assert!(line.ends_with(r#"  "two\nlines \u{1b}[31mred""#), "{line}");
    assert_eq!(
        words(&answer),
        [sent_at(2), "CHAT_PLUGIN", "out", short, "\"answer\""]
    );
    assert!(long.ends_with(" …") && long.len() < 250, "{long}");
}

#[tokio::test]
async fn json_lines_are_what_a_webhook_gets() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let visitors = visitors(&server, 2).await;
    for (of, text) in [(0, "a 1"), (1, "b 1"), (0, "a 2")] {
        visitors[of].write(&server, text).await;
    }
    let listed = server.call("events.list", json!({})).await;
    let listed_events = listed.json()["data"].as_array().unwrap().clone();
    let mut tail = connect(&server, &directory, &["tail", "--from", "start", "--json"]).await;
    for event in &listed_events {
        let line = tail.line().await;
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), *event);
        assert!(listed.text.contains(&line), "not the same bytes: {line}");
    }
    let conversation = listed_events[0]["conversation_id"].as_str().unwrap();
    let arguments = ["tail", "--from", "start", "--conversation", conversation];
    let mut tail = connect(&server, &directory, &arguments).await;
    assert!(tail.line().await.ends_with("\"a 1\""));
    assert!(tail.line().await.ends_with("\"a 2\""));
}

#[tokio::test]
async fn it_goes_on_when_the_server_was_away() {
    let (mut server, directory) = (Server::start().await, TempDir::new().unwrap());
    let visitor = visitors(&server, 1).await.remove(0);
    let mut tail = connect(&server, &directory, &["tail"]).await;
    visitor.write(&server, "one").await;
    assert!(tail.line().await.ends_with("\"one\""));
    for text in ["two", "three"] {
        server.kill().await;
        until_logged(&tail, "is away").await;
        server.start_again().await;
        visitor.write(&server, text).await;
        assert!(tail.line().await.ends_with(&format!("{text:?}")));
    }
    let log = tail.log();
    assert_eq!(log.matches("connected to").count(), 3, "{log}");
    assert_eq!(log.matches("is away").count(), 2, "once an outage: {log}");
}

#[tokio::test]
async fn an_interrupt_ends_it_and_says_how_to_go_on() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let visitor = visitors(&server, 1).await.remove(0);
    let mut tail = connect(&server, &directory, &["tail"]).await;
    visitor.write(&server, "one").await;
    tail.line().await;
    interrupt(&tail);
    assert_eq!(tail.ended(SOON).await.code(), Some(0));
    let log = tail.log();
    let cursor = log.trim().rsplit_once("--from ").unwrap().1;
    visitor.write(&server, "two").await;
    assert_eq!(
        texts(&pull(&server, json!({ "cursor": cursor })).await),
        ["two"]
    );
    let mut tail = connect(&server, &directory, &["tail", "--from", cursor]).await;
    assert!(tail.line().await.ends_with("\"two\""));
    tail.terminate().await;
    assert_eq!(tail.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_closed_pipe_ends_it_quietly() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let visitor = visitors(&server, 1).await.remove(0);
    visitor.write(&server, "one").await;
    let mut command = client(&server, &directory, &["tail", "--from", "start"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tail = command.spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(
        lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .ends_with("\"one\"")
    );
    drop(lines);
    visitor.write(&server, "two").await;
    let ended = tokio::time::timeout(SOON, tail.wait_with_output()).await;
    let output = ended.expect("it should end").unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let quiet = stderr.lines().count() == 1 && stderr.contains("connected to");
    assert!(quiet, "{stderr}");
}

#[tokio::test]
async fn the_token_is_found_where_the_first_start_left_it() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    std::fs::create_dir(directory.path().join("tradewind-data")).unwrap();
    std::fs::write(
        directory.path().join("tradewind-data/token"),
        format!("{TOKEN}\n"),
    )
    .unwrap();
    let log = directory.path().join("stderr");
    let mut command = client(&server, &directory, &["tail"]);
    command.env_remove("TRADEWIND_TOKEN");
    until_logged(&Process::start(command, &log), "connected to").await;
    // What is said on the command line wins. That the server is there is said although nothing happens.
    let mut command = client(&server, &directory, &["tail", "--token", TOKEN]);
    command.env("TRADEWIND_TOKEN", "wrong");
    std::fs::remove_file(&log).unwrap();
    until_logged(&Process::start(command, &log), "connected to").await;
}

/// It would otherwise seem to be away until something happens.
#[tokio::test]
async fn it_says_at_once_that_the_server_is_there() {
    let (mut server, directory) = (Server::start().await, TempDir::new().unwrap());
    server.converse("hello").await;
    let cursor = now(&server).await;
    let tail = ["tail", "--from", cursor.as_str().unwrap()];
    let tail = connect(&server, &directory, &tail).await;
    server.kill().await;
    until_logged(&tail, "is away").await;
    server.start_again().await;
    let again = || (tail.log().matches("connected to").count() == 2).then_some(());
    until_some(SOON, again, || tail.log()).await;
}

/// What cannot become right by waiting ends it, with one line that says why.
#[tokio::test]
async fn what_the_server_refuses_ends_it() {
    let (server, other) = (Server::start().await, Server::start().await);
    other.converse("hello").await;
    let foreign = now(&other).await;
    let foreign = foreign.as_str().unwrap();
    let directory = TempDir::new().unwrap();
    let wrong_url = ["tail", "--url", "ftp://127.0.0.1/"];
    for (arguments, token, said) in [
        (
            &["tail"][..],
            Some("wrong"),
            "events.list: send a valid token as",
        ),
        (&["tail"], Some("not a token"), "the token must be"),
        (
            &["tail"],
            None,
            "no token: give one by --token or TRADEWIND_TOKEN",
        ),
        (
            &["tail", "--from", foreign],
            Some(TOKEN),
            "events.list: cursor: is beyond the end",
        ),
        (
            &["tail", "--from", "yesterday"],
            Some(TOKEN),
            "events.list: cursor: must be",
        ),
        (
            &["tail", "--conversation", "nonsense"],
            Some(TOKEN),
            "'--conversation <ID>'",
        ),
        (&wrong_url, Some(TOKEN), "--url: must start with"),
    ] {
        let mut command = binary();
        if arguments.len() < 3 || arguments[1] != "--url" {
            command.args(arguments).args(["--url", &server.url("")]);
        } else {
            command.args(arguments);
        }
        command.current_dir(directory.path());
        if let Some(token) = token {
            command.env("TRADEWIND_TOKEN", token);
        }
        let output = tokio::time::timeout(SOON, command.output()).await;
        let output = output.expect("it should end").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}
