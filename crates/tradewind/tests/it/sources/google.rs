//! Google Business Messages.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tradewind_model::{ConversationId, MessageId};
use tradewind_stand_in::google::signature;

use super::{Desk, PARTNER_KEY};
use crate::support::server::Answer;

async fn post(desk: &Desk, body: &str) -> Answer {
    let signature = signature(PARTNER_KEY, body.as_bytes());
    let headers = [("x-goog-signature", signature.as_str())];
    desk.post("google", &headers, body).await
}

fn hello() -> Value {
    json!({
        "agent": "brands/1111/agents/2222",
        "conversationId": "3333",
        "customAgentId": "hello-world-bot",
        "requestId": "123123123",
        "message": {
            "messageId": "4444",
            "name": "conversations/3333/messages/4444",
            "text": "hello",
            "createTime": "2020-07-20T14:18:08.045123456Z",
        },
        "context": {
            "entryPoint": "PLACESHEET",
            "placeId": "ChIJj61dQgK6j4AR4GeTYWZsKWw",
            "userInfo": {"displayName": "Ada Lovelace", "userDeviceLocale": "en-GB"},
            "resolvedLocale": "en",
        },
        "sendTime": "2020-07-20T14:18:08.584123456Z",
    })
}

#[tokio::test]
async fn a_message_is_the_event_of_the_specification() {
    let desk = Desk::open().await;
    let channel = desk.connect("google", "2222", "not needed").await;
    let body = hello().to_string();
    for _ in 0..2 {
        let answer = post(&desk, &body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    }
    let event = desk.events(1).await.remove(0);
    assert_eq!(
        event.json(),
        json!({
            "conversation_id": ConversationId::derived(&channel, "3333"),
            "id": MessageId::derived(&channel, &body),
            "sender": {"id": "3333", "type": "source_contact"},
            "source": "GOOGLE",
            "sent_at": "2020-07-20T14:18:08.584Z",
            "text": "hello",
        })
    );
    assert_eq!(desk.stats().await["sources"]["google"]["repeated"], 1);
}

#[tokio::test]
async fn what_google_did_not_sign_is_refused() {
    let desk = Desk::open().await;
    let body = hello().to_string();
    let other = signature("another", body.as_bytes());
    for headers in [vec![], vec![("x-goog-signature", other.as_str())]] {
        let answer = desk.post("google", &headers, &body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn without_a_service_account_a_reply_fails_and_says_why() {
    let desk = Desk::open().await;
    desk.connect("google", "2222", "not needed").await;
    post(&desk, &hello().to_string()).await;
    let event = desk.events(1).await.remove(0);
    let conversation = event.field("conversation_id");
    let reply = desk.answer(&conversation, "hi there").await;
    let failed = |message: &Value| message["state"] == "failed";
    let message = desk.message_that(&conversation, &reply["id"], failed);
    assert_eq!(
        message.await["failure_reason"],
        "the setting google.service_account is missing"
    );
}
