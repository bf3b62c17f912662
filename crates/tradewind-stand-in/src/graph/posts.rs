//! What Meta posts, as its documents and its posts show it.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// The value of `X-Hub-Signature-256` for a body.
pub fn signature(app_secret: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    bytes.iter().fold("sha256=".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A text that a contact writes to a page. Times are in milliseconds since 1970.
pub fn text_message(page: &str, psid: &str, mid: &str, text: &str, at_ms: i64) -> Value {
    let message = json!({"mid": mid, "text": text});
    post("page", page, &node(psid, page, at_ms, "message", &message))
}

/// The same to an account at Instagram; `message` is what is in the node of that name.
pub fn instagram_message(account: &str, igsid: &str, message: &Value, at_ms: i64) -> Value {
    post(
        "instagram",
        account,
        &node(igsid, account, at_ms, "message", message),
    )
}

/// What a page wrote, told again: by the app `app_id`, or by hand in the page's inbox.
pub fn echo(page: &str, psid: &str, message: &Value, app_id: Option<u64>, at_ms: i64) -> Value {
    let mut message = message.clone();
    message["is_echo"] = true.into();
    if let Some(app_id) = app_id {
        message["app_id"] = app_id.into();
    }
    post("page", page, &node(page, psid, at_ms, "message", &message))
}

/// What a page wrote until `at_ms` has arrived.
pub fn delivery(page: &str, psid: &str, mids: &[&str], at_ms: i64) -> Value {
    let mut delivery = json!({"watermark": at_ms});
    if !mids.is_empty() {
        delivery["mids"] = mids.into();
    }
    post(
        "page",
        page,
        &node(psid, page, at_ms, "delivery", &delivery),
    )
}

/// What a page wrote until `at_ms` was seen.
pub fn read(page: &str, psid: &str, at_ms: i64) -> Value {
    let read = json!({"watermark": at_ms});
    post("page", page, &node(psid, page, at_ms, "read", &read))
}

/// A text that a contact writes to a phone number of a business.
pub fn whatsapp_text(number: &str, from: &str, id: &str, text: &str, at_s: i64) -> Value {
    let message = json!({
        "from": from,
        "id": id,
        "timestamp": at_s.to_string(),
        "text": {"body": text},
        "type": "text",
    });
    whatsapp_message(number, "Ada Lovelace", &message)
}

/// Any message to a phone number of a business, from somebody with this name.
pub fn whatsapp_message(number: &str, name: &str, message: &Value) -> Value {
    let contact = json!({"profile": {"name": name}, "wa_id": message["from"]});
    change(
        number,
        &json!({"contacts": [contact], "messages": [message]}),
    )
}

/// How a message of ours is doing: `status` is what is in the list of that name.
pub fn whatsapp_status(number: &str, status: &Value) -> Value {
    change(number, &json!({"statuses": [status]}))
}

fn node(sender: &str, recipient: &str, at_ms: i64, key: &str, said: &Value) -> Value {
    json!({
        "sender": {"id": sender},
        "recipient": {"id": recipient},
        "timestamp": at_ms,
        key: said,
    })
}

fn post(object: &str, account: &str, node: &Value) -> Value {
    let time = node["timestamp"].clone();
    json!({"object": object, "entry": [{"id": account, "time": time, "messaging": [node]}]})
}

fn change(number: &str, said: &Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
    });
    if let (Some(value), Some(said)) = (value.as_object_mut(), said.as_object()) {
        value.extend(said.clone());
    }
    let changes = json!([{"value": value, "field": "messages"}]);
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": changes}],
    })
}
