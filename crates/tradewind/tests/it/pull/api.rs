//! `events.list`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{now, pull, texts, visitors};
use crate::support::{
    SOON, normalize,
    process::Process,
    receiver::Receiver,
    server::{Answer, Server, TOKEN},
    until_some,
};

/// The database of a server that does not run.
fn database(server: &Server) -> Connection {
    Connection::open(server.data.join("tradewind.db")).unwrap()
}

async fn refused(server: &Server, body: Value) -> String {
    let answer = server.call("events.list", body).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    answer.json()["detail"].as_str().unwrap().to_owned()
}

/// Starts a poll, and gives it time to arrive.
async fn polling<T>(poll: impl Future<Output = T>, then: impl Future<Output = ()>) -> (T, Instant) {
    let mut woken = Instant::now();
    let act = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        woken = Instant::now();
        then.await;
    };
    let (answer, ()) = tokio::join!(poll, act);
    (answer, woken)
}

#[tokio::test]
async fn events_are_listed_as_a_webhook_gets_them_and_in_its_order() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    server.subscribe(&receiver.url()).await;
    let (visitor, conversation) = server.converse("hello, \"world\" é").await;
    let answer = json!({"conversation_id": conversation, "message": {"text": "answer"}});
    server.call("messages.send", answer).await.ok();
    receiver.wait_for(2, SOON).await;
    visitor.write(&server, "thanks").await;

    let deliveries = receiver.wait_for(3, SOON).await;
    let listed = server.call("events.list", json!({})).await;
    let bodies: Vec<_> = deliveries
        .iter()
        .map(|delivery| String::from_utf8(delivery.body.to_vec()).unwrap())
        .collect();
    let listed_data = format!("{{\"data\":[{}],\"cursor\":\"", bodies.join(","));
    assert!(listed.text.starts_with(&listed_data), "{}", listed.text);
    insta::assert_snapshot!(normalize(&listed.text), @r#"{"data":[{"conversation_id":"[id 1]","id":"[id 2]","sender":{"id":"[id 3]","type":"source_contact"},"source":"CHAT_PLUGIN","sent_at":"[time]","text":"hello, \"world\" é"},{"conversation_id":"[id 1]","id":"[id 4]","sender":{"id":"[id 5]","type":"app_user"},"source":"CHAT_PLUGIN","sent_at":"[time]","text":"answer"},{"conversation_id":"[id 1]","id":"[id 6]","sender":{"id":"[id 3]","type":"source_contact"},"source":"CHAT_PLUGIN","sent_at":"[time]","text":"thanks"}],"cursor":"ZTU"}"#);

    // One by one, over the entry that is no event: the one that asks the source to take the answer.
    let (mut cursor, mut seen) = (Value::Null, Vec::new());
    for _ in 0..3 {
        let page = pull(&server, json!({"cursor": cursor, "limit": 1})).await;
        seen.extend(texts(&page));
        cursor = page["cursor"].clone();
    }
    assert_eq!(seen, texts(&listed.json()));
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_and_come_again_the_same() {
    let server = Server::start().await;
    let visitors = visitors(&server, 3).await;
    let mut written = Vec::new();
    for number in 0..20 {
        let text = format!("message {number}");
        visitors[number % 3].write(&server, &text).await;
        written.push(text);
    }
    for limit in [1, 7, 20, 500] {
        let (mut cursor, mut seen) = (Value::Null, Vec::new());
        loop {
            let body = json!({"cursor": cursor, "limit": limit});
            let page = pull(&server, body.clone()).await;
            assert_eq!(page, pull(&server, body).await);
            let page_texts = texts(&page);
            assert!(page_texts.len() <= limit);
            cursor = page["cursor"].clone();
            if page_texts.is_empty() {
                break;
            }
            seen.extend(page_texts);
        }
        assert_eq!(seen, written, "limit {limit}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_by_the_weight_of_its_events() {
    let server = Server::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    let long = "x".repeat(60_000);
    for _ in 0..40 {
        visitor.write(&server, &long).await;
    }
    let first = pull(&server, json!({"limit": 500})).await;
    let count = texts(&first).len();
    assert!((10..20).contains(&count), "{count}");
    let mut total = count;
    let mut cursor = first["cursor"].clone();
    while total < 40 {
        let page = pull(&server, json!({"cursor": cursor, "limit": 500})).await;
        assert!(!texts(&page).is_empty());
        total += texts(&page).len();
        cursor = page["cursor"].clone();
    }
    assert_eq!(total, 40);
}

#[tokio::test]
async fn a_poll_is_answered_as_soon_as_something_happens() {
    let server = Server::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    let cursor = now(&server).await;
    let body = json!({"cursor": cursor, "wait": 20});
    let ((answer, at), written) = polling(
        async { (pull(&server, body).await, Instant::now()) },
        async {
            visitor.write(&server, "at last").await;
        },
    )
    .await;
    assert_eq!(texts(&answer), ["at last"]);
    assert!(at - written < Duration::from_secs(1), "{:?}", at - written);
}

#[tokio::test]
async fn a_wait_ends_empty_with_a_cursor_that_moved_past_what_is_no_event() {
    let server = Server::start().await;
    let (_, conversation) = server.converse("hello").await;
    let other = visitors(&server, 1).await.remove(0);
    let cursor = now(&server).await;
    other.write(&server, "elsewhere").await;
    let started = Instant::now();
    let body = json!({"cursor": cursor, "wait": 1, "conversation_id": conversation});
    let answer = pull(&server, body).await;
    let took = started.elapsed();
    assert_eq!(answer["data"], json!([]));
    assert_ne!(answer["cursor"], cursor);
    assert_eq!(answer["cursor"], now(&server).await);
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[tokio::test]
async fn a_wait_is_cut_to_what_a_request_may_take() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__REQUEST_SECONDS", "4")).await;
    let cursor = now(&server).await;
    for wait in [json!(60), json!(i64::MAX)] {
        let started = Instant::now();
        let answer = pull(&server, json!({"cursor": cursor, "wait": wait})).await;
        let took = started.elapsed().as_secs_f64();
        assert_eq!(answer["data"], json!([]));
        assert!((1.9..3.9).contains(&took), "{took}");
    }
    let started = Instant::now();
    pull(&server, json!({"cursor": cursor, "wait": -1})).await;
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_cursor_outlives_the_server() {
    let mut server = Server::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    for text in ["one", "two"] {
        visitor.write(&server, text).await;
    }
    let cursor = pull(&server, json!({"limit": 1})).await["cursor"].clone();
    let end = now(&server).await;
    server.kill().await;
    server.start_again().await;
    visitor.write(&server, "three").await;
    server.terminate().await;
    server.ended(SOON).await;
    server.start_again().await;
    let rest = pull(&server, json!({ "cursor": cursor })).await;
    assert_eq!(texts(&rest), ["two", "three"]);
    assert_eq!(
        texts(&pull(&server, json!({ "cursor": end })).await),
        ["three"]
    );
}

#[tokio::test]
async fn a_cursor_of_another_log_is_refused() {
    let (old, new) = (Server::start().await, Server::start().await);
    old.converse("hello").await;
    let cursor = now(&old).await;
    let said = refused(&new, json!({"cursor": cursor, "wait": 5})).await;
    assert!(
        said.starts_with("cursor: is beyond the end of this log"),
        "{said}"
    );
    for cursor in ["nonsense", "Now", "ZTE.", "YjE"] {
        let said = refused(&new, json!({ "cursor": cursor })).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"cursor: must be a cursor that events.list gave, or "now""#);
        }
    }
    new.converse("hello").await;
    assert_eq!(
        texts(&pull(&new, json!({ "cursor": cursor })).await),
        [""; 0]
    );
}

#[tokio::test]
async fn one_conversation_can_be_asked_for() {
    let server = Server::start().await;
    let visitors = visitors(&server, 2).await;
    for text in ["a 1", "b 1", "a 2", "b 2", "a 3"] {
        let of = usize::from(text.starts_with('b'));
        visitors[of].write(&server, text).await;
    }
    let all = pull(&server, json!({})).await;
    let conversation = &all["data"][0]["conversation_id"];
    let of = |cursor: &Value, limit| json!({"conversation_id": conversation, "cursor": cursor, "limit": limit});
    let first = pull(&server, of(&Value::Null, 2)).await;
    assert_eq!(texts(&first), ["a 1", "a 2"]);
    let rest = pull(&server, of(&first["cursor"], 2)).await;
    assert_eq!(texts(&rest), ["a 3"]);
    // A cursor is a place in the whole log, so the filter can change on the way.
    let unfiltered = pull(&server, json!({"cursor": first["cursor"]})).await;
    assert_eq!(texts(&unfiltered), ["b 2", "a 3"]);

    let body = json!({"conversation_id": conversation, "cursor": rest["cursor"], "wait": 20});
    let ((answer, at), written) = polling(
        async { (pull(&server, body).await, Instant::now()) },
        async {
            for _ in 0..10 {
                visitors[1].write(&server, "noise").await;
            }
            visitors[0].write(&server, "a 4").await;
        },
    )
    .await;
    assert_eq!(texts(&answer), ["a 4"]);
    assert!(at - written < Duration::from_secs(2));
    let unknown = json!({"conversation_id": "625c0084-1043-5727-bfd9-40366ef08a64"});
    let answer = server.call("events.list", unknown).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["code"], "conversation_not_found");
}

/// Removes entries from the log as retention does.
fn remove(server: &Server, which: &str) {
    let database = database(server);
    let used = "UPDATE counter SET used_sequence = (SELECT MAX(sequence) FROM log)";
    database.execute(used, ()).unwrap();
    let remove = format!("DELETE FROM log WHERE {which}");
    database.execute(&remove, ()).unwrap();
}

#[tokio::test]
async fn what_was_removed_behind_a_cursor_is_told() {
    let mut server = Server::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    visitor.write(&server, "one").await;
    let first = now(&server).await;
    for text in ["two", "three"] {
        visitor.write(&server, text).await;
    }
    let third = now(&server).await;
    visitor.write(&server, "four").await;
    server.terminate().await;
    server.ended(SOON).await;
    remove(&server, "sequence <= 4");
    server.start_again().await;

    let answer = pull(&server, json!({ "cursor": first })).await;
    assert_eq!(
        (texts(&answer), &answer["skipped"]),
        (vec!["four".to_owned()], &json!(true))
    );
    let conversation = &answer["data"][0]["conversation_id"];
    let filtered = json!({"cursor": first, "conversation_id": conversation});
    let filtered = pull(&server, filtered).await;
    assert_eq!(
        (texts(&filtered), &filtered["skipped"]),
        (vec!["four".to_owned()], &json!(true))
    );
    for cursor in [Value::Null, third.clone(), json!("now")] {
        let answer = pull(&server, json!({ "cursor": cursor })).await;
        assert_eq!(answer.get("skipped"), None, "{answer}");
    }

    server.terminate().await;
    server.ended(SOON).await;
    remove(&server, "TRUE");
    server.start_again().await;
    let answer = pull(&server, json!({ "cursor": third })).await;
    assert_eq!(
        (&answer["data"], &answer["skipped"]),
        (&json!([]), &json!(true))
    );
    assert_eq!(answer["cursor"], now(&server).await);
}

#[tokio::test]
async fn a_log_without_events_does_not_keep_a_request() {
    let mut server = Server::start().await;
    server.converse("hello").await;
    let cursor = now(&server).await;
    server.terminate().await;
    server.ended(SOON).await;
    // Kind 3 says that a source refused a message: an entry, but no event.
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        INSERT INTO log (lane_row, position, kind, message_row, at_ms)
        SELECT lane_row, position + i, 3, message_row, at_ms FROM log, n WHERE sequence = 2";
    database(&server).execute(insert, ()).unwrap();
    server.start_again().await;
    let (mut cursor, mut answers) = (cursor, 0);
    while cursor != now(&server).await {
        let answer = pull(&server, json!({"cursor": cursor, "limit": 1, "wait": 1})).await;
        assert_eq!(answer["data"], json!([]));
        assert_ne!(answer["cursor"], cursor, "each answer moves on");
        cursor = answer["cursor"].clone();
        answers += 1;
    }
    assert!((2..10).contains(&answers), "{answers}");
}

#[tokio::test]
async fn reading_is_enough_to_pull() {
    let mut server = Server::start().await;
    let (visitor, _) = server.converse("hello").await;
    server.terminate().await;
    server.ended(SOON).await;
    let db = database(&server);
    let hash = |token: &str| sha2::Sha256::digest(token).to_vec();
    let insert = "INSERT INTO token (hash, id, name, scope, expires_at_ms) VALUES (?1, ?2, 'a reader', 0, ?3)";
    for (token, expires_at_ms) in [("reader", None), ("expired", Some(1))] {
        let id = sha2::Sha256::digest(token)[..16].to_vec();
        db.execute(insert, (hash(token), id, expires_at_ms))
            .unwrap();
    }
    drop(db);
    server.start_again().await;
    let list =
        async |token: &str| -> Answer { server.call_as(token, "events.list", json!({})).await };
    assert_eq!(texts(&list("reader").await.ok()), ["hello"]);
    let subscribe = json!({"url": "https://example.com/"});
    let subscribe = server
        .call_as("reader", "webhooks.subscribe", subscribe)
        .await;
    assert_eq!(subscribe.status, 403, "it is no more than a reader");
    for token in ["expired", &visitor.token, ""] {
        assert_eq!(list(token).await.status, 401, "{token}");
    }
}

#[tokio::test]
async fn a_stop_ends_polls_at_once() {
    let mut server = Server::start().await;
    let cursor = now(&server).await;
    let pid = server.pid();
    let body = json!({"cursor": cursor, "wait": 25});
    let polls = join_all((0..20).map(|_| pull(&server, body.clone())));
    let stop = async {
        let kill = std::process::Command::new("kill")
            .arg(pid.to_string())
            .status();
        assert!(kill.unwrap().success());
    };
    let (answers, stopped) = polling(polls, stop).await;
    for answer in answers {
        assert_eq!(answer, json!({"data": [], "cursor": cursor}));
    }
    assert!(server.ended(SOON).await.success());
    assert!(
        stopped.elapsed() < Duration::from_secs(3),
        "{:?}",
        stopped.elapsed()
    );
}

#[tokio::test]
async fn everyone_who_polls_is_woken() {
    let server = Server::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    let cursor = now(&server).await;
    let body = json!({"cursor": cursor, "wait": 25});
    let polls = join_all((0..50).map(|_| pull(&server, body.clone())));
    let (answers, written) = polling(polls, async {
        visitor.write(&server, "everyone").await;
    })
    .await;
    assert_eq!(answers.len(), 50);
    for answer in answers {
        assert_eq!(texts(&answer), ["everyone"]);
    }
    assert!(written.elapsed() < Duration::from_secs(5));
}

/// Who pulls while others write sees every event once, in order, whatever the timing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_skipped_while_many_write() {
    const EACH: usize = 50;
    let server = Server::start().await;
    let visitors = visitors(&server, 4).await;
    let write = join_all(visitors.iter().enumerate().map(|(of, visitor)| {
        let server = &server;
        async move {
            for number in 0..EACH {
                visitor.write(server, &format!("{of} {number}")).await;
            }
        }
    }));
    let read = async {
        let (mut cursor, mut seen) = (Value::Null, Vec::new());
        while seen.len() < visitors.len() * EACH {
            let body = json!({"cursor": cursor, "wait": 20, "limit": 3});
            let page = pull(&server, body).await;
            seen.extend(texts(&page));
            cursor = page["cursor"].clone();
        }
        seen
    };
    let (seen, _) = tokio::join!(read, write);
    for of in 0..visitors.len() {
        let of: Vec<_> = seen
            .iter()
            .filter(|text| text.starts_with(&format!("{of} ")))
            .collect();
        let expected: Vec<_> = (0..EACH)
            .map(|number| format!("{} {number}", &of[0][..1]))
            .collect();
        assert_eq!(of, expected.iter().collect::<Vec<_>>());
    }
    let whole = pull(&server, json!({"limit": 500})).await;
    assert_eq!(texts(&whole), seen, "the order of the log");
}

/// A client that goes away takes its poll with it: connections have a limit.
#[tokio::test]
async fn a_poll_ends_with_its_connection() {
    let server = Server::start_with(|command| {
        command
            .env("TRADEWIND_SERVER__CONNECTIONS_MAX", "1")
            .env("TRADEWIND_SERVER__REQUEST_SECONDS", "300")
    })
    .await;
    let body = json!({"cursor": now(&server).await, "wait": 60});
    let poll = tokio::time::timeout(Duration::from_millis(300), pull(&server, body)).await;
    assert!(poll.is_err(), "it waits");
    let place = tokio::time::timeout(SOON, now(&server)).await;
    assert!(place.is_ok(), "the poll keeps the only place");
}

#[tokio::test]
async fn the_loop_of_the_docs_misses_nothing() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pull.md");
    let Ok(docs) = std::fs::read_to_string(docs) else {
        return;
    };
    let code = docs.split("```python\n").nth(1).unwrap();
    let code = code.split("```").next().unwrap();
    let mut server = Server::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    let cursor = now(&server).await;
    let directory = tempfile::TempDir::new().unwrap();
    let code = code.replace("127.0.0.1:8080", &server.address.to_string());
    std::fs::write(directory.path().join("pull.py"), code).unwrap();
    std::fs::write(directory.path().join("cursor"), cursor.as_str().unwrap()).unwrap();
    let start = || {
        let mut command = tokio::process::Command::new("python3");
        command
            .args(["-u", "pull.py"])
            .current_dir(directory.path())
            .env("TOKEN", TOKEN)
            .kill_on_drop(true);
        Process::start(command, &directory.path().join("stderr"))
    };
    visitor.write(&server, "one").await;
    let mut first = start();
    assert_eq!(first.line().await, "one");
    let kept = || std::fs::read_to_string(directory.path().join("cursor")).unwrap();
    let moved = || (Some(kept().as_str()) != cursor.as_str()).then_some(());
    until_some(SOON, moved, || format!("{} is kept", kept())).await;
    first.kill().await;
    server.kill().await;
    server.start_again().await;
    visitor.write(&server, "two").await;
    assert_eq!(start().line().await, "two");
}
