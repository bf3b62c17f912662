//! Telegram's Bot API, and what Telegram posts.
//!
//! The token `NUMBER:anything` is that of the bot `NUMBER`, but `NUMBER:revoked` is one no longer. A file is there
//! under every id but `gone`, and those that begin with `huge`.

mod updates;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Call, Reply};

pub use updates::{
    SECRET_HEADER, button, edited, group_message, message, private_chat, text_message, update,
};

/// A file of every id.
const FILE: &[u8] = b"\xff\xd8\xff\xe0 not much of a picture";
/// Longest text and caption, in characters.
const TEXT_CHARS_MAX: usize = 4_096;
const CAPTION_CHARS_MAX: usize = 1_024;
/// When it takes what is sent, in seconds since 1970.
const NOW: i64 = 1_700_000_000;

/// What it says to a call of `path`. `number` is unique to the call.
pub(crate) fn answer(call: &Call, path: &str, number: u64) -> Option<Reply> {
    if let Some(rest) = path.strip_prefix("file/bot") {
        let (token, _) = rest.split_once('/')?;
        return Some(with_bot(token, |_| file()));
    }
    let (token, method) = path.strip_prefix("bot")?.split_once('/')?;
    Some(with_bot(token, |bot| {
        let body = call.json();
        match method {
            "getMe" => ok(&me(bot)),
            "setWebhook" => set_webhook(&body),
            "deleteWebhook" => ok(&json!(true)),
            "getFile" => get_file(&body),
            _ => take(bot, method, &body, number),
        }
    }))
}

/// A refusal as the API writes it; `parameters` is what goes beside it, if it is an object.
pub fn refusal(code: u16, description: &str, parameters: &Value) -> Reply {
    let mut body = json!({"ok": false, "error_code": code, "description": description});
    if parameters.is_object() {
        body["parameters"] = parameters.clone();
    }
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
    Reply::json(status, &body)
}

fn ok(result: &Value) -> Reply {
    Reply::ok(&json!({"ok": true, "result": result}))
}

fn bad(description: &str) -> Reply {
    refusal(400, &format!("Bad Request: {description}"), &Value::Null)
}

fn with_bot(token: &str, answer: impl Fn(u64) -> Reply) -> Reply {
    match token.split_once(':') {
        Some((_, "revoked")) => refusal(401, "Unauthorized", &Value::Null),
        Some((bot, secret)) if !secret.is_empty() => bot
            .parse()
            .map_or_else(|_| refusal(404, "Not Found", &Value::Null), answer),
        _ => refusal(404, "Not Found", &Value::Null),
    }
}

fn me(bot: u64) -> Value {
    json!({
        "id": bot,
        "is_bot": true,
        "first_name": "Flower shop",
        "username": format!("flowers{bot}_bot"),
        "can_join_groups": true,
        "can_read_all_group_messages": false,
        "supports_inline_queries": false,
        "can_connect_to_business": false,
        "has_main_web_app": false,
    })
}

fn set_webhook(body: &Value) -> Reply {
    let word = body["secret_token"].as_str().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !word.bytes().all(plain) || word.len() > 256 {
        return bad("secret token contains unallowed characters");
    }
    if !body["url"]
        .as_str()
        .unwrap_or_default()
        .starts_with("https://")
    {
        return bad("bad webhook: An HTTPS URL must be provided for webhook");
    }
    Reply::ok(&json!({"ok": true, "result": true, "description": "Webhook was set"}))
}

fn get_file(body: &Value) -> Reply {
    let id = body["file_id"].as_str().unwrap_or_default();
    if id.starts_with("huge") {
        return bad("file is too big");
    }
    if id.is_empty() || id == "gone" {
        return bad("wrong file_id or the file is temporarily unavailable");
    }
    ok(&json!({
        "file_id": id,
        "file_unique_id": "AQADyLQxG7ZiUEt-",
        "file_size": FILE.len(),
        "file_path": "photos/file_7.jpg",
    }))
}

fn file() -> Reply {
    let mut reply = Reply::status(StatusCode::OK).with("content-type", "application/octet-stream");
    reply.body = FILE.to_vec();
    reply
}

/// Takes a message.
fn take(bot: u64, method: &str, body: &Value, number: u64) -> Reply {
    let needs: &[&str] = match method {
        "sendMessage" => &["text"],
        "sendPhoto" => &["photo"],
        "sendVideo" => &["video"],
        "sendAnimation" => &["animation"],
        "sendAudio" => &["audio"],
        "sendVoice" => &["voice"],
        "sendDocument" => &["document"],
        "sendSticker" => &["sticker"],
        "sendLocation" => &["latitude", "longitude"],
        "sendVenue" => &["latitude", "longitude", "title", "address"],
        _ => return refusal(404, "Not Found: method not found", &Value::Null),
    };
    let is_empty = |value: &Value| value.is_null() || value.as_str() == Some("");
    if is_empty(&body["chat_id"]) {
        return bad("chat_id is empty");
    }
    if let Some(missing) = needs.iter().find(|key| is_empty(&body[**key])) {
        return match *missing {
            "text" => bad("message text is empty"),
            missing => bad(&format!("there is no {missing} in the request")),
        };
    }
    let characters = |key: &str| body[key].as_str().unwrap_or_default().chars().count();
    if characters("text") > TEXT_CHARS_MAX {
        return bad("message is too long");
    }
    if characters("caption") > CAPTION_CHARS_MAX {
        return bad("message caption is too long");
    }
    let mut taken = json!({
        "message_id": number,
        "from": {
            "id": bot,
            "is_bot": true,
            "first_name": "Flower shop",
            "username": format!("flowers{bot}_bot"),
        },
        "chat": {"id": body["chat_id"], "first_name": "Ada", "last_name": "Lovelace", "type": "private"},
        "date": NOW,
    });
    for said in ["text", "caption"] {
        if !body[said].is_null() {
            taken[said] = body[said].clone();
        }
    }
    ok(&taken)
}
