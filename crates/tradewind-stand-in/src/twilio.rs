//! Twilio's Messages API, and what Twilio posts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::{Call, Reply};

/// The bytes of every file that it has.
pub const FILE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The value of `X-Twilio-Signature` for a post of these fields to `url`; for a body that is no form, of none.
pub fn signature(token: &str, url: &str, form: &[(&str, &str)]) -> String {
    let mut fields = form.to_vec();
    fields.sort_unstable();
    fields.dedup();
    let mut text = url.to_owned();
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(value);
    }
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// How Twilio says no.
pub fn refusal(status: StatusCode, code: u32, message: &str) -> Reply {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let status_code = status.as_u16();
    let body = json!({"code": code, "message": message, "more_info": more, "status": status_code});
    Reply::json(status, &body)
}

/// What it says to a call of `path`. `number` is unique to the call.
pub(crate) fn answer(call: &Call, path: &str, number: u64) -> Option<Reply> {
    if let Some(file) = path.strip_prefix("cdn/") {
        return (!file.is_empty()).then(|| Reply {
            body: FILE.to_vec(),
            ..Reply::status(StatusCode::OK).with("content-type", "image/png")
        });
    }
    let rest = path.strip_prefix("2010-04-01/Accounts/")?;
    let credentials = call.header("authorization").unwrap_or_default();
    if !credentials.starts_with("Basic ") {
        let status = StatusCode::UNAUTHORIZED;
        return Some(refusal(status, 20003, "Authenticate"));
    }
    let (account, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match (call.method.as_str(), rest) {
        ("POST", "Messages.json") => Some(message(call, account, number)),
        ("GET", "IncomingPhoneNumbers.json") => Some(Reply::ok(&numbers(account))),
        ("GET", "") => account.strip_suffix(".json").map(|sid| {
            Reply::ok(&json!({
                "sid": sid,
                "friendly_name": "Example",
                "status": "active",
                "type": "Full",
                "uri": format!("/2010-04-01/Accounts/{sid}.json"),
            }))
        }),
        ("GET", file) if file.contains("/Media/") => Some(to_the_file(file)),
        _ => None,
    }
}

fn message(call: &Call, account: &str, number: u64) -> Reply {
    let bad = |code, words| refusal(StatusCode::BAD_REQUEST, code, words);
    let Some(from) = call.field("From") else {
        return bad(21603, "A 'From' phone number is required.");
    };
    let Some(to) = call.field("To") else {
        return bad(21604, "A 'To' phone number is required.");
    };
    let body = call.field("Body").filter(|body| !body.is_empty());
    let form = call.form();
    let files = form.iter().filter(|(name, _)| name == "MediaUrl").count();
    if body.is_none() && files == 0 {
        return bad(21602, "Message body is required.");
    }
    if files > 10 {
        return bad(21623, "Number of media files exceeds allowed limit.");
    }
    let kind = if files == 0 { "SM" } else { "MM" };
    let sid = format!("{kind}{number:032x}");
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{sid}");
    let taken = json!({
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": body.unwrap_or_default(),
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "date_sent": null,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": from,
        "messaging_service_sid": null,
        "num_media": files.to_string(),
        "num_segments": "1",
        "price": null,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": format!("{uri}/Media.json")},
        "to": to,
        "uri": format!("{uri}.json"),
    });
    Reply::json(StatusCode::CREATED, &taken)
}

fn numbers(account: &str) -> Value {
    let number = |phone: &str, name: &str, sms: bool| {
        json!({
            "account_sid": account,
            "capabilities": {"fax": false, "mms": sms, "sms": sms, "voice": true},
            "friendly_name": name,
            "phone_number": phone,
            "sid": "PN00000000000000000000000000000001",
        })
    };
    json!({
        "incoming_phone_numbers": [
            number("+15551230001", "Support", true),
            number("+15551230002", "Calls only", false),
        ],
        "next_page_uri": null,
        "page": 0,
    })
}

/// Files are elsewhere.
fn to_the_file(file: &str) -> Reply {
    let mut reply = Reply::status(StatusCode::TEMPORARY_REDIRECT);
    let name = file.rsplit('/').next().unwrap_or_default();
    if let Ok(place) = HeaderValue::from_str(&format!("/twilio/cdn/{name}")) {
        reply.headers.insert(header::LOCATION, place);
    }
    reply
}
