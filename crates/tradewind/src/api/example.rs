//! One story that all examples of the document tell, so that they fit together: the channel of a shop, a
//! visitor who asks something there, and an agent who answers. A test plays it with the real server.

use serde_json::{Value, json};

pub(crate) const CHANNEL: &str = "6ee84c3b-d42b-5efd-9cdd-a42bb89bf452";
pub(crate) const CONVERSATION: &str = "2ae3c7ae-3257-5144-abea-73fe5e45d5c2";
/// The visitor's message.
pub(crate) const QUESTION: &str = "019ab2e4-6a3f-7c21-9d55-3f0e8b7a4c10";
/// The agent's message.
pub(crate) const ANSWER: &str = "019ab2e5-01c8-7b0e-8a47-5c1d2f9be6a3";
pub(crate) const ASKED_AT: &str = "2026-11-23T21:32:46.399Z";
pub(crate) const ANSWERED_AT: &str = "2026-11-23T21:33:25.192Z";

/// Tokens, as short as they never are.
pub(crate) const VISITOR_TOKEN: &str = "dmlzaXQ.KC2tGQ";
pub(crate) const RESUME_TOKEN: &str = "cmVzdW1l.8bJr1A";

pub(crate) fn channel() -> Value {
    json!({
        "id": CHANNEL,
        "name": "Shop",
        "source": "chat_plugin",
        "source_channel_id": "shop",
        "image_url": "https://example.com/logo.png",
    })
}

pub(crate) fn conversation() -> Value {
    json!({
        "id": CONVERSATION,
        "created_at": ASKED_AT,
        "channel": {"id": CHANNEL, "name": "Shop"},
        "tags": [],
        "contact": {
            "avatar_url": null,
            "first_name": "Chat_plugin",
            "last_name": "5d5c2",
            "info": {},
        },
        "last_message": question(),
        "unread_message_count": 1,
    })
}

pub(crate) fn question() -> Value {
    json!({
        "id": QUESTION,
        "content": {"text": "Do you ship to Norway?", "type": "text"},
        "state": "delivered",
        "delivery_state": "delivered",
        "sender_type": "source_contact",
        "sent_at": ASKED_AT,
    })
}

/// As it is answered at once, before its source has taken it.
pub(crate) fn answer() -> Value {
    json!({
        "id": ANSWER,
        "content": {"text": "We do, within a week.", "type": "text"},
        "state": "pending",
        "delivery_state": "pending",
        "sender_type": "app_user",
        "sent_at": ANSWERED_AT,
    })
}

/// The event of the visitor's message.
pub(crate) fn event() -> Value {
    json!({
        "conversation_id": CONVERSATION,
        "id": QUESTION,
        "sender": {"id": "019ab2e4-5d17-7f3a-b1c6-2a94e07d8835", "type": "source_contact"},
        "source": "CHAT_PLUGIN",
        "sent_at": ASKED_AT,
        "text": "Do you ship to Norway?",
    })
}

/// What stands beside the items of a list that fits on one page.
pub(crate) fn single_page() -> Value {
    json!({"previous_cursor": null, "next_cursor": null, "total": 1})
}
