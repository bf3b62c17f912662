//! Whatever is posted, it is read without a panic.

use proptest::prelude::*;
use serde_json::Value;
use tradewind_stand_in::telegram;

use super::{AT, PERSON, receive, received};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "message",
        "callback_query",
        "chat",
        "from",
        "id",
        "message_id",
        "text",
        "caption",
        "photo",
        "width",
        "height",
        "file_id",
        "document",
        "sticker",
        "voice",
        "location",
        "latitude",
        "longitude",
        "venue",
        "title",
        "contact",
        "date",
        "data",
        "reply_markup",
        "inline_keyboard",
        "callback_data",
        "sender_chat",
        "web_app_data",
        "first_name",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..8).prop_map(|map| {
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_without_a_panic(update in any_json()) {
        received(&update);
    }

    #[test]
    fn any_message_is_read_without_a_panic(said in any_json()) {
        received(&telegram::message(1, PERSON, &said, AT));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        receive(&bytes);
    }
}
