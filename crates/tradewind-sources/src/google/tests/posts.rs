//! What Google posts.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};
use tradewind_model::{AttachmentKind, MessageId, SenderType, Timestamp, UNSUPPORTED_TEXT};
use tradewind_stand_in::google::signature;
use tradewind_store::{ReceiptKind, ReceiptOf};

use crate::{
    Inbound, InboundMessage, Inlet as _, MediaKey, Posted, Profile, Refused, config::GoogleConfig,
    google::inlet::GoogleInlet,
};

const KEY: &str = "partner-key";

fn receive(
    key: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
) -> Result<Vec<Inbound>, Refused> {
    let config = GoogleConfig {
        partner_key: key.map(SecretString::from),
        ..GoogleConfig::default()
    };
    let mut headers = HeaderMap::new();
    if let Some(signature) = signature {
        headers.insert(
            "x-goog-signature",
            HeaderValue::from_str(signature).unwrap(),
        );
    }
    GoogleInlet::new(&config).receive(&Posted {
        url: "https://example.com/google",
        below: "",
        headers: &headers,
        body,
        now: Timestamp::UNIX_EPOCH,
        media: &MediaKey::new([1; 32]).links("https://example.com"),
    })
}

fn signed(body: &[u8]) -> Vec<Inbound> {
    receive(Some(KEY), Some(&signature(KEY, body)), body).unwrap()
}

/// An event of the agent 2222 in the conversation 3333.
fn event(what: Value) -> Value {
    let mut event = json!({
        "agent": "brands/1111/agents/2222",
        "conversationId": "3333",
        "customAgentId": "hello-world-bot",
        "requestId": "123123123",
        "sendTime": "2020-10-02T15:01:24.045123456Z",
    });
    let Value::Object(what) = what else {
        panic!("an event has keys")
    };
    event.as_object_mut().unwrap().extend(what);
    event
}

fn read(event: &Value) -> Vec<Inbound> {
    signed(event.to_string().as_bytes())
}

fn message(event: &Value) -> InboundMessage {
    match read(event).pop() {
        Some(Inbound::Message(message)) => *message,
        other => panic!("{other:?}"),
    }
}

fn hello() -> Value {
    event(json!({
        "message": {
            "messageId": "4444",
            "name": "conversations/3333/messages/4444",
            "text": "Hello, I'm World!",
            "createTime": "2020-10-02T15:01:23.045123456Z",
        },
        "context": {
            "entryPoint": "PLACESHEET",
            "placeId": "ChIJj61dQgK6j4AR4GeTYWZsKWw",
            "userInfo": {"displayName": "Ada Lovelace", "userDeviceLocale": "en-GB"},
            "resolvedLocale": "en",
            "widget": {"context": ""},
        },
    }))
}

#[test]
fn only_googles_signature_is_believed() {
    let body = hello().to_string();
    let body = body.as_bytes();
    let right = signature(KEY, body);
    assert!(receive(Some(KEY), Some(&right), body).is_ok());
    let other = signature("another", body);
    for wrong in [
        None,
        Some(""),
        Some("AAAA"),
        Some("!"),
        Some(other.as_str()),
    ] {
        let refused = receive(Some(KEY), wrong, body);
        assert_eq!(refused, Err(Refused::Signature), "{wrong:?}");
    }
    let refused = receive(Some(KEY), Some(&right), b"{}");
    assert_eq!(refused, Err(Refused::Signature));
    let refused = receive(None, Some(&right), body);
    assert_eq!(refused, Err(Refused::NotConfigured("google.partner_key")));
    // By openssl: printf '{"a":1}' | openssl dgst -sha512 -hmac partner-key -binary | base64
    assert_eq!(signature(KEY, br#"{"a":1}"#), OPENSSL);
}

const OPENSSL: &str =
    "QRqYXEi1cz9bq/sxd3IJGH0GXSoIGtVixW066MEDkxvPavApo6V3rl6lqQpx9LY/Og/APHQq2JslmqWFcXcNvQ==";

#[test]
fn a_message_is_read() {
    let event = hello();
    let message = message(&event);
    assert_eq!(message.source.name(), "google");
    assert_eq!(message.source_channel_id, "2222");
    assert_eq!(message.contact, "3333");
    assert_eq!(message.sender.id, "3333");
    assert_eq!(message.sender.kind, SenderType::SourceContact);
    assert_eq!(message.content.text, "Hello, I'm World!");
    assert_eq!(message.id_name, event.to_string());
    assert_eq!(message.key.as_deref(), Some("4444"));
    assert_eq!(
        message.sent_at.unwrap().to_string(),
        "2020-10-02T15:01:24.045Z"
    );
    assert_eq!(message.profile, Some(Profile::of_name("Ada Lovelace")));
}

#[test]
fn a_picture_is_an_attachment() {
    let url = "https://storage.googleapis.com/business-messages-us/936640919331/jzsu6cdguNGsBhmGJGuLs1DS?x-goog-algorithm=GOOG4-RSA-SHA256&x-goog-credential=uranium%40example&x-goog-date=20190826T201038Z&x-goog-expires=604800&x-goog-signedheaders=host&x-goog-signature=89dbf7a7";
    let picture = |text: &str| message(&event(json!({"message": {"text": text}}))).content;
    let content = picture(url);
    assert_eq!(content.text, "");
    assert_eq!(content.attachments[0].kind, AttachmentKind::Image);
    assert_eq!(content.attachments[0].url, url);
    for text in [&format!("see {url}"), "https://storage.googleapis.com/a"] {
        assert_eq!(picture(text).text, text);
    }
}

#[test]
fn a_suggestion_that_was_tapped_is_a_postback() {
    let event = event(json!({
        "suggestionResponse": {
            "message": "conversations/3333/messages/5555",
            "postbackData": "hello-formal",
            "createTime": "2020-10-02T15:02:31.045123456Z",
            "text": "Hello!",
            "type": "REPLY",
        },
        "context": {"userInfo": {"displayName": "Ada"}},
    }));
    let message = message(&event);
    assert_eq!(message.content.text, "Hello!");
    let postback = message.content.postback.unwrap();
    assert_eq!(postback.payload.as_deref(), Some("hello-formal"));
    assert_eq!(postback.kind.as_deref(), Some("REPLY"));
    assert_eq!(postback.referral, None);
    assert_eq!(message.key.as_deref(), Some("123123123"));
}

#[test]
fn receipts_are_of_our_messages() {
    let ours = "01a20a53-61bf-71b0-ac27-31e8c343a5f1";
    let event = event(json!({"receipts": {
        "receipts": [
            {"message": format!("conversations/3333/messages/{ours}"), "receiptType": "DELIVERED"},
            {"message": "conversations/3333/messages/another", "receiptType": "READ"},
            {"message": "conversations/3333/messages/another", "receiptType": "SEEN"},
        ],
        "createTime": "2020-10-02T15:05:24.045123456Z",
    }}));
    let read = read(&event);
    let [Inbound::Receipt(delivered), Inbound::Receipt(seen), odd] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!(delivered.source_channel_id, "2222");
    assert_eq!(delivered.kind, ReceiptKind::Delivered);
    let id = ours.parse::<MessageId>().unwrap();
    assert_eq!(delivered.of, ReceiptOf::Message(id));
    assert_eq!(seen.kind, ReceiptKind::Read);
    assert_eq!(seen.of, ReceiptOf::SourceIds(vec!["another".to_owned()]));
    assert_eq!(*odd, Inbound::Skipped("a receipt that is not known"));
}

#[test]
fn what_is_no_message_is_skipped() {
    let time = "2020-10-02T15:01:23.045123456Z";
    let skipped = |what| vec![Inbound::Skipped(what)];
    for (what, why) in [
        (
            json!({"userStatus": {"isTyping": "true", "createTime": time}}),
            "status of a user",
        ),
        (
            json!({"userStatus": {"requestedLiveAgent": "true", "createTime": time}}),
            "status of a user",
        ),
        (
            json!({"surveyResponse": {
                "survey": "conversations/3333/surveys/1",
                "createTime": time,
                "surveyQuestionId": "GOOGLE_DEFINED_CSAT",
                "questionResponseText": "Very satisfied",
                "questionType": "GOOGLE_TEMPLATE_QUESTION",
                "questionIndex": 1,
                "totalQuestionCount": 2,
            }}),
            "answer to a survey",
        ),
        (
            json!({"authenticationResponse": {"code": "1", "redirectUri": "https://a.example"}}),
            "answer to a login",
        ),
        (json!({"message": "text"}), "an event that is not known"),
    ] {
        assert_eq!(read(&event(what)), skipped(why));
    }
    for agent in [
        "2222",
        "brands/1/agents/",
        "brands/1/agents/2/x",
        "agents/2",
    ] {
        let mut event = hello();
        event["agent"] = agent.into();
        assert_eq!(read(&event), skipped("no conversation"), "{agent}");
    }
    assert_eq!(signed(b"whatever"), skipped("no json"));
    assert_eq!(signed(b"\xff"), skipped("no json"));
    let half = event(json!({"message": {"messageId": "1", "text": "a?"}})).to_string();
    let found = signed(half.replace('?', "\\ud83d").as_bytes());
    assert!(
        matches!(&found[..], [Inbound::Message(message)] if message.content.text == "a\u{fffd}"),
        "{found:?}"
    );
    assert_eq!(signed(b"[]"), skipped("no conversation"));
}

#[test]
fn an_odd_message_is_read_as_far_as_it_goes() {
    let mut odd = hello();
    odd["message"] = json!({"messageId": 4444, "text": null});
    odd["sendTime"] = json!("yesterday");
    odd["context"] = json!([]);
    let message = message(&odd);
    assert_eq!(message.content.text, UNSUPPORTED_TEXT);
    assert_eq!(message.sent_at, None);
    assert_eq!(message.profile, None);
    assert_eq!(message.key.as_deref(), Some("123123123"));
}

/// Any JSON, in which Google's keys are frequent.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("brands/1/agents/2")),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "agent",
            "conversationId",
            "message",
            "messageId",
            "text",
            "receipts",
            "receiptType",
            "suggestionResponse",
            "context",
            "userInfo",
            "displayName",
            "sendTime",
            "userStatus",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_that_is_signed_is_read(json in any_json()) {
        read(&json);
        if json.is_object() {
            read(&event(json));
        }
    }

    #[test]
    fn any_bytes_that_are_signed_are_read(body in prop::collection::vec(any::<u8>(), 0..64)) {
        signed(&body);
    }
}
