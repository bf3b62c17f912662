//! Whose posts are read, and that whatever they say can be.

use proptest::prelude::*;
use tradewind_stand_in::twilio::signature;

use super::{Post, SMS, TOKEN, URL, config, read};
use crate::{Inbound, Refused};

#[test]
fn the_signature_of_twilios_documents_is_right() {
    let form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];
    let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let documented = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    assert_eq!(signature(TOKEN, url, &form), documented);
    let mut post = Post::form(url, &form);
    post.signature = Some(documented.to_owned());
    assert_eq!(post.received(), Ok(vec![Inbound::Skipped("no message")]));
    // The same, called by another spelling of the address.
    post.url = "https://mycompany.com:443/myapp.php?foo=1&bar=2";
    assert!(post.received().is_ok());
    post.url = "https://mycompany.com/myapp.php?foo=1&bar=3";
    assert_eq!(post.received(), Err(Refused::Signature));
}

#[test]
fn only_twilios_signature_is_believed() {
    let right = || Post::form(URL, SMS);
    assert!(right().received().is_ok());
    for wrong in [None, Some(""), Some("not base64!"), Some("AAAA")] {
        let post = Post {
            signature: wrong.map(str::to_owned),
            ..right()
        };
        assert_eq!(post.received(), Err(Refused::Signature), "{wrong:?}");
    }
    let mut other_body = right();
    other_body.body.extend(b"&NumMedia=1");
    assert_eq!(other_body.received(), Err(Refused::Signature));
    let other_token = Post {
        signature: Some(signature("54321", URL, SMS)),
        ..right()
    };
    assert_eq!(other_token.received(), Err(Refused::Signature));
    // No content type is that of a form that is not read.
    let other_type = Post {
        content_type: Some("text/plain"),
        ..right()
    };
    assert_eq!(other_type.received(), Err(Refused::Signature));
}

#[test]
fn without_a_token_nothing_is_believed() {
    let mut config = config("https://api.twilio.com");
    config.auth_token = None;
    let refused = Post::form(URL, SMS).received_with(&config);
    assert_eq!(refused, Err(Refused::NotConfigured("twilio.auth_token")));
}

/// Computed by Twilio's library for Python, 9.13.
#[test]
fn a_field_that_comes_twice_is_signed_as_twilios_library_does() {
    let form = [
        ("Tag", "b"),
        ("Tag", "a"),
        ("Tag", "b"),
        ("Empty", ""),
        ("Body", "Hällo & 🙂 + x"),
        ("To", "+1"),
        ("a", "x"),
        ("Z", "y"),
    ];
    let mut post = Post::form("https://example.com:8443/twilio?a=b", &form);
    post.signature = Some("t+XXi15E+XGVKIpqkOvr8GEfRL8=".to_owned());
    assert!(post.received().is_ok());

    let hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    let post = Post {
        url: &format!("{URL}?bodySHA256={hash}"),
        content_type: Some("application/json"),
        signature: Some("/VhdPI4pOfjxaV2QNeSiUm03okU=".to_owned()),
        body: br#"{"a":1}"#.to_vec(),
    };
    assert!(post.received().is_ok());
}

#[test]
fn a_body_that_is_no_form_is_signed_by_its_hash_and_skipped() {
    let body = br#"{"type":"com.twilio.messaging.inbound-message.received"}"#;
    let hash = "b4a4bcdd7a60ea1e8e3ff4d6a3b4e1b0f1ec9f4ea0cf3cc8ea5cdb2f5d1a6a2c";
    let post = |hash: &str, body: &[u8]| {
        let url = format!("{URL}?bodySHA256={hash}");
        Post {
            content_type: Some("application/json"),
            signature: Some(signature(TOKEN, &url, &[])),
            body: body.to_vec(),
            url: &url,
        }
        .received()
    };
    let right = sha256(body);
    assert_eq!(post(&right, body), Ok(vec![Inbound::Skipped("no form")]));
    assert!(post(&right.to_uppercase(), body).is_ok());
    for (hash, body) in [
        (hash, body.as_slice()),
        (&right, b"{}"),
        (&right[..62], body),
        ("", body),
        ("xyz", body),
    ] {
        assert_eq!(post(hash, body), Err(Refused::Signature), "{hash}");
    }
    // Of garbage that is posted as a form, its text is the name of a field.
    assert_eq!(
        read(URL, &[("whatever", "")]),
        Inbound::Skipped("no message")
    );
}

fn sha256(body: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(body);
    digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

proptest! {
    #[test]
    fn any_form_that_is_signed_is_read(
        form in prop::collection::vec((
            prop_oneof![
                prop::sample::select(vec![
                    "From", "To", "Body", "MessageSid", "SmsStatus", "MessageStatus", "MediaUrl0",
                    "MediaContentType0", "Latitude", "Longitude", "ProfileName", "ButtonPayload",
                    "ReferralSourceUrl", "EventType", "ErrorCode",
                ]).prop_map(str::to_owned),
                any::<String>(),
            ],
            any::<String>(),
        ), 0..12),
        query in "(\\?[ -~]{0,20})?",
    ) {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = format!("{URL}{query}");
        prop_assert_eq!(Post::form(&url, &form).received().unwrap().len(), 1);
    }

    #[test]
    fn no_body_and_no_address_is_too_odd(
        url in any::<String>(),
        body in prop::collection::vec(any::<u8>(), 0..64),
        content_type in prop::option::of("[ -~]{0,40}"),
    ) {
        let post = Post {
            url: &url,
            content_type: content_type.as_deref(),
            signature: Some(signature("other", &url, &[])),
            body,
        };
        prop_assert_eq!(post.received(), Err(Refused::Signature));
    }
}
