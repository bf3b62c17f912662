//! A replay under deaths at its labelled point, and at that before progress is saved.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    SOON,
    receiver::{Delivery, Receiver},
    server::Server,
    visitor::Visitor,
};

const CONVERSATIONS: usize = 4;
const MESSAGES: usize = 15;
/// Where each start dies, until a start gets to the end of the replay.
const DEATHS: [&str; 6] = [
    "replay:3",
    "before_save:1",
    "replay:20",
    "after_send:5",
    "replay:1",
    "after_save:1",
];

#[tokio::test]
async fn a_replay_brings_its_range_in_order_however_often_the_server_dies() {
    let receiver = Receiver::start().await;
    let crash_at: Arc<Mutex<Option<String>>> = Arc::default();
    let next = Arc::clone(&crash_at);
    let mut server = Server::start_with(move |command| {
        if let Some(point) = next.lock().unwrap().as_ref() {
            command.env("TRADEWIND_CRASH_AT", point);
        }
        command.args(["--webhook-allow", "127.0.0.0/8"])
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let mut since = None;
    for conversation in 0..CONVERSATIONS {
        let visitor = Visitor::arrive(&server, &channel).await;
        for number in 0..MESSAGES {
            let message = visitor
                .write(&server, &format!("{conversation}.{number}"))
                .await;
            if conversation == 1 {
                since.get_or_insert(message["sent_at"].clone());
            }
        }
        // The next conversation begins in another millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    receiver.wait_for(CONVERSATIONS * MESSAGES, SOON).await;
    // All of it is saved, so that only the replay repeats anything.
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    let before = receiver.count();

    server.start_again().await;
    let range = json!({ "since": since });
    let replay = server.call("webhooks.replay", range).await.ok();
    assert_eq!(replay["count"], (CONVERSATIONS - 1) * MESSAGES);
    server.kill().await;
    for death in DEATHS {
        *crash_at.lock().unwrap() = Some(death.to_owned());
        if server.start_again_if_it_lives().await {
            // It may come to the end of the replay before it comes to its point.
            let _ = tokio::time::timeout(Duration::from_secs(3), server.ended(SOON)).await;
        }
        server.kill().await;
    }
    *crash_at.lock().unwrap() = None;
    server.start_again().await;
    let started = Instant::now();
    while server.call("webhooks.stats", json!({})).await.ok()["replays"] != json!([]) {
        assert!(started.elapsed() < SOON, "the replay does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let came = receiver.deliveries().split_off(before);
    let mut seen = HashSet::new();
    let mut firsts: Vec<_> = came.iter().map(Delivery::text).collect();
    firsts.retain(|text| seen.insert(text.clone()));
    assert!(
        firsts.iter().all(|text| !text.starts_with("0.")),
        "{firsts:?}"
    );
    for conversation in 1..CONVERSATIONS {
        let of_it = firsts
            .iter()
            .filter(|text| text.starts_with(&format!("{conversation}.")));
        let expected: Vec<_> = (0..MESSAGES)
            .map(|number| format!("{conversation}.{number}"))
            .collect();
        assert_eq!(of_it.cloned().collect::<Vec<_>>(), expected);
    }
    assert!(came.len() > firsts.len(), "no death met a delivery");
}
