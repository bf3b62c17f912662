//! Facebook Messenger, and with it what holds for every source.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tradewind_model::{ChannelId, ConversationId, MessageId};
use tradewind_stand_in::{Reply, Script, graph};

use super::{APP_SECRET, Desk, VERIFY_TOKEN};
use crate::support::{receiver::Delivery, server::Answer, text};

const PAGE: &str = "101";
const CONTACT: &str = "7129043388105551";
const AT: i64 = 1_595_254_688_584;

async fn connected() -> (Desk, String) {
    let desk = Desk::open().await;
    let channel = desk.connect("facebook", PAGE, "a person's token").await;
    (desk, channel)
}

async fn post(desk: &Desk, event: &Value) -> Answer {
    let body = event.to_string();
    let signature = graph::signature(APP_SECRET, body.as_bytes());
    let headers = [("x-hub-signature-256", signature.as_str())];
    desk.post("facebook", &headers, &body).await
}

fn hello(mid: &str, said: &str) -> Value {
    graph::text_message(PAGE, CONTACT, mid, said, AT)
}

/// A conversation in which the contact has written, and its first event.
async fn conversation(desk: &Desk) -> (String, Delivery) {
    assert_eq!(post(desk, &hello("m_1", "hello")).await.status, 200);
    let event = desk.events(1).await.remove(0);
    (event.field("conversation_id"), event)
}

#[tokio::test]
async fn meta_is_answered_its_challenge_if_it_knows_the_word() {
    let desk = Desk::open().await;
    let ask = async |token: &str| {
        let token = token.replace(' ', "%20");
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        desk.server.get(&format!("facebook?{query}")).await
    };
    let answer = ask(VERIFY_TOKEN).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (StatusCode::OK, "1158201444")
    );
    let answer = ask("another word").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    assert_eq!(answer.json()["code"], "signature_invalid");
}

#[tokio::test]
async fn a_message_is_the_event_of_the_specification() {
    let (desk, channel) = connected().await;
    let posted = hello("m_1", "hello");
    let answer = post(&desk, &posted).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));

    let event = desk.events(1).await.remove(0);
    let conversation = ConversationId::derived(&channel, CONTACT);
    let node = posted["entry"][0]["messaging"][0].to_string();
    let message = MessageId::derived(&channel, &node);
    let body = String::from_utf8(event.body.to_vec()).unwrap();
    let expected = format!(
        r#"{{"conversation_id":"{conversation}","id":"{message}","sender":{{"id":"{CONTACT}","type":"source_contact"}},"source":"FACEBOOK","sent_at":"2020-07-20T14:18:08.584Z","text":"hello"}}"#
    );
    assert_eq!(body, expected);
    assert_eq!(channel, ChannelId::derived("facebook", PAGE).to_string());
}

#[tokio::test]
async fn what_meta_did_not_sign_is_refused_and_not_stored() {
    let (desk, _) = connected().await;
    let body = hello("m_1", "hello").to_string();
    let good = graph::signature(APP_SECRET, body.as_bytes());
    let other = graph::signature("another secret", body.as_bytes());
    let cut = &good[..good.len() - 2];
    let sha1 = good.replace("sha256=", "sha1=");
    for signature in [other.as_str(), cut, &sha1, "", "sha256=", "sha256=zz"] {
        let headers = [("x-hub-signature-256", signature)];
        let answer = desk.post("facebook", &headers, &body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{signature}");
        assert_eq!(answer.json()["code"], "signature_invalid");
    }
    let tampered = body.replace("hello", "hullo");
    let headers = [("x-hub-signature-256", good.as_str())];
    let answer = desk.post("facebook", &headers, &tampered).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = desk.post("facebook", &[], &body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(desk.stats().await["refused"]["/facebook"], 8);

    let (conversation, _) = conversation(&desk).await;
    assert_eq!(desk.messages(&conversation).await.len(), 1);
}

#[tokio::test]
async fn what_comes_twice_or_at_once_is_one_message() {
    let (desk, _) = connected().await;
    let events: Vec<_> = (0..5)
        .map(|n| hello(&format!("m_{n}"), &format!("text {n}")))
        .collect();
    let posts = events.iter().flat_map(|event| [event; 8]);
    for answer in join_all(posts.map(|event| post(&desk, event))).await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    // The same message in other words: the provider's id says that it is.
    let mut other = events[0].clone();
    other["entry"][0]["messaging"][0]["timestamp"] = (AT + 1).into();
    assert_eq!(post(&desk, &other).await.status, 200);
    let last = hello("m_last", "last");
    assert_eq!(post(&desk, &last).await.status, 200);

    let heard = desk.events(6).await;
    let mut texts: Vec<_> = heard.iter().map(Delivery::text).collect();
    assert_eq!(texts.pop().unwrap(), "last");
    texts.sort();
    let expected: Vec<_> = (0..5).map(|n| format!("text {n}")).collect();
    assert_eq!(texts, expected);
    let stats = desk.stats().await;
    assert_eq!(stats["sources"]["facebook"]["received"], 6);
    assert_eq!(stats["sources"]["facebook"]["repeated"], 36);
}

#[tokio::test]
async fn a_post_with_many_messages_keeps_their_order() {
    let (desk, _) = connected().await;
    let messages: Vec<_> = (0..30)
        .map(|n| hello(&format!("m_{n}"), &format!("text {n}")))
        .collect();
    let nodes = |range: std::ops::Range<usize>| -> Vec<_> {
        let messages = messages[range].iter();
        let nodes = messages.map(|message| message["entry"][0]["messaging"][0].clone());
        nodes.collect()
    };
    let entry = |nodes: Vec<Value>| json!({"id": PAGE, "time": AT, "messaging": nodes});
    let entries = [
        entry(nodes(0..10)),
        entry(nodes(10..11)),
        entry(nodes(11..30)),
    ];
    let many = json!({"object": "page", "entry": entries});
    assert_eq!(post(&desk, &many).await.status, 200);
    let heard = desk.events(30).await;
    let texts: Vec<_> = heard.iter().map(Delivery::text).collect();
    let expected: Vec<_> = (0..30).map(|n| format!("text {n}")).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_channel_that_is_not_connected_is_counted_and_told_of() {
    let (desk, channel) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let stranger = graph::text_message("999", CONTACT, "m_2", "who?", AT);
    assert_eq!(post(&desk, &stranger).await.status, 200);
    assert_eq!(post(&desk, &stranger).await.status, 200);
    let gone = json!({"channel_id": channel});
    desk.server.call("channels.disconnect", gone).await.ok();
    assert_eq!(post(&desk, &hello("m_3", "still there?")).await.status, 200);

    let stats = desk.stats().await;
    let unknown = stats["unknown_channels"].as_array().unwrap();
    let shown: Vec<_> = unknown
        .iter()
        .map(|channel| {
            (
                text(&channel["source_channel_id"]),
                channel["messages"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [(PAGE.to_owned(), json!(1)), ("999".to_owned(), json!(2))]
    );
    assert_eq!(desk.messages(&conversation).await.len(), 1);
    assert_eq!(
        desk.stand_in
            .calls_to("/subscribed_apps")
            .last()
            .unwrap()
            .method,
        "DELETE"
    );
}

#[tokio::test]
async fn more_than_text_comes_with_the_event() {
    let (desk, _) = connected().await;
    let mut event = hello("m_1", "look");
    event["entry"][0]["messaging"][0]["message"]["attachments"] = json!([
        {"type": "image", "payload": {"url": "https://scontent.example/a.jpg?x=1"}},
    ]);
    post(&desk, &event).await;
    let mut button = hello("m_2", "");
    let node = &mut button["entry"][0]["messaging"][0];
    node.as_object_mut().unwrap().remove("message");
    node["postback"] = json!({"mid": "m_2", "title": "Get started", "payload": "START"});
    post(&desk, &button).await;

    let heard = desk.events(2).await;
    let with = heard[0].json();
    let keys: Vec<_> = with.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "conversation_id",
            "id",
            "sender",
            "source",
            "sent_at",
            "text",
            "attachments"
        ]
    );
    assert_eq!(
        with["attachments"],
        json!([{"type": "image", "url": "https://scontent.example/a.jpg?x=1"}])
    );
    assert_eq!(heard[1].text(), "Get started");
    assert_eq!(heard[1].json()["postback"], json!({"payload": "START"}));
    let messages = desk.messages(&heard[0].field("conversation_id")).await;
    assert_eq!(messages[0]["content"]["attachments"], with["attachments"]);
    assert_eq!(
        messages[1]["content"]["postback"],
        json!({"payload": "START"})
    );
}

#[tokio::test]
async fn an_answer_goes_out_with_the_pages_token_which_nobody_else_sees() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let reply = desk.answer(&conversation, "hi there").await;
    assert_eq!(reply["state"], "pending");
    let event = desk.events(2).await.remove(1);
    assert_eq!(event.json()["id"], reply["id"]);
    assert_eq!(event.json()["sender"]["type"], "app_user");

    let call = desk.calls("/me/messages", 1).await.remove(0);
    assert_eq!(call.header("authorization"), Some("Bearer page-token-101"));
    assert_eq!(call.json()["recipient"]["id"], CONTACT);
    assert_eq!(call.json()["message"]["text"], "hi there");
    // Neither in the database, nor in an answer, nor in the log.
    let channels = desk.server.call("channels.list", json!({})).await.text;
    assert!(!channels.contains("page-token"), "{channels}");
    assert!(!desk.server.log().contains("page-token"));
    for file in fs::read_dir(&desk.server.data).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(10).any(|part| part == b"page-token");
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_apart() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let refuse = |status: u16, code: u64, said: &str, times| {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = graph::refusal(status, code, None, said);
        desk.stand_in.refuse("/me/messages", times, reply);
    };
    // For good: failed at once.
    refuse(400, 551, "This person isn't available right now.", 1);
    let reply = desk.answer(&conversation, "one").await;
    let is = |state: &'static str| move |message: &Value| message["state"] == state;
    let failed = desk
        .message_that(&conversation, &reply["id"], is("failed"))
        .await;
    let reason = failed["failure_reason"].as_str().unwrap();
    assert!(reason.contains("isn't available right now"), "{reason}");
    assert_eq!(desk.stand_in.calls_to("/me/messages").len(), 1);
    // The token: failed, and the operator is told.
    refuse(400, 190, "Error validating access token", 1);
    let reply = desk.answer(&conversation, "two").await;
    desk.message_that(&conversation, &reply["id"], is("failed"))
        .await;
    // For now: tried again, and nothing overtakes it.
    refuse(500, 2, "An unexpected error has occurred.", 1);
    let third = desk.answer(&conversation, "three").await;
    let fourth = desk.answer(&conversation, "four").await;
    desk.message_that(&conversation, &fourth["id"], is("delivered"))
        .await;
    desk.message_that(&conversation, &third["id"], is("delivered"))
        .await;
    let calls = desk.stand_in.calls_to("/me/messages");
    let texts: Vec<_> = calls
        .iter()
        .map(|call| text(&call.json()["message"]["text"]))
        .collect();
    assert_eq!(texts, ["one", "two", "three", "three", "four"]);
    let events: Vec<_> = desk.events(3).await.iter().map(Delivery::text).collect();
    assert_eq!(events, ["hello", "three", "four"]);
}

#[tokio::test]
async fn a_contact_gets_a_name_in_the_background() {
    let (desk, _) = connected().await;
    desk.stand_in.script(Script {
        path: CONTACT.to_owned(),
        times: 1,
        delay: Duration::from_millis(300),
        reply: Some(Reply::status(StatusCode::INTERNAL_SERVER_ERROR)),
    });
    let (conversation, _) = conversation(&desk).await;
    // The first lookup fails; with the next message it is tried again.
    desk.calls(CONTACT, 1).await;
    let named = async |n: u32| {
        let info = json!({"conversation_id": conversation});
        let info = desk.server.call("conversations.info", info).await.ok();
        let name = info["contact"]["first_name"].as_str().unwrap().to_owned();
        (n, name)
    };
    for n in 0..200 {
        let mid = format!("m_more_{n}");
        assert_eq!(post(&desk, &hello(&mid, "more")).await.status, 200);
        let (_, name) = named(n).await;
        if name != "Facebook" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the contact has no name");
}

#[tokio::test]
async fn an_echo_of_another_app_is_a_message_of_our_side_and_our_own_is_none() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let said = |mid: &str, text: &str| json!({"mid": mid, "text": text});
    let own = graph::echo(PAGE, CONTACT, &said("m_2", "ours"), Some(1_234_567_890), AT);
    let other = graph::echo(
        PAGE,
        CONTACT,
        &said("m_3", "theirs"),
        Some(263_902_037_430_900),
        AT,
    );
    let by_hand = graph::echo(PAGE, CONTACT, &said("m_4", "by hand"), None, AT);
    for echo in [own, other, by_hand] {
        assert_eq!(post(&desk, &echo).await.status, 200);
    }
    let heard = desk.events(3).await;
    let senders: Vec<_> = heard
        .iter()
        .map(|event| (event.text(), event.json()["sender"].clone()))
        .collect();
    let user = |id: &str| json!({"id": id, "type": "source_user"});
    assert_eq!(senders[1], ("theirs".to_owned(), user("263902037430900")));
    assert_eq!(senders[2], ("by hand".to_owned(), user(PAGE)));
    assert_eq!(desk.messages(&conversation).await.len(), 3);
    assert_eq!(desk.stats().await["skipped"]["own_echo"], 1);
}

/// The server dies before or after the commit, and the provider, which got no 200, posts again.
#[tokio::test]
async fn a_death_between_the_post_and_its_answer_neither_loses_nor_doubles() {
    for point in ["before_commit", "after_commit"] {
        let (mut desk, _) = connected().await;
        let (conversation, _) = conversation(&desk).await;
        desk.server.kill().await;
        let body = hello("m_2", "again?").to_string();
        let signature = graph::signature(APP_SECRET, body.as_bytes());
        let headers = [("x-hub-signature-256", signature.as_str())];
        // It dies at one of its next commits; which one is the post's depends on what else it stores.
        for pass in 1..6 {
            desk.crash_at(Some(&format!("{point}:{pass}")));
            if desk.server.start_again_if_it_lives().await {
                let posted =
                    desk.server
                        .request(reqwest::Method::POST, "facebook", &headers, body.clone());
                let _ = posted.await;
            }
            desk.server.kill().await;
        }
        desk.crash_at(None);
        desk.server.start_again().await;
        assert_eq!(post(&desk, &hello("m_2", "again?")).await.status, 200);
        let messages = desk.messages(&conversation).await;
        let texts: Vec<_> = messages
            .iter()
            .map(|m| text(&m["content"]["text"]))
            .collect();
        assert_eq!(texts, ["hello", "again?"], "{point}");
    }
}

#[tokio::test]
async fn receipts_move_a_message_forward_only() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let typed = crate::support::receiver::Receiver::start().await;
    let id = "5f3b0f0e-8f5b-4e0e-9d55-3b8c8f8c0a01";
    let events = json!({"id": id, "url": typed.url(), "events": ["message.updated"]});
    desk.server.call("webhooks.subscribe", events).await.ok();
    let reply = desk.answer(&conversation, "hi there").await;
    let is = |key: &'static str, value: &'static str| move |message: &Value| message[key] == value;
    desk.message_that(&conversation, &reply["id"], is("state", "delivered"))
        .await;
    let later =
        tradewind_model::Clock::now(&tradewind_model::SystemClock).as_millisecond() + 60_000;
    let delivery = graph::delivery(PAGE, CONTACT, &[], later);
    let read = graph::read(PAGE, CONTACT, later);
    post(&desk, &delivery).await;
    let message = desk
        .message_that(&conversation, &reply["id"], is("receipt", "delivered"))
        .await;
    assert_eq!(message["state"], "delivered");
    for receipt in [&read, &delivery, &read, &delivery] {
        assert_eq!(post(&desk, receipt).await.status, 200);
    }
    let message = desk
        .message_that(&conversation, &reply["id"], is("receipt", "read"))
        .await;
    assert_eq!(message["state"], "delivered");
    let heard = typed.wait_for(3, crate::support::SOON).await;
    let receipts: Vec<_> = heard
        .iter()
        .map(|event| event.json()["payload"]["message"]["receipt"].clone())
        .collect();
    assert_eq!(receipts, [json!(null), json!("delivered"), json!("read")]);
    assert_eq!(typed.count(), 3);
    // The contact's own message has none.
    assert_eq!(desk.messages(&conversation).await[0].get("receipt"), None);
}

#[tokio::test]
async fn an_echo_that_names_no_app_is_known_by_the_messages_id() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let reply = desk.answer(&conversation, "hi there").await;
    desk.message_that(&conversation, &reply["id"], |message| {
        message["state"] == "delivered"
    })
    .await;
    // The stand-in calls a message by the number of its call.
    let calls = desk.stand_in.calls();
    let sent = calls
        .iter()
        .position(|call| call.path.ends_with("/me/messages"));
    let mid = format!("m_sent{}", sent.unwrap() + 1);
    let echo = json!({"mid": mid, "text": "hi there"});
    let echo = graph::echo(PAGE, CONTACT, &echo, None, AT);
    assert_eq!(post(&desk, &echo).await.status, 200);
    assert_eq!(desk.messages(&conversation).await.len(), 2);
    assert_eq!(desk.stats().await["skipped"]["own_echo"], 1);
}

#[tokio::test]
async fn a_page_that_cannot_be_subscribed_is_not_connected() {
    let desk = Desk::open().await;
    let refusal = graph::refusal(StatusCode::FORBIDDEN, 200, None, "Requires permission");
    desk.stand_in.refuse("/subscribed_apps", 1, refusal);
    let page = json!({"source": "facebook", "source_channel_id": PAGE, "token": "user"});
    let answer = desk.server.call("channels.connect", page).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert!(
        answer.text.contains("Requires permission"),
        "{}",
        answer.text
    );
    let list = desk.server.call("channels.list", json!({})).await.ok();
    assert_eq!(list["data"], json!([]));
    desk.connect("facebook", PAGE, "user").await;
    assert_eq!(post(&desk, &hello("m_1", "hello")).await.status, 200);
    desk.events(1).await;
}

/// Some providers hand over what has waited at the very moment at which they are told where to.
#[tokio::test]
async fn what_comes_while_a_channel_is_subscribed_is_kept() {
    let desk = Desk::open().await;
    desk.stand_in.script(Script {
        path: "/subscribed_apps".to_owned(),
        times: 1,
        delay: Duration::from_millis(500),
        reply: None,
    });
    let connecting = desk.connect("facebook", PAGE, "user");
    let posting = async {
        desk.calls("/subscribed_apps", 1).await;
        post(&desk, &hello("m_1", "hello")).await
    };
    let (_, answer) = futures_util::future::join(connecting, posting).await;
    assert_eq!(answer.status, 200);
    assert_eq!(desk.events(1).await[0].text(), "hello");
}

#[tokio::test]
async fn a_post_may_be_long_and_ids_too() {
    let (desk, _) = connected().await;
    // An id of a provider's that no index has room for, between two others.
    let numbers: Vec<_> = (0..400).map(|n| (n * 7_919).to_string()).collect();
    let long = numbers.concat().repeat(2);
    let texts = [("m_1", "one"), (long.as_str(), "two"), ("m_3", "three")];
    let nodes: Vec<_> = texts
        .iter()
        .map(|(mid, text)| hello(mid, text)["entry"][0]["messaging"][0].clone())
        .collect();
    let mut many =
        json!({"object": "page", "entry": [{"id": PAGE, "time": AT, "messaging": nodes}]});
    many["entry"][0]["changes"] = "x".repeat(2 << 20).into();
    for _ in 0..2 {
        assert_eq!(post(&desk, &many).await.status, 200);
    }
    let heard: Vec<_> = desk.events(3).await.iter().map(Delivery::text).collect();
    assert_eq!(heard, ["one", "two", "three"]);
    assert_eq!(desk.stats().await["sources"]["facebook"]["repeated"], 3);
    // The path with a slash at its end is the same.
    let body = hello("m_4", "four").to_string();
    let signature = graph::signature(APP_SECRET, body.as_bytes());
    let headers = [("x-hub-signature-256", signature.as_str())];
    assert_eq!(desk.post("facebook/", &headers, &body).await.status, 200);
}
