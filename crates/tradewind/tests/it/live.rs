//! Live updates of visitors: STOMP over a WebSocket, frame by frame. Those of agents are in [`agents`].

mod agents;

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    normalize,
    server::{Server, TOKEN},
    socket::Socket,
    visitor::Visitor,
};

const SUBSCRIBE: &str = "SUBSCRIBE\nid:0\ndestination:/user/queue/message\n\n\0";

async fn reply(server: &Server, conversation: &str, text: &str) {
    let send = json!({"conversation_id": conversation, "message": {"text": text}});
    server.call("messages.send", send).await.ok();
}

/// The text of the message that a frame carries.
fn text_in(frame: &str) -> String {
    let (_, body) = frame.split_once("\n\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body.trim_end_matches('\0')).unwrap();
    body["message"]["content"]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_visitor_connects_with_a_bare_token_and_with_bearer() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    for token in [visitor.token.clone(), format!("Bearer {}", visitor.token)] {
        let mut socket = Socket::open(&server).await;
        assert_eq!(socket.protocol, "v12.stomp");
        let connect = format!(
            "CONNECT\naccept-version:1.0,1.1,1.2\nheart-beat:0,0\nAuthorization:{token}\n\n\0"
        );
        socket.send(&connect).await;
        assert_eq!(
            socket.frame().await,
            "CONNECTED\nversion:1.2\nheart-beat:1000,1000\n\n\0"
        );
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_with_401_and_the_end() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    let resume = server
        .call_as(&visitor.token, "chatplugin.resumeToken", json!({}))
        .await
        .ok();
    let resume = resume["resume_token"].as_str().unwrap();
    let changed = visitor.token.replace('A', "B");
    for token in ["", "nonsense", "Bearer ", TOKEN, resume, &changed] {
        let mut socket = Socket::open(&server).await;
        let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{token}\n\n\0");
        socket.send(&(connect + SUBSCRIBE)).await;
        let error = socket.error().await;
        assert!(error.contains("401"), "{token:?}: {error}");
        socket.end().await;
    }
}

#[tokio::test]
async fn no_token_is_refused_with_401_and_the_end() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    socket.send("CONNECT\naccept-version:1.2\n\n\0").await;
    assert!(socket.error().await.contains("401"));
    socket.end().await;
}

#[tokio::test]
async fn a_visitor_hears_what_was_written_and_the_reply_once_it_is_delivered() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let mut socket = Socket::listen(&server, &visitor.token).await;
    visitor.write(&server, "mine").await;
    insta::assert_snapshot!(normalize(&socket.frame().await).replace('\0', "^@"), @r#"
    MESSAGE
    destination:/user/queue/message
    subscription:0
    message-id:1
    content-type:application/json
    content-length:323

    {"conversation_id":"[id 1]","channel_id":"[id 2]","message":{"id":"[id 3]","content":{"text":"mine","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"}}^@
    "#);
    reply(&server, &conversation, "yours").await;
    insta::assert_snapshot!(normalize(&socket.frame().await).replace('\0', "^@"), @r#"
    MESSAGE
    destination:/user/queue/message
    subscription:0
    message-id:2
    content-type:application/json
    content-length:318

    {"conversation_id":"[id 1]","channel_id":"[id 2]","message":{"id":"[id 3]","content":{"text":"yours","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"app_user","sent_at":"[time]"}}^@
    "#);
    // Nothing came twice: the next frame is of the next message.
    visitor.write(&server, "next").await;
    assert_eq!(text_in(&socket.frame().await), "next");
}

#[tokio::test]
async fn messages_come_in_their_order() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let mut socket = Socket::listen(&server, &visitor.token).await;
    for number in 0..50 {
        visitor.write(&server, &number.to_string()).await;
    }
    reply(&server, &conversation, "50").await;
    for number in 0..=50 {
        assert_eq!(text_in(&socket.frame().await), number.to_string());
    }
}

#[tokio::test]
async fn every_socket_of_a_visitor_hears_and_no_socket_of_another() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let (other, _) = server.converse("other").await;
    let mut one = Socket::listen(&server, &visitor.token).await;
    let mut two = Socket::listen(&server, &visitor.token).await;
    let mut stranger = Socket::listen(&server, &other.token).await;
    reply(&server, &conversation, "to both").await;
    assert_eq!(text_in(&one.frame().await), "to both");
    assert_eq!(text_in(&two.frame().await), "to both");
    // What a stranger hears first is a later message of its own.
    other.write(&server, "my own").await;
    assert_eq!(text_in(&stranger.frame().await), "my own");
}

#[tokio::test]
async fn a_visitor_who_came_back_hears_the_same_conversation() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("before").await;
    let resume = server
        .call_as(&visitor.token, "chatplugin.resumeToken", json!({}))
        .await
        .ok();
    let back = server
        .call_as("", "chatplugin.authenticate", resume)
        .await
        .ok();
    let back = Visitor {
        token: back["token"].as_str().unwrap().to_owned(),
    };
    let mut socket = Socket::listen(&server, &back.token).await;
    reply(&server, &conversation, "welcome back").await;
    assert_eq!(text_in(&socket.frame().await), "welcome back");
}

#[tokio::test]
async fn frames_are_understood_however_they_are_cut() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let connect = format!(
        "\n\r\nCONNECT\r\naccept-version:1.1\r\nAuthorization:{}\r\n\r\n\0",
        visitor.token
    );
    let subscribe = "SUBSCRIBE\nid:0\ndestination:/user/queue/message\nreceipt:ü\n\n\0\n\n";
    for size in [1, 7, 1_000] {
        let mut socket = Socket::open(&server).await;
        // Binary, because a cut may go through a character.
        for part in connect.as_bytes().chunks(size) {
            socket.send_message(Message::binary(part.to_vec())).await;
        }
        assert!(socket.frame().await.starts_with("CONNECTED\nversion:1.1\n"));
        for part in subscribe.repeat(2).as_bytes().chunks(size) {
            socket.send_message(Message::binary(part.to_vec())).await;
        }
        for _ in 0..2 {
            assert_eq!(socket.frame().await, "RECEIPT\nreceipt-id:ü\n\n\0");
        }
    }
}

#[tokio::test]
async fn what_comes_with_the_connect_frame_is_not_lost() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::open(&server).await;
    let connect = format!(
        "CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0",
        visitor.token
    );
    let subscribe = SUBSCRIBE.replace("id:0", "id:0\nreceipt:done");
    socket.send(&(connect + &subscribe)).await;
    assert!(socket.frame().await.starts_with("CONNECTED\n"));
    assert_eq!(socket.frame().await, "RECEIPT\nreceipt-id:done\n\n\0");
}

#[tokio::test]
async fn the_first_versions_of_stomp_are_spoken_too() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::open(&server).await;
    let connect = format!("CONNECT\nAuthorization:{}\n\n\0", visitor.token);
    socket.send(&connect).await;
    assert!(socket.frame().await.starts_with("CONNECTED\nversion:1.0\n"));
    socket
        .ask("SUBSCRIBE\ndestination:/user/queue/message")
        .await;
    visitor.write(&server, "old").await;
    let frame = socket.frame().await;
    assert!(
        frame.contains("\nsubscription:/user/queue/message\n"),
        "{frame}"
    );
    assert_eq!(text_in(&frame), "old");
}

#[tokio::test]
async fn nothing_is_heard_after_unsubscribing_until_subscribing_again() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::listen(&server, &visitor.token).await;
    socket.ask("UNSUBSCRIBE\nid:0").await;
    visitor.write(&server, "not heard").await;
    socket.subscribe("again").await;
    visitor.write(&server, "heard").await;
    let frame = socket.frame().await;
    assert!(frame.contains("\nsubscription:again\n"), "{frame}");
    assert_eq!(text_in(&frame), "heard");
}

#[tokio::test]
async fn a_goodbye_is_acknowledged_and_is_the_end() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::listen(&server, &visitor.token).await;
    socket.ask("DISCONNECT").await;
    socket.end().await;
}

#[tokio::test]
async fn what_has_no_meaning_is_an_error_and_the_end() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    for (frame, says) in [
        (
            "SUBSCRIBE\nid:0\ndestination:/queue/message\n\n\0",
            "/user/queue/message",
        ),
        ("SUBSCRIBE\nid:0\n\n\0", "/user/queue/message"),
        ("SEND\ndestination:/app/x\n\nhello\0", "chatplugin.send"),
        ("CONNECT\naccept-version:1.2\n\n\0", ""),
        ("NONSENSE\n\n\0", ""),
        ("garbage\0", "malformed"),
        ("SUBSCRIBE\nno colon\n\n\0", "malformed"),
        ("SUBSCRIBE\nid:\\q\n\n\0", "malformed"),
        ("SEND\ncontent-length:-1\n\n\0", "malformed"),
        ("SEND\ncontent-length:99999999999999999999\n\n\0", ""),
    ] {
        let mut socket = Socket::connect(&server, &visitor.token).await;
        socket.send(frame).await;
        let error = socket.error().await;
        assert!(error.contains(says), "{frame:?}: {error}");
        socket.end().await;
    }
}

#[tokio::test]
async fn what_is_no_connect_is_an_error_and_the_end() {
    let server = Server::start().await;
    for first in [
        SUBSCRIBE,
        "garbage\0",
        "\0",
        "CONNECT\naccept-version:9\n\n\0",
        "{\"json\":1}\n\n\0",
    ] {
        let mut socket = Socket::open(&server).await;
        socket.send(first).await;
        socket.error().await;
        socket.end().await;
    }
    let mut socket = Socket::open(&server).await;
    socket.send_message(Message::binary(vec![0xff; 100])).await;
    socket.send("\n\n\0").await;
    socket.error().await;
    socket.end().await;
}

#[tokio::test]
async fn a_seventeenth_subscription_is_an_error() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::connect(&server, &visitor.token).await;
    for id in 0..16 {
        socket.subscribe(&id.to_string()).await;
    }
    socket.send(&SUBSCRIBE.replace("id:0", "id:16")).await;
    assert!(socket.error().await.contains("16"));
}

#[tokio::test]
async fn a_frame_of_a_megabyte_is_the_end() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::connect(&server, &visitor.token).await;
    socket
        .send(&format!("SEND\n\n{}\0", "x".repeat(1 << 20)))
        .await;
    socket.end().await;
    // In parts it is no better.
    let mut socket = Socket::connect(&server, &visitor.token).await;
    for _ in 0..32 {
        socket.send(&"x".repeat(32 << 10)).await;
    }
    socket.end().await;
    assert_eq!(server.get("health").await.status, 200);
    assert!(!server.log().contains("panicked"));
}

#[tokio::test]
async fn a_client_that_does_not_connect_in_ten_seconds_is_sent_away() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server).await;
    let opened = Instant::now();
    // Heart-beats are no CONNECT.
    socket.send("\n\n").await;
    let error = socket.next(Duration::from_secs(12)).await.unwrap();
    assert!(error.starts_with("ERROR\n"), "{error}");
    socket.end().await;
    assert!(opened.elapsed() > Duration::from_secs(9));
}

#[tokio::test]
async fn heart_beats_come_as_often_as_asked_for() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let mut socket = Socket::open(&server).await;
    let connect = format!(
        "CONNECT\naccept-version:1.2\nheart-beat:0,1000\nAuthorization:{}\n\n\0",
        visitor.token
    );
    socket.send(&connect).await;
    let connected = socket.next(Duration::from_secs(5)).await.unwrap();
    assert!(connected.starts_with("CONNECTED\n"), "{connected}");
    let started = Instant::now();
    for _ in 0..3 {
        let beat = socket.next(Duration::from_millis(1_900)).await;
        assert_eq!(beat.as_deref(), Some("\n"));
    }
    assert!(
        started.elapsed() > Duration::from_millis(2_500),
        "too often"
    );
}

#[tokio::test]
async fn a_client_whose_heart_stops_is_sent_away_and_one_whose_heart_beats_is_not() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let connect = format!(
        "CONNECT\naccept-version:1.2\nheart-beat:1000,0\nAuthorization:{}\n\n\0",
        visitor.token
    );
    let (mut dead, mut alive) = (Socket::open(&server).await, Socket::open(&server).await);
    for socket in [&mut dead, &mut alive] {
        socket.send(&connect).await;
        assert!(socket.frame().await.starts_with("CONNECTED\n"));
    }
    alive.subscribe("0").await;
    let beat = async {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            alive.send("\n").await;
        }
    };
    tokio::select! {
        () = beat => {}
        () = dead.end() => {}
    }
    visitor.write(&server, "still there").await;
    assert_eq!(text_in(&alive.frame().await), "still there");
}

/// Others listen too, so that the hub is neither silent nor far.
#[tokio::test]
async fn whoever_subscribes_hears_all_that_is_acknowledged_later() {
    let server = Server::start().await;
    let (other, _) = server.converse("other").await;
    let _listening = Socket::listen(&server, &other.token).await;
    let channel = server.connect_channel().await;
    let arrive = async |number: usize| {
        let visitor = Visitor::arrive(&server, &channel).await;
        for text in ["first", "second"] {
            let mut socket = Socket::listen(&server, &visitor.token).await;
            let text = format!("{text} {number}");
            visitor.write(&server, &text).await;
            assert_eq!(text_in(&socket.frame().await), text);
        }
    };
    futures_util::future::join_all((0..20).map(arrive)).await;
}
