//! Google's Business Messages and its tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::json;
use sha2::Sha512;

use crate::{Call, Reply};

/// What every token begins with.
const TOKEN: &str = "ya29.stand-in-";

/// The value of `X-Goog-Signature` for a post of this body.
pub fn signature(partner_key: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(partner_key.as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// How Google says no; `word` is such as `NOT_FOUND`.
pub fn refusal(status: StatusCode, word: &str, message: &str) -> Reply {
    let error = json!({"code": status.as_u16(), "message": message, "status": word});
    Reply::json(status, &json!({"error": error}))
}

/// What it says to a call of `path`. `number` is unique to the call.
pub(crate) fn answer(call: &Call, path: &str, number: u64) -> Option<Reply> {
    if call.method != "POST" {
        return None;
    }
    if path == "token" {
        return Some(token(call, number));
    }
    let rest = path.strip_prefix("v1/conversations/")?;
    let conversation = rest.strip_suffix("/messages")?;
    Some(message(call, conversation))
}

fn token(call: &Call, number: u64) -> Reply {
    let grant = call.field("grant_type");
    let claim = call.field("assertion").unwrap_or_default();
    let right = grant.as_deref() == Some("urn:ietf:params:oauth:grant-type:jwt-bearer");
    if !right || claim.split('.').count() != 3 {
        let error = json!({"error": "invalid_grant", "error_description": "Invalid JWT"});
        return Reply::json(StatusCode::BAD_REQUEST, &error);
    }
    Reply::ok(&json!({
        "access_token": format!("{TOKEN}{number}"),
        "expires_in": 3599,
        "token_type": "Bearer",
    }))
}

fn message(call: &Call, conversation: &str) -> Reply {
    let token = call.header("authorization").unwrap_or_default();
    if !token.starts_with(&format!("Bearer {TOKEN}")) {
        let status = StatusCode::UNAUTHORIZED;
        return refusal(
            status,
            "UNAUTHENTICATED",
            "Request had invalid credentials.",
        );
    }
    let body = call.json();
    let (Some(id), Some(text)) = (body["messageId"].as_str(), body["text"].as_str()) else {
        let status = StatusCode::BAD_REQUEST;
        return refusal(status, "INVALID_ARGUMENT", "The message is incomplete.");
    };
    Reply::ok(&json!({
        "name": format!("conversations/{conversation}/messages/{id}"),
        "messageId": id,
        "representative": body["representative"],
        "text": text,
    }))
}
