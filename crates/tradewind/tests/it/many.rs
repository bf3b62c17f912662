//! Many webhooks read one log: who wants nothing of what happens costs nothing, and misses nothing.

use std::{fs, time::Instant};

use serde_json::{Value, json};

use crate::support::{
    SOON,
    receiver::{Delivery, Receiver},
    server::Server,
    until_some,
    visitor::Visitor,
};

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

async fn subscribe(server: &Server, number: usize, receiver: &Receiver, senders: &[&str]) {
    let body = json!({"id": id(number), "url": receiver.url(), "senders": senders});
    server.call("webhooks.subscribe", body).await.ok();
}

/// Entries of the log that a webhook has yet to look at.
async fn behind(server: &Server, number: usize) -> Value {
    let stats = server.call("webhooks.stats", json!({"id": id(number)}));
    stats.await.ok()["waiting"]["log_entries"].clone()
}

/// Waits until it has none.
async fn has_looked_at_all(server: &Server, number: usize) {
    let started = Instant::now();
    while behind(server, number).await != 0 {
        assert!(started.elapsed() < SOON, "webhook {number} stays behind");
    }
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(Delivery::text).collect()
}

/// How often the server has read from files.
fn reads(server: &Server) -> u64 {
    let counts = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
    let count = counts.lines().find_map(|line| line.strip_prefix("syscr: "));
    count.unwrap().parse().unwrap()
}

/// How many reads of files it takes to bring messages one by one.
async fn reads_of_a_conversation(server: &Server, visitor: &Visitor, receiver: &Receiver) -> u64 {
    let before = reads(server);
    for _ in 0..50 {
        let count = receiver.count();
        visitor.write(server, "hello").await;
        receiver.wait_for(count + 1, SOON).await;
    }
    reads(server) - before
}

#[tokio::test]
async fn webhooks_that_want_nothing_of_it_do_not_read_the_log() {
    let server = Server::start().await;
    let (receiver, quiet) = (Receiver::start().await, Receiver::start().await);
    subscribe(&server, 0, &receiver, &["source_contact"]).await;
    let (visitor, _) = server.converse("first").await;
    receiver.wait_for(1, SOON).await;
    reads_of_a_conversation(&server, &visitor, &receiver).await;
    let alone = reads_of_a_conversation(&server, &visitor, &receiver).await;
    for number in 1..=60 {
        subscribe(&server, number, &quiet, &["app_user"]).await;
    }
    reads_of_a_conversation(&server, &visitor, &receiver).await;
    let among_many = reads_of_a_conversation(&server, &visitor, &receiver).await;
    assert!(
        among_many * 2 <= alone * 3,
        "{alone} reads alone, {among_many} among many"
    );
    assert_eq!(quiet.count(), 0);
}

#[tokio::test]
async fn what_a_webhook_wants_counts_from_the_answer_on() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    subscribe(&server, 0, &receiver, &["app_user"]).await;
    let (visitor, _) = server.converse("unwanted").await;
    has_looked_at_all(&server, 0).await;
    let mut wanted = Vec::new();
    for round in 0..10 {
        subscribe(&server, 0, &receiver, &["source_contact"]).await;
        let text = format!("wanted {round}");
        visitor.write(&server, &text).await;
        wanted.push(text);
        receiver.wait_for(wanted.len(), SOON).await;
        subscribe(&server, 0, &receiver, &["app_user"]).await;
        visitor.write(&server, "unwanted").await;
        has_looked_at_all(&server, 0).await;
    }
    assert_eq!(texts(&receiver.deliveries()), wanted);
}

#[tokio::test]
async fn a_webhook_that_was_passed_by_gets_what_it_wants() {
    let mut server = Server::start().await;
    let (receiver, quiet) = (Receiver::start().await, Receiver::start().await);
    subscribe(&server, 0, &receiver, &["source_contact"]).await;
    subscribe(&server, 1, &quiet, &["app_user"]).await;
    let (visitor, conversation) = server.converse("1").await;
    for text in 2..=40 {
        visitor.write(&server, &text.to_string()).await;
    }
    receiver.wait_for(40, SOON).await;
    assert_eq!(behind(&server, 1).await, 0, "it has nothing to look at");
    server.kill().await;
    server.start_again().await;
    let answer = json!({"conversation_id": conversation, "message": {"text": "answer"}});
    server.call("messages.send", answer).await.ok();
    quiet.wait_for(1, SOON).await;
    for text in 41..=50 {
        visitor.write(&server, &text.to_string()).await;
    }
    let last = |deliveries: &[Delivery]| deliveries.iter().any(|came| came.text() == "50");
    until_some(
        SOON,
        || last(&receiver.deliveries()).then_some(()),
        || format!("{:?}", texts(&receiver.deliveries())),
    )
    .await;
    let pause = json!({"id": id(1), "url": quiet.url(), "senders": ["app_user"], "paused": true});
    server.call("webhooks.subscribe", pause).await.ok();
    assert_eq!(behind(&server, 1).await, 0, "it stops at where it was");
    assert_eq!(texts(&quiet.deliveries()), ["answer"]);
}
