//! Whatever a connector sends is understood or refused.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use serde_json::{Value, json};
use tradewind_model::{Source, Timestamp};
use tradewind_store::OwnSource;

use super::SourceWebhookRequest;
use crate::api::{error::ApiError, extract};

const TEXT_MAX: usize = 1_000;

fn own() -> OwnSource {
    OwnSource {
        source: Source::parse("matrix").unwrap(),
        name: None,
        image_url: None,
        action_url: None,
        sealed_token: String::new(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

/// How many messages are understood.
fn check(call: Value) -> Result<usize, ApiError> {
    let call: SourceWebhookRequest = extract::inside("body", call)?;
    let brought = call.check(&own(), TEXT_MAX)?;
    Ok(brought.messages.len())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9]{1,20}".prop_map(Value::from),
        Just(json!("2020-07-20T14:18:08.584Z")),
        Just(json!("conversation")),
        Just(json!("image")),
        Just(json!("https://example.com/a.png")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let keys =
            "text|attachments|postback|payload|type|url|contact|display_name|state|[a-z]{1,4}";
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(keys, inner, 0..5).prop_map(Value::from_iter),
        ]
    })
}

fn good() -> Value {
    json!({
        "messages": [{
            "source_message_id": "m1",
            "source_conversation_id": "room",
            "source_channel_id": "home",
            "source_sender_id": "@ada",
            "content": {"text": "hello", "postback": {"payload": "x"}},
            "from_contact": true,
            "sent_at": "1595254688584",
        }],
        "metadata": [{
            "namespace": "conversation",
            "source_id": "room",
            "source_channel_id": "home",
            "metadata": {"contact": {"first_name": "Ada"}},
        }],
        "receipts": [{
            "source_channel_id": "home",
            "source_message_id": "theirs",
            "state": "failed",
            "error": "no",
        }],
    })
}

#[test]
fn a_good_call_is_understood() {
    assert_eq!(check(good()).unwrap(), 1);
}

proptest! {
    #[test]
    fn a_call_of_anything_is_understood_or_refused(call in any_json()) {
        let _ = check(call);
    }

    #[test]
    fn a_call_with_anything_in_it_is_understood_or_refused(
        list in prop_oneof![Just("messages"), Just("metadata"), Just("receipts")],
        key in 0_usize..7,
        value in any_json(),
    ) {
        let mut call = good();
        let item = call[list][0].as_object_mut().unwrap();
        let key = item.keys().nth(key % item.len()).unwrap().clone();
        item.insert(key, value);
        if let Err(error) = check(call) {
            let said = error.to_string();
            prop_assert!(said.contains(&format!("{list}[0]")), "{}", said);
        }
    }
}
