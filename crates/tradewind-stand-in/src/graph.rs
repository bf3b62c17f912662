//! Meta's Graph API, and what Meta posts.
//!
//! A page token is `page-token-ID`; any other token is that of a person who has three pages, the first two of
//! them linked with an account at Instagram. `expired` is a token that has expired.

mod posts;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Call, Reply};

pub use posts::{
    delivery, echo, instagram_message, read, signature, text_message, whatsapp_message,
    whatsapp_status, whatsapp_text,
};

/// The pages of whoever's token it is: id, name, account at Instagram.
const PAGES: [(&str, &str, Option<&str>); 3] = [
    ("101", "Flower shop", Some("17841400000000101")),
    ("102", "Bakery", Some("17841400000000102")),
    ("103", "Book shop", None),
];
const EXPIRED: &str = "expired";
/// A media file of every id.
const FILE: &[u8] = b"\x89PNG\r\n\x1a\n not much of a picture";

/// What it says to a call of `path`. `number` is unique to the call.
pub(crate) fn answer(call: &Call, path: &str, number: u64) -> Option<Reply> {
    let parts: Vec<_> = path.split('/').collect();
    let parts = match parts.as_slice() {
        [version, rest @ ..] if is_version(version) => rest,
        all => all,
    };
    if parts == ["oauth", "access_token"] {
        return Some(exchange(call));
    }
    let token = call
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        let message = "An access token is required to request this resource.";
        return Some(refusal(StatusCode::BAD_REQUEST, 104, None, message));
    };
    if token == EXPIRED {
        return Some(expired());
    }
    match (call.method.as_str(), parts) {
        ("GET", ["me", "accounts"]) => Some(accounts(call, token)),
        ("GET", ["me"]) => Some(page(token.strip_prefix("page-token-")?, false)),
        ("GET", ["files", _]) => Some(file()),
        ("GET", [id, "conversations"]) => Some(conversations(call, id)),
        ("GET", [id]) => Some(node(call, id, token)),
        ("POST" | "DELETE", [_, "subscribed_apps"]) => Some(Reply::ok(&json!({"success": true}))),
        ("POST", ["me", "messages"]) => Some(take(call, number)),
        ("POST", [_, "messages"]) => Some(take_whatsapp(call, number)),
        _ => None,
    }
}

/// A refusal as the API writes it.
pub fn refusal(status: StatusCode, code: u64, subcode: Option<u64>, message: &str) -> Reply {
    let mut error = json!({"message": message, "type": "OAuthException", "code": code});
    if let Some(subcode) = subcode {
        error["error_subcode"] = subcode.into();
    }
    error["fbtrace_id"] = "AkPq9c1xXe2yBvNnEXAMPLE".into();
    Reply::json(status, &json!({"error": error}))
}

fn expired() -> Reply {
    let message =
        "Error validating access token: Session has expired on Thursday, 26-Nov-20 04:00:00 PST.";
    refusal(StatusCode::BAD_REQUEST, 190, Some(463), message)
}

fn is_version(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|first: char| first.is_ascii_digit())
}

fn exchange(call: &Call) -> Reply {
    match call.parameter("fb_exchange_token") {
        Some(token) if token.starts_with("page-token-") => {
            let message = "The access token does not belong to application 1234567890";
            refusal(StatusCode::BAD_REQUEST, 100, None, message)
        }
        Some(EXPIRED) => expired(),
        Some(token) => Reply::ok(&json!({
            "access_token": format!("long-{token}"),
            "token_type": "bearer",
            "expires_in": 5_183_944,
        })),
        None => refusal(
            StatusCode::BAD_REQUEST,
            100,
            None,
            "The parameter fb_exchange_token is required",
        ),
    }
}

/// Two pages at once, so that there is more to ask for.
fn accounts(call: &Call, token: &str) -> Reply {
    if token.starts_with("page-token-") {
        let message = "(#100) Tried accessing nonexisting field (accounts) on node type (Page)";
        return refusal(StatusCode::BAD_REQUEST, 100, None, message);
    }
    let after = call.parameter("after");
    let (shown, next) = match after {
        None => (&PAGES[..2], Some("MTAy")),
        Some(_) => (&PAGES[2..], None),
    };
    let data: Vec<_> = shown
        .iter()
        .map(|(id, name, linked)| page_node(id, name, *linked, true))
        .collect();
    let mut paging = json!({"cursors": {"before": "MTAx", "after": next.unwrap_or("MTAz")}});
    if let Some(next) = next {
        let fields = call.parameter("fields").unwrap_or_default();
        // To be taken for what it asks, and not for where it leads.
        paging["next"] = format!(
            "https://graph.invalid/v23.0/1/accounts?access_token={token}&fields={fields}&limit=100&after={next}"
        )
        .into();
    }
    Reply::ok(&json!({"data": data, "paging": paging}))
}

fn page_node(id: &str, name: &str, linked: Option<&str>, with_token: bool) -> Value {
    let mut node = json!({
        "id": id,
        "name": name,
        "name_with_location_descriptor": name,
        "picture": {"data": {
            "height": 50,
            "is_silhouette": false,
            "url": format!("https://scontent.example/{id}.jpg"),
            "width": 50,
        }},
        "is_webhooks_subscribed": false,
    });
    if with_token {
        node["access_token"] = format!("page-token-{id}").into();
    }
    if let Some(linked) = linked {
        node["instagram_business_account"] = json!({
            "id": linked,
            "username": name.to_lowercase().replace(' ', "."),
            "name": name,
            "profile_picture_url": format!("https://scontent.example/{linked}.jpg"),
        });
    }
    node
}

fn page(id: &str, with_token: bool) -> Reply {
    match PAGES.iter().find(|(page, ..)| *page == id) {
        Some((id, name, linked)) => Reply::ok(&page_node(id, name, *linked, with_token)),
        None => no_such_thing(id),
    }
}

fn no_such_thing(id: &str) -> Reply {
    let message = format!(
        "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
         permissions, or does not support this operation"
    );
    refusal(StatusCode::BAD_REQUEST, 100, Some(33), &message)
}

/// A node, by what is asked of it.
fn node(call: &Call, id: &str, token: &str) -> Reply {
    let fields = call.parameter("fields").unwrap_or_default();
    let is_asked = |field: &str| fields.split(',').any(|asked| asked == field);
    if id.starts_with("nobody") {
        return no_such_thing(id);
    }
    if is_asked("first_name") {
        if id.starts_with("hidden") {
            let message = "(#100) No profile available for this user.";
            return refusal(StatusCode::BAD_REQUEST, 100, Some(2_018_218), message);
        }
        return Reply::ok(&json!({
            "first_name": "Ada",
            "last_name": "Lovelace",
            "profile_pic": format!("https://scontent.example/{id}.jpg"),
            "id": id,
        }));
    }
    if is_asked("username") {
        return Reply::ok(&json!({
            "name": "Grace Hopper",
            "username": "grace.h",
            "profile_pic": format!("https://scontent.example/{id}.jpg"),
            "id": id,
        }));
    }
    if is_asked("verified_name") {
        return Reply::ok(&json!({
            "id": id,
            "display_phone_number": "+1 555-078-3881",
            "verified_name": "Flower shop",
        }));
    }
    if fields.is_empty() {
        return media(call, id);
    }
    page(id, !token.starts_with("page-token-"))
}

/// Where a file is.
fn media(call: &Call, id: &str) -> Reply {
    let host = call.header("host").unwrap_or_default();
    Reply::ok(&json!({
        "url": format!("http://{host}/graph/files/{id}"),
        "mime_type": "image/png",
        "sha256": "29ed500fa64eb55fc19dc4124acb300e5dcc54a0f822a301ae99944db7b4d9d5",
        "file_size": FILE.len(),
        "id": id,
        "messaging_product": "whatsapp",
    }))
}

fn file() -> Reply {
    let mut reply = Reply::status(StatusCode::OK).with("content-type", "image/png");
    reply.body = FILE.to_vec();
    reply
}

fn conversations(call: &Call, page: &str) -> Reply {
    let contact = call.parameter("user_id").unwrap_or_default();
    let participants = json!({"data": [
        {"name": "Ada King", "email": format!("{contact}@facebook.com"), "id": contact},
        {"name": "Flower shop", "email": format!("{page}@facebook.com"), "id": page},
    ]});
    Reply::ok(&json!({"data": [{"participants": participants, "id": "t_100"}]}))
}

fn take(call: &Call, number: u64) -> Reply {
    let body = call.json();
    let recipient = body["recipient"]["id"].as_str().unwrap_or_default();
    let message = &body["message"];
    if recipient.is_empty() {
        return refusal(
            StatusCode::BAD_REQUEST,
            100,
            None,
            "(#100) The parameter recipient is required",
        );
    }
    if message["text"].as_str().unwrap_or_default().is_empty() && !message["attachment"].is_object()
    {
        let message = "(#100) Message cannot be empty, must provide valid attachment or text";
        return refusal(StatusCode::BAD_REQUEST, 100, Some(2_018_034), message);
    }
    Reply::ok(&json!({"recipient_id": recipient, "message_id": format!("m_sent{number}")}))
}

fn take_whatsapp(call: &Call, number: u64) -> Reply {
    let body = call.json();
    let kind = body["type"].as_str().unwrap_or_default();
    let to = body["to"]
        .as_str()
        .or_else(|| body["recipient"].as_str())
        .unwrap_or_default();
    if to.is_empty() || !body[kind].is_object() || body["messaging_product"] != "whatsapp" {
        return refusal(
            StatusCode::BAD_REQUEST,
            100,
            None,
            "(#100) Invalid parameter",
        );
    }
    Reply::ok(&json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": to}],
        "messages": [{"id": format!("wamid.sent{number}")}],
    }))
}
