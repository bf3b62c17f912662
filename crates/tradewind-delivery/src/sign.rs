//! Signatures of deliveries.
//!
//! Two, over the same key: that of the Standard Webhooks specification (version 1, symmetric), which
//! covers id, time and body, and Airy's, which covers the body. The key is the text of the webhook's
//! `api_secret`; a Standard Webhooks library is given `whsec_` and the base64 of that text.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use sha2::Sha256;

pub(crate) const AIRY_SIGNATURE: HeaderName = HeaderName::from_static("x-airy-content-signature");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The headers that sign a delivery. `timestamp` is that of the attempt, in seconds since 1970.
/// `secrets` are the one in force, and those before it that still count: the Standard Webhooks header
/// holds a signature by each, Airy's has room for one.
///
/// # Errors
/// When `id` is not text that a header can hold.
pub fn headers(
    secrets: &[&str],
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<HeaderMap, InvalidHeaderValue> {
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| standard(secret, id, timestamp, body))
        .collect();
    let mut signed = vec![
        (WEBHOOK_ID, id.to_owned()),
        (WEBHOOK_TIMESTAMP, timestamp.to_string()),
        (WEBHOOK_SIGNATURE, signatures.join(" ")),
    ];
    if let Some(secret) = secrets.first() {
        signed.push((AIRY_SIGNATURE, airy(secret, body)));
    }
    signed
        .into_iter()
        .map(|(name, value)| Ok((name, HeaderValue::try_from(value)?)))
        .collect()
}

/// `webhook-signature` of a delivery: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
///
/// `timestamp` is in seconds since 1970. Neither it nor a UUID has a dot, so the three parts cannot be
/// taken for others.
pub fn standard(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = keyed(secret);
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// `X-Airy-Content-Signature` of a delivery: lower-case hex of HMAC-SHA256 over the body.
pub fn airy(secret: &str, body: &[u8]) -> String {
    let mut mac = keyed(secret);
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn keyed(secret: &str) -> Hmac<Sha256> {
    let Ok(mac) = Hmac::new_from_slice(secret.as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use tradewind_model::{Clock as _, SystemClock};

    #[test]
    fn airys_signature_is_the_one_airy_made() {
        assert_eq!(
            super::airy(
                "secret-key-for-hmac-header",
                br#"{"type":"message.created"}"#
            ),
            "d7da248eb5600cfc01778440a25631d98c22b66ae889520fc7f48d3c78148dfa"
        );
    }

    #[test]
    fn the_published_library_verifies_what_we_sign() {
        let secret = "8f3c6e0e-6a3c-4a53-8f27-3a1a0a2c9f11";
        let body = br#"{"id":"1"}"#;
        let now = SystemClock.now().as_second();
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().unwrap());
        headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
        let signature = super::standard(secret, "msg_1", now, body);
        headers.insert("webhook-signature", signature.parse().unwrap());
        let key = format!("whsec_{}", STANDARD.encode(secret));
        let library = standardwebhooks::Webhook::new(&key).unwrap();
        library.verify(body, &headers).unwrap();
        assert!(library.verify(br#"{"id":"2"}"#, &headers).is_err());
    }
}
