//! Who is let in to hear everything, and for how long.

use std::time::Duration;

use serde_json::{Value, json};
use tradewind_model::{Clock as _, SystemClock};

use super::MESSAGES;
use crate::support::{
    SOON,
    server::{Server, TOKEN},
    socket::Socket,
};

/// A new token of this scope, as `tokens.create` answers.
async fn create(server: &Server, scope: &str, life: Option<Duration>) -> Value {
    let expires_at = life.map(|life| format!("{:.3}", SystemClock.now() + life));
    let create = json!({"name": "agent", "scope": scope, "expires_at": expires_at});
    let answer = server.call("tokens.create", create).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

fn text(token: &Value) -> &str {
    token["token"].as_str().unwrap()
}

async fn is_let_in(socket: &mut Socket, headers: &str) -> bool {
    let connect = format!("CONNECT\naccept-version:1.2\n{headers}\n\0");
    socket.send(&connect).await;
    let frame = socket.frame().await;
    if frame.starts_with("CONNECTED\n") {
        return true;
    }
    assert!(frame.starts_with("ERROR\nmessage:401"), "{frame}");
    assert_eq!(socket.next(SOON).await, None);
    false
}

async fn lets_in(server: &Server, token: &str) -> bool {
    let mut socket = Socket::open_at(server, "ws.communication", None).await;
    is_let_in(&mut socket, &format!("Authorization:{token}\n")).await
}

#[tokio::test]
async fn agents_are_let_in_by_a_token_that_may_read() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    let resume = server.call_as(&visitor.token, "chatplugin.resumeToken", json!({}));
    let resume = resume.await.ok();
    let hour = Some(Duration::from_hours(1));
    let reader = create(&server, "read", None).await;
    let writer = create(&server, "agent", hour).await;
    let revoked = create(&server, "admin", None).await;
    let revoke = json!({ "id": revoked["id"] });
    server.call("tokens.revoke", revoke).await.ok();
    let owner = json!({"first_name": "Ada", "last_name": "L", "email": "ada@example.org", "password": "correct horse"});
    let login = server.call_as("", "users.signup", owner).await.ok();
    let bearer = format!("Bearer {}", text(&reader));
    for good in [text(&reader), text(&writer), text(&login), &bearer, TOKEN] {
        assert!(lets_in(&server, good).await, "{good:?}");
    }
    let resume = resume["resume_token"].as_str().unwrap();
    let revoked = text(&revoked);
    for bad in ["", "Bearer ", "nonsense", revoked, &visitor.token, resume] {
        assert!(!lets_in(&server, bad).await, "{bad:?}");
    }
    let mut socket = Socket::open_at(&server, "ws.communication", None).await;
    assert!(!is_let_in(&mut socket, "").await, "without a token");
}

#[tokio::test]
async fn the_token_of_the_http_request_counts_if_the_connect_has_none() {
    let server = Server::start().await;
    for (requested, connect, good) in [
        (TOKEN, "", true),
        ("nonsense", "", false),
        ("nonsense", TOKEN, true),
        (TOKEN, "nonsense", false),
    ] {
        let requested = format!("Bearer {requested}");
        let mut socket = Socket::open_at(&server, "ws.communication", Some(&requested)).await;
        let header = match connect {
            "" => String::new(),
            token => format!("authorization:{token}\n"),
        };
        let let_in = is_let_in(&mut socket, &header).await;
        assert_eq!(let_in, good, "{requested}, {connect}");
    }
}

/// Also while there is always something to tell.
#[tokio::test]
async fn an_agent_is_sent_away_when_its_token_expires() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    let token = create(&server, "read", Some(Duration::from_secs(4))).await;
    let (mut idle, _) = Socket::connect_agent(&server, text(&token)).await;
    let (mut busy, _) = Socket::connect_agent(&server, text(&token)).await;
    busy.subscribe_to("0", MESSAGES).await;
    let write = async {
        loop {
            visitor.write(&server, "more").await;
        }
    };
    let hear = async {
        let error = loop {
            let frame = busy.frame().await;
            if !frame.starts_with("MESSAGE\n") {
                break frame;
            }
        };
        assert!(error.starts_with("ERROR\nmessage:401"), "{error}");
        busy.end().await;
        assert!(idle.error().await.starts_with("401"));
        idle.end().await;
        assert!(!lets_in(&server, text(&token)).await);
    };
    tokio::select! {
        () = write => {}
        ended = tokio::time::timeout(SOON, hear) => ended.unwrap(),
    }
}

#[tokio::test]
async fn an_agent_is_sent_away_when_its_token_is_revoked() {
    let server = Server::start().await;
    let token = create(&server, "agent", None).await;
    let (mut socket, _) = Socket::connect_agent(&server, text(&token)).await;
    let (mut other, _) = Socket::connect_agent(&server, TOKEN).await;
    let revoke = json!({ "id": token["id"] });
    server.call("tokens.revoke", revoke).await.ok();
    let error = socket.next(Duration::from_secs(20)).await.unwrap();
    assert!(error.starts_with("ERROR\nmessage:401"), "{error}");
    socket.end().await;
    other
        .ask("SUBSCRIBE\nid:0\ndestination:/queue/message")
        .await;
}
