//! Agents' sockets: what they hear, who is let in, and what becomes of those that cannot keep up.

mod tokens;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    SOON, normalize,
    receiver::Receiver,
    server::{Server, TOKEN},
    socket::{Socket, body, header},
    visitor::Visitor,
};

const MESSAGES: &str = "/queue/message";
const UNREAD: &str = "/queue/unread-count";
const CONNECTED: &str = "/queue/channel/connected";
const DISCONNECTED: &str = "/queue/channel/disconnected";
const EVENTS: &str = "/events";

fn text_of(update: &Value) -> &str {
    update["message"]["content"]["text"].as_str().unwrap()
}

async fn reply(server: &Server, conversation: &str, text: &str) {
    let send = json!({"conversation_id": conversation, "message": {"text": text}});
    server.call("messages.send", send).await.ok();
}

async fn read(server: &Server, conversation: &str) {
    let read = json!({ "conversation_id": conversation });
    let answer = server.call("conversations.read", read).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, "{}"));
}

#[tokio::test]
async fn an_agent_hears_each_message_as_it_arrives_and_as_it_changes() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let mut socket = Socket::agent(&server, &[MESSAGES]).await;
    visitor.write(&server, "a question").await;
    let frame = socket.frame().await;
    let cursor = format!("cursor:{}", header(&frame, "cursor"));
    let frame = frame.replace(&cursor, "cursor:[cursor]");
    insta::assert_snapshot!(normalize(&frame).replace('\0', "^@"), @r#"
    MESSAGE
    destination:/queue/message
    subscription:/queue/message
    message-id:1
    content-type:application/json
    cursor:[cursor]
    content-length:329

    {"conversation_id":"[id 1]","channel_id":"[id 2]","message":{"id":"[id 3]","content":{"text":"a question","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"}}^@
    "#);
    reply(&server, &conversation, "an answer").await;
    for state in ["pending", "delivered"] {
        let (_, update) = socket.told().await;
        assert_eq!(text_of(&update), "an answer");
        assert_eq!(update["message"]["sender_type"], "app_user");
        assert_eq!(update["message"]["delivery_state"], state);
        assert_eq!(update["message"]["state"], state);
    }
    // Nothing else was told: the next is the next message, of whichever conversation.
    let (other, _) = server.converse("of another").await;
    other.write(&server, "once more").await;
    assert_eq!(text_of(&socket.told().await.1), "of another");
    assert_eq!(text_of(&socket.told().await.1), "once more");
}

#[tokio::test]
async fn an_agent_hears_how_many_messages_are_unread() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("first").await;
    let mut socket = Socket::agent(&server, &[UNREAD]).await;
    let count = async |socket: &mut Socket| {
        let (destination, update) = socket.told().await;
        assert_eq!(destination, UNREAD);
        assert_eq!(update["conversation_id"], conversation);
        update["unread_message_count"].as_u64().unwrap()
    };
    visitor.write(&server, "second").await;
    let frame = socket.frame().await;
    insta::assert_snapshot!(normalize(&body(&frame).to_string()), @r#"{"conversation_id":"[id 1]","unread_message_count":2,"timestamp":"[time]"}"#);
    assert_eq!(header(&frame, "cursor"), "");
    // An answer changes nothing, nor does reading what is read.
    reply(&server, &conversation, "an answer").await;
    read(&server, &conversation).await;
    assert_eq!(count(&mut socket).await, 0);
    read(&server, &conversation).await;
    visitor.write(&server, "third").await;
    assert_eq!(count(&mut socket).await, 1);
}

#[tokio::test]
async fn reading_a_conversation_that_is_not_there_is_not_found() {
    let server = Server::start().await;
    let read = json!({"conversation_id": "930026a1-ba9f-566f-bf2e-8b6302612101"});
    let answer = server.call("conversations.read", read).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn an_agent_hears_of_channels_that_come_and_go() {
    let server = Server::start().await;
    let mut socket = Socket::agent(&server, &[DISCONNECTED, CONNECTED]).await;
    let id = server.connect_channel().await;
    let channel = server.call("channels.list", json!({})).await.ok()["data"][0].clone();
    assert_eq!(channel["id"], id);
    let disconnect = json!({ "channel_id": id });
    server.call("channels.disconnect", disconnect).await.ok();
    server.connect_channel().await;
    for destination in [CONNECTED, DISCONNECTED, CONNECTED] {
        let told = socket.told().await;
        assert_eq!(told, (destination.to_owned(), channel.clone()));
    }
}

/// What a webhook with typed events gets, byte for byte.
#[tokio::test]
async fn events_are_those_that_a_webhook_gets() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let all = [
        "message.created",
        "message.updated",
        "conversation.updated",
        "channel.updated",
    ];
    let webhook = json!({"url": receiver.url(), "events": all});
    server.call("webhooks.subscribe", webhook).await.ok();
    let mut socket = Socket::agent(&server, &[EVENTS]).await;
    let (_, conversation) = server.converse("a question").await;
    reply(&server, &conversation, "an answer").await;
    // The channel; a message and its conversation, three times; and that it was read.
    let mut told = Vec::new();
    for number in 0..8 {
        if number == 7 {
            read(&server, &conversation).await;
        }
        let frame = socket.frame().await;
        assert_eq!(header(&frame, "destination"), EVENTS);
        let (_, body) = frame.split_once("\n\n").unwrap();
        told.push(body.trim_end_matches('\0').as_bytes().to_vec());
    }
    let delivered = receiver.wait_for(8, SOON).await;
    let mut delivered: Vec<_> = delivered.iter().map(|one| one.body.to_vec()).collect();
    let kinds: Vec<_> = told
        .iter()
        .map(|body| serde_json::from_slice::<Value>(body).unwrap()["type"].clone())
        .collect();
    assert_eq!(kinds[0], "channel.updated");
    assert_eq!(kinds[1..3], ["message.created", "conversation.updated"]);
    assert_eq!(kinds[3..5], ["message.created", "conversation.updated"]);
    assert_eq!(kinds[5..7], ["message.updated", "conversation.updated"]);
    assert_eq!(kinds[7], "conversation.updated");
    told.sort_unstable();
    delivered.sort_unstable();
    assert_eq!(told, delivered);
}

#[tokio::test]
async fn all_agents_hear_all_messages_in_their_order() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(Socket::agent(&server, &[MESSAGES]).await);
    }
    let visitors = join_all((0..4).map(|_| Visitor::arrive(&server, &channel))).await;
    let write = async |visitor: &Visitor| {
        for number in 0..25 {
            visitor.write(&server, &number.to_string()).await;
        }
    };
    join_all(visitors.iter().map(write)).await;
    let mut first = Vec::new();
    for socket in &mut sockets {
        let mut heard = Vec::new();
        for _ in 0..100 {
            heard.push(socket.told().await.1);
        }
        if first.is_empty() {
            for id in heard.iter().map(|update| &update["conversation_id"]) {
                let of = heard
                    .iter()
                    .filter(|update| update["conversation_id"] == *id);
                let texts: Vec<_> = of.map(text_of).map(str::to_owned).collect();
                let expected: Vec<_> = (0..25).map(|number| number.to_string()).collect();
                assert_eq!(texts, expected);
            }
            first = heard;
        } else {
            assert!(first == heard, "agents hear the same in the same order");
        }
    }
}

/// Whoever was away asks `events.list`, and has missed nothing.
#[tokio::test]
async fn what_was_said_while_an_agent_was_away_is_after_its_cursor() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let (mut socket, at_connect) = Socket::connect_agent(&server, TOKEN).await;
    visitor
        .write(&server, "between connecting and subscribing")
        .await;
    socket.subscribe_to("0", MESSAGES).await;
    visitor.write(&server, "heard").await;
    let frame = socket.frame().await;
    assert_eq!(text_of(&body(&frame)), "heard");
    let last = header(&frame, "cursor").to_owned();
    drop(socket);

    for number in 0..20 {
        visitor.write(&server, &format!("away {number}")).await;
    }
    reply(&server, &conversation, "away 20").await;
    let after = async |cursor: &str| -> Vec<String> {
        let list = server.call("events.list", json!({ "cursor": cursor }));
        let list = list.await.ok();
        let texts = list["data"].as_array().unwrap().iter();
        texts
            .map(|event| event["text"].as_str().unwrap().to_owned())
            .collect()
    };
    // It is an event once it is delivered.
    let until = Instant::now() + SOON;
    while after(&last).await.len() < 21 {
        assert!(Instant::now() < until);
    }
    let (mut socket, now) = Socket::connect_agent(&server, TOKEN).await;
    socket.subscribe_to("0", MESSAGES).await;
    visitor.write(&server, "back").await;
    assert_eq!(text_of(&socket.told().await.1), "back");

    let mut expected: Vec<_> = (0..=20).map(|number| format!("away {number}")).collect();
    expected.push("back".to_owned());
    assert_eq!(after(&last).await, expected);
    expected.splice(
        ..0,
        ["between connecting and subscribing", "heard"].map(str::to_owned),
    );
    assert_eq!(after(&at_connect).await, expected);
    assert_eq!(after(&now).await, ["back"]);
}

#[tokio::test]
async fn each_subscription_hears_until_it_is_given_up() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let (mut socket, _) = Socket::connect_agent(&server, TOKEN).await;
    socket.subscribe_to("one", MESSAGES).await;
    socket.subscribe_to("two", MESSAGES).await;
    socket.subscribe_to("unread", UNREAD).await;
    // The same again is no other.
    socket.subscribe_to("two", MESSAGES).await;
    socket.ask("UNSUBSCRIBE\nid:unread").await;
    visitor.write(&server, "for both").await;
    for id in ["one", "two"] {
        let frame = socket.frame().await;
        assert_eq!(header(&frame, "subscription"), id);
        assert_eq!(text_of(&body(&frame)), "for both");
    }
    socket.ask("UNSUBSCRIBE\nid:one").await;
    visitor.write(&server, "for two").await;
    assert_eq!(header(&socket.frame().await, "subscription"), "two");
    socket.ask("UNSUBSCRIBE\nid:two").await;
    visitor.write(&server, "for nobody").await;
    socket.subscribe_to("three", MESSAGES).await;
    visitor.write(&server, "for three").await;
    assert_eq!(text_of(&socket.told().await.1), "for three");
    socket.ask("DISCONNECT").await;
    socket.end().await;
}

#[tokio::test]
async fn what_has_no_meaning_for_agents_is_an_error_and_the_end() {
    let server = Server::start().await;
    for (frame, says) in [
        (
            "SUBSCRIBE\nid:0\ndestination:/user/queue/message\n\n\0",
            UNREAD,
        ),
        ("SUBSCRIBE\nid:0\ndestination:/queue\n\n\0", EVENTS),
        ("SUBSCRIBE\nid:0\n\n\0", MESSAGES),
        ("SUBSCRIBE\nid:x\ndestination:/events\n\n\0", "id"),
        ("SEND\ndestination:/app/x\n\nhello\0", "messages.send"),
        ("ACK\nid:1\n\n\0", ""),
        ("garbage\0", "malformed"),
    ] {
        let (mut socket, _) = Socket::connect_agent(&server, TOKEN).await;
        socket.subscribe_to("x", MESSAGES).await;
        socket.send(frame).await;
        let error = socket.error().await;
        assert!(error.contains(says), "{frame:?}: {error}");
        socket.end().await;
    }
    let (mut socket, _) = Socket::connect_agent(&server, TOKEN).await;
    for id in 0..16 {
        socket.subscribe_to(&id.to_string(), EVENTS).await;
    }
    socket
        .send("SUBSCRIBE\nid:16\ndestination:/events\n\n\0")
        .await;
    assert!(socket.error().await.contains("16"));
}

/// It reads nothing while the others hear everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_too_slow_is_sent_away_while_others_go_on() {
    let server = Server::start().await;
    let channel = server.connect_channel().await;
    let mut slow = Socket::agent(&server, &[MESSAGES]).await;
    let mut quick = Socket::agent(&server, &[MESSAGES]).await;
    // More than fits into the socket's buffers and what may wait for it.
    let (visitors, each) = (16, 140);
    let visitors = join_all((0..visitors).map(|_| Visitor::arrive(&server, &channel))).await;
    let count = visitors.len() * each;
    let text = "x".repeat(8 << 10);
    let write = async |visitor: &Visitor| {
        for _ in 0..each {
            visitor.write(&server, &text).await;
        }
    };
    let writing = join_all(visitors.iter().map(write));
    let hearing = async {
        let mut order = Vec::new();
        for _ in 0..count {
            order.push(quick.told().await.1["message"]["id"].clone());
        }
        order
    };
    let (_, order) = tokio::join!(writing, hearing);
    let mut heard = 0;
    let error = loop {
        let frame = slow.frame().await;
        if frame.starts_with("ERROR\n") {
            break header(&frame, "message").to_owned();
        }
        assert_eq!(body(&frame)["message"]["id"], order[heard]);
        heard += 1;
    };
    assert!(error.starts_with("too slow"), "{error}");
    assert!((1_024..count).contains(&heard), "{heard} of {count}");
    slow.end().await;
    visitors[0].write(&server, "still there").await;
    assert_eq!(text_of(&quick.told().await.1), "still there");
}

#[tokio::test]
async fn a_server_that_stops_closes_the_sockets_of_agents() {
    let mut server = Server::start().await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::agent(&server, &[MESSAGES, UNREAD, EVENTS]).await);
    }
    server.terminate().await;
    let began = Instant::now();
    for socket in &mut sockets {
        assert_eq!(socket.next(SOON).await, None, "an end without an error");
    }
    assert!(server.ended(SOON).await.success());
    // It need not give up on them.
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_told_so() {
    let server = Server::start().await;
    let answer = server.get("ws.communication").await;
    assert_eq!(answer.status, 426);
    assert_eq!(answer.json()["code"], "websocket_expected");
}

/// Beyond the time after which a token is looked at again.
#[tokio::test]
async fn an_agent_whose_token_is_good_stays_and_hears_heart_beats() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::open_at(&server, "ws.communication", None).await;
    let connect =
        format!("CONNECT\naccept-version:1.2\nheart-beat:0,1000\nAuthorization:{TOKEN}\n\n\0");
    socket.send(&connect).await;
    assert!(socket.frame().await.starts_with("CONNECTED\n"));
    socket.subscribe_to("0", MESSAGES).await;
    for _ in 0..17 {
        let beat = socket.next(Duration::from_millis(1_900)).await;
        assert_eq!(beat.as_deref(), Some("\n"));
    }
    visitor.write(&server, "still there").await;
    assert_eq!(text_of(&socket.told().await.1), "still there");
}
