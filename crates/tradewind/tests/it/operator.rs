//! What an operator sees and does: many webhooks, what each is sent, what failed, and sending it again.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    SOON, normalize,
    receiver::{Delivery, Receiver, Reply},
    server::Server,
    until_some,
    visitor::Visitor,
};

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";

/// A server that sets an event aside after this many seconds.
async fn server_with_limit(seconds: &'static str) -> Server {
    Server::start_with(move |command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command.env("TRADEWIND_DELIVERY__SET_ASIDE_SECONDS", seconds)
    })
    .await
}

/// A receiver that refuses what says so.
async fn picky() -> Receiver {
    Receiver::scripted(|delivery, _| {
        let refused = delivery.text().starts_with("poison");
        Reply::status(if refused { 500 } else { 200 })
    })
    .await
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(Delivery::text).collect()
}

fn times(deliveries: &[Delivery], text: &str) -> usize {
    texts(deliveries)
        .iter()
        .filter(|came| *came == text)
        .count()
}

async fn call(server: &Server, verb: &str, body: Value) -> Value {
    server.call(verb, body).await.ok()
}

/// Asks until the answer is one that `look` takes.
async fn ask_until<T>(
    server: &Server,
    verb: &str,
    body: Value,
    patience: Duration,
    look: impl Fn(&Value) -> Option<T>,
) -> T {
    let started = std::time::Instant::now();
    loop {
        let answer = call(server, verb, body.clone()).await;
        if let Some(found) = look(&answer) {
            return found;
        }
        assert!(started.elapsed() < patience, "{verb} answers {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// Many webhooks

#[tokio::test]
async fn each_webhook_has_its_own_place_secret_and_end() {
    let server = Server::start().await;
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let channel = server.connect_channel().await;
    let first = json!({"id": FIRST, "url": one.url(), "name": "bot"});
    let first = call(&server, "webhooks.subscribe", first).await;
    let second = json!({"id": SECOND, "url": two.url(), "headers": {"X-Key": "2"}});
    let second = call(&server, "webhooks.subscribe", second).await;
    assert_ne!(first["api_secret"], second["api_secret"]);
    let visitor = Visitor::arrive(&server, &channel).await;
    visitor.write(&server, "to both").await;
    assert_eq!(one.wait_for(1, SOON).await[0].text(), "to both");
    let came = two.wait_for(1, SOON).await.remove(0);
    assert_eq!(came.header("x-key"), "2");
    let key = format!(
        "whsec_{}",
        STANDARD.encode(second["api_secret"].as_str().unwrap())
    );
    let library = standardwebhooks::Webhook::new(&key).unwrap();
    library.verify(&came.body, &came.headers).unwrap();

    call(&server, "webhooks.unsubscribe", json!({"id": FIRST})).await;
    visitor.write(&server, "to one").await;
    two.wait_for(2, SOON).await;
    assert_eq!(one.deliveries().len(), 1);
    let info = server.call("webhooks.info", json!({"id": FIRST})).await;
    insta::assert_snapshot!(normalize(&info.text).replace(&one.url(), "[url]"), @r#"{"status":"Unsubscribed","url":"[url]","headers":{},"id":"[id 1]","name":"bot"}"#);
    let list = server.call("webhooks.list", json!({})).await;
    let list = normalize(&list.text)
        .replace(&one.url(), "[one]")
        .replace(&two.url(), "[two]");
    insta::assert_snapshot!(list, @r#"{"data":[{"id":"[id 1]","status":"Unsubscribed","url":"[one]","headers":{},"name":"bot"},{"id":"[id 2]","status":"Subscribed","url":"[two]","headers":{"X-Key":"2"}}]}"#);
    let unknown = json!({"id": "33333333-3333-4333-8333-333333333333"});
    for verb in [
        "unsubscribe",
        "info",
        "rotate-secret",
        "attempts",
        "failed",
        "test",
        "stats",
    ] {
        let answer = server
            .call(&format!("webhooks.{verb}"), unknown.clone())
            .await;
        assert_eq!((verb, answer.status.as_u16()), (verb, 404));
        assert_eq!(answer.json()["code"], "webhook_not_found");
    }
}

#[tokio::test]
async fn a_webhook_can_ask_for_some_senders_only() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let webhook = json!({"url": receiver.url(), "senders": ["source_contact"]});
    let webhook = call(&server, "webhooks.subscribe", webhook).await;
    assert_eq!(webhook["senders"], json!(["source_contact"]));
    let (visitor, conversation) = server.converse("question").await;
    let send = json!({"conversation_id": conversation, "message": {"text": "answer"}});
    call(&server, "messages.send", send).await;
    visitor.write(&server, "thanks").await;
    let came = receiver.wait_for(2, SOON).await;
    assert_eq!(texts(&came), ["question", "thanks"]);
}

#[tokio::test]
async fn what_happens_while_a_webhook_is_paused_waits_for_it() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    server.subscribe(&url).await;
    let (visitor, _) = server.converse("before").await;
    receiver.wait_for(1, SOON).await;
    let paused = json!({"url": url, "paused": true});
    assert_eq!(
        call(&server, "webhooks.subscribe", paused).await["paused"],
        true
    );
    visitor.write(&server, "meanwhile").await;
    let why = call(&server, "webhooks.attempts", json!({})).await;
    assert_eq!(why["waiting"], "the webhook is paused");
    let stats = call(&server, "webhooks.stats", json!({})).await;
    assert_eq!(stats["endpoint"]["state"], "idle");
    assert_eq!(stats["waiting"]["log_entries"], 1);
    // A restart does not start it.
    server.kill().await;
    server.start_again().await;
    visitor.write(&server, "and after a restart").await;
    assert_eq!(
        call(&server, "webhooks.info", json!({})).await["paused"],
        true
    );
    assert_eq!(receiver.deliveries().len(), 1);
    server.subscribe(&url).await;
    let came = receiver.wait_for(3, SOON).await;
    assert_eq!(texts(&came), ["before", "meanwhile", "and after a restart"]);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_unsubscribed_and_told_so() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|_, _| Reply::status(410)).await;
    server.subscribe(&receiver.url()).await;
    let (visitor, _) = server.converse("anyone?").await;
    receiver.wait_for(1, SOON).await;
    let reason = ask_until(&server, "webhooks.info", json!({}), SOON, |info| {
        (info["status"] == "Unsubscribed").then(|| info["reason"].clone())
    })
    .await;
    assert_eq!(reason, "the endpoint answered 410 Gone");
    visitor.write(&server, "into the void").await;
    let attempts = call(&server, "webhooks.attempts", json!({})).await;
    assert_eq!(attempts["waiting"], "the webhook is unsubscribed");
    assert_eq!(attempts["data"].as_array().unwrap().len(), 1, "{attempts}");
    assert!(
        attempts["data"][0]["next"]
            .as_str()
            .unwrap()
            .contains("410")
    );
    assert_eq!(receiver.deliveries().len(), 1);
    let again = Receiver::start().await;
    server.subscribe(&again.url()).await;
    visitor.write(&server, "back").await;
    assert_eq!(texts(&again.wait_for(1, SOON).await), ["back"]);
    let info = call(&server, "webhooks.info", json!({})).await;
    assert_eq!(info.get("reason"), None);
}

#[tokio::test]
async fn a_secret_that_is_rotated_signs_beside_the_new_one_for_a_while() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let old = server.subscribe(&receiver.url()).await;
    let rotate = json!({"overlap_seconds": 3});
    let rotated = call(&server, "webhooks.rotate-secret", rotate).await;
    let new = rotated["api_secret"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert!(rotated["old_secret_until"].is_string());
    let (visitor, _) = server.converse("both").await;
    let came = receiver.wait_for(1, SOON).await.remove(0);
    let verifies = |secret: &str, delivery: &Delivery| {
        let key = format!("whsec_{}", STANDARD.encode(secret));
        let library = standardwebhooks::Webhook::new(&key).unwrap();
        library.verify(&delivery.body, &delivery.headers).is_ok()
    };
    assert_eq!((verifies(&old, &came), verifies(&new, &came)), (true, true));
    assert_eq!(came.header("webhook-signature").split(' ').count(), 2);
    // A subscription that is updated keeps the secrets.
    assert_eq!(server.subscribe(&receiver.url()).await, new);

    let ended = |info: &Value| info.get("old_secret_until").is_none().then_some(());
    ask_until(&server, "webhooks.info", json!({}), SOON, ended).await;
    visitor.write(&server, "new only").await;
    let came = receiver.wait_for(2, SOON).await.remove(1);
    assert_eq!(
        (verifies(&old, &came), verifies(&new, &came)),
        (false, true)
    );
    for bad in [json!(-1), json!(99_999_999)] {
        let rotate = json!({"overlap_seconds": bad});
        let answer = server.call("webhooks.rotate-secret", rotate).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains("overlap_seconds"), "{}", answer.text);
    }
}

#[tokio::test]
async fn typed_events_say_what_they_are() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let events = [
        "message.created",
        "message.updated",
        "conversation.updated",
        "channel.updated",
    ];
    let webhook = json!({"url": receiver.url(), "events": events});
    call(&server, "webhooks.subscribe", webhook).await;
    let (_, conversation) = server.converse("hello").await;
    let came = receiver.wait_for(3, SOON).await;
    let body = |delivery: &Delivery| {
        let mut json = delivery.json();
        json["timestamp"] = json!("[ms]");
        normalize(&json.to_string())
    };
    let by_type = |came: &[Delivery], name: &str| {
        let found = came.iter().find(|delivery| delivery.field("type") == name);
        body(found.unwrap())
    };
    insta::assert_snapshot!(by_type(&came, "channel.updated"), @r#"{"type":"channel.updated","timestamp":"[ms]","payload":{"id":"[id 1]","source":"chat_plugin","source_channel_id":"shop","connected":true,"metadata":{"name":"Shop"}}}"#);
    insta::assert_snapshot!(by_type(&came, "message.created"), @r#"{"type":"message.created","timestamp":"[ms]","payload":{"conversation_id":"[id 1]","channel_id":"[id 2]","message":{"id":"[id 3]","content":{"text":"hello"},"sent_at":"[time]","delivery_state":"delivered","from_contact":true,"source":"chat_plugin","metadata":{},"sender":{"id":"[id 4]"}}}}"#);
    insta::assert_snapshot!(by_type(&came, "conversation.updated"), @r#"{"type":"conversation.updated","timestamp":"[ms]","payload":{"id":"[id 1]","channel_id":"[id 2]","created_at":"[time]","metadata":{},"last_message":{"id":"[id 3]","content":{"text":"hello"},"sent_at":"[time]","delivery_state":"delivered","from_contact":true,"source":"chat_plugin","metadata":{},"sender":{"id":"[id 4]"}}}}"#);

    let send = json!({"conversation_id": conversation, "message": {"text": "hi"}});
    call(&server, "messages.send", send).await;
    let came = receiver.wait_for(7, SOON).await;
    let names: Vec<_> = came[3..]
        .iter()
        .map(|delivery| {
            let payload = &delivery.json()["payload"];
            let message = [&payload["message"], &payload["last_message"]];
            let message = message.into_iter().find(|message| message.is_object());
            let state = message.unwrap()["delivery_state"].as_str().unwrap();
            format!("{} {state}", delivery.field("type"))
        })
        .collect();
    assert_eq!(
        names,
        [
            "message.created pending",
            "conversation.updated pending",
            "message.updated delivered",
            "conversation.updated delivered"
        ]
    );
    let ids: std::collections::HashSet<_> = came
        .iter()
        .map(|delivery| delivery.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 7, "each event has an id of its own");
}

#[tokio::test]
async fn a_typed_event_that_is_tried_again_is_the_same() {
    let server = Server::start().await;
    let receiver =
        Receiver::scripted(|_, before| Reply::status(if before.is_empty() { 500 } else { 200 }))
            .await;
    let webhook = json!({"url": receiver.url(), "events": ["message.created"]});
    call(&server, "webhooks.subscribe", webhook).await;
    server.converse("again").await;
    let came = receiver.wait_for(2, SOON).await;
    assert_eq!(came[0].body, came[1].body);
    assert_eq!(came[0].header("webhook-id"), came[1].header("webhook-id"));
}

#[tokio::test]
async fn what_a_subscription_cannot_be_is_refused_and_named() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let url = receiver.url();
    for (body, field) in [
        (json!({"url": url, "id": "x"}), "id"),
        (json!({"url": url, "events": []}), "events"),
        (
            json!({"url": url, "events": ["message.created", "x"]}),
            "events[1]",
        ),
        (json!({"url": url, "events": "message.created"}), "events"),
        (json!({"url": url, "senders": ["contact"]}), "senders[0]"),
        (json!({"url": url, "senders": []}), "senders"),
        (json!({"url": url, "paused": "yes"}), "paused"),
        (json!({"url": url, "name": "x".repeat(256)}), "name"),
    ] {
        let answer = server.call("webhooks.subscribe", body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
    let list = call(&server, "webhooks.list", json!({})).await;
    assert_eq!(list["data"], json!([]));
}

// What was tried

#[tokio::test]
async fn attempts_tell_how_each_went_and_what_comes_next() {
    let (server, receiver) = (Server::start().await, picky().await);
    server.subscribe(&receiver.url()).await;
    let (visitor, conversation) = server.converse("fine").await;
    let poison = visitor.write(&server, "poison").await["id"].clone();
    let behind = visitor.write(&server, "behind").await["id"].clone();
    receiver.wait_for(2, SOON).await;
    let of_poison = json!({"message_id": poison});
    let one = |answer: &Value| (!answer["data"][0].is_null()).then(|| answer.clone());
    let answer = ask_until(&server, "webhooks.attempts", of_poison, SOON, one).await;
    let attempt = &answer["data"][0];
    assert_eq!(attempt["message_id"], poison);
    assert_eq!(attempt["conversation_id"], conversation);
    assert_eq!(
        (&attempt["attempt"], &attempt["replay"]),
        (&json!(1), &json!(false))
    );
    let result = &attempt["result"];
    assert_eq!(
        (&result["class"], &result["status"]),
        (&json!("status"), &json!(500))
    );
    assert_eq!(
        result["detail"],
        "the endpoint answered 500 Internal Server Error"
    );
    assert_eq!(result["address"], "loopback");
    assert!(result["timing_ms"]["total"].as_f64().unwrap() > 0.0);
    assert!(result["timing_ms"]["first_byte"].as_f64().is_some());
    let next = attempt["next"].as_str().unwrap();
    assert!(next.starts_with("attempt 2 is due at 20"), "{next}");
    let waiting = answer["waiting"].as_str().unwrap();
    assert!(
        waiting.starts_with("it failed (status 500); attempt "),
        "{waiting}"
    );

    let answer = call(&server, "webhooks.attempts", json!({"message_id": behind})).await;
    assert_eq!(answer["data"], json!([]));
    let expected = format!(
        "behind event {} of this conversation: ",
        poison.as_str().unwrap()
    );
    let waiting = answer["waiting"].as_str().unwrap();
    assert!(waiting.starts_with(&expected), "{waiting}");
    let of_lane = json!({"conversation_id": conversation, "failed": false});
    let answer = call(&server, "webhooks.attempts", of_lane).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["data"][0]["result"]["class"], "delivered");
    assert_eq!(answer["data"][0]["next"], "");
    let unknown = json!({"message_id": SECOND});
    let answer = server.call("webhooks.attempts", unknown).await;
    assert_eq!(answer.json()["code"], "message_not_found");
}

#[tokio::test]
async fn attempts_are_listed_page_by_page_and_survive_a_restart() {
    let (mut server, receiver) = (Server::start().await, Receiver::start().await);
    server.subscribe(&receiver.url()).await;
    let (visitor, _) = server.converse("0").await;
    for number in 1..25 {
        visitor.write(&server, &number.to_string()).await;
    }
    receiver.wait_for(25, SOON).await;
    let all = |answer: &Value| (answer["data"].as_array()?.len() == 25).then(|| answer.clone());
    let body = json!({"page_size": 100});
    let whole = ask_until(&server, "webhooks.attempts", body.clone(), SOON, all).await;
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    server.start_again().await;
    assert_eq!(
        call(&server, "webhooks.attempts", body).await["data"],
        whole["data"]
    );
    let (mut pages, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let body = json!({"page_size": 10, "cursor": cursor});
        let page = call(&server, "webhooks.attempts", body).await;
        pages.extend(page["data"].as_array().unwrap().clone());
        cursor = page["response_metadata"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(json!(pages), whole["data"]);
}

#[tokio::test]
async fn the_beginning_of_a_response_is_kept() {
    let server = Server::start().await;
    let long = "why not ".repeat(1_000);
    let receiver = crate::support::raw::Raw::start(move |_, _| {
        let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 8000\r\n\r\n";
        vec![crate::support::raw::Step::send(format!("{head}{long}"))]
    })
    .await;
    server.subscribe(&receiver.url()).await;
    let tested = call(&server, "webhooks.test", json!({})).await;
    let response = tested["result"]["response"].as_str().unwrap();
    assert_eq!(response.len(), 1_024);
    assert!(response.starts_with("why not why not"));
}

#[tokio::test]
async fn a_test_event_is_sent_at_once_and_is_no_event_of_the_log() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let secret = server.subscribe(&receiver.url()).await;
    let tested = call(&server, "webhooks.test", json!({})).await;
    assert_eq!(
        (&tested["delivered"], &tested["result"]["status"]),
        (&json!(true), &json!(200))
    );
    let came = receiver.wait_for(1, SOON).await.remove(0);
    assert_eq!(came.field("source"), "TEST");
    let key = format!("whsec_{}", STANDARD.encode(secret));
    let library = standardwebhooks::Webhook::new(&key).unwrap();
    library.verify(&came.body, &came.headers).unwrap();
    let gone = json!({"url": "http://127.0.0.1:1/nobody"});
    call(&server, "webhooks.subscribe", gone).await;
    let tested = call(&server, "webhooks.test", json!({})).await;
    assert_eq!(
        (&tested["delivered"], &tested["result"]["class"]),
        (&json!(false), &json!("connect"))
    );
    let list = call(&server, "events.list", json!({})).await;
    assert_eq!(list["data"], json!([]));
}

// What failed

#[tokio::test]
async fn a_poisoned_event_is_set_aside_and_its_conversation_goes_on() {
    let (server, receiver) = (server_with_limit("3").await, picky().await);
    server.subscribe(&receiver.url()).await;
    let (visitor, conversation) = server.converse("poison").await;
    visitor.write(&server, "behind").await;
    let channel = server.connect_channel().await;
    let other = Visitor::arrive(&server, &channel).await;
    receiver.wait_for(1, SOON).await;
    other.write(&server, "passes").await;

    let set_aside = |answer: &Value| answer["data"].get(0).cloned();
    let failed = ask_until(&server, "webhooks.failed", json!({}), SOON, set_aside).await;
    assert_eq!(failed["conversation_id"], conversation);
    assert_eq!(failed["event"]["text"], "poison");
    assert_eq!(
        (&failed["class"], &failed["status"]),
        (&json!("status"), &json!(500))
    );
    assert_eq!(failed["attempts"], 2);
    let came = receiver.wait_for(4, SOON).await;
    assert_eq!(texts(&came), ["poison", "passes", "poison", "behind"]);
    let stats = call(&server, "webhooks.stats", json!({})).await;
    assert_eq!(stats["waiting"]["set_aside"], 1);
    assert_eq!(stats["since_start"]["set_aside"], 1);
    assert_eq!(stats["waiting"]["held_conversations"], 0);
}

#[tokio::test]
async fn an_event_that_waits_alone_is_not_set_aside_while_its_endpoint_is_down() {
    let server = server_with_limit("1").await;
    let receiver =
        Receiver::scripted(|_, before| Reply::status(if before.len() < 3 { 500 } else { 200 }))
            .await;
    server.subscribe(&receiver.url()).await;
    let (visitor, _) = server.converse("first").await;
    visitor.write(&server, "second").await;
    receiver.wait_for(3, Duration::from_secs(20)).await;
    let failed = call(&server, "webhooks.failed", json!({})).await;
    assert_eq!(
        (&failed["data"], &failed["response_metadata"]["total"]),
        (&json!([]), &json!(0))
    );
}

#[tokio::test]
async fn what_was_set_aside_can_be_sent_again() {
    let (mut server, receiver) = (
        server_with_limit("2").await,
        Receiver::scripted(|delivery, before| {
            let poisoned = delivery.text().starts_with("poison");
            let healed = before.iter().any(|other| other.text() == "heal");
            Reply::status(if poisoned && !healed { 500 } else { 200 })
        })
        .await,
    );
    server.subscribe(&receiver.url()).await;
    let channel = server.connect_channel().await;
    for number in 0..3 {
        let visitor = Visitor::arrive(&server, &channel).await;
        visitor.write(&server, &format!("poison {number}")).await;
        visitor.write(&server, "behind").await;
    }
    receiver.wait_for(3, SOON).await;
    let well = Visitor::arrive(&server, &channel).await;
    well.write(&server, "passes").await;
    let three = |answer: &Value| (answer["response_metadata"]["total"] == 3).then_some(());
    ask_until(&server, "webhooks.failed", json!({}), SOON, three).await;
    let page = call(&server, "webhooks.failed", json!({"page_size": 2})).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let cursor = page["response_metadata"]["next_cursor"].clone();
    let rest = call(
        &server,
        "webhooks.failed",
        json!({"page_size": 2, "cursor": cursor}),
    )
    .await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    let dry = json!({"failed": true, "dry_run": true});
    let dry = server.call("webhooks.replay", dry).await;
    insta::assert_snapshot!(dry.text, @r#"{"count":3,"dry_run":true}"#);

    well.write(&server, "heal").await;
    until_some(
        SOON,
        || (times(&receiver.deliveries(), "heal") == 1).then_some(()),
        || format!("{:?}", texts(&receiver.deliveries())),
    )
    .await;
    let before = receiver.deliveries().len();
    let replay = call(&server, "webhooks.replay", json!({"failed": true})).await;
    assert_eq!(replay["count"], 3);
    let none = |answer: &Value| (answer["response_metadata"]["total"] == 0).then_some(());
    ask_until(&server, "webhooks.failed", json!({}), SOON, none).await;
    let mut again = texts(&receiver.deliveries()[before..]);
    again.sort_unstable();
    assert_eq!(again, ["poison 0", "poison 1", "poison 2"]);
    let done = |stats: &Value| (stats["replays"] == json!([])).then_some(());
    ask_until(&server, "webhooks.stats", json!({}), SOON, done).await;
    // Nothing of it comes back.
    server.kill().await;
    server.start_again().await;
    well.write(&server, "last").await;
    receiver.wait_for(before + 4, SOON).await;
    assert_eq!(receiver.deliveries().len(), before + 4);
}

// Sending again

/// Two conversations of ten messages each, all delivered; the visitors, and the stored messages.
async fn twenty(server: &Server, receiver: &Receiver) -> (Vec<Visitor>, Vec<Vec<Value>>) {
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let (mut visitors, mut messages) = (Vec::new(), Vec::new());
    for conversation in 0..2 {
        let visitor = Visitor::arrive(server, &channel).await;
        let mut of_it = Vec::new();
        for number in 0..10 {
            of_it.push(
                visitor
                    .write(server, &format!("{conversation}.{number}"))
                    .await,
            );
            // The next one has a later time.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        visitors.push(visitor);
        messages.push(of_it);
    }
    receiver.wait_for(20, SOON).await;
    (visitors, messages)
}

/// What a replay brings.
async fn replayed(server: &Server, receiver: &Receiver, range: Value) -> Vec<String> {
    let before = receiver.deliveries().len();
    let mut dry = range.clone();
    dry["dry_run"] = json!(true);
    let expected = call(server, "webhooks.replay", dry).await["count"].clone();
    let replay = call(server, "webhooks.replay", range).await;
    assert_eq!(replay["count"], expected);
    assert!(replay["replay_id"].is_string());
    let done = |stats: &Value| (stats["replays"] == json!([])).then_some(());
    ask_until(server, "webhooks.stats", json!({}), SOON, done).await;
    let came = texts(&receiver.deliveries()[before..]);
    assert_eq!(json!(came.len()), expected);
    came
}

#[tokio::test]
async fn a_replay_brings_just_what_was_asked_for_and_in_order() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let (_, messages) = twenty(&server, &receiver).await;
    let first = receiver.deliveries();
    let conversation = first
        .iter()
        .find(|delivery| delivery.text() == "1.0")
        .unwrap()
        .field("conversation_id");
    let numbers = |conversation: u32, range: std::ops::Range<u32>| {
        range
            .map(|number| format!("{conversation}.{number}"))
            .collect::<Vec<_>>()
    };

    let range = json!({"conversation_id": conversation});
    assert_eq!(replayed(&server, &receiver, range).await, numbers(1, 0..10));
    let range = json!({"message_id": messages[0][4]["id"]});
    assert_eq!(replayed(&server, &receiver, range).await, ["0.4"]);
    let (since, until) = (&messages[0][7]["sent_at"], &messages[0][9]["sent_at"]);
    let range = json!({"since": since, "until": until});
    assert_eq!(replayed(&server, &receiver, range).await, ["0.7", "0.8"]);
    let range = json!({"since": messages[1][8]["sent_at"]});
    assert_eq!(replayed(&server, &receiver, range).await, numbers(1, 8..10));
    let range = json!({"until": messages[0][3]["sent_at"]});
    assert_eq!(replayed(&server, &receiver, range).await, numbers(0, 0..3));
    let range = json!({"since": messages[0][5]["sent_at"], "conversation_id": conversation});
    assert_eq!(replayed(&server, &receiver, range).await, numbers(1, 0..10));
    let range = json!({"message_id": messages[0][4]["id"], "conversation_id": conversation});
    assert_eq!(
        replayed(&server, &receiver, range).await,
        Vec::<String>::new()
    );
    let range = json!({"message_id": SECOND});
    assert_eq!(
        replayed(&server, &receiver, range).await,
        Vec::<String>::new()
    );
    assert_eq!(
        replayed(&server, &receiver, json!({"failed": true})).await,
        Vec::<String>::new()
    );

    // The same event, to the letter.
    for delivery in &receiver.deliveries()[20..] {
        let original = first
            .iter()
            .find(|other| other.field("id") == delivery.field("id"));
        let original = original.unwrap();
        assert_eq!(original.body, delivery.body);
        assert_eq!(original.header("webhook-id"), delivery.header("webhook-id"));
    }
    let attempts = json!({"message_id": messages[0][4]["id"]});
    let attempts = call(&server, "webhooks.attempts", attempts).await;
    assert_eq!(attempts["data"][0]["replay"], true, "{attempts}");
}

#[tokio::test]
async fn a_replay_that_says_nothing_or_nonsense_is_refused() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    server.subscribe(&receiver.url()).await;
    for (body, field) in [
        (json!({}), "body"),
        (json!({"failed": false}), "body"),
        (json!({"since": "yesterday"}), "since"),
        (json!({"until": 5}), "until"),
        (
            json!({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}),
            "until",
        ),
        (json!({"conversation_id": "x"}), "conversation_id"),
        (json!({"message_id": "x"}), "message_id"),
    ] {
        let answer = server.call("webhooks.replay", body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
    call(&server, "webhooks.unsubscribe", json!({})).await;
    let answer = server
        .call("webhooks.replay", json!({"failed": true}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].clone()),
        (409, json!("webhook_unsubscribed"))
    );
}

#[tokio::test]
async fn a_replay_goes_on_after_a_crash_and_ends_with_the_subscription() {
    let mut server = Server::start().await;
    let receiver = Receiver::scripted(|_, before| Reply {
        after: Duration::from_millis(if before.len() < 20 { 0 } else { 150 }),
        ..Reply::status(200)
    })
    .await;
    let (_, messages) = twenty(&server, &receiver).await;
    // All of it is saved, so that only the replay repeats anything.
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
    server.start_again().await;
    let range = json!({"since": messages[0][0]["sent_at"]});
    call(&server, "webhooks.replay", range.clone()).await;
    receiver.wait_for(24, SOON).await;
    server.kill().await;
    server.start_again().await;
    let done = |stats: &Value| (stats["replays"] == json!([])).then_some(());
    ask_until(&server, "webhooks.stats", json!({}), SOON, done).await;
    let again = receiver.deliveries().split_off(20);
    for conversation in 0..2 {
        let of_it: Vec<_> = texts(&again)
            .into_iter()
            .filter(|text| text.starts_with(&format!("{conversation}.")))
            .collect();
        let mut firsts = of_it.clone();
        let mut seen = std::collections::HashSet::new();
        firsts.retain(|text| seen.insert(text.clone()));
        let expected: Vec<_> = (0..10)
            .map(|number| format!("{conversation}.{number}"))
            .collect();
        assert_eq!(firsts, expected);
        // What was in flight, or delivered since the last save, came twice.
        assert!(of_it.len() <= 14, "{of_it:?}");
    }
    let before = receiver.deliveries().len();
    call(&server, "webhooks.replay", range).await;
    call(&server, "webhooks.unsubscribe", json!({})).await;
    let sent = receiver.deliveries().len();
    server.subscribe(&receiver.url()).await;
    let stats = call(&server, "webhooks.stats", json!({})).await;
    assert_eq!(stats["replays"], json!([]));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.deliveries().len(), sent, "after {before}");
}

#[tokio::test]
async fn a_replay_that_is_answered_410_ends_the_subscription() {
    let server = Server::start().await;
    let receiver =
        Receiver::scripted(|_, before| Reply::status(if before.len() < 5 { 200 } else { 410 }))
            .await;
    server.subscribe(&receiver.url()).await;
    let (visitor, _) = server.converse("0").await;
    for number in 1..5 {
        visitor.write(&server, &number.to_string()).await;
    }
    receiver.wait_for(5, SOON).await;
    let range = json!({"since": "2020-01-01T00:00:00Z"});
    call(&server, "webhooks.replay", range).await;
    let ended = |info: &Value| (info["status"] == "Unsubscribed").then_some(());
    ask_until(&server, "webhooks.info", json!({}), SOON, ended).await;
    let count = receiver.count();
    assert!(count <= 7, "{count} requests");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.count(), count);
}

#[tokio::test]
async fn a_replay_of_what_still_fails_ends_while_other_events_pass() {
    let (server, receiver) = (server_with_limit("2").await, picky().await);
    server.subscribe(&receiver.url()).await;
    let (visitor, _) = server.converse("poison 1").await;
    visitor.write(&server, "between").await;
    visitor.write(&server, "poison 2").await;
    let channel = server.connect_channel().await;
    let other = Visitor::arrive(&server, &channel).await;
    let until = async |done: &dyn Fn(&Value) -> bool, verb: &str| {
        let started = std::time::Instant::now();
        while !done(&call(&server, verb, json!({})).await) {
            assert!(started.elapsed() < Duration::from_secs(40), "{verb}");
            other.write(&server, "passes").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until(
        &|failed| failed["response_metadata"]["total"] == 2,
        "webhooks.failed",
    )
    .await;
    call(&server, "webhooks.replay", json!({"failed": true})).await;
    until(&|stats| stats["replays"] == json!([]), "webhooks.stats").await;
    let failed = call(&server, "webhooks.failed", json!({})).await;
    assert_eq!(
        failed["response_metadata"]["total"], 2,
        "both were tried and failed again"
    );
}

#[tokio::test]
async fn replays_of_a_webhook_go_one_after_the_other() {
    let server = Server::start().await;
    let receiver = Receiver::scripted(|_, before| Reply {
        after: Duration::from_millis(if before.len() < 20 { 0 } else { 100 }),
        ..Reply::status(200)
    })
    .await;
    let (_, messages) = twenty(&server, &receiver).await;
    for conversation in [1, 0] {
        let id = &messages[conversation][0]["id"];
        let of_it = receiver.deliveries();
        let of_it = of_it
            .iter()
            .find(|delivery| json!(delivery.field("id")) == *id);
        let range = json!({"conversation_id": of_it.unwrap().field("conversation_id")});
        call(&server, "webhooks.replay", range).await;
    }
    let came = receiver.wait_for(40, SOON).await;
    let expected: Vec<_> = (0..20)
        .map(|number| format!("{}.{}", 1 - number / 10, number % 10))
        .collect();
    assert_eq!(texts(&came[20..]), expected);
}

#[tokio::test]
async fn a_webhook_that_was_paused_is_tried_at_once_where_it_is_now() {
    let server = Server::start().await;
    let (old, new) = (
        Receiver::scripted(|_, _| Reply::status(503)).await,
        Receiver::start().await,
    );
    server.subscribe(&old.url()).await;
    server.converse("moves").await;
    // The third wait is half a minute.
    old.wait_for(3, Duration::from_secs(15)).await;
    let paused = json!({"url": old.url(), "paused": true});
    call(&server, "webhooks.subscribe", paused).await;
    server.subscribe(&new.url()).await;
    assert_eq!(texts(&new.wait_for(1, SOON).await), ["moves"]);
}

// Loops

#[tokio::test]
async fn a_bot_that_answers_itself_is_stopped_until_somebody_writes() {
    let server = Server::start_with(|command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command
            .env("TRADEWIND_DELIVERY__LOOP_MAX", "10")
            .env("TRADEWIND_LOG", "warn")
    })
    .await;
    let receiver = Receiver::start().await;
    server.subscribe(&receiver.url()).await;
    let (visitor, conversation) = server.converse("hello").await;
    let send = json!({"conversation_id": conversation, "message": {"text": "echo"}});
    // A bot that answers every event, its own too.
    let mut answered = 0;
    let quiet = loop {
        let came = receiver.deliveries().len();
        if came > answered {
            answered += 1;
            call(&server, "messages.send", send.clone()).await;
            continue;
        }
        let waiting = json!({"conversation_id": conversation});
        let waiting = call(&server, "webhooks.attempts", waiting).await;
        if let Some(why) = waiting["waiting"].as_str()
            && why.contains("answer each other without end")
        {
            break came;
        }
        assert!(came < 50, "nothing stops it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!((10..=13).contains(&quiet), "{quiet}");
    assert!(server.log().contains("answer each other without end"));
    let stats = call(&server, "webhooks.stats", json!({})).await;
    assert_eq!(stats["waiting"]["held_conversations"], 1);
    visitor.write(&server, "are you still there?").await;
    let came = receiver.wait_for(quiet + 2, SOON).await;
    assert_eq!(texts(&came[quiet..]), ["echo", "are you still there?"]);
}

#[tokio::test]
async fn many_messages_at_once_are_no_loop() {
    let server = Server::start_with(|command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command.env("TRADEWIND_DELIVERY__LOOP_MAX", "10")
    })
    .await;
    let receiver = Receiver::start().await;
    server.subscribe(&receiver.url()).await;
    let (_, conversation) = server.converse("hello").await;
    let sends = (0..40).map(|number| {
        let text = number.to_string();
        let send = json!({"conversation_id": conversation, "message": {"text": text}});
        server.call("messages.send", send)
    });
    futures_util::future::join_all(sends).await;
    receiver.wait_for(41, SOON).await;
}
