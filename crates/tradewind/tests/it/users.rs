//! People, tokens and the record of changes, over HTTP.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    process::binary,
    server::{Answer, Server, TOKEN},
    text,
};

const PASSWORD: &str = "analytical engine";

async fn open(server: &Server, verb: &str, body: Value) -> Answer {
    server.try_call(verb, &body, &[]).await.unwrap()
}

fn ada() -> Value {
    json!({"email": "Ada@Example.org", "first_name": "Ada", "last_name": "Lovelace", "password": PASSWORD})
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), text(&answer.json()["code"]))
}

/// Signs the owner up and gives their token.
async fn owner(server: &Server) -> String {
    text(&open(server, "users.signup", ada()).await.ok()["token"])
}

/// Invites somebody, who comes in; their id and token.
async fn join(server: &Server, email: &str, scope: &str) -> (String, String) {
    let invite = json!({"email": email, "scope": scope});
    let invited = server.call("users.invite", invite).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.text);
    let accept = json!({"id": invited.json()["id"], "first_name": "Grace", "last_name": "Hopper", "password": PASSWORD});
    let user = open(server, "users.accept-invitation", accept).await.ok();
    (text(&user["id"]), text(&user["token"]))
}

#[tokio::test]
async fn the_first_user_signs_up_and_nobody_after() {
    let server = Server::start().await;
    let signed_up = open(&server, "users.signup", ada()).await.ok();
    let keys: Vec<_> = signed_up.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["id", "first_name", "last_name", "token"]);
    assert_eq!(signed_up["first_name"], "Ada");
    let token = text(&signed_up["token"]);
    // The owner may do everything.
    let webhook = server.call_as(
        &token,
        "webhooks.subscribe",
        json!({"url": "http://127.0.0.1:9/"}),
    );
    webhook.await.ok();
    let again = open(&server, "users.signup", ada()).await;
    assert_eq!(code(&again), (403, "signup_closed".to_owned()));
    let users = server.call("users.list", json!({})).await.ok();
    assert_eq!(users["data"].as_array().unwrap().len(), 1);
    assert_eq!(users["data"][0]["email"], "ada@example.org");
    assert_eq!(users["data"][0]["scope"], "admin");
}

#[tokio::test]
async fn a_bad_sign_up_names_the_field_and_lets_nobody_in() {
    let server = Server::start().await;
    for (field, value) in [
        ("email", json!("nobody")),
        ("email", json!("a@b@c")),
        ("email", json!(" @example.org")),
        ("first_name", json!("  ")),
        ("last_name", json!("a\nb")),
        ("password", json!("1234567")),
        ("password", json!("x".repeat(2_000))),
        ("password", json!(12_345_678)),
    ] {
        let mut body = ada();
        body[field] = value;
        let refused = open(&server, "users.signup", body).await;
        assert_eq!(code(&refused), (400, "invalid_request".to_owned()));
        let said = text(&refused.json()["message"]);
        assert!(said.starts_with(&format!("{field}: ")), "{said}");
        assert!(!said.contains("1234567"), "{said}");
    }
    owner(&server).await;
}

#[tokio::test]
async fn of_sign_ups_at_once_one_comes_in() {
    let server = Server::start().await;
    let all = (0..6).map(|_| open(&server, "users.signup", ada()));
    let all = futures_util::future::join_all(all).await;
    let came_in = all.iter().filter(|one| one.status == StatusCode::OK);
    assert_eq!(came_in.count(), 1);
}

#[tokio::test]
async fn who_logs_in_gets_a_token_of_their_scope() {
    let server = Server::start().await;
    owner(&server).await;
    let (id, _) = join(&server, "grace@example.org", "read").await;
    let login = json!({"email": " GRACE@example.org ", "password": PASSWORD});
    let login = open(&server, "users.login", login).await.ok();
    assert_eq!(login["id"], json!(id));
    let token = text(&login["token"]);
    server
        .call_as(&token, "conversations.list", json!({}))
        .await
        .ok();
    let refused = server.call_as(
        &token,
        "tags.create",
        json!({"name": "x", "color": "tag-red"}),
    );
    assert_eq!(code(&refused.await), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn who_is_unknown_and_who_is_wrong_are_answered_alike() {
    let server = Server::start().await;
    owner(&server).await;
    let wrong = json!({"email": "ada@example.org", "password": "something else"});
    let unknown = json!({"email": "nobody@example.org", "password": PASSWORD});
    let wrong = open(&server, "users.login", wrong).await;
    let unknown = open(&server, "users.login", unknown).await;
    assert_eq!(code(&wrong), (401, "login_failed".to_owned()));
    assert_eq!(wrong.text, unknown.text);
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn a_bad_token_does_not_keep_anybody_from_logging_in() {
    let server = Server::start().await;
    owner(&server).await;
    let login = json!({"email": "ada@example.org", "password": PASSWORD});
    let stale = [("authorization", "a-token-of-long-ago")];
    let answer = server
        .try_call("users.login", &login, &stale)
        .await
        .unwrap();
    answer.ok();
}

#[tokio::test]
async fn passwords_cannot_be_tried_without_end() {
    let server = Server::start().await;
    owner(&server).await;
    let mut refused = None;
    for number in 0..12 {
        let login = json!({"email": "ada@example.org", "password": format!("guess {number}")});
        let answer = open(&server, "users.login", login).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("nobody stopped it");
    assert_eq!(code(&refused), (429, "too_many_requests".to_owned()));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    // Others are not held up.
    join(&server, "grace@example.org", "agent").await;
}

#[tokio::test]
async fn an_invitation_is_good_once() {
    let server = Server::start().await;
    owner(&server).await;
    let invited = server
        .call("users.invite", json!({"email": "grace@example.org"}))
        .await;
    let id = invited.json()["id"].clone();
    let accept =
        json!({"id": id, "first_name": "Grace", "last_name": "Hopper", "password": PASSWORD});
    let short =
        json!({"id": id, "first_name": "Grace", "last_name": "Hopper", "password": "short"});
    let refused = open(&server, "users.accept-invitation", short).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    open(&server, "users.accept-invitation", accept.clone())
        .await
        .ok();
    let again = open(&server, "users.accept-invitation", accept).await;
    assert_eq!(code(&again), (404, "invitation_not_found".to_owned()));
    let taken = server
        .call("users.invite", json!({"email": "Grace@example.org"}))
        .await;
    assert_eq!(code(&taken), (409, "email_taken".to_owned()));
    let users = server.call("users.list", json!({})).await.ok();
    assert_eq!(users["data"][1]["scope"], "agent");
}

#[tokio::test]
async fn only_an_admin_invites_and_removes() {
    let server = Server::start().await;
    owner(&server).await;
    let (id, token) = join(&server, "grace@example.org", "agent").await;
    for (verb, body) in [
        ("users.invite", json!({"email": "x@example.org"})),
        ("users.remove", json!({ "id": id })),
        ("tokens.list", json!({})),
        ("audit.list", json!({})),
    ] {
        let refused = server.call_as(&token, verb, body).await;
        assert_eq!(code(&refused), (403, "forbidden".to_owned()), "{verb}");
    }
    server.call("users.remove", json!({ "id": id })).await.ok();
    let gone = server
        .call_as(&token, "conversations.list", json!({}))
        .await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    let gone = server.call("users.remove", json!({ "id": id })).await;
    assert_eq!(code(&gone), (404, "user_not_found".to_owned()));
    let users = server.call("users.list", json!({})).await.ok();
    let last = server
        .call("users.remove", json!({"id": users["data"][0]["id"]}))
        .await;
    assert_eq!(code(&last), (409, "last_admin".to_owned()));
}

#[tokio::test]
async fn a_changed_password_ends_other_logins() {
    let server = Server::start().await;
    let first = owner(&server).await;
    let login = json!({"email": "ada@example.org", "password": PASSWORD});
    let second = text(&open(&server, "users.login", login.clone()).await.ok()["token"]);
    let change = |present: &str, token: &str| {
        let body = json!({"password": present, "new_password": "difference engine"});
        let token = token.to_owned();
        let server = &server;
        async move { server.call_as(&token, "users.change-password", body).await }
    };
    let wrong = change("something else", &second).await;
    assert_eq!(code(&wrong), (403, "wrong_password".to_owned()));
    let nobody = change(PASSWORD, TOKEN).await;
    assert_eq!(code(&nobody), (403, "login_required".to_owned()));
    change(PASSWORD, &second).await.ok();
    let ended = server
        .call_as(&first, "conversations.list", json!({}))
        .await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED);
    server
        .call_as(&second, "conversations.list", json!({}))
        .await
        .ok();
    let old = open(&server, "users.login", login).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let new = json!({"email": "ada@example.org", "password": "difference engine"});
    open(&server, "users.login", new).await.ok();
}

#[tokio::test]
async fn a_login_ends_by_itself() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__LOGIN_HOURS", "1")).await;
    let token = owner(&server).await;
    server
        .call_as(&token, "conversations.list", json!({}))
        .await
        .ok();
    let database = rusqlite::Connection::open(server.data.join("tradewind.db")).unwrap();
    let (ends, begun): (i64, i64) = database
        .query_row(
            "SELECT expires_at_ms, created_at_ms FROM token WHERE user_id IS NOT NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(ends - begun, 3_600_000);
}

#[tokio::test]
async fn a_message_is_sent_by_the_user_who_is_logged_in() {
    let server = Server::start().await;
    let token = owner(&server).await;
    let (_, conversation) = server.converse("hello").await;
    let send = json!({"conversation_id": conversation, "message": {"text": "hi"}});
    server.call_as(&token, "messages.send", send).await.ok();
    let me = server.call("users.list", json!({})).await.ok()["data"][0]["id"].clone();
    let database = rusqlite::Connection::open(server.data.join("tradewind.db")).unwrap();
    let sender: String = database
        .query_row(
            "SELECT sender_id FROM message WHERE sender_kind = 2",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(json!(sender), me);
}

#[tokio::test]
async fn no_password_and_no_token_is_kept_or_logged_in_plain() {
    let mut server = Server::start_with(|command| {
        command
            .env_remove("TRADEWIND_LOG")
            .env("TRADEWIND_LOG", "trace")
    })
    .await;
    let token = owner(&server).await;
    let wrong = json!({"email": "ada@example.org", "password": "a wrong password"});
    open(&server, "users.login", wrong).await;
    server.terminate().await;
    server.ended(Duration::from_secs(20)).await;
    for file in std::fs::read_dir(&server.data).unwrap() {
        let path = file.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in [PASSWORD, token.as_str()] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{} holds it", path.display());
        }
    }
    let log = server.log();
    assert!(log.contains("users.login"), "{log}");
    for secret in [PASSWORD, "a wrong password", token.as_str()] {
        assert!(!log.contains(secret), "{log}");
    }
}

// Tokens

#[tokio::test]
async fn a_token_does_what_its_scope_says_until_it_is_revoked() {
    let server = Server::start().await;
    let made = server
        .call("tokens.create", json!({"name": "bot", "scope": "agent"}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let keys: Vec<_> = made.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        ["id", "name", "scope", "created_at", "expires_at", "token"]
    );
    assert_eq!(made["expires_at"], Value::Null);
    let token = text(&made["token"]);
    server
        .call_as(
            &token,
            "tags.create",
            json!({"name": "x", "color": "tag-red"}),
        )
        .await;
    let refused = server.call_as(
        &token,
        "tokens.create",
        json!({"name": "x", "scope": "read"}),
    );
    assert_eq!(refused.await.status, StatusCode::FORBIDDEN);
    let listed = server.call("tokens.list", json!({})).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["name"], "bot");
    assert!(!listed.to_string().contains(&token));
    server
        .call("tokens.revoke", json!({"id": made["id"]}))
        .await
        .ok();
    let gone = server
        .call_as(&token, "conversations.list", json!({}))
        .await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    let again = server
        .call("tokens.revoke", json!({"id": made["id"]}))
        .await;
    assert_eq!(code(&again), (404, "token_not_found".to_owned()));
}

#[tokio::test]
async fn a_token_ends_when_it_was_to() {
    let server = Server::start().await;
    let past = json!({"name": "bot", "scope": "read", "expires_at": "2020-01-01T00:00:00Z"});
    let refused = server.call("tokens.create", past).await;
    assert!(text(&refused.json()["message"]).starts_with("expires_at: "));
    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    let made = server.call(
        "tokens.create",
        json!({"name": "bot", "scope": "read", "expires_at": soon.to_string()}),
    );
    let token = text(&made.await.json()["token"]);
    server
        .call_as(&token, "conversations.list", json!({}))
        .await
        .ok();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let ended = server
        .call_as(&token, "conversations.list", json!({}))
        .await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_from_the_command_line() {
    let server = Server::start().await;
    let run = async |arguments: &[&str]| {
        let output = binary()
            .arg("token")
            .args(arguments)
            .args(["--url", &server.url(""), "--token", TOKEN])
            .output()
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (made, token, said) = run(&["create", "--name", "weather bot", "--scope", "read"]).await;
    assert!(made, "{said}");
    let token = token.trim();
    server
        .call_as(token, "conversations.list", json!({}))
        .await
        .ok();
    let id = said.trim().rsplit(' ').next().unwrap().to_owned();
    let (_, list, _) = run(&["list"]).await;
    assert!(
        list.contains(&id) && list.trim().ends_with("weather bot"),
        "{list}"
    );
    let (revoked, _, said) = run(&["revoke", &id]).await;
    assert!(revoked, "{said}");
    let gone = server.call_as(token, "conversations.list", json!({})).await;
    assert_eq!(gone.status, StatusCode::UNAUTHORIZED);
    let (again, _, said) = run(&["revoke", &id]).await;
    assert!(
        !again && said.contains("there is no token with this id"),
        "{said}"
    );
}

#[tokio::test]
async fn the_first_token_that_was_revoked_does_not_come_back() {
    let mut server = Server::start_with(|command| command.env_remove("TRADEWIND_API_TOKEN")).await;
    let first = std::fs::read_to_string(server.data.join("token")).unwrap();
    let first = first.trim().to_owned();
    let listed = server.call_as(&first, "tokens.list", json!({})).await.ok();
    let revoke = json!({"id": listed["data"][0]["id"]});
    server.call_as(&first, "tokens.revoke", revoke).await.ok();
    server.terminate().await;
    server.ended(Duration::from_secs(20)).await;
    server.start_again().await;
    let refused = server.call_as(&first, "tokens.list", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

// Audit

#[tokio::test]
async fn who_changed_what_can_be_read() {
    let server = Server::start().await;
    let token = owner(&server).await;
    let channel = json!({"source": "chat_plugin", "source_channel_id": "shop"});
    let channel = server
        .call_as(&token, "channels.connect", channel)
        .await
        .ok();
    let webhook = json!({"url": "http://127.0.0.1:9/hook"});
    server.call("webhooks.subscribe", webhook).await.ok();
    let list = server.call("audit.list", json!({})).await.ok();
    let seen: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                text(&entry["action"]),
                text(&entry["actor"]["name"]),
                text(&entry["detail"]),
            )
        })
        .collect();
    let expected = [
        (
            "webhook.subscribed",
            "TRADEWIND_API_TOKEN",
            "http://127.0.0.1:9/hook",
        ),
        ("channel.connected", "ada@example.org", "chat_plugin shop"),
        ("user.created", "ada@example.org", "ada@example.org, admin"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(seen, expected);
    assert_eq!(list["data"][1]["subject"], channel["id"]);
    assert_eq!(list["response_metadata"]["total"], 3);
    let page = server
        .call("audit.list", json!({"page_size": 2}))
        .await
        .ok();
    let next = page["response_metadata"]["next_cursor"].clone();
    let rest = server
        .call("audit.list", json!({ "cursor": next }))
        .await
        .ok();
    assert_eq!(rest["data"][0]["action"], "user.created");
    assert_eq!(rest["response_metadata"]["next_cursor"], Value::Null);
}

#[tokio::test]
async fn nobody_signs_up_where_the_settings_forbid_it() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__SIGNUP", "false")).await;
    let refused = open(&server, "users.signup", ada()).await;
    assert_eq!(code(&refused), (403, "signup_closed".to_owned()));
    join(&server, "grace@example.org", "admin").await;
}

#[tokio::test]
async fn nobody_keeps_a_user_out_by_trying_from_elsewhere() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__TRUSTED_PROXIES", "127.0.0.1"))
            .await;
    owner(&server).await;
    let try_from = async |address: &str, password: &str| {
        let login = json!({"email": "ada@example.org", "password": password});
        let headers = [("x-forwarded-for", address)];
        let answer = server.try_call("users.login", &login, &headers).await;
        answer.unwrap().status
    };
    let mut last = StatusCode::OK;
    for _ in 0..12 {
        last = try_from("203.0.113.7:4711", "wrong password").await;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(try_from("192.0.2.1", PASSWORD).await, StatusCode::OK);
}
