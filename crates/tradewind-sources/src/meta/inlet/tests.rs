use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};
use tradewind_model::Timestamp;
use tradewind_stand_in::graph;

use super::MetaInlet;
use crate::{Inbound, InboundMessage, Inlet as _, MediaKey, Posted, Refused, config::MetaConfig};

const SECRET: &str = "app-secret";

fn inlet(path: &'static str) -> MetaInlet {
    let config = MetaConfig {
        app_id: Some("1234567890".to_owned()),
        app_secret: Some(SECRET.into()),
        verify_token: Some("our word".into()),
        ..MetaConfig::default()
    };
    MetaInlet::new(path, config, Arc::default())
}

fn post(inlet: &MetaInlet, body: &[u8], signature: Option<&str>) -> Result<Vec<Inbound>, Refused> {
    let mut headers = HeaderMap::new();
    if let Some(signature) = signature {
        headers.insert(
            "x-hub-signature-256",
            HeaderValue::from_str(signature).unwrap(),
        );
    }
    inlet.receive(&Posted {
        url: "https://example.com/facebook",
        below: "",
        headers: &headers,
        body,
        now: Timestamp::UNIX_EPOCH,
        media: &MediaKey::new([1; 32]).links("https://example.com"),
    })
}

fn signed(inlet: &MetaInlet, body: &[u8]) -> Vec<Inbound> {
    post(inlet, body, Some(&graph::signature(SECRET, body))).unwrap()
}

fn messages(found: &[Inbound]) -> Vec<&InboundMessage> {
    let messages = found.iter().filter_map(|found| match found {
        Inbound::Message(message) => Some(&**message),
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_challenge_is_answered_to_who_knows_our_word() {
    let inlet = inlet("/facebook");
    let ask = |query: &str| inlet.challenge(query).unwrap();
    let good = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=our%20word";
    assert_eq!(ask(good), Ok("1158201444".to_owned()));
    let without_mode = "hub.challenge=1&hub.verify_token=our%20word";
    assert_eq!(ask(without_mode), Ok("1".to_owned()));
    for bad in [
        "",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=our",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=our%20word%20",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=our%20word",
        "hub.mode=&hub.challenge=1&hub.verify_token=our%20word",
        "hub.challenge=1&hub.verify_token=our",
        "hub.mode=subscribe&hub.verify_token=our%20word",
    ] {
        assert_eq!(ask(bad), Err(Refused::Signature), "{bad}");
    }
}

#[test]
fn without_its_settings_nothing_is_verified() {
    let inlet = MetaInlet::new("/facebook", MetaConfig::default(), Arc::default());
    let missing = Err(Refused::NotConfigured("meta.verify_token"));
    assert_eq!(inlet.challenge("hub.mode=subscribe"), Some(missing));
    let missing = Err(Refused::NotConfigured("meta.app_secret"));
    let signature = graph::signature("", b"{}");
    assert_eq!(post(&inlet, b"{}", Some(&signature)), missing);
}

#[test]
fn a_post_is_read_only_with_the_signature_of_its_very_bytes() {
    let inlet = inlet("/facebook");
    let body = graph::text_message("101", "42", "m_1", "hällo", 1_550_050_753_811).to_string();
    let body = body.as_bytes();
    let good = graph::signature(SECRET, body);
    assert_eq!(messages(&post(&inlet, body, Some(&good)).unwrap()).len(), 1);
    let upper = format!("sha256={}", good["sha256=".len()..].to_uppercase());
    assert!(post(&inlet, body, Some(&upper)).is_ok());
    let other_secret = graph::signature("another", body);
    let other_body = graph::signature(SECRET, &body[1..]);
    let without_name = good.replace("sha256=", "");
    let sha1 = good.replace("sha256=", "sha1=");
    let bad = [
        &other_secret,
        &other_body,
        &without_name,
        &sha1,
        &good[..70],
        "sha256=",
        "",
    ];
    for bad in bad.into_iter().map(Some).chain([None]) {
        assert_eq!(post(&inlet, body, bad), Err(Refused::Signature), "{bad:?}");
    }
    // What is not signed is not even looked at.
    assert_eq!(post(&inlet, b"no json", None), Err(Refused::Signature));
}

#[test]
fn each_path_takes_the_posts_of_all_three() {
    let facebook = graph::text_message("101", "42", "m_1", "hello", 1_550_050_753_811);
    let instagram = graph::instagram_message(
        "17841400000000101",
        "43",
        &json!({"mid": "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3", "text": "hello"}),
        1_550_050_753_811,
    );
    let whatsapp = graph::whatsapp_text(
        "106540352242922",
        "16505551234",
        "wamid.1",
        "hello",
        1_749_416_383,
    );
    for path in ["/facebook", "/whatsapp"] {
        for (post, source) in [
            (&facebook, "facebook"),
            (&instagram, "instagram"),
            (&whatsapp, "whatsapp"),
        ] {
            let found = signed(&inlet(path), post.to_string().as_bytes());
            let messages = messages(&found);
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].source.name(), source);
            assert_eq!(messages[0].content.text, "hello");
        }
    }
}

#[test]
fn a_post_without_an_object_is_for_what_its_path_is_for() {
    let mut post = graph::text_message("101", "42", "m_1", "hello", 1_550_050_753_811);
    post.as_object_mut().unwrap().remove("object");
    let found = signed(&inlet("/facebook"), post.to_string().as_bytes());
    assert_eq!(messages(&found)[0].source.name(), "facebook");
}

#[test]
fn what_is_not_understood_is_skipped() {
    for body in [
        "",
        "[]",
        "null",
        "{}",
        "not json",
        r#"{"object":"page"}"#,
        r#"{"object":"page","entry":{}}"#,
        r#"{"object":"page","entry":[{"id":"1","time":1}]}"#,
        r#"{"object":"user","entry":[{"id":"1","changes":[{"field":"feed"}]}]}"#,
        r#"{"object":"page","entry":[{"messaging":[{"message":{"text":"whose?"}}]}]}"#,
        r#"{"object":"page","entry":[{"id":"1","changes":[{"field":"feed","value":{"item":"post"}}]}]}"#,
        r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"account_update","value":{}}]}]}"#,
    ] {
        let found = signed(&inlet("/facebook"), body.as_bytes());
        assert!(
            matches!(found[..], [Inbound::Skipped(_)]),
            "{body}: {found:?}"
        );
    }
}

#[test]
fn one_odd_character_costs_nothing_else() {
    let post = |odd: &str| {
        let node = |mid: &str, more: &str| {
            let sent_at = "\"sender\": {\"id\": \"42\"}, \"timestamp\": 1550050753811";
            format!(r#"{{{sent_at}, "message": {{"mid": "{mid}", "text": "hello", "x": {more}}}}}"#)
        };
        let nodes = [node("m_1", odd), node("m_2", "1")].join(",");
        let body =
            format!(r#"{{"object": "page", "entry": [{{"id": "101", "messaging": [{nodes}]}}]}}"#);
        signed(&inlet("/facebook"), body.as_bytes())
    };
    for odd in [r#""\ud83d""#, "1e999", &"[".repeat(200)] {
        let odd = format!("{odd}{}", "]".repeat(odd.matches('[').count()));
        assert_eq!(messages(&post(&odd)).len(), 2, "{odd}");
    }
    let body = graph::text_message("101", "42", "m_1", "h?llo", 1_550_050_753_811).to_string();
    let body: Vec<_> = body
        .bytes()
        .map(|byte| if byte == b'?' { 0xff } else { byte })
        .collect();
    let found = signed(&inlet("/facebook"), &body);
    assert_eq!(messages(&found)[0].content.text, "h\u{fffd}llo");
}

const KEYS: &str = "id entry messaging standby changes field value metadata phone_number_id sender recipient \
    timestamp message postback delivery read mids mid watermark text attachments type payload url coordinates lat \
    long elements product is_echo app_id quick_reply referral reply_to story messages statuses contacts profile \
    name from to wa_id interactive errors order product_items location";
const WORDS: &str = "messages text image location template interactive button_reply order contacts failed \
    smb_message_echoes";

fn one_of(words: &'static str) -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(words.split_whitespace().collect::<Vec<_>>())
}

/// JSON of the keys and words that are read, in any place.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        one_of(WORDS).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 96, 6, |inner| {
        let pair = (one_of(KEYS).prop_map(str::to_owned), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(pair, 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!signed(&inlet("/facebook"), &body).is_empty());
        prop_assert_eq!(post(&inlet("/facebook"), &body, None), Err(Refused::Signature));
    }

    #[test]
    fn any_json_is_survived(
        object in prop::sample::select(vec!["page", "instagram", "whatsapp_business_account"]),
        entries in prop::collection::vec(any_json(), 0..3),
    ) {
        let body = json!({"object": object, "entry": entries}).to_string();
        signed(&inlet("/facebook"), body.as_bytes());
    }

    #[test]
    fn any_node_is_survived(
        (message, said, value) in (any_json(), any_json(), any_json()),
        kind in prop::sample::select(vec!["text", "image", "location", "contacts", "order", "interactive", "x"]),
    ) {
        let node = json!({"sender": {"id": "1"}, "recipient": {"id": 2}, "message": message});
        let attached = json!({"sender": {"id": "1"}, "message": {"attachments": [said.clone()]}});
        let body = json!({"object": "page", "entry": [{"id": "1", "messaging": [node, attached]}]});
        signed(&inlet("/facebook"), body.to_string().as_bytes());
        let message = json!({"from": "1", "id": "2", "type": kind, kind: said});
        let body = graph::whatsapp_message("1", "x", &message).to_string();
        prop_assert_eq!(signed(&inlet("/whatsapp"), body.as_bytes()).len(), 1);
        let body = graph::whatsapp_status("1", &value).to_string();
        prop_assert_eq!(signed(&inlet("/whatsapp"), body.as_bytes()).len(), 1);
    }

    #[test]
    fn any_query_of_a_challenge_is_survived(query in ".*") {
        prop_assert!(inlet("/facebook").challenge(&query).unwrap().is_err());
    }
}
