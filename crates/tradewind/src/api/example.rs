//! One story that all examples of the document tell, so that they fit together: the channel of a shop, a
//! visitor who asks something there, and an agent who answers. A test plays it with the real server.

use serde_json::{Value, json};
use tradewind_model::Webhook;

pub(crate) const CHANNEL: &str = "6ee84c3b-d42b-5efd-9cdd-a42bb89bf452";
pub(crate) const CONVERSATION: &str = "2ae3c7ae-3257-5144-abea-73fe5e45d5c2";
/// The visitor's message.
pub(crate) const QUESTION: &str = "019ab2e4-6a3f-7c21-9d55-3f0e8b7a4c10";
/// The agent's message.
pub(crate) const ANSWER: &str = "019ab2e5-01c8-7b0e-8a47-5c1d2f9be6a3";
pub(crate) const ASKED_AT: &str = "2026-11-23T21:32:46.399Z";
pub(crate) const ANSWERED_AT: &str = "2026-11-23T21:33:25.192Z";

pub(crate) const TAG: &str = "019ab2e7-3c55-7b19-8f0e-6d2a1c4b9e77";
/// The owner of the shop, and somebody who is invited.
pub(crate) const OWNER: &str = "019ab2e0-1f44-7d02-9a6b-0c3e5d7f8a90";
pub(crate) const COLLEAGUE: &str = "019ab2e8-90ab-7c3d-8e5f-1a2b3c4d5e6f";
pub(crate) const INVITATION: &str = "8d1c4f6e-2b7a-4e90-b3d5-6a9f0e1c2d3b";
/// A program's token, as it is known.
pub(crate) const TOKEN_ID: &str = "019ab2e9-5566-7788-99aa-bbccddeeff00";

/// The channel of a source of one's own.
pub(crate) const OWN_CHANNEL: &str = "b2a3f0f5-2c57-5e2d-9b0c-0e8c6f3d1a47";

/// Tokens, as short as they never are.
pub(crate) const LOGIN_TOKEN: &str = "tw_b3duZXI";
pub(crate) const COLLEAGUE_TOKEN: &str = "tw_Y29sbGVhZ3Vl";
pub(crate) const API_TOKEN: &str = "tw_cHJvZ3JhbQ";
pub(crate) const SOURCE_TOKEN: &str = "tw_bWF0cml4";
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

/// As its connector sees it.
pub(crate) fn own_channel() -> Value {
    json!({
        "id": OWN_CHANNEL,
        "source_id": "matrix",
        "source_channel_id": "example.org",
        "metadata": {"name": "Our server", "image_url": "https://example.com/matrix.png"},
        "connected": true,
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

/// The owner, who has just come in.
pub(crate) fn login() -> Value {
    json!({"id": OWNER, "first_name": "Ada", "last_name": "Lovelace", "token": LOGIN_TOKEN})
}

/// A program's token, as it is listed.
pub(crate) fn token() -> Value {
    json!({
        "id": TOKEN_ID,
        "name": "weather bot",
        "scope": "agent",
        "created_at": ASKED_AT,
        "expires_at": null,
    })
}

/// What stands beside the items of a list that fits on one page.
pub(crate) fn single_page() -> Value {
    json!({"previous_cursor": null, "next_cursor": null, "total": 1})
}

pub(crate) fn webhook(status: &str) -> Value {
    json!({
        "url": "https://example.com/hook",
        "headers": {"X-Custom-Header": "custom-code-for-header"},
        "status": status,
        "api_secret": "e7e8b5c1-6f5b-4f04-8f3b-8a0e6c1f5d2a",
    })
}

/// How an attempt went whose endpoint has a fault.
pub(crate) fn failure() -> Value {
    json!({
        "class": "status",
        "status": 500,
        "detail": "the endpoint answered 500 Internal Server Error",
        "address": "public",
        "reused_connection": false,
        "timing_ms": {"dns": 1.2, "connect": 8.9, "tls": 17.5, "first_byte": 41.0, "total": 68.7},
        "response": "Traceback (most recent call last): \u{2026}",
    })
}

pub(crate) fn stats() -> Value {
    json!({
        "id": Webhook::DEFAULT_ID,
        "status": "Subscribed",
        "paused": false,
        "shards": 64,
        "endpoint": {"state": "well", "in_flight": 0, "concurrency": 8},
        "waiting": {"log_entries": 0, "in_memory": 0, "held_conversations": 1, "set_aside": 0},
        "since_start": {
            "delivered": 1,
            "failed": {"status": 1},
            "set_aside": 0,
            "last_success_at": ANSWERED_AT,
            "last_failure_at": ASKED_AT,
            "duration_ms": {"p50": 41.2, "p95": 68.7, "p99": 68.7},
        },
        "replays": [],
        "attempts_not_recorded": 0,
    })
}

/// Nothing but what the examples did themselves.
pub(crate) fn source_stats() -> Value {
    json!({
        "since": ASKED_AT,
        "sources": {"matrix": {"received": 1, "repeated": 0, "receipts": 0}},
        "unknown_channels": [],
        "unknown_channels_more": 0,
        "skipped": {},
        "refused": {},
    })
}
