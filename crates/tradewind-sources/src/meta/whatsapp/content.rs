//! What a message at `WhatsApp` says: one shape for each type.

use std::fmt::Write as _;

use serde_json::Value;
use tradewind_model::{Attachment, AttachmentKind, Content, Postback, UNSUPPORTED_TEXT};

use crate::meta::json::{items, object, place, text};

pub(super) enum Said {
    Content(Content),
    /// Nothing of the contact's, and what it is instead.
    Nothing(&'static str),
}

/// Reads a message. `file` gives the address of a file by its id.
pub(super) fn read(message: &Value, file: &dyn Fn(&str) -> String) -> Said {
    let kind = message
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let node = message.get(kind).unwrap_or(&Value::Null);
    let mut content = match kind {
        "text" => Content::text(text(node, "body").unwrap_or_default()),
        "image" => with_file(node, AttachmentKind::Image, file),
        "video" => with_file(node, AttachmentKind::Video, file),
        "audio" | "voice" => with_file(node, AttachmentKind::Audio, file),
        "document" => with_file(node, AttachmentKind::File, file),
        "sticker" => with_file(node, AttachmentKind::Sticker, file),
        "location" => location(node),
        "contacts" => Content::text(cards(items(message, "contacts"))),
        "order" => Content::text(order(node)),
        "button" => pressed(text(node, "text"), text(node, "payload"), "button"),
        "interactive" => interactive(node),
        "reaction" => return Said::Nothing("reaction"),
        "system" => return Said::Nothing("system"),
        "request_welcome" => return Said::Nothing("request_welcome"),
        "edit" => return Said::Nothing("message_edit"),
        "revoke" => return Said::Nothing("unsend"),
        _ => Content::default(),
    };
    if let Some(referral) = object(message, "referral") {
        let postback = content.postback.get_or_insert_default();
        postback.referral = Some(referral.to_string());
    }
    let is_pressed = content
        .postback
        .as_ref()
        .is_some_and(|it| it.kind.is_some());
    if content.text.is_empty() && content.attachments.is_empty() && !is_pressed {
        UNSUPPORTED_TEXT.clone_into(&mut content.text);
    }
    Said::Content(content)
}

fn with_file(node: &Value, kind: AttachmentKind, file: &dyn Fn(&str) -> String) -> Content {
    let attachment = text(node, "id").map(|id| Attachment {
        kind,
        url: file(&id),
        name: text(node, "filename"),
        mime_type: text(node, "mime_type"),
    });
    Content {
        text: text(node, "caption").unwrap_or_default(),
        attachments: attachment.into_iter().collect(),
        postback: None,
    }
}

fn location(node: &Value) -> Content {
    let place = place(node, ["latitude", "longitude"]).map(|url| Attachment {
        kind: AttachmentKind::Location,
        url,
        name: text(node, "name").or_else(|| text(node, "address")),
        mime_type: None,
    });
    Content {
        attachments: place.into_iter().collect(),
        ..Content::default()
    }
}

/// Address cards: a line for each, with the name and the numbers.
fn cards(cards: &[Value]) -> String {
    let line = |card: &Value| {
        let name = object(card, "name")
            .and_then(|name| text(name, "formatted_name").or_else(|| text(name, "first_name")));
        let phones = items(card, "phones").iter();
        let phones =
            phones.filter_map(|phone| text(phone, "phone").or_else(|| text(phone, "wa_id")));
        let emails = items(card, "emails")
            .iter()
            .filter_map(|email| text(email, "email"));
        let reached = phones.chain(emails).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) if reached.is_empty() => name,
            Some(name) => format!("{name}: {reached}"),
            None => reached,
        }
    };
    let lines = cards.iter().map(line).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// A basket: what was written to it, and a line for each product.
fn order(node: &Value) -> String {
    let mut said = text(node, "text").unwrap_or_default();
    for item in items(node, "product_items") {
        let Some(product) = text(item, "product_retailer_id") else {
            continue;
        };
        if !said.is_empty() {
            said.push('\n');
        }
        let quantity = text(item, "quantity").unwrap_or_else(|| "1".to_owned());
        let _ = write!(said, "{quantity} × {product}");
        if let (Some(price), Some(currency)) = (text(item, "item_price"), text(item, "currency")) {
            let _ = write!(said, " ({price} {currency})");
        }
    }
    said
}

/// An answer by a button, by a list or by a form.
fn interactive(node: &Value) -> Content {
    let kind = node.get("type").and_then(Value::as_str).unwrap_or_default();
    let reply = node.get(kind).unwrap_or(&Value::Null);
    match kind {
        "button_reply" | "list_reply" => pressed(text(reply, "title"), text(reply, "id"), kind),
        "nfm_reply" => pressed(text(reply, "body"), text(reply, "response_json"), kind),
        _ => Content::default(),
    }
}

fn pressed(title: Option<String>, payload: Option<String>, kind: &str) -> Content {
    if title.is_none() && payload.is_none() {
        return Content::default();
    }
    Content {
        text: title.unwrap_or_default(),
        attachments: Vec::new(),
        postback: Some(Postback {
            payload,
            referral: None,
            kind: Some(kind.to_owned()),
        }),
    }
}
