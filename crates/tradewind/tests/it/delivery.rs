//! Webhooks: what arrives, when, signed how, and what happens when it is refused.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::support::{
    SOON, normalize,
    receiver::{Delivery, Receiver, Reply},
    server::Server,
    visitor::Visitor,
};

#[tokio::test]
async fn a_message_arrives_as_one_signed_post() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let channel = server.connect_channel().await;
    let headers = json!({"X-Custom-Header": "custom-code-for-header"});
    let webhook = json!({"url": receiver.url(), "headers": headers});
    let secret = server.call("webhooks.subscribe", webhook).await.ok()["api_secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let message = Visitor::arrive(&server, &channel)
        .await
        .write(&server, "hello, \"world\" é\u{1F30D}")
        .await;

    let delivery = receiver.wait_for(1, SOON).await.remove(0);
    assert_eq!(delivery.method, "POST");
    let body = String::from_utf8(delivery.body.to_vec()).unwrap();
    insta::assert_snapshot!(normalize(&body), @r#"{"conversation_id":"[id 1]","id":"[id 2]","sender":{"id":"[id 3]","type":"source_contact"},"source":"CHAT_PLUGIN","sent_at":"[time]","text":"hello, \"world\" é🌍"}"#);
    assert_eq!(delivery.json()["id"], message["id"]);
    assert_eq!(delivery.json()["sent_at"], message["sent_at"]);

    assert_eq!(delivery.header("content-type"), "application/json");
    assert_eq!(
        delivery.header("user-agent"),
        concat!("Tradewind/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(delivery.header("x-custom-header"), "custom-code-for-header");
    assert_eq!(delivery.header("webhook-id"), delivery.field("id"));
    assert_eq!(delivery.header("accept-encoding"), "identity");
    let key = format!("whsec_{}", STANDARD.encode(&secret));
    let library = standardwebhooks::Webhook::new(&key).unwrap();
    library.verify(&delivery.body, &delivery.headers).unwrap();
    assert_eq!(
        delivery.header("x-airy-content-signature"),
        hex_hmac(&secret, &delivery.body)
    );
}

fn hex_hmac(secret: &str, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes())
        .unwrap()
        .chain_update(body);
    let mac = mac.finalize().into_bytes();
    format!("{:x}", axum::body::Bytes::copy_from_slice(&mac))
}

#[tokio::test]
async fn an_answer_is_pending_then_delivered_and_an_event_of_its_own() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "hello")
        .await;
    let conversation = receiver.wait_for(1, SOON).await[0].field("conversation_id");

    let send = json!({"conversation_id": conversation, "message": {"text": "hi there"}});
    let reply = server.call("messages.send", send).await.ok();
    assert_eq!(reply["state"], "pending");
    let delivery = receiver.wait_for(2, SOON).await.remove(1);
    assert_eq!(delivery.json()["id"], reply["id"]);
    assert_eq!(delivery.json()["sender"]["type"], "app_user");
    assert_eq!(delivery.text(), "hi there");
    let messages = server
        .call("messages.list", json!({ "conversation_id": conversation }))
        .await
        .ok();
    assert_eq!(messages["data"][1]["id"], reply["id"]);
    assert_eq!(messages["data"][1]["state"], "delivered");
    assert_eq!(messages["data"][1]["delivery_state"], "delivered");
}

#[tokio::test]
async fn a_failing_event_is_tried_again_on_schedule_and_holds_back_only_its_conversation() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|delivery, before| {
        let attempts = before
            .iter()
            .filter(|other| other.body == delivery.body)
            .count();
        Reply::status(if delivery.text() == "poison" && attempts < 2 {
            500
        } else {
            200
        })
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let (held, other) = (
        Visitor::arrive(&server, &channel).await,
        Visitor::arrive(&server, &channel).await,
    );
    held.write(&server, "poison").await;
    held.write(&server, "behind").await;
    receiver.wait_for(1, SOON).await;
    other.write(&server, "passes").await;
    let came = receiver.wait_for(2, Duration::from_millis(900)).await;
    assert_eq!(came[1].text(), "passes");

    let came = receiver.wait_for(5, Duration::from_secs(15)).await;
    let texts: Vec<_> = came.iter().map(Delivery::text).collect();
    assert_eq!(texts, ["poison", "passes", "poison", "poison", "behind"]);
    let waited = |from: usize, to: usize| came[to].at.duration_since(came[from].at).as_secs_f64();
    let (first, second) = (waited(0, 2), waited(2, 3));
    assert!(
        (1.0..1.7).contains(&first),
        "the first retry came after {first} s"
    );
    assert!(
        (5.0..6.7).contains(&second),
        "the second retry came after {second} s"
    );

    let poison: Vec<_> = came
        .iter()
        .filter(|delivery| delivery.text() == "poison")
        .collect();
    assert!(
        poison
            .iter()
            .all(|delivery| delivery.header("webhook-id") == poison[0].header("webhook-id"))
    );
    assert!(
        poison
            .iter()
            .all(|delivery| delivery.body == poison[0].body)
    );
    let signed_at: Vec<i64> = poison
        .iter()
        .map(|delivery| delivery.header("webhook-timestamp").parse().unwrap())
        .collect();
    assert!(signed_at[0] < signed_at[2], "each attempt is signed afresh");
}

#[tokio::test]
async fn the_receiver_can_postpone_the_next_attempt() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|_, before| Reply {
        headers: vec![("retry-after", "3".to_owned())],
        ..Reply::status(if before.is_empty() { 429 } else { 204 })
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "later")
        .await;
    let came = receiver.wait_for(2, SOON).await;
    let waited = came[1].at.duration_since(came[0].at).as_secs_f64();
    assert!((3.0..4.5).contains(&waited), "it came after {waited} s");
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_never_followed() {
    let server = Server::start().await;
    let elsewhere = Receiver::start().await;
    let location = elsewhere.url();
    let receiver = Receiver::scripted(move |_, before| Reply {
        headers: vec![("location", location.clone())],
        ..Reply::status(if before.is_empty() { 307 } else { 200 })
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "stay")
        .await;
    receiver.wait_for(2, SOON).await;
    assert!(elsewhere.deliveries().is_empty());
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_back_only_its_conversation() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|delivery, _| Reply {
        after: Duration::from_secs(if delivery.text() == "hang" { 5 } else { 0 }),
        ..Reply::status(200)
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let slow = Visitor::arrive(&server, &channel).await;
    slow.write(&server, "hang").await;
    slow.write(&server, "after the hang").await;
    let quick = Visitor::arrive(&server, &channel).await;
    for number in 0..50 {
        quick.write(&server, &format!("quick {number}")).await;
    }
    let came = receiver.wait_for(51, Duration::from_secs(4)).await;
    assert!(
        came.iter()
            .all(|delivery| delivery.text() != "after the hang")
    );
    let came = receiver.wait_for(52, SOON).await;
    assert_eq!(came[51].text(), "after the hang");
}

#[tokio::test]
async fn many_conversations_arrive_each_in_order() {
    const VISITORS: usize = 40;
    const MESSAGES: usize = 25;
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let write = async |_| {
        let visitor = Visitor::arrive(&server, &channel).await;
        for number in 0..MESSAGES {
            visitor.write(&server, &number.to_string()).await;
        }
    };
    futures_util::future::join_all((0..VISITORS).map(write)).await;
    let came = receiver
        .wait_for(VISITORS * MESSAGES, Duration::from_secs(30))
        .await;
    let mut lanes: HashMap<String, Vec<String>> = HashMap::new();
    for delivery in &came {
        lanes
            .entry(delivery.field("conversation_id"))
            .or_default()
            .push(delivery.text());
    }
    let expected: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(lanes.len(), VISITORS);
    assert!(lanes.values().all(|texts| *texts == expected));
}

#[tokio::test]
async fn unsubscribing_stops_what_waits_and_subscribing_again_starts_at_now() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|delivery, _| {
        Reply::status(if delivery.text().starts_with("refused") {
            500
        } else {
            200
        })
    })
    .await;
    let channel = server.connect_channel().await;
    let secret = server.subscribe(&receiver.url()).await;
    let visitor = Visitor::arrive(&server, &channel).await;
    visitor.write(&server, "refused").await;
    visitor.write(&server, "waits behind").await;
    receiver.wait_for(1, SOON).await;
    let gone = server.call("webhooks.unsubscribe", json!({})).await.ok();
    assert_eq!(
        (gone["status"].as_str(), gone["api_secret"].as_str()),
        (Some("Unsubscribed"), Some(&*secret))
    );
    let attempts = receiver.deliveries().len();
    visitor.write(&server, "while unsubscribed").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(
        receiver.deliveries().len(),
        attempts,
        "something was sent after the unsubscribe"
    );

    assert_eq!(server.subscribe(&receiver.url()).await, secret);
    visitor.write(&server, "after").await;
    let came = receiver.wait_for(attempts + 1, SOON).await;
    assert_eq!(came.last().unwrap().text(), "after");
}

#[tokio::test]
async fn a_new_url_is_used_for_what_waits() {
    let server = Server::start().await;
    let (old, new) = (
        Receiver::scripted(|_, _| Reply::status(503)).await,
        Receiver::start().await,
    );
    let channel = server.connect_channel().await;
    let secret = server.subscribe(&old.url()).await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "moves")
        .await;
    old.wait_for(1, SOON).await;
    assert_eq!(server.subscribe(&new.url()).await, secret);
    assert_eq!(new.wait_for(1, SOON).await[0].text(), "moves");
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_keeps_its_schedule() {
    let mut server = Server::start().await;
    let receiver =
        Receiver::scripted(|_, before| Reply::status(if before.is_empty() { 500 } else { 200 }))
            .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let visitor = Visitor::arrive(&server, &channel).await;
    visitor.write(&server, "first").await;
    visitor.write(&server, "second").await;
    receiver.wait_for(1, SOON).await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    assert_eq!(receiver.deliveries().len(), 1);
    server.start_again().await;
    let came = receiver.wait_for(3, SOON).await;
    let texts: Vec<_> = came.iter().map(Delivery::text).collect();
    assert_eq!(texts, ["first", "first", "second"]);
    assert!(came[1].at.duration_since(came[0].at) >= Duration::from_secs(1));
}

#[tokio::test]
async fn sigterm_lets_what_is_in_flight_end_and_nothing_comes_twice() {
    let mut server = Server::start().await;
    let receiver = Receiver::scripted(|_, _| Reply {
        after: Duration::from_secs(2),
        ..Reply::status(200)
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    for number in 0..5 {
        Visitor::arrive(&server, &channel)
            .await
            .write(&server, &number.to_string())
            .await;
    }
    receiver.wait_for(5, SOON).await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    server.start_again().await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "last")
        .await;
    let came = receiver.wait_for(6, SOON).await;
    assert_eq!(came.len(), 6);
    assert_eq!(came[5].text(), "last");
}

#[tokio::test]
async fn an_address_inside_is_refused_and_the_flag_that_permits_it_named() {
    let server = Server::start_with(|command| command).await;
    for url in [
        "http://127.0.0.1:9/hook",
        "http://localhost:9/hook",
        "http://[::1]/hook",
        "http://192.168.1.1/",
    ] {
        let answer = server
            .call("webhooks.subscribe", json!({ "url": url }))
            .await;
        assert_eq!(answer.status, 400, "{url}");
        assert!(answer.text.contains("--webhook-allow"), "{}", answer.text);
    }
    let info = server.call("webhooks.info", json!({})).await;
    assert_eq!(info.status, 404, "nothing was subscribed");
}

#[tokio::test]
async fn a_reply_waits_for_nobody_and_is_there_when_the_visitor_returns() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let visitor = Visitor::arrive(&server, &channel).await;
    visitor.write(&server, "anyone there?").await;
    let list = server.call("conversations.list", json!({})).await.ok();
    let conversation = list["data"][0]["id"].clone();
    let send = json!({"conversation_id": conversation, "message": {"text": "yes"}});
    let id = server.call("messages.send", send).await.ok()["id"].clone();
    let mut seen = visitor.history(&server).await;
    let started = std::time::Instant::now();
    while seen[1]["state"] != "delivered" && started.elapsed() < SOON {
        seen = visitor.history(&server).await;
    }
    assert_eq!(
        (&seen[1]["id"], &seen[1]["state"]),
        (&id, &json!("delivered"))
    );
}

#[tokio::test]
async fn a_stop_in_order_repeats_nothing_although_much_waits() {
    const QUICK: usize = 60;
    const SLOW: usize = 8;
    let mut server = Server::start().await;
    let receiver = Receiver::scripted(|delivery, _| Reply {
        after: Duration::from_millis(if delivery.text() == "slow" { 400 } else { 0 }),
        ..Reply::status(200)
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let slow = Visitor::arrive(&server, &channel).await;
    for _ in 0..SLOW {
        slow.write(&server, "slow").await;
    }
    for _ in 0..QUICK {
        let quick = Visitor::arrive(&server, &channel).await;
        quick.write(&server, "quick").await;
    }
    receiver.wait_for(QUICK + 1, SOON).await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    assert!(
        receiver.deliveries().len() < QUICK + SLOW,
        "something waits at the stop"
    );
    server.start_again().await;
    receiver.wait_for(QUICK + SLOW, SOON).await;
    // What would come again would come before this.
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "last")
        .await;
    let came = receiver.wait_for(QUICK + SLOW + 1, SOON).await;
    let ids: std::collections::HashSet<_> =
        came.iter().map(|delivery| delivery.field("id")).collect();
    assert_eq!(
        (came.len(), ids.len()),
        (QUICK + SLOW + 1, QUICK + SLOW + 1)
    );
}

#[tokio::test]
async fn an_attempt_that_is_under_way_ends_with_the_subscription() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|_, _| Reply {
        after: Duration::from_secs(20),
        ..Reply::status(200)
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    Visitor::arrive(&server, &channel)
        .await
        .write(&server, "hangs")
        .await;
    receiver.wait_for(1, SOON).await;
    let started = std::time::Instant::now();
    server.call("webhooks.unsubscribe", json!({})).await.ok();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "nobody waits for it"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_failure() {
    let server = Server::start_with(|command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command.env("TRADEWIND_DELIVERY__TIMEOUT_SECONDS", "1")
    })
    .await;
    let receiver = Receiver::scripted(|_, before| Reply {
        after: Duration::from_secs(if before.is_empty() { 30 } else { 0 }),
        ..Reply::status(200)
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let visitor = Visitor::arrive(&server, &channel).await;
    visitor.write(&server, "hangs").await;
    let came = receiver.wait_for(2, SOON).await;
    let waited = came[1].at.duration_since(came[0].at);
    // The deadline, and then the first wait of the schedule.
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}
