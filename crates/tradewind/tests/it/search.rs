//! `messages.search`.

use serde_json::{Value, json};

use crate::support::{normalize, server::Server};

const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

fn texts(page: &Value) -> Vec<String> {
    let items = page["data"].as_array().unwrap().iter();
    let text = |item: &Value| {
        item["message"]["content"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    items.map(text).collect()
}

#[tokio::test]
async fn what_was_said_is_found_at_once() {
    let mut server = Server::start().await;
    let (visitor, conversation) = server.converse("Where is my order?").await;
    let found = server
        .call("messages.search", json!({"query": "order"}))
        .await;
    let shown = format!("{} {}", found.status.as_u16(), normalize(&found.text));
    insta::assert_snapshot!(shown, @r#"200 {"data":[{"conversation_id":"[id 1]","channel_id":"[id 2]","message":{"id":"[id 3]","content":{"text":"Where is my order?","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"[time]"}}],"response_metadata":{"next_cursor":null}}"#);
    visitor.write(&server, "my orders are late").await;
    server.converse("order").await;
    for (query, scope, expected) in [
        (
            "order*",
            json!(null),
            vec!["order", "my orders are late", "Where is my order?"],
        ),
        ("ORDER", json!(conversation), vec!["Where is my order?"]),
        ("\"my order\"", json!(null), vec!["Where is my order?"]),
        ("nothing", json!(null), vec![]),
    ] {
        let request = json!({ "query": query, "conversation_id": scope });
        let page = server.call("messages.search", request).await.ok();
        assert_eq!(texts(&page), expected, "{query}");
    }
    server.kill().await;
    server.start_again().await;
    let page = server
        .call("messages.search", json!({"query": "order"}))
        .await
        .ok();
    assert_eq!(texts(&page), ["order", "Where is my order?"]);
}

#[tokio::test]
async fn pages_of_a_search_lead_to_its_end() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("fish 0").await;
    for n in 1..7 {
        visitor.write(&server, &format!("fish {n}")).await;
    }
    for scope in [json!(null), json!(conversation)] {
        let (mut found, mut cursor) = (Vec::new(), json!(null));
        loop {
            let request = json!({
                "query": "fish", "cursor": cursor, "page_size": 3, "conversation_id": scope,
            });
            let page = server.call("messages.search", request).await.ok();
            found.extend(texts(&page));
            cursor = page["response_metadata"]["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let expected: Vec<_> = (0..7).rev().map(|n| format!("fish {n}")).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_search_that_cannot_be_is_refused() {
    let server = Server::start().await;
    for (request, status, detail) in [
        (json!({}), 400, "query: is required"),
        (
            json!({"query": ""}),
            400,
            "query: at character 1, the end: expected a word",
        ),
        (
            json!({"query": "a \"b"}),
            400,
            "query: at character 3, `\"b`: this quote is not closed",
        ),
        (
            json!({"query": "a", "cursor": "?"}),
            400,
            "cursor: must be a cursor that response_metadata of this list gave",
        ),
        (
            json!({"query": "a", "conversation_id": UNKNOWN}),
            404,
            "there is no conversation with this conversation_id",
        ),
    ] {
        let answer = server.call("messages.search", request.clone()).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.json()["detail"], detail, "{request}");
    }
}
