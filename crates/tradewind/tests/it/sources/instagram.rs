//! Instagram: an account that is reached through its page, and echoes that do not say whose they are.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tradewind_stand_in::{Script, graph};

use super::{APP_SECRET, Desk};

const ACCOUNT: &str = "17841400000000101";
const CONTACT: &str = "6502955933117104";
const AT: i64 = 1_595_254_688_584;

async fn post(desk: &Desk, event: &Value) {
    let body = event.to_string();
    let signature = graph::signature(APP_SECRET, body.as_bytes());
    let headers = [("x-hub-signature-256", signature.as_str())];
    let answer = desk.post("facebook", &headers, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

fn said(mid: &str, text: &str) -> Value {
    let message = json!({"mid": mid, "text": text});
    graph::instagram_message(ACCOUNT, CONTACT, &message, AT)
}

/// What the account wrote, told again without a word of who did.
fn echo(mid: &str, text: &str) -> Value {
    let mut event = said(mid, text);
    let node = &mut event["entry"][0]["messaging"][0];
    node["sender"]["id"] = ACCOUNT.into();
    node["recipient"]["id"] = CONTACT.into();
    node["message"]["is_echo"] = true.into();
    event
}

#[tokio::test]
async fn an_account_is_answered_through_its_page_and_an_early_echo_is_no_message() {
    let desk = Desk::open().await;
    desk.connect("instagram", ACCOUNT, "a person's token").await;
    post(&desk, &said("mid_1", "hello")).await;
    let event = desk.events(1).await.remove(0);
    assert_eq!(event.json()["source"], "INSTAGRAM");
    let conversation = event.field("conversation_id");

    desk.stand_in.script(Script {
        path: "/me/messages".to_owned(),
        times: 1,
        delay: Duration::from_millis(500),
        reply: None,
    });
    let reply = desk.answer(&conversation, "hi there").await;
    let call = desk.calls("/me/messages", 1).await.remove(0);
    assert_eq!(call.header("authorization"), Some("Bearer page-token-101"));
    // While the call is not answered.
    post(&desk, &echo("mid_2", "hi there")).await;
    let is_delivered = |message: &Value| message["state"] == "delivered";
    desk.message_that(&conversation, &reply["id"], is_delivered)
        .await;
    post(&desk, &echo("mid_3", "by hand")).await;

    let events = desk.events(3).await;
    let heard: Vec<_> = events
        .iter()
        .map(|event| (event.text(), event.json()["sender"]["type"].clone()))
        .collect();
    let expected = [
        ("hello", "source_contact"),
        ("hi there", "app_user"),
        ("by hand", "source_user"),
    ];
    assert_eq!(
        heard,
        expected.map(|(text, kind)| (text.to_owned(), json!(kind)))
    );
    assert_eq!(desk.messages(&conversation).await.len(), 3);
    assert_eq!(desk.stats().await["skipped"]["own_echo"], 1);
}

#[tokio::test]
async fn what_was_seen_is_read() {
    let desk = Desk::open().await;
    desk.connect("instagram", ACCOUNT, "a person's token").await;
    post(&desk, &said("mid_1", "hello")).await;
    let conversation = desk.events(1).await[0].field("conversation_id");
    let reply = desk.answer(&conversation, "hi there").await;
    let is_delivered = |message: &Value| message["state"] == "delivered";
    desk.message_that(&conversation, &reply["id"], is_delivered)
        .await;
    // How the page's API called it.
    let number = desk
        .stand_in
        .calls()
        .iter()
        .position(|call| call.path.ends_with("/me/messages"));
    let mid = format!("m_sent{}", number.unwrap() + 1);
    let mut seen = said("", "");
    let node = seen["entry"][0]["messaging"][0].as_object_mut().unwrap();
    node.remove("message");
    node.insert("read".to_owned(), json!({"mid": mid}));
    post(&desk, &seen).await;
    let is_read = |message: &Value| message["receipt"] == "read";
    desk.message_that(&conversation, &reply["id"], is_read)
        .await;
}
