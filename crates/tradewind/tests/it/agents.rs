//! What people do with conversations: read, tag, note, name; and what holds for each call.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    server::{Server, TOKEN},
    shown, text,
};

const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

async fn info(server: &Server, conversation: &str) -> Value {
    let body = json!({ "conversation_id": conversation });
    server.call("conversations.info", body).await.ok()
}

#[tokio::test]
async fn reading_a_conversation_leaves_nothing_unread() {
    let server = Server::start().await;
    let (visitor, id) = server.converse("hello").await;
    assert_eq!(info(&server, &id).await["unread_message_count"], 1);
    let read = server
        .call("conversations.read", json!({"conversation_id": id}))
        .await;
    assert_eq!(shown(&read), "202 {}");
    assert_eq!(info(&server, &id).await["unread_message_count"], 0);
    visitor.write(&server, "again").await;
    assert_eq!(info(&server, &id).await["unread_message_count"], 1);
}

#[tokio::test]
async fn a_conversation_is_tagged_and_untagged() {
    let server = Server::start().await;
    let (_, id) = server.converse("hello").await;
    let tag = server
        .call("tags.create", json!({"name": "urgent", "color": "tag-red"}))
        .await;
    assert_eq!(tag.status, StatusCode::CREATED);
    let tag = tag.json();
    assert_eq!(tag.as_object().unwrap().len(), 1);
    let body = json!({"conversation_id": id, "tag_id": tag["id"]});
    for _ in 0..2 {
        let tagged = server.call("conversations.tag", body.clone()).await;
        assert_eq!(shown(&tagged), "202 {}");
    }
    assert_eq!(info(&server, &id).await["tags"], json!([tag["id"]]));
    for _ in 0..2 {
        let untagged = server.call("conversations.untag", body.clone()).await;
        assert_eq!(shown(&untagged), "202 {}");
    }
    assert_eq!(info(&server, &id).await["tags"], json!([]));
}

#[tokio::test]
async fn tags_are_listed_with_colours_as_old_clients_know_them() {
    let server = Server::start().await;
    for (name, color) in [("a", "tag-green"), ("b", "BLUE"), ("c", "tag-purple")] {
        server
            .call("tags.create", json!({"name": name, "color": color}))
            .await;
    }
    let list = server.call("tags.list", json!({})).await;
    insta::assert_snapshot!(shown(&list), @r#"200 {"data":[{"id":"[id 1]","name":"a","color":"GREEN"},{"id":"[id 2]","name":"b","color":"BLUE"},{"id":"[id 3]","name":"c","color":"PURPLE"}]}"#);
    let id = list.json()["data"][0]["id"].clone();
    let update = json!({"id": id, "color": "tag-red"});
    assert_eq!(shown(&server.call("tags.update", update).await), "200 {}");
    let wrong = server
        .call("tags.update", json!({"id": id, "color": "pink"}))
        .await;
    assert_eq!(
        text(&wrong.json()["message"]),
        "color: must be one of tag-red, tag-green, tag-blue, tag-purple"
    );
    let list = server.call("tags.list", json!({})).await.ok();
    assert_eq!(
        (&list["data"][0]["name"], &list["data"][0]["color"]),
        (&json!("a"), &json!("RED"))
    );
    assert_eq!(
        shown(&server.call("tags.delete", json!({ "id": id })).await),
        "200 {}"
    );
    for verb in ["tags.delete", "tags.update"] {
        let gone = server.call(verb, json!({ "id": id })).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    }
}

/// As clients of Airy Core call it: a content type and no body.
#[tokio::test]
async fn lists_are_answered_without_a_body() {
    let server = Server::start().await;
    for verb in [
        "tags.list",
        "channels.list",
        "users.list",
        "tokens.list",
        "audit.list",
    ] {
        let headers = [
            ("authorization", TOKEN),
            ("content-type", "application/json"),
        ];
        let answer = server
            .request(Method::POST, verb, &headers, "")
            .await
            .unwrap();
        answer.ok();
    }
}

#[tokio::test]
async fn metadata_is_part_of_the_contact() {
    let server = Server::start().await;
    let (_, id) = server.converse("hello").await;
    let set = |key: &str, value: &str| json!({"conversation_id": id, "key": key, "value": value});
    assert_eq!(
        shown(&server.call("metadata.set", set("ad.id", "7")).await),
        "200 {}"
    );
    assert_eq!(
        shown(&server.call("metadata.set", set("ad.id", "8")).await),
        "200 {}"
    );
    let contact = info(&server, &id).await["contact"].clone();
    assert_eq!(contact["info"], json!({"public.ad.id": "8"}));
    let remove = json!({"conversation_id": id, "key": "ad.id"});
    for _ in 0..2 {
        assert_eq!(
            shown(&server.call("metadata.remove", remove.clone()).await),
            "200 {}"
        );
    }
    assert_eq!(info(&server, &id).await["contact"]["info"], json!({}));
    let number = json!({"conversation_id": id, "key": "n", "value": 7});
    let refused = server.call("metadata.set", number).await;
    assert!(text(&refused.json()["message"]).starts_with("value: must be a string"));
}

#[tokio::test]
async fn a_contact_is_given_a_name_and_a_picture() {
    let server = Server::start().await;
    let (_, id) = server.converse("hello").await;
    let named = json!({"conversation_id": id, "display_name": "Ada King Lovelace", "avatar_url": "https://example.org/ada.png"});
    let answer = server.call("conversations.update-contact", named).await;
    assert_eq!(shown(&answer), "202 {}");
    let contact = info(&server, &id).await["contact"].clone();
    let expected = json!({"avatar_url": "https://example.org/ada.png", "first_name": "Ada", "last_name": "King Lovelace", "info": {}});
    assert_eq!(contact, expected);
    let first = json!({"conversation_id": id, "first_name": "Ada"});
    server.call("conversations.update-contact", first).await;
    let contact = info(&server, &id).await["contact"].clone();
    assert_eq!(
        (&contact["last_name"], &contact["avatar_url"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn what_is_noted_about_nobody_is_refused() {
    let server = Server::start().await;
    for (verb, body) in [
        ("conversations.read", json!({})),
        ("conversations.tag", json!({"tag_id": UNKNOWN})),
        ("conversations.untag", json!({"tag_id": UNKNOWN})),
        ("conversations.update-contact", json!({"first_name": "Ada"})),
        ("metadata.set", json!({"key": "a", "value": "b"})),
        ("metadata.remove", json!({"key": "a"})),
    ] {
        let mut to_nobody = body.clone();
        to_nobody["conversation_id"] = json!(UNKNOWN);
        let refused = server.call(verb, to_nobody).await;
        assert_eq!(refused.json()["code"], "conversation_not_found", "{verb}");
        let refused = server.call(verb, body).await;
        assert_eq!(
            text(&refused.json()["message"]),
            "conversation_id: is required",
            "{verb}"
        );
    }
}

#[tokio::test]
async fn a_conversation_has_a_hundred_tags_at_most() {
    let server = Server::start().await;
    let (_, id) = server.converse("hello").await;
    for number in 0..=100 {
        let tag = format!("00000000-0000-7000-8000-{number:012}");
        let tagged = server.call(
            "conversations.tag",
            json!({"conversation_id": id, "tag_id": tag}),
        );
        let tagged = tagged.await;
        if number < 100 {
            assert_eq!(tagged.status, StatusCode::ACCEPTED);
        } else {
            assert_eq!(tagged.json()["code"], "too_many_notes");
        }
    }
}

#[tokio::test]
async fn exploring_names_the_sources_that_there_are() {
    let server = Server::start().await;
    let web = json!({"source": "chat_plugin", "token": "x"});
    assert_eq!(
        shown(&server.call("channels.explore", web).await),
        r#"200 {"data":[]}"#
    );
    let unknown = server
        .call("channels.explore", json!({"source": "fax", "token": "x"}))
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn typed_webhooks_hear_that_a_conversation_changed() {
    let server = Server::start().await;
    let (_, id) = server.converse("hello").await;
    let from = server
        .call("events.list", json!({"cursor": "now"}))
        .await
        .ok();
    server
        .call("conversations.read", json!({"conversation_id": id}))
        .await;
    // Those who pull get messages, as the document has them.
    let events = server
        .call("events.list", json!({"cursor": from["cursor"]}))
        .await
        .ok();
    assert_eq!(events["data"], json!([]));
    assert_ne!(events["cursor"], from["cursor"]);
}

// What holds for each call

#[tokio::test]
async fn each_answer_has_the_id_of_its_request() {
    let server = Server::start().await;
    let call = async |id: Option<&str>| {
        let mut headers = vec![("authorization", TOKEN)];
        headers.extend(id.map(|id| ("x-request-id", id)));
        let answer = server
            .try_call("tags.list", &json!({}), &headers)
            .await
            .unwrap();
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(call(Some("my-own:7")).await, "my-own:7");
    let (one, two) = (call(None).await, call(None).await);
    assert_eq!(one.len(), 36);
    assert_ne!(one, two);
    for bad in ["x".repeat(129).as_str(), "two words"] {
        assert_eq!(call(Some(bad)).await.len(), 36);
    }
    let refused = server.get("nowhere").await;
    assert_eq!(refused.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn a_token_asks_as_often_as_the_settings_allow() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__REQUESTS_PER_SECOND", "5"))
            .await;
    let first = server.call("tags.list", json!({})).await;
    first.ok();
    assert_eq!(first.header("ratelimit-limit"), "5");
    assert_eq!(first.header("ratelimit-remaining"), "4");
    assert_eq!(first.header("ratelimit-policy"), "5;w=1");
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(server.call("tags.list", json!({})).await);
    }
    let refused = answers
        .iter()
        .find(|one| one.status == StatusCode::TOO_MANY_REQUESTS);
    let refused = refused.expect("twenty at once were let through");
    assert_eq!(refused.json()["code"], "too_many_requests");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    // Another token has its own, and who needs none is not counted.
    let made = json!({"name": "bot", "scope": "read"});
    let made = loop {
        let made = server.call("tokens.create", made.clone()).await;
        if made.status == StatusCode::CREATED {
            break made.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    };
    let other = server
        .call_as(&text(&made["token"]), "tags.list", json!({}))
        .await;
    assert_eq!(other.header("ratelimit-remaining"), "4");
    assert_eq!(server.get("health").await.header("ratelimit-limit"), "");
}

#[tokio::test]
async fn without_a_limit_nothing_is_said_of_one() {
    let server = Server::start().await;
    let answer = server.call("tags.list", json!({})).await;
    assert_eq!(answer.header("ratelimit-limit"), "");
}

#[tokio::test]
async fn only_the_web_pages_of_the_settings_may_call() {
    let server = Server::start_with(|command| {
        command.env(
            "TRADEWIND_SERVER__CORS_ORIGINS",
            "https://inbox.example.org, http://localhost:3000",
        )
    })
    .await;
    let preflight = async |origin: &str, verb: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        server
            .request(Method::OPTIONS, verb, &headers, "")
            .await
            .unwrap()
    };
    for origin in ["https://inbox.example.org", "http://localhost:3000"] {
        let allowed = preflight(origin, "conversations.list").await;
        assert_eq!(allowed.status, StatusCode::OK);
        assert_eq!(allowed.header("access-control-allow-origin"), origin);
        assert_eq!(
            allowed.header("access-control-allow-headers"),
            "authorization,content-type"
        );
        assert_eq!(allowed.header("access-control-allow-credentials"), "true");
        let headers = [("authorization", TOKEN), ("origin", origin)];
        let answer = server
            .try_call("tags.list", &json!({}), &headers)
            .await
            .unwrap();
        answer.ok();
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("x-request-id")
        );
    }
    let other = preflight("https://evil.example", "conversations.list").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    // The chat may be on any page.
    let chat = preflight("https://shop.example", "chatplugin.send").await;
    assert_eq!(
        chat.header("access-control-allow-origin"),
        "https://shop.example"
    );
    let wrong = server.get("tags.list").await;
    assert_eq!(wrong.json()["code"], "method_not_allowed");
}

#[tokio::test]
async fn by_default_no_web_page_may_call() {
    let server = Server::start().await;
    let headers = [
        ("authorization", TOKEN),
        ("origin", "https://inbox.example.org"),
    ];
    let answer = server
        .try_call("tags.list", &json!({}), &headers)
        .await
        .unwrap();
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn any_origin_may_be_let_in() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__CORS_ORIGINS", "*")).await;
    let headers = [
        ("authorization", TOKEN),
        ("origin", "https://inbox.example.org"),
    ];
    let answer = server
        .try_call("tags.list", &json!({}), &headers)
        .await
        .unwrap();
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://inbox.example.org"
    );
}
