//! Signatures of deliveries.
//!
//! Two, over the same key: that of the Standard Webhooks specification (version 1, symmetric), which
//! covers id, time and body, and Airy's, which covers the body. The key is the text of the webhook's
//! `api_secret`; a Standard Webhooks library is given `whsec_` and the base64 of that text.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use sha2::Sha256;

pub(crate) const AIRY_SIGNATURE: HeaderName = HeaderName::from_static("x-airy-content-signature");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A secret that signs, ready for use.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    pub fn new(secret: &str) -> Self {
        let Ok(mac) = Hmac::new_from_slice(secret.as_bytes()) else {
            unreachable!("HMAC takes a key of any length");
        };
        Self(mac)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Adds the headers that sign a delivery. `timestamp` is that of the attempt, in seconds since 1970.
/// `keys` are the one in force, and those before it that still count: the Standard Webhooks header
/// holds a signature by each, Airy's has room for one.
///
/// # Errors
/// When `id` is not text that a header can hold.
pub fn add_headers(
    headers: &mut HeaderMap,
    keys: &[&Key],
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<(), InvalidHeaderValue> {
    let mut signatures = String::with_capacity(48 * keys.len());
    let timestamp = timestamp.to_string();
    for key in keys {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str("v1,");
        STANDARD.encode_string(standard(key, id, &timestamp, body), &mut signatures);
    }
    headers.insert(WEBHOOK_ID, HeaderValue::from_str(id)?);
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::try_from(timestamp)?);
    headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signatures)?);
    if let Some(key) = keys.first() {
        headers.insert(AIRY_SIGNATURE, HeaderValue::try_from(airy(key, body))?);
    }
    Ok(())
}

/// What `webhook-signature` says of a delivery: HMAC-SHA256 over `id.timestamp.body`.
///
/// Neither a timestamp nor a UUID has a dot, so the three parts cannot be taken for others.
fn standard(key: &Key, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    let mut mac = key.0.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// `X-Airy-Content-Signature` of a delivery: lower-case hex of HMAC-SHA256 over the body.
fn airy(key: &Key, body: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut mac = key.0.clone();
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let digits = digest.iter();
    digits
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use tradewind_model::{Clock as _, SystemClock};

    #[test]
    fn airys_signature_is_the_one_airy_made() {
        assert_eq!(
            super::airy(
                &super::Key::new("secret-key-for-hmac-header"),
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
        let (key, old_key) = (super::Key::new(secret), super::Key::new("old"));
        super::add_headers(&mut headers, &[&key, &old_key], "msg_1", now, body).unwrap();
        let key = format!("whsec_{}", STANDARD.encode(secret));
        let library = standardwebhooks::Webhook::new(&key).unwrap();
        library.verify(body, &headers).unwrap();
        assert!(library.verify(br#"{"id":"2"}"#, &headers).is_err());
    }
}
