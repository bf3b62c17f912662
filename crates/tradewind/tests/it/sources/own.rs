//! Sources of one's own: what a connector brings, and what it is posted.

use std::{net::TcpListener, path::Path, process::Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tradewind_model::{ChannelId, ConversationId, MessageId};
use tradewind_stand_in::{Reply, StandIn};

use super::Desk;
use crate::support::{
    SOON,
    database::Database,
    server::{Answer, Server},
    text, until_some,
};

const AT: i64 = 1_595_254_688_584;

/// A connector's source, with a channel.
struct Own {
    desk: Desk,
    token: String,
    channel: String,
}

impl Own {
    async fn open() -> Self {
        let desk = Desk::open().await;
        let token = create(&desk, "matrix").await;
        let channel = connect(&desk, &token, "home").await;
        Self {
            desk,
            token,
            channel,
        }
    }

    async fn call(&self, verb: &str, body: Value) -> Answer {
        self.desk.server.call_as(&self.token, verb, body).await
    }

    async fn bring(&self, messages: Value) -> Answer {
        self.call("sources.webhook", json!({"messages": messages}))
            .await
    }

    /// A conversation in which the contact has written.
    async fn converse(&self) -> String {
        let before = self.desk.receiver.count();
        let brought = self.bring(json!([said("m1", "hello")])).await;
        assert_eq!(brought.ok(), json!({}));
        let event = self.desk.events(before + 1).await.remove(before);
        event.field("conversation_id")
    }
}

/// Makes a source whose connector is the stand-in, which takes everything at first.
async fn create(desk: &Desk, id: &str) -> String {
    let endpoint = format!("{}/own/{id}", desk.stand_in.url());
    let source = json!({"source_id": id, "name": "Mine", "action_endpoint": endpoint});
    let created = desk.server.call("sources.create", source).await.ok();
    assert_eq!(created["source_id"], id);
    assert_eq!(created["action_endpoint"], endpoint.as_str());
    text(&created["token"])
}

async fn connect(desk: &Desk, token: &str, id: &str) -> String {
    let channel = json!({
        "source_channel_id": id,
        "name": "Home",
        "metadata": {"image_url": "https://example.com/a.png", "token": "kept"},
    });
    let created = desk
        .server
        .call_as(token, "sources.channels.create", channel)
        .await;
    text(&created.ok()["id"])
}

fn said(id: &str, content: &str) -> Value {
    json!({
        "source_message_id": id,
        "source_conversation_id": "room",
        "source_channel_id": "home",
        "source_sender_id": "@ada",
        "content": content,
        "from_contact": true,
        "sent_at": AT,
    })
}

/// The connector takes all messages from now on.
fn take(desk: &Desk, id: &str) {
    let took = Reply::ok(&json!({"source_message_id": "theirs", "metadata": {"a": 1}}));
    desk.stand_in.refuse(&format!("/own/{id}"), 1_000, took);
}

/// A port that nobody has, and nobody is given who asks for any.
fn free_port() -> u16 {
    let first = 12_000 + u16::try_from(std::process::id() % 18_000).unwrap();
    let mut ports = first..32_000;
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.unwrap()
}

#[tokio::test]
async fn the_connector_of_the_examples_carries_a_message_in_and_an_answer_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = root.join("examples/connector/connector.py");
    let lines = std::fs::read_to_string(&script).unwrap().lines().count();
    assert!(lines <= 40, "{lines}");
    let desk = Desk::open().await;
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}/");
    let source = json!({"source_id": "terminal", "action_endpoint": endpoint});
    let source = desk.server.call("sources.create", source).await.ok();
    let token = text(&source["token"]);
    let mut connector = tokio::process::Command::new("python3")
        .arg(script)
        .arg(desk.server.url("").trim_end_matches('/'))
        .args([token.as_str(), &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut typed = connector.stdin.take().unwrap();
    let mut printed = BufReader::new(connector.stdout.take().unwrap()).lines();

    typed.write_all(b"is anybody there?\n").await.unwrap();
    let event = desk.events(1).await.remove(0);
    assert_eq!(event.text(), "is anybody there?");
    assert_eq!(event.field("source"), "TERMINAL");
    let conversation = event.field("conversation_id");
    let answer = desk.answer(&conversation, "I am").await;
    let line = tokio::time::timeout(SOON, printed.next_line()).await;
    assert_eq!(line.unwrap().unwrap().as_deref(), Some("I am"));
    let is_delivered = |message: &Value| message["state"] == "delivered";
    desk.message_that(&conversation, &answer["id"], is_delivered)
        .await;

    // What it said of the message is how it is known from then on.
    let theirs = format!("terminal-{}", text(&answer["id"]));
    let receipt = json!({"receipts": [{
        "source_channel_id": "terminal",
        "source_message_id": theirs,
        "state": "read",
    }]});
    let told = desk.server.call_as(&token, "sources.webhook", receipt);
    assert_eq!(told.await.ok(), json!({}));
    let messages = desk.messages(&conversation).await;
    assert_eq!(messages[1]["receipt"], "read", "{messages:?}");
}

#[tokio::test]
async fn a_source_is_made_once_and_its_token_shown_once() {
    let desk = Desk::open().await;
    create(&desk, "matrix").await;
    let create = async |source: Value| desk.server.call("sources.create", source).await;
    let again = create(json!({"source_id": "matrix"})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.json()["code"], "source_taken");
    for (field, source) in [
        ("source_id", json!({})),
        ("source_id", json!({"source_id": "Matrix"})),
        ("source_id", json!({"source_id": "facebook"})),
        ("source_id", json!({"source_id": "chat.plugin"})),
        ("source_id", json!({"source_id": "twilio.mms"})),
        ("name", json!({"source_id": "fax", "name": "a\nb"})),
        (
            "action_endpoint",
            json!({"source_id": "fax", "action_endpoint": "ftp://example.com"}),
        ),
        (
            "action_endpoint",
            json!({"source_id": "fax", "action_endpoint": "http://10.0.0.1/"}),
        ),
        (
            "action_endpoint",
            json!({"source_id": "fax", "action_endpoint": "http://user:word@example.com/"}),
        ),
    ] {
        let refused = create(source.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{source}");
        let message = text(&refused.json()["message"]);
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
    let listed = desk.server.call("sources.list", json!({})).await;
    let listed = listed.ok();
    let keys: Vec<_> = listed["data"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["source_id", "name", "action_endpoint"]);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_connectors_channels_are_its_own() {
    let own = Own::open().await;
    let id = ChannelId::derived("matrix", "home").to_string();
    assert_eq!(own.channel, id);
    let expected = json!({"data": [{
        "id": id,
        "source_id": "matrix",
        "source_channel_id": "home",
        "metadata": {"name": "Home", "image_url": "https://example.com/a.png"},
        "connected": true,
    }]});
    let listed = own.call("sources.channels.list", json!({})).await;
    assert_eq!(listed.ok(), expected);
    // An admin can do the same.
    let shop = own.desk.connect("matrix", "shop", "").await;
    let web = own.desk.server.connect_channel().await;
    let listed = own.call("sources.channels.list", json!({})).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);

    let disconnect = async |id: &str| {
        own.call("sources.channels.disconnect", json!({"channel_id": id}))
            .await
    };
    let refused = disconnect(&web).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["code"], "channel_of_another");
    let unknown = disconnect("019ab2e4-6a3f-7c21-9d55-3f0e8b7a4c10").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(disconnect(&shop).await.ok(), json!({}));
    assert_eq!(disconnect(&shop).await.status, StatusCode::ACCEPTED);

    // Each token is for its own doors.
    let strange = own.call("messages.list", json!({})).await;
    assert_eq!(strange.status, StatusCode::FORBIDDEN);
    let admin = own.desk.server.call("sources.channels.list", json!({}));
    assert_eq!(admin.await.status, StatusCode::FORBIDDEN);
    let nobody = own
        .desk
        .server
        .call_as("tw_x", "sources.channels.list", json!({}));
    assert_eq!(nobody.await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_connector_brings_is_stored_once_under_the_ids_that_follow() {
    let own = Own::open().await;
    let mut team = said("m2", "we answered there");
    team["from_contact"] = false.into();
    team["source_sender_id"] = "@team".into();
    team["sent_at"] = "2020-07-20T14:18:09Z".into();
    let mut more = said("m3", "");
    more["content"] = json!({
        "text": "look",
        "attachments": [{"type": "image", "url": "https://example.com/a.png"}],
        "postback": {"payload": "PRESSED"},
    });
    more["sent_at"] = "1595254690000".into();
    let call = json!({
        "messages": [said("m1", "hello"), team, more],
        "metadata": [
            {"namespace": "conversation", "source_id": "room",
             "metadata": {"contact": {"display_name": "Ada King Lovelace", "avatar_url": "https://example.com/ada.png"}}},
            {"namespace": "message", "source_id": "m1", "metadata": {"sentiment": "good"}},
        ],
    });
    for _ in 0..2 {
        let taken = own.call("sources.webhook", call.clone()).await;
        assert_eq!(taken.ok(), json!({}));
    }

    let events = own.desk.events(3).await;
    let conversation = ConversationId::derived(&own.channel, "room");
    let message = MessageId::derived("matrix", "m1");
    let body = String::from_utf8(events[0].body.to_vec()).unwrap();
    let expected = format!(
        r#"{{"conversation_id":"{conversation}","id":"{message}","sender":{{"id":"@ada","type":"source_contact"}},"source":"MATRIX","sent_at":"2020-07-20T14:18:08.584Z","text":"hello"}}"#
    );
    assert_eq!(body, expected);
    let second = events[1].json();
    let sender = json!({"id": "@team", "type": "source_user"});
    assert_eq!(second["sender"], sender);
    assert_eq!(second["sent_at"], "2020-07-20T14:18:09.000Z");
    let third = events[2].json();
    assert_eq!(third["text"], "look");
    assert_eq!(third["attachments"][0]["url"], "https://example.com/a.png");
    assert_eq!(third["postback"]["payload"], "PRESSED");
    assert_eq!(third["sent_at"], "2020-07-20T14:18:10.000Z");

    let id = json!({"conversation_id": conversation.to_string()});
    let found = own.desk.server.call("conversations.info", id).await.ok();
    let contact = &found["contact"];
    assert_eq!(contact["first_name"], "Ada");
    assert_eq!(contact["last_name"], "King Lovelace");
    assert_eq!(contact["avatar_url"], "https://example.com/ada.png");
    let stats = own.desk.stats().await;
    let expected = json!({"received": 3, "repeated": 3, "receipts": 0});
    assert_eq!(stats["sources"]["matrix"], expected);
}

/// Calls of which the second message is wrong, and what is.
fn wrong_messages() -> Vec<(&'static str, Value)> {
    let with = |key: &str, value: Value| {
        let mut message = said("m9", "hello");
        message[key] = value;
        json!({"messages": [said("m1", "hello"), message]})
    };
    let hat = json!({"attachments": [{"type": "hat", "url": "https://example.com"}]});
    vec![
        ("messages[1].sent_at", with("sent_at", json!("yesterday"))),
        ("messages[1].sent_at", with("sent_at", json!({}))),
        ("messages[1].sent_at", with("sent_at", json!(i64::MAX))),
        (
            "messages[1].source_message_id",
            with("source_message_id", json!("")),
        ),
        (
            "messages[1].source_sender_id",
            with("source_sender_id", json!("a\u{0}b")),
        ),
        (
            "messages[1].source_channel_id",
            with("source_channel_id", json!(7)),
        ),
        ("messages[1].content", with("content", json!("  "))),
        ("messages[1].content", with("content", json!(7))),
        ("messages[1].content", with("content", json!({}))),
        (
            "messages[1].content.text",
            with("content", json!({"text": 7})),
        ),
        (
            "messages[1].content.attachments[0].type",
            with("content", hat),
        ),
        (
            "messages[1].from_contact",
            with("from_contact", json!("yes")),
        ),
    ]
}

/// Calls whose message is good, and beside it something is wrong.
fn wrong_beside() -> Vec<(&'static str, Value)> {
    let beside = |key: &str, item: Value| {
        let mut call = json!({"messages": [said("m1", "hello")]});
        call[key] = json!([item]);
        call
    };
    let named = |room: &str, name: &str| {
        let contact = json!({"contact": {"display_name": name}});
        json!({"namespace": "conversation", "source_id": room, "metadata": contact})
    };
    let receipt = |id: Option<&str>, state: &str| json!({"source_channel_id": "home", "source_message_id": id, "state": state});
    let many: Vec<_> = (0..101).map(|n| said(&n.to_string(), "hello")).collect();
    vec![
        ("messages", json!({"messages": many})),
        (
            "metadata[0].source_channel_id",
            beside("metadata", named("other", "Ada")),
        ),
        (
            "metadata[0].metadata.contact.display_name",
            beside("metadata", named("room", "a\nb")),
        ),
        (
            "receipts[0].state",
            beside("receipts", receipt(Some("x"), "eaten")),
        ),
        (
            "receipts[0].source_message_id",
            beside("receipts", receipt(None, "read")),
        ),
    ]
}

#[tokio::test]
async fn when_an_item_is_wrong_it_is_named_and_nothing_is_stored() {
    let own = Own::open().await;
    for (field, call) in wrong_messages().into_iter().chain(wrong_beside()) {
        let refused = own.call("sources.webhook", call).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{field}");
        let message = text(&refused.json()["message"]);
        assert!(
            message.starts_with(&format!("{field}: ")),
            "{field}: {message}"
        );
    }
    // An empty one says nothing.
    for call in [json!({}), json!({"messages": null, "receipts": []})] {
        assert_eq!(own.call("sources.webhook", call).await.ok(), json!({}));
    }
    let conversation = own.converse().await;
    assert_eq!(own.desk.messages(&conversation).await.len(), 1);
    assert_eq!(own.desk.receiver.count(), 1);
}

#[tokio::test]
async fn a_message_for_a_channel_that_is_not_connected_is_counted() {
    let own = Own::open().await;
    let mut elsewhere = said("m0", "hello");
    elsewhere["source_channel_id"] = "elsewhere".into();
    assert_eq!(own.bring(json!([elsewhere])).await.ok(), json!({}));
    let stats = own.desk.stats().await;
    let unknown = &stats["unknown_channels"][0];
    assert_eq!(unknown["source"], "matrix");
    assert_eq!(unknown["source_channel_id"], "elsewhere");
    own.converse().await;
}

#[tokio::test]
async fn what_is_to_be_sent_is_posted_to_the_connector_and_signed() {
    let own = Own::open().await;
    take(&own.desk, "matrix");
    let conversation = own.converse().await;
    let send = json!({"conversation_id": conversation, "message": {
        "text": "hi",
        "attachments": [{"type": "file", "url": "https://example.com/a.pdf", "name": "a.pdf"}],
    }});
    let answer = own.desk.server.call("messages.send", send).await.ok();

    let call = own.desk.calls("/own/matrix", 1).await.remove(0);
    let sent_at: tradewind_model::Timestamp = text(&answer["sent_at"]).parse().unwrap();
    let expected = json!({
        "type": "message.send",
        "payload": {
            "message": {
                "id": answer["id"],
                "source_recipient_id": "room",
                "content": {
                    "text": "hi",
                    "attachments": [{"type": "file", "url": "https://example.com/a.pdf", "name": "a.pdf"}],
                },
                "sent_at": sent_at.as_millisecond().to_string(),
            },
            "conversation": {
                "id": conversation,
                "channel_id": own.channel,
                "source_conversation_id": "room",
                "created_at": "2020-07-20T14:18:08.584Z",
            },
        },
    });
    assert_eq!(call.json(), expected);
    assert_eq!(call.header("webhook-id"), answer["id"].as_str());
    let key = format!("whsec_{}", STANDARD.encode(&own.token));
    let library = standardwebhooks::Webhook::new(&key).unwrap();
    library.verify(call.body.as_bytes(), &call.headers).unwrap();
    assert_eq!(call.header("x-airy-content-signature").unwrap().len(), 64);
    let is_delivered = |message: &Value| message["state"] == "delivered";
    own.desk
        .message_that(&conversation, &answer["id"], is_delivered)
        .await;

    for (state, kind, expected) in [
        (
            "delivered",
            json!({"source_message_id": "theirs"}),
            "delivered",
        ),
        ("read", json!({"message_id": answer["id"]}), "read"),
        ("delivered", json!({"source_message_id": "theirs"}), "read"),
        ("failed", json!({"source_message_id": "theirs"}), "read"),
    ] {
        let mut receipt = kind;
        receipt["state"] = state.into();
        receipt["source_channel_id"] = "home".into();
        let told = own.call("sources.webhook", json!({"receipts": [receipt]}));
        assert_eq!(told.await.ok(), json!({}));
        let messages = own.desk.messages(&conversation).await;
        assert_eq!(messages[1]["receipt"], expected, "{state}");
    }
}

#[tokio::test]
async fn a_connector_can_refuse_a_message_or_have_it_later() {
    let own = Own::open().await;
    let conversation = own.converse().await;
    let path = "/own/matrix";
    let busy = Reply::status(StatusCode::SERVICE_UNAVAILABLE).with("retry-after", "0");
    own.desk.stand_in.refuse(path, 1, busy);
    let no = Reply::json(StatusCode::BAD_REQUEST, &json!({"error": "no such room"}));
    own.desk.stand_in.refuse(path, 1, no);
    take(&own.desk, "matrix");

    let refused = own.desk.answer(&conversation, "1").await;
    let has_failed = |message: &Value| message["state"] == "failed";
    own.desk
        .message_that(&conversation, &refused["id"], has_failed)
        .await;
    let taken = own.desk.answer(&conversation, "2").await;
    let is_delivered = |message: &Value| message["state"] == "delivered";
    own.desk
        .message_that(&conversation, &taken["id"], is_delivered)
        .await;
    let calls = own.desk.calls(path, 3).await;
    let texts: Vec<_> = calls
        .iter()
        .map(|call| text(&call.json()["payload"]["message"]["content"]["text"]))
        .collect();
    assert_eq!(texts, ["1", "1", "2"]);
}

#[tokio::test]
async fn a_source_without_an_endpoint_takes_no_messages() {
    let desk = Desk::open().await;
    let source = json!({"source_id": "fax"});
    let source = desk.server.call("sources.create", source).await.ok();
    assert_eq!(source.as_object().unwrap().len(), 2);
    let token = text(&source["token"]);
    connect(&desk, &token, "home").await;
    let messages = json!({"messages": [said("m1", "hello")]});
    let brought = desk.server.call_as(&token, "sources.webhook", messages);
    brought.await.ok();
    let conversation = desk.events(1).await[0].field("conversation_id");
    let answer = desk.answer(&conversation, "hi").await;
    let has_failed = |message: &Value| message["state"] == "failed";
    desk.message_that(&conversation, &answer["id"], has_failed)
        .await;
}

#[tokio::test]
async fn a_connector_that_is_away_holds_up_nobody_else() {
    let own = Own::open().await;
    let conversation = own.converse().await;
    let away = Reply::status(StatusCode::BAD_GATEWAY);
    own.desk.stand_in.refuse("/own/matrix", 1_000, away);
    for n in 0..20 {
        own.desk.answer(&conversation, &n.to_string()).await;
    }
    own.desk.calls("/own/matrix", 1).await;

    let other = create(&own.desk, "fax").await;
    connect(&own.desk, &other, "home").await;
    take(&own.desk, "fax");
    let messages = json!({"messages": [said("m1", "hello")]});
    let brought = own.desk.server.call_as(&other, "sources.webhook", messages);
    brought.await.ok();
    let conversation = own.desk.events(2).await[1].field("conversation_id");
    own.desk.answer(&conversation, "hi").await;
    own.desk.calls("/own/fax", 1).await;
}

#[tokio::test]
async fn a_source_that_is_deleted_is_gone_at_once() {
    let own = Own::open().await;
    let conversation = own.converse().await;
    // Not to be tried again before the source is gone.
    let away = Reply::status(StatusCode::BAD_GATEWAY).with("retry-after", "600");
    own.desk.stand_in.refuse("/own/matrix", 1, away);
    let waiting = own.desk.answer(&conversation, "too late").await;
    own.desk.calls("/own/matrix", 1).await;
    take(&own.desk, "matrix");

    let delete = async || {
        let source = json!({"source_id": "matrix"});
        own.desk.server.call("sources.delete", source).await
    };
    let deleted = delete().await;
    assert_eq!(
        (deleted.status, deleted.json()),
        (StatusCode::ACCEPTED, json!({}))
    );
    let again = delete().await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(again.json()["code"], "source_not_found");

    let refused = own.bring(json!([said("m2", "hello?")])).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let send = json!({"conversation_id": conversation, "message": {"text": "hi"}});
    let refused = own.desk.server.call("messages.send", send).await;
    assert_eq!(refused.json()["code"], "channel_disconnected");
    let connect_again = json!({"source": "matrix", "source_channel_id": "home"});
    let refused = own
        .desk
        .server
        .call("channels.connect", connect_again)
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);

    // One of the same name is another: what waited then is not for it.
    let token = create(&own.desk, "matrix").await;
    connect(&own.desk, &token, "home").await;
    own.desk.answer(&conversation, "anew").await;
    let calls = own.desk.calls("/own/matrix", 2).await;
    let last = calls.last().unwrap();
    assert_eq!(last.json()["payload"]["message"]["content"]["text"], "anew");
    let key = format!("whsec_{}", STANDARD.encode(&token));
    let library = standardwebhooks::Webhook::new(&key).unwrap();
    library.verify(last.body.as_bytes(), &last.headers).unwrap();
    let messages = own.desk.messages(&conversation).await;
    let waiting = messages
        .iter()
        .find(|message| message["id"] == waiting["id"]);
    assert_eq!(waiting.unwrap()["state"], "pending");
    let audit = own.desk.server.call("audit.list", json!({})).await.ok();
    let actions = audit["data"].as_array().unwrap().iter();
    let actions: Vec<_> = actions.map(|entry| text(&entry["action"])).collect();
    let expected = [
        "channel.connected",
        "source.created",
        "source.deleted",
        "channel.disconnected",
    ];
    assert_eq!(actions[..4], expected);
}

#[tokio::test]
async fn a_connector_goes_on_after_the_server_was_killed() {
    let mut own = Own::open().await;
    let conversation = own.converse().await;
    let away = Reply::status(StatusCode::BAD_GATEWAY);
    own.desk.stand_in.refuse("/own/matrix", 1, away);
    own.desk.answer(&conversation, "hi").await;
    own.desk.calls("/own/matrix", 1).await;
    own.desk.server.kill().await;
    take(&own.desk, "matrix");
    own.desk.server.start_again().await;

    let calls = own.desk.calls("/own/matrix", 2).await;
    let sent = &calls[1].json()["payload"]["message"]["content"];
    assert_eq!(sent["text"], "hi");
    let brought = own.bring(json!([said("m1", "hello"), said("m2", "thanks")]));
    assert_eq!(brought.await.ok(), json!({}));
    let events = own.desk.messages(&conversation).await;
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn each_node_of_a_cluster_serves_a_source_that_is_made_at_one() {
    let database = Database::create().await;
    let address = database.url.clone();
    let node = || {
        let address = address.clone();
        Server::start_with(move |command| {
            command
                .env("TRADEWIND_DATABASE", &address)
                .env("TRADEWIND_SECRET_KEY", "0123456789abcdef0123456789abcdef")
                .args(["--webhook-allow", "127.0.0.0/8"])
        })
    };
    let nodes = [node().await, node().await];
    let stand_in = StandIn::start().await.unwrap();
    let endpoint = format!("{}/own/matrix", stand_in.url());
    let taken = Reply::ok(&json!({}));
    stand_in.refuse("/own/matrix", 1_000, taken);
    let source = json!({"source_id": "matrix", "action_endpoint": endpoint});
    let source = nodes[0].call("sources.create", source).await.ok();
    let token = text(&source["token"]);
    let channel = json!({"source_channel_id": "home", "name": "Home"});
    let channel = nodes[1].call_as(&token, "sources.channels.create", channel);
    let channel = text(&channel.await.ok()["id"]);

    // So many that each node has some of them.
    for n in 0..32 {
        let node = &nodes[n % 2];
        let room = format!("room {n}");
        let mut message = said(&format!("m{n}"), "hello");
        message["source_conversation_id"] = room.as_str().into();
        let brought = json!({"messages": [message]});
        let brought = node.call_as(&token, "sources.webhook", brought).await;
        assert_eq!(brought.ok(), json!({}));
        let conversation = ConversationId::derived(&channel, &room).to_string();
        let send = json!({"conversation_id": conversation, "message": {"text": room}});
        node.call("messages.send", send).await.ok();
    }
    let look = || (stand_in.calls().len() >= 32).then(|| stand_in.calls());
    let calls = until_some(SOON, look, || format!("{:?}", stand_in.calls().len())).await;
    let mut rooms: Vec<_> = calls
        .iter()
        .map(|call| text(&call.json()["payload"]["message"]["content"]["text"]))
        .collect();
    rooms.sort();
    rooms.dedup();
    assert_eq!(rooms.len(), 32);

    let source = json!({"source_id": "matrix"});
    let deleted = nodes[1].call("sources.delete", source).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    let brought = json!({"messages": [said("m99", "hello")]});
    let refused = nodes[0].call_as(&token, "sources.webhook", brought).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}
