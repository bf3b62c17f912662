//! `WhatsApp`: files that only we can get, and receipts that name our own id.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tradewind_model::{ChannelId, MessageId};
use tradewind_stand_in::{Call, Script, graph};

use super::{APP_SECRET, Desk, PUBLIC_URL};
use crate::support::text;

const NUMBER: &str = "106540352242922";
const CONTACT: &str = "16505551234";
const AT: i64 = 1_739_321_024;

async fn post(desk: &Desk, event: &Value) {
    let body = event.to_string();
    let signature = graph::signature(APP_SECRET, body.as_bytes());
    let headers = [("x-hub-signature-256", signature.as_str())];
    let answer = desk.post("whatsapp", &headers, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

async fn connected() -> Desk {
    let desk = Desk::open().await;
    desk.connect("whatsapp", NUMBER, "system-user-token").await;
    desk
}

/// A conversation in which the contact has written.
async fn conversation(desk: &Desk) -> String {
    post(
        desk,
        &graph::whatsapp_text(NUMBER, CONTACT, "wamid.1", "hello", AT),
    )
    .await;
    desk.events(1).await[0].field("conversation_id")
}

#[tokio::test]
async fn a_message_is_an_event_with_the_contacts_number_and_name() {
    let desk = connected().await;
    let conversation = conversation(&desk).await;
    // The same once more, as Meta does when it has doubts.
    post(
        &desk,
        &graph::whatsapp_text(NUMBER, CONTACT, "wamid.1", "hello", AT),
    )
    .await;
    post(
        &desk,
        &graph::whatsapp_text(NUMBER, CONTACT, "wamid.2", "again", AT),
    )
    .await;
    let events = desk.events(2).await;
    let event = events[0].json();
    assert_eq!(event["source"], "WHATSAPP");
    assert_eq!(
        event["sender"],
        json!({"id": CONTACT, "type": "source_contact"})
    );
    assert_eq!(event["sent_at"], "2025-02-12T00:43:44.000Z");
    let channel = ChannelId::derived("whatsapp", NUMBER).to_string();
    let id = MessageId::derived(&channel, "wamid.1").to_string();
    assert_eq!(event["id"], json!(id));
    assert_eq!(events[1].text(), "again");
    let info = json!({"conversation_id": conversation});
    let info = desk.server.call("conversations.info", info).await.ok();
    assert_eq!(info["contact"]["first_name"], "Ada");
}

#[tokio::test]
async fn a_picture_is_passed_on_to_who_has_its_link() {
    let desk = connected().await;
    let image = json!({
        "from": CONTACT,
        "id": "wamid.2",
        "timestamp": AT.to_string(),
        "type": "image",
        "image": {"caption": "look", "mime_type": "image/png", "sha256": "x", "id": "1003383421387256"},
    });
    post(
        &desk,
        &graph::whatsapp_message(NUMBER, "Ada Lovelace", &image),
    )
    .await;
    let event = desk.events(1).await[0].json();
    assert_eq!(event["text"], "look");
    let attachment = &event["attachments"][0];
    assert_eq!(
        (&attachment["type"], &attachment["mime_type"]),
        (&json!("image"), &json!("image/png"))
    );
    let url = text(&attachment["url"]);
    let path = url
        .strip_prefix(PUBLIC_URL)
        .unwrap()
        .trim_start_matches('/');
    let file = desk.server.get(path).await;
    assert_eq!(file.status, StatusCode::OK, "{}", file.text);
    assert_eq!(file.header("content-type"), "image/png");
    assert!(file.text.contains("not much of a picture"), "{}", file.text);
    assert!(!url.contains("system-user-token"));
    let call = desk.stand_in.calls_to("/files/").remove(0);
    assert_eq!(
        call.header("authorization"),
        Some("Bearer system-user-token")
    );
}

#[tokio::test]
async fn receipts_find_the_message_by_our_own_id() {
    let desk = connected().await;
    let conversation = conversation(&desk).await;
    let reply = desk.answer(&conversation, "hi there").await;
    let call = desk.calls("/messages", 1).await.remove(0);
    assert_eq!(call.json()["to"], CONTACT);
    let data = call.json()["biz_opaque_callback_data"].clone();
    // Delivered may come before the call is answered, and before sent.
    for (word, expected) in [
        ("delivered", "delivered"),
        ("sent", "delivered"),
        ("read", "read"),
        ("delivered", "read"),
    ] {
        let status = json!({
            "id": "wamid.not yet known",
            "status": word,
            "timestamp": AT.to_string(),
            "recipient_id": CONTACT,
            "biz_opaque_callback_data": data,
        });
        post(&desk, &graph::whatsapp_status(NUMBER, &status)).await;
        let is = |message: &Value| message["receipt"] == expected;
        desk.message_that(&conversation, &reply["id"], is).await;
    }
}

#[tokio::test]
async fn a_receipt_of_one_part_does_not_speak_for_the_others() {
    let desk = connected().await;
    let conversation = conversation(&desk).await;
    for delay in [Duration::ZERO, Duration::from_secs(2)] {
        desk.stand_in.script(Script {
            path: "/messages".to_owned(),
            times: 1,
            delay,
            reply: None,
        });
    }
    let audio = json!({"type": "audio", "url": "https://example.com/a.ogg"});
    let message = json!({"text": "listen", "attachments": [audio]});
    let body = json!({"conversation_id": conversation, "message": message});
    let reply = desk.server.call("messages.send", body).await.ok();
    let calls = desk.calls("/messages", 2).await;
    let data = |call: &Call| call.json()["biz_opaque_callback_data"].clone();
    let ours = format!("tradewind:{}", text(&reply["id"]));
    assert_eq!(
        (data(&calls[0]), data(&calls[1])),
        (json!(null), json!(ours))
    );
    let status = json!({
        "id": "wamid.of the first",
        "status": "delivered",
        "timestamp": AT.to_string(),
        "recipient_id": CONTACT,
        "biz_opaque_callback_data": data(&calls[0]),
    });
    post(&desk, &graph::whatsapp_status(NUMBER, &status)).await;
    let is_in = |state: &'static str| move |message: &Value| message["state"] == state;
    let message = desk.message_that(&conversation, &reply["id"], is_in("pending"));
    assert_eq!(message.await.get("receipt"), None);
    desk.message_that(&conversation, &reply["id"], is_in("delivered"))
        .await;
}

#[tokio::test]
async fn what_does_not_arrive_after_all_has_failed() {
    let desk = connected().await;
    let conversation = conversation(&desk).await;
    let reply = desk.answer(&conversation, "hi there").await;
    let is_delivered = |message: &Value| message["state"] == "delivered";
    desk.message_that(&conversation, &reply["id"], is_delivered)
        .await;
    let status = json!({
        "id": "wamid.sent?",
        "status": "failed",
        "timestamp": AT.to_string(),
        "recipient_id": CONTACT,
        "biz_opaque_callback_data": format!("tradewind:{}", text(&reply["id"])),
        "errors": [{"code": 131_026, "title": "Message undeliverable"}],
    });
    post(&desk, &graph::whatsapp_status(NUMBER, &status)).await;
    let has_failed = |message: &Value| message["state"] == "failed";
    desk.message_that(&conversation, &reply["id"], has_failed)
        .await;
}
