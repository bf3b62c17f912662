//! `conversations.list` with filters, and walking through it while messages arrive.

use serde_json::{Value, json};

use crate::support::server::Server;

fn ids(page: &Value) -> Vec<String> {
    let items = page["data"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn list(server: &Server, filters: &str) -> Value {
    let request = json!({ "filters": filters });
    server.call("conversations.list", request).await.ok()
}

#[tokio::test]
async fn a_filter_finds_what_it_says_and_totals_tell_both() {
    let server = Server::start().await;
    let (visitor, first) = server.converse("one").await;
    visitor.write(&server, "again").await;
    let (_, second) = server.converse("two").await;
    for (filters, expected) in [
        (format!("id:{first}"), vec![&first]),
        (
            format!("id:\"{}\"", first.replace('-', "\\-")),
            vec![&first],
        ),
        ("unread_count:>1".to_owned(), vec![&first]),
        (
            "source:chat_plugin -unread_count:2".to_owned(),
            vec![&second],
        ),
        (
            "created_at:[2020-01-01 TO *]".to_owned(),
            vec![&second, &first],
        ),
        ("tag_ids:*".to_owned(), vec![]),
        (" ".to_owned(), vec![&second, &first]),
    ] {
        let page = list(&server, &filters).await;
        assert_eq!(ids(&page).iter().collect::<Vec<_>>(), expected, "{filters}");
        let metadata = &page["response_metadata"];
        assert_eq!(metadata["filtered_total"], expected.len(), "{filters}");
        assert_eq!(metadata["total"], 2, "{filters}");
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_refused_with_the_place() {
    let server = Server::start().await;
    for (filters, detail) in [
        (
            "display_name:",
            "filters: at character 14, the end: expected a value after \":\"",
        ),
        ("id:ada", "filters: at character 4, `ada`: expected a UUID"),
        (
            "a AND (b OR",
            "filters: at character 12, the end: expected a clause",
        ),
    ] {
        let answer = server
            .call("conversations.list", json!({ "filters": filters }))
            .await;
        assert_eq!(answer.status, 400, "{filters}");
        let problem = answer.json();
        assert_eq!(problem["code"], "invalid_request");
        assert_eq!(problem["detail"], detail);
    }
    let deep = "(".repeat(4_000);
    let answer = server
        .call("conversations.list", json!({ "filters": deep }))
        .await;
    assert_eq!(answer.status, 400);
    let wrong = server
        .call("conversations.list", json!({ "filters": 5 }))
        .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn a_walk_shows_each_conversation_once_while_messages_arrive() {
    let server = Server::start().await;
    let mut visitors = Vec::new();
    for _ in 0..7 {
        visitors.push(server.converse("hello").await);
    }
    for filters in [json!(null), json!("unread_count:>0")] {
        let (mut shown, mut cursor) = (Vec::new(), json!(null));
        let mut turn = 0;
        loop {
            let request = json!({ "filters": filters, "cursor": cursor, "page_size": 2 });
            let page = server.call("conversations.list", request).await.ok();
            shown.extend(ids(&page));
            cursor = page["response_metadata"]["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
            // One that was shown and one that was not, sooner or later.
            for step in [0, 3] {
                let (visitor, _) = &visitors[(turn + step) % visitors.len()];
                visitor.write(&server, "again").await;
            }
            turn += 1;
            assert!(turn < 20, "it does not end: {shown:?}");
        }
        let mut expected: Vec<_> = visitors.iter().map(|(_, id)| id.clone()).collect();
        expected.sort();
        shown.sort();
        assert_eq!(shown, expected, "{filters}");
    }
}
