//! Every endpoint: what it answers, to the letter, and what it promises about the next call.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Json};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    SOON,
    receiver::Receiver,
    server::{Answer, Server, TOKEN},
    shown, text, until_some,
    visitor::Visitor,
};

/// Nobody listens there, and no test waits for a delivery to it.
const HOOK: &str = "http://127.0.0.1:9/hook";
const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

fn message(conversation: &str, text: &str) -> Value {
    json!({"conversation_id": conversation, "message": {"text": text}})
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["data"].as_array().unwrap();
    items.iter().map(|item| text(&item["id"])).collect()
}

// Webhooks

#[tokio::test]
async fn subscribing_answers_with_the_headers_in_their_order_and_a_secret() {
    let server = Server::start().await;
    let headers = json!({"X-Zebra": "1", "Authorization": "Bearer hook", "X-Ant": "2"});
    let webhook = json!({"url": HOOK, "headers": headers});
    let answer = server.call("webhooks.subscribe", webhook).await;
    insta::assert_snapshot!(shown(&answer), @r#"200 {"url":"http://127.0.0.1:9/hook","headers":{"X-Zebra":"1","Authorization":"Bearer hook","X-Ant":"2"},"status":"Subscribed","api_secret":"[id 1]"}"#);
    let info = server.call("webhooks.info", json!({})).await;
    insta::assert_snapshot!(shown(&info), @r#"200 {"status":"Subscribed","url":"http://127.0.0.1:9/hook","headers":{"X-Zebra":"1","Authorization":"Bearer hook","X-Ant":"2"}}"#);
}

#[tokio::test]
async fn the_sample_of_the_document_is_answered_as_it_says() {
    let server = Server::start().await;
    let headers = json!({"X-Custom-Header": "custom-code-for-header"});
    let webhook = json!({"url": "https://my-url-to-be-hit", "headers": headers});
    let answer = server.call("webhooks.subscribe", webhook).await;
    insta::assert_snapshot!(shown(&answer), @r#"200 {"url":"https://my-url-to-be-hit","headers":{"X-Custom-Header":"custom-code-for-header"},"status":"Subscribed","api_secret":"[id 1]"}"#);
}

#[tokio::test]
async fn subscribing_without_headers_answers_with_none() {
    let server = Server::start().await;
    for webhook in [
        json!({ "url": HOOK }),
        json!({"url": HOOK, "headers": null}),
    ] {
        let answer = server.call("webhooks.subscribe", webhook).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&answer), @r#"200 {"url":"http://127.0.0.1:9/hook","headers":{},"status":"Subscribed","api_secret":"[id 1]"}"#);
        }
    }
}

#[tokio::test]
async fn an_update_replaces_url_and_headers_and_keeps_the_secret() {
    let server = Server::start().await;
    let first = json!({"url": HOOK, "headers": {"X-Old": "1"}});
    let first = server.call("webhooks.subscribe", first).await.ok();
    let second = json!({ "url": "http://127.0.0.1:9/other" });
    let second = server.call("webhooks.subscribe", second).await;
    insta::assert_snapshot!(shown(&second), @r#"200 {"url":"http://127.0.0.1:9/other","headers":{},"status":"Subscribed","api_secret":"[id 1]"}"#);
    assert_eq!(second.json()["api_secret"], first["api_secret"]);
}

#[tokio::test]
async fn unsubscribing_shows_the_webhook_and_subscribing_again_keeps_its_secret() {
    let server = Server::start().await;
    let webhook = json!({"url": HOOK, "headers": {"X-Key": "1"}});
    let secret = server.call("webhooks.subscribe", webhook).await.ok()["api_secret"].clone();
    let gone = server.call("webhooks.unsubscribe", json!({})).await;
    insta::assert_snapshot!(shown(&gone), @r#"200 {"url":"http://127.0.0.1:9/hook","headers":{"X-Key":"1"},"status":"Unsubscribed","api_secret":"[id 1]"}"#);
    let info = server.call("webhooks.info", json!({})).await;
    insta::assert_snapshot!(shown(&info), @r#"200 {"status":"Unsubscribed","url":"http://127.0.0.1:9/hook","headers":{"X-Key":"1"}}"#);
    let again = json!({ "url": HOOK });
    let again = server.call("webhooks.subscribe", again).await.ok();
    assert_eq!(
        (&gone.json()["api_secret"], &again["api_secret"]),
        (&secret, &secret)
    );
    assert_eq!(again["status"], "Subscribed");
}

#[tokio::test]
async fn an_endpoint_without_required_fields_takes_any_object_and_no_body() {
    let server = Server::start().await;
    server.subscribe(HOOK).await;
    let json_type = [("content-type", "application/json")];
    let bodies: [(&[(&str, &str)], &str); 4] = [
        (&[], ""),
        (&json_type, ""),
        (&json_type, "{}"),
        (&json_type, r#"{"unknown":[1,{"x":null}]}"#),
    ];
    for verb in [
        "webhooks.unsubscribe",
        "webhooks.info",
        "channels.list",
        "conversations.list",
        "events.list",
    ] {
        for (headers, body) in bodies {
            let mut headers = headers.to_vec();
            headers.push(("authorization", TOKEN));
            let answer = server.request(Method::POST, verb, &headers, body).await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{verb} {headers:?} {body}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_webhook_that_was_never_subscribed_is_not_found() {
    let server = Server::start().await;
    for verb in ["webhooks.info", "webhooks.unsubscribe"] {
        let answer = server.call(verb, json!({})).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&answer), @r#"404 {"type":"/problems/webhook_not_found","title":"Not Found","status":404,"code":"webhook_not_found","detail":"the webhook was never subscribed; call webhooks.subscribe first","message":"the webhook was never subscribed; call webhooks.subscribe first"}"#);
        }
    }
}

/// A bot that answers as soon as it hears must find the conversation.
#[tokio::test]
async fn whoever_hears_of_a_message_can_answer_it_at_once() {
    const VISITORS: usize = 20;
    let server = Server::start().await;
    let answers: Arc<Mutex<Vec<u16>>> = Arc::default();
    let (url, statuses) = (server.url("messages.send"), Arc::clone(&answers));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let bot = Router::new().fallback(async move |Json(event): Json<Value>| {
        if event["sender"]["type"] == "source_contact" {
            let conversation = text(&event["conversation_id"]);
            let send = client.post(url).header("authorization", TOKEN);
            let answer = send.json(&message(&conversation, "hello")).send().await;
            statuses
                .lock()
                .unwrap()
                .push(answer.unwrap().status().as_u16());
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let bot = tokio::spawn(async move { axum::serve(listener, bot).await.unwrap() });
    server.subscribe(&hook).await;
    let channel = server.connect_channel().await;
    let arrive = |_| async {
        let visitor = Visitor::arrive(&server, &channel).await;
        visitor.write(&server, "anyone there?").await
    };
    join_all((0..VISITORS).map(arrive)).await;
    let all = || Some(answers.lock().unwrap().clone()).filter(|all| all.len() == VISITORS);
    let all = until_some(SOON, all, || format!("answered: {answers:?}")).await;
    assert_eq!(all, [200; VISITORS]);
    bot.abort();
}

// Channels

#[tokio::test]
async fn connecting_answers_with_the_channel_under_its_derived_id() {
    let server = Server::start().await;
    let channel = json!({
        "token": "secret-of-the-provider",
        "image_url": "https://example.com/logo.png",
        "name": "Shop",
        "source_channel_id": "website-identifier-42",
        "source": "chat_plugin",
    });
    let answer = server.call("channels.connect", channel).await;
    assert_eq!(answer.status, 200);
    insta::assert_snapshot!(answer.text, @r#"{"id":"625c0084-1043-5727-bfd9-40366ef08a64","name":"Shop","source":"chat_plugin","source_channel_id":"website-identifier-42","image_url":"https://example.com/logo.png"}"#);
}

#[tokio::test]
async fn a_channel_without_a_name_has_that_of_its_source() {
    let server = Server::start().await;
    for name in [json!(null), json!(""), json!("  ")] {
        let id = format!("site {name}");
        let channel = json!({"source": "chat_plugin", "source_channel_id": id, "name": name});
        let answer = server.call("channels.connect", channel).await.ok();
        assert_eq!(answer["name"], "Chat plugin");
        assert_eq!(answer.get("image_url"), None, "no value, no key");
    }
}

#[tokio::test]
async fn connecting_a_connected_channel_answers_with_it_unchanged() {
    let server = Server::start().await;
    server.connect_channel().await;
    let other = json!({"source": "chat_plugin", "source_channel_id": "shop", "name": "Other", "image_url": "https://example.com/a.png"});
    let answer = server.call("channels.connect", other).await;
    insta::assert_snapshot!(shown(&answer), @r#"200 {"id":"[id 1]","name":"Shop","source":"chat_plugin","source_channel_id":"shop"}"#);
}

#[tokio::test]
async fn disconnecting_is_done_once_and_reconnecting_keeps_the_id() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let disconnect = json!({ "channel_id": channel });
    let first = server.call("channels.disconnect", disconnect.clone()).await;
    assert_eq!(shown(&first), "200 {}");
    let second = server.call("channels.disconnect", disconnect).await;
    assert_eq!(shown(&second), "202 {}");
    let list = server.call("channels.list", json!({})).await;
    assert_eq!(shown(&list), r#"200 {"data":[]}"#);
    assert_eq!(server.connect_channel().await, channel);
    let list = server.call("channels.list", json!({})).await;
    insta::assert_snapshot!(shown(&list), @r#"200 {"data":[{"id":"[id 1]","name":"Shop","source":"chat_plugin","source_channel_id":"shop"}]}"#);
}

#[tokio::test]
async fn an_unknown_channel_cannot_be_disconnected() {
    let server = Server::start().await;
    let unknown = json!({ "channel_id": UNKNOWN });
    let answer = server.call("channels.disconnect", unknown).await;
    insta::assert_snapshot!(shown(&answer), @r#"404 {"type":"/problems/channel_not_found","title":"Not Found","status":404,"code":"channel_not_found","detail":"there is no channel with this channel_id","message":"there is no channel with this channel_id"}"#);
}

#[tokio::test]
async fn a_disconnected_channel_takes_no_messages_and_keeps_its_conversations() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let channel = server.connect_channel().await;
    let resume = json!({});
    let resume = server
        .call_as(&visitor.token, "chatplugin.resumeToken", resume)
        .await
        .ok();
    let disconnect = json!({ "channel_id": channel });
    server.call("channels.disconnect", disconnect).await.ok();

    let reply = message(&conversation, "too late");
    let reply = server.call("messages.send", reply).await;
    insta::assert_snapshot!(shown(&reply), @r#"403 {"type":"/problems/channel_disconnected","title":"Forbidden","status":403,"code":"channel_disconnected","detail":"the channel of this conversation is disconnected; connect it again by channels.connect","message":"the channel of this conversation is disconnected; connect it again by channels.connect"}"#);
    let written = visitor.try_write(&server, "too late").await.unwrap();
    let arrived = json!({ "channel_id": channel });
    let arrived = server.call("chatplugin.authenticate", arrived).await;
    let back = server.call("chatplugin.authenticate", resume).await;
    for (what, answer) in [("write", written), ("arrive", arrived), ("return", back)] {
        assert_eq!(answer.status, 404, "{what}");
        assert_eq!(answer.json()["code"], "channel_not_found", "{what}");
    }

    let list = json!({ "conversation_id": conversation });
    let messages = server.call("messages.list", list.clone()).await.ok();
    assert_eq!(messages["response_metadata"]["total"], 1);
    let info = server.call("conversations.info", list).await.ok();
    assert_eq!(info["last_message"]["content"]["text"], "before");
}

// The chat plugin

#[tokio::test]
async fn a_visitor_arrives_writes_and_comes_back() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let arrive = json!({ "channel_id": channel });
    let arrived = server.call_as("", "chatplugin.authenticate", arrive).await;
    insta::assert_snapshot!(shown(&arrived), @r#"200 {"token":"[token]","messages":[]}"#);
    let visitor = Visitor {
        token: text(&arrived.json()["token"]),
    };
    let written = visitor.try_write(&server, "hello").await.unwrap();
    insta::assert_snapshot!(shown(&written), @r#"200 {"id":"[id 1]","content":{"text":"hello","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"}"#);
    let resume = server
        .call_as(&visitor.token, "chatplugin.resumeToken", json!({}))
        .await;
    insta::assert_snapshot!(shown(&resume), @r#"200 {"resume_token":"[token]"}"#);
    let back = server
        .call_as("", "chatplugin.authenticate", resume.json())
        .await;
    insta::assert_snapshot!(shown(&back), @r#"200 {"token":"[token]","messages":[{"id":"[id 1]","content":{"text":"hello","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"}]}"#);
    let again = Visitor {
        token: text(&back.json()["token"]),
    };
    again.write(&server, "again").await;
    let list = server.call("conversations.list", json!({})).await.ok();
    assert_eq!(
        list["response_metadata"]["total"], 1,
        "the same conversation"
    );
}

#[tokio::test]
async fn every_arrival_is_a_conversation_of_its_own() {
    let server = Server::start().await;
    let (_, first) = server.converse("one").await;
    let (_, second) = server.converse("two").await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_visitor_who_writes_nothing_leaves_no_conversation() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    Visitor::arrive(&server, &channel).await;
    let list = server.call("conversations.list", json!({})).await;
    insta::assert_snapshot!(shown(&list), @r#"200 {"data":[],"response_metadata":{"previous_cursor":null,"next_cursor":null,"filtered_total":0,"total":0}}"#);
}

#[tokio::test]
async fn a_bad_resume_token_is_unauthorized() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let visitor = Visitor::arrive(&server, &channel).await;
    // A token for visiting is none for coming back; nor does a channel beside it help.
    for token in ["", "nonsense", TOKEN, &visitor.token] {
        for body in [
            json!({ "resume_token": token }),
            json!({"resume_token": token, "channel_id": channel}),
        ] {
            let answer = server.call("chatplugin.authenticate", body).await;
            assert_eq!(answer.status, 401, "{token}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[tokio::test]
async fn a_channel_that_is_unknown_has_no_visitors() {
    let server = Server::start().await;
    let unknown = json!({ "channel_id": UNKNOWN });
    let answer = server.call("chatplugin.authenticate", unknown).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["code"], "channel_not_found");
}

// Conversations and messages

#[tokio::test]
async fn a_conversation_is_shown_with_its_channel_contact_and_last_message() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("one").await;
    visitor.write(&server, "two").await;
    let info = json!({ "conversation_id": conversation });
    let info = server.call("conversations.info", info).await;
    insta::assert_snapshot!(shown(&info), @r#"200 {"id":"[id 1]","created_at":"[time]","channel":{"id":"[id 2]","name":"Shop"},"tags":[],"contact":{"avatar_url":null,"first_name":"Chat_plugin","last_name":"[end of id 1]","info":{}},"last_message":{"id":"[id 3]","content":{"text":"two","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"},"unread_message_count":2}"#);
    let list = server.call("conversations.list", json!({})).await;
    insta::assert_snapshot!(shown(&list), @r#"200 {"data":[{"id":"[id 1]","created_at":"[time]","channel":{"id":"[id 2]","name":"Shop"},"tags":[],"contact":{"avatar_url":null,"first_name":"Chat_plugin","last_name":"[end of id 1]","info":{}},"last_message":{"id":"[id 3]","content":{"text":"two","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"},"unread_message_count":2}],"response_metadata":{"previous_cursor":null,"next_cursor":null,"filtered_total":1,"total":1}}"#);
    assert_eq!(list.json()["data"][0], info.json());
}

#[tokio::test]
async fn the_newest_conversation_is_first_and_a_reply_moves_one_to_the_top() {
    let server = Server::start().await;
    let (_, first) = server.converse("first").await;
    let (visitor, second) = server.converse("second").await;
    let (_, third) = server.converse("third").await;
    let order = async || ids(&server.call("conversations.list", json!({})).await.ok());
    assert_eq!(order().await, [&*third, &*second, &*first]);
    let reply = message(&first, "a reply");
    server.call("messages.send", reply).await.ok();
    assert_eq!(order().await, [&*first, &*third, &*second]);
    visitor.write(&server, "a question").await;
    assert_eq!(order().await, [&*second, &*first, &*third]);
}

#[tokio::test]
async fn pages_of_conversations_show_each_once_in_both_directions() {
    const CONVERSATIONS: usize = 45;
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    for number in 0..CONVERSATIONS {
        let visitor = Visitor::arrive(&server, &channel).await;
        visitor.write(&server, &number.to_string()).await;
    }
    let newest_first: Vec<_> = (0..CONVERSATIONS).rev().map(|n| n.to_string()).collect();
    let said = |item: &Value| text(&item["last_message"]["content"]["text"]);
    let walk = Walk::both_ways(&server, "conversations.list", json!({}), said).await;
    walk.check(&newest_first);
    assert!(
        walk.metadata
            .iter()
            .all(|metadata| metadata["total"] == 45 && metadata["filtered_total"] == 45)
    );
    let page = server.call("conversations.list", json!({})).await.ok();
    assert_eq!(ids(&page).len(), 20, "the size of a page without a wish");
}

#[tokio::test]
async fn pages_of_messages_show_each_once_in_both_directions() {
    const MESSAGES: usize = 45;
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("0").await;
    for number in 1..MESSAGES {
        if number % 3 == 0 {
            let reply = message(&conversation, &number.to_string());
            server.call("messages.send", reply).await.ok();
        } else {
            visitor.write(&server, &number.to_string()).await;
        }
    }
    let oldest_first: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
    let said = |item: &Value| text(&item["content"]["text"]);
    let list = json!({ "conversation_id": conversation });
    let walk = Walk::both_ways(&server, "messages.list", list.clone(), said).await;
    walk.check(&oldest_first);
    assert!(
        walk.metadata
            .iter()
            .all(|metadata| metadata["total"] == 45 && metadata.get("filtered_total").is_none())
    );
    let page = server.call("messages.list", list).await.ok();
    assert_eq!(ids(&page).len(), 20, "the size of a page without a wish");
}

/// What the pages of 20 show, from the first to the last and back.
struct Walk {
    forth: Vec<Vec<String>>,
    /// As they were met: the last page first.
    back: Vec<Vec<String>>,
    metadata: Vec<Value>,
}

impl Walk {
    async fn both_ways(
        server: &Server,
        verb: &str,
        request: Value,
        read: impl Fn(&Value) -> String,
    ) -> Self {
        let mut walk = Self {
            forth: Vec::new(),
            back: Vec::new(),
            metadata: Vec::new(),
        };
        let mut last = Value::Null;
        for (direction, pages) in [
            ("next_cursor", &mut walk.forth),
            ("previous_cursor", &mut walk.back),
        ] {
            let mut cursor = last;
            loop {
                let mut request = request.clone();
                request["page_size"] = json!(20);
                request["cursor"] = cursor.clone();
                let page = server.call(verb, request).await.ok();
                pages.push(page["data"].as_array().unwrap().iter().map(&read).collect());
                let metadata = page["response_metadata"].clone();
                let next = metadata[direction].clone();
                walk.metadata.push(metadata);
                last = cursor;
                cursor = next;
                assert!(pages.len() < 10, "the pages do not end");
                if cursor.is_null() {
                    break;
                }
            }
        }
        walk
    }

    fn check(&self, expected: &[String]) {
        let sizes: Vec<_> = self.forth.iter().map(Vec::len).collect();
        assert_eq!(sizes, [20, 20, 5]);
        assert_eq!(self.forth.concat(), expected);
        let back: Vec<_> = self.back.iter().rev().cloned().collect();
        assert_eq!(back.concat(), expected, "on the way back");
        assert!(self.metadata[0]["previous_cursor"].is_null());
    }
}

#[tokio::test]
async fn a_reply_is_pending_at_first_and_delivered_in_the_list() {
    let server = Server::start().await;
    let (_, conversation) = server.converse("hello").await;
    let reply = message(&conversation, "hi there");
    let reply = server.call("messages.send", reply).await;
    insta::assert_snapshot!(shown(&reply), @r#"200 {"id":"[id 1]","content":{"text":"hi there","type":"text"},"state":"pending","delivery_state":"pending","sender_type":"app_user","sent_at":"[time]"}"#);

    let list = json!({ "conversation_id": conversation });
    let started = std::time::Instant::now();
    let settled = loop {
        let messages = server.call("messages.list", list.clone()).await;
        if messages.ok()["data"][1]["state"] != "pending" || started.elapsed() > SOON {
            break messages;
        }
    };
    insta::assert_snapshot!(shown(&settled), @r#"200 {"data":[{"id":"[id 1]","content":{"text":"hello","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"},{"id":"[id 2]","content":{"text":"hi there","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"app_user","sent_at":"[time]"}],"response_metadata":{"previous_cursor":null,"next_cursor":null,"total":2}}"#);
}

#[tokio::test]
async fn what_was_acknowledged_the_next_call_sees() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("0").await;
    let list = json!({"conversation_id": conversation, "page_size": 100});
    for number in 1..30 {
        let sent = if number % 2 == 0 {
            visitor.write(&server, &number.to_string()).await
        } else {
            let reply = message(&conversation, &number.to_string());
            server.call("messages.send", reply).await.ok()
        };
        let messages = server.call("messages.list", list.clone()).await.ok();
        assert_eq!(ids(&messages).last(), Some(&text(&sent["id"])));
        let info = server.call("conversations.info", list.clone()).await.ok();
        assert_eq!(info["last_message"]["id"], sent["id"]);
    }
}

#[tokio::test]
async fn an_unknown_conversation_is_not_found() {
    let server = Server::start().await;
    for verb in ["messages.send", "messages.list", "conversations.info"] {
        let answer = server.call(verb, message(UNKNOWN, "hello")).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&answer), @r#"404 {"type":"/problems/conversation_not_found","title":"Not Found","status":404,"code":"conversation_not_found","detail":"there is no conversation with this conversation_id","message":"there is no conversation with this conversation_id"}"#);
        }
    }
}

// Idempotency keys

async fn send_with_key(server: &Server, key: &str, body: &Value) -> Answer {
    let headers = [("authorization", TOKEN), ("idempotency-key", key)];
    let answer = server.try_call("messages.send", body, &headers).await;
    answer.unwrap()
}

async fn total(server: &Server, conversation: &str) -> Value {
    let list = json!({ "conversation_id": conversation });
    let list = server.call("messages.list", list).await.ok();
    list["response_metadata"]["total"].clone()
}

#[tokio::test]
async fn a_key_that_comes_again_gets_the_same_answer_and_one_message() {
    let server = Server::start().await;
    let (_, conversation) = server.converse("hello").await;
    let body = message(&conversation, "once");
    let first = send_with_key(&server, "key", &body).await;
    // Whatever has become of the message meanwhile, and however the body is written.
    while server.call("messages.list", body.clone()).await.ok()["data"][1]["state"] == "pending" {}
    let spelled = json!({"message": {"text": "once"}, "conversation_id": conversation});
    let second = send_with_key(&server, "key", &spelled).await;
    assert_eq!(
        (first.status.as_u16(), &first.text),
        (second.status.as_u16(), &second.text)
    );
    assert_eq!(first.status, 200);
    assert_eq!(total(&server, &conversation).await, 2);
}

#[tokio::test]
async fn twenty_requests_at_once_with_one_key_are_one_message() {
    let server = Server::start().await;
    let (_, conversation) = server.converse("hello").await;
    let body = message(&conversation, "once");
    let answers = join_all((0..20).map(|_| send_with_key(&server, "key", &body))).await;
    let different: HashSet<_> = answers.iter().map(|answer| &answer.text).collect();
    assert_eq!(different.len(), 1, "{different:?}");
    assert_eq!(answers[0].status, 200);
    assert_eq!(total(&server, &conversation).await, 2);
}

#[tokio::test]
async fn a_key_with_another_body_is_a_conflict() {
    let server = Server::start().await;
    let (_, other) = server.converse("elsewhere").await;
    let (_, conversation) = server.converse("hello").await;
    send_with_key(&server, "key", &message(&conversation, "one"))
        .await
        .ok();
    for body in [message(&conversation, "two"), message(&other, "one")] {
        let answer = send_with_key(&server, "key", &body).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&answer), @r#"409 {"type":"/problems/idempotency_key_reused","title":"Conflict","status":409,"code":"idempotency_key_reused","detail":"this Idempotency-Key was used for another request; use a new key","message":"this Idempotency-Key was used for another request; use a new key"}"#);
        }
    }
    assert_eq!(total(&server, &conversation).await, 2);
}

#[tokio::test]
async fn the_keys_of_visitors_and_of_the_api_do_not_meet() {
    let server = Server::start().await;
    let (one, conversation) = server.converse("hello").await;
    let (two, other) = server.converse("hello").await;
    send_with_key(&server, "key", &message(&conversation, "same"))
        .await
        .ok();
    let mut sent = Vec::new();
    for visitor in [&one, &two, &one] {
        let headers = [
            ("authorization", visitor.token.as_str()),
            ("idempotency-key", "key"),
        ];
        let body = json!({"message": {"text": "same"}});
        let answer = server.try_call("chatplugin.send", &body, &headers).await;
        sent.push(answer.unwrap().ok()["id"].clone());
    }
    assert_eq!(total(&server, &conversation).await, 3);
    assert_eq!(total(&server, &other).await, 2);
    assert_eq!(sent[0], sent[2], "a visitor's own key is known again");
}

// Who asks

const API: [&str; 18] = [
    "webhooks.subscribe",
    "webhooks.unsubscribe",
    "webhooks.info",
    "webhooks.list",
    "webhooks.rotate-secret",
    "webhooks.attempts",
    "webhooks.failed",
    "webhooks.replay",
    "webhooks.test",
    "webhooks.stats",
    "channels.connect",
    "channels.list",
    "channels.disconnect",
    "conversations.list",
    "conversations.info",
    "events.list",
    "messages.list",
    "messages.send",
];
const OF_VISITORS: [&str; 2] = ["chatplugin.send", "chatplugin.resumeToken"];

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("hello").await;
    let body = message(&conversation, "let me in");
    let bearer = format!("Bearer {}", visitor.token);
    let almost = &TOKEN[..TOKEN.len() - 1];
    let bad = [
        "",
        "Bearer",
        "Bearer ",
        "nonsense",
        almost,
        "Basic dTpw",
        "Bearer ü",
    ];
    let mut tried = Vec::new();
    for verb in API {
        tried.extend(
            bad.iter()
                .chain([&&*visitor.token, &&*bearer])
                .map(|token| (verb, *token)),
        );
    }
    for verb in OF_VISITORS {
        tried.extend(bad.iter().chain([&TOKEN]).map(|token| (verb, *token)));
    }
    for (verb, token) in tried {
        let answer = server.call_as(token, verb, body.clone()).await;
        assert_eq!(answer.status, 401, "{verb} {token:?}");
        assert_eq!(answer.json()["code"], "unauthorized", "{verb} {token:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer",
            "{verb} {token:?}"
        );
    }
    for verb in API {
        let answer = server.try_call(verb, &body, &[]).await.unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&answer), @r#"401 {"type":"/problems/unauthorized","title":"Unauthorized","status":401,"code":"unauthorized","detail":"send a valid token as Authorization: Bearer TOKEN","message":"send a valid token as Authorization: Bearer TOKEN"}"#);
        }
    }
    for verb in OF_VISITORS {
        let answer = server.try_call(verb, &body, &[]).await.unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&answer), @r#"401 {"type":"/problems/unauthorized","title":"Unauthorized","status":401,"code":"unauthorized","detail":"send a visitor's token, from chatplugin.authenticate, as Authorization: Bearer TOKEN","message":"send a visitor's token, from chatplugin.authenticate, as Authorization: Bearer TOKEN"}"#);
        }
    }
    assert_eq!(total(&server, &conversation).await, 1);
}

#[tokio::test]
async fn a_token_is_taken_bare_and_as_bearer() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    for (verb, token) in [
        ("channels.list", TOKEN),
        ("chatplugin.resumeToken", &visitor.token),
    ] {
        for value in [
            token.to_owned(),
            format!("Bearer {token}"),
            format!("bearer {token}"),
        ] {
            server.call_as(&value, verb, json!({})).await.ok();
        }
    }
}

#[tokio::test]
async fn a_bad_token_where_none_is_needed_is_ignored() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let arrive = json!({ "channel_id": channel });
    for token in ["nonsense", "Bearer nonsense", "Basic dTpw"] {
        let answer = server
            .call_as(token, "chatplugin.authenticate", arrive.clone())
            .await;
        assert_eq!(answer.status, 200);
        for path in ["health", &format!("chat/{channel}"), "embed.js"] {
            let headers = [("authorization", token)];
            let answer = server.request(Method::GET, path, &headers, "").await;
            assert_eq!(answer.unwrap().status, 200, "{path}");
        }
    }
}

// Pages and browsers

#[tokio::test]
async fn any_web_page_may_ask_to_call_the_chat_plugin() {
    let server = Server::start().await;
    for verb in ["authenticate", "resumeToken", "send"] {
        let preflight = [
            ("origin", "https://shop.example"),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type,idempotency-key",
            ),
        ];
        let path = format!("chatplugin.{verb}");
        let answer = server.request(Method::OPTIONS, &path, &preflight, "").await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{verb}");
        let allowed = answer.header("access-control-allow-origin");
        assert!(
            ["*", "https://shop.example"].contains(&allowed),
            "{allowed}"
        );
        assert!(
            answer
                .header("access-control-allow-methods")
                .contains("POST")
        );
        for header in ["authorization", "content-type", "idempotency-key"] {
            let allowed = answer.header("access-control-allow-headers");
            assert!(allowed.contains(header), "{verb}: {allowed}");
        }
    }
}

#[tokio::test]
async fn any_web_page_may_read_what_the_chat_plugin_answers() {
    let server = Server::start().await;
    for verb in ["authenticate", "resumeToken", "send"] {
        let origin = [("origin", "https://shop.example")];
        let path = format!("chatplugin.{verb}");
        let answer = server.try_call(&path, &json!([]), &origin).await.unwrap();
        assert!(answer.status.is_client_error(), "a refusal too");
        let allowed = answer.header("access-control-allow-origin");
        assert!(
            ["*", "https://shop.example"].contains(&allowed),
            "{verb}: {allowed}"
        );
    }
}

#[tokio::test]
async fn no_web_page_of_others_may_call_the_api() {
    let server = Server::start().await;
    for verb in API {
        let origin = [("origin", "https://evil.example"), ("authorization", TOKEN)];
        let answer = server.try_call(verb, &json!({}), &origin).await.unwrap();
        assert_eq!(answer.header("access-control-allow-origin"), "", "{verb}");
    }
}

#[tokio::test]
async fn health_is_open_and_ok() {
    let server = Server::start().await;
    let answer = server.get("health").await;
    assert_eq!(shown(&answer), r#"200 {"status":"ok"}"#);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn the_chat_page_shows_the_name_of_its_channel_and_no_html_in_it() {
    let server = Server::start().await;
    let name = r#"<script>alert("Tom & 'Jerry'")</script>{{channel_id}}"#;
    let channel = json!({"source": "chat_plugin", "source_channel_id": "shop", "name": name});
    let channel = server.call("channels.connect", channel).await.ok();
    let id = text(&channel["id"]);
    let page = server.get(&format!("chat/{id}")).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    let escaped =
        "&lt;script&gt;alert(&quot;Tom &amp; &#39;Jerry&#39;&quot;)&lt;/script&gt;{{channel_id}}";
    assert!(page.text.contains(&format!("<title>{escaped}</title>")));
    assert!(
        page.text
            .contains(&format!("data-channel-name=\"{escaped}\""))
    );
    assert!(page.text.contains(&format!("data-channel-id=\"{id}\"")));
    assert!(!page.text.contains("<script>alert"));
}

#[tokio::test]
async fn the_chat_page_of_no_open_channel_is_a_page_that_says_so() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let disconnect = json!({ "channel_id": channel });
    server.call("channels.disconnect", disconnect).await.ok();
    for id in [UNKNOWN, "nonsense", &channel, "%3Cscript%3E", "%00"] {
        let page = server.get(&format!("chat/{id}")).await;
        assert_eq!(page.status, 404, "{id}: {}", page.text);
        assert_eq!(
            page.header("content-type"),
            "text/html; charset=utf-8",
            "{id}"
        );
        assert_ne!(page.header("content-security-policy"), "", "{id}");
    }
}

#[tokio::test]
async fn the_chat_page_of_an_id_that_is_not_text_is_not_found() {
    let server = Server::start().await;
    let page = server.get("chat/%FF").await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (404, "text/html; charset=utf-8"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn what_the_chat_page_loads_is_there() {
    let server = Server::start().await;
    for (path, media_type) in [
        ("chat-assets/chat.css", "text/css"),
        ("chat-assets/chat.js", "text/javascript"),
        ("chat-assets/stomp.js", "text/javascript"),
        ("embed.js", "text/javascript"),
    ] {
        let asset = server.get(path).await;
        assert_eq!(asset.status, 200, "{path}");
        let expected = format!("{media_type}; charset=utf-8");
        assert_eq!(asset.header("content-type"), expected, "{path}");
    }
}

/// A receiver that is told of every message sees what the API shows.
#[tokio::test]
async fn an_event_and_the_list_agree_on_a_message() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    server.subscribe(&receiver.url()).await;
    let (_, conversation) = server.converse("hello").await;
    let event = receiver.wait_for(1, SOON).await[0].json();
    let list = json!({ "conversation_id": conversation });
    let listed = server.call("messages.list", list).await.ok()["data"][0].clone();
    assert_eq!(event["conversation_id"], conversation);
    assert_eq!(event["id"], listed["id"]);
    assert_eq!(event["sent_at"], listed["sent_at"]);
    assert_eq!(event["text"], listed["content"]["text"]);
    assert_eq!(event["sender"]["type"], listed["sender_type"]);
}
