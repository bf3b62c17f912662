//! What a message at Messenger or Instagram says: text, buttons, and whatever is attached.

use std::collections::HashSet;

use serde_json::Value;
use tradewind_model::{Attachment, AttachmentKind, Content, Postback, UNSUPPORTED_TEXT};

use super::json::{is_true, items, link, object, place, text};

/// What a message says. `node` is what it is in.
pub(super) fn content(node: &Value, message: &Value) -> Content {
    let mut content = Content {
        text: text(message, "text").unwrap_or_default(),
        attachments: Vec::new(),
        postback: postback(node, message),
    };
    let attached = items(message, "attachments");
    let stickers = stickers(attached);
    for attachment in attached {
        let twin = sticker_id(attachment).is_some_and(|id| stickers.contains(&id));
        if !(twin && kind(attachment) == "image") {
            add(&mut content, attachment);
        }
    }
    if let Some(story) = object(message, "reply_to").and_then(|to| object(to, "story")) {
        let story = link(story, "url").map(|url| attachment(AttachmentKind::Link, url, None));
        content.attachments.extend(story);
    }
    let says_nothing = content.text.is_empty() && content.attachments.is_empty();
    if says_nothing && (content.postback.is_none() || is_true(message, "is_unsupported")) {
        UNSUPPORTED_TEXT.clone_into(&mut content.text);
    }
    content
}

/// The button that was pressed, or the advertisement that was come in by.
fn postback(node: &Value, message: &Value) -> Option<Postback> {
    let button = object(message, "quick_reply");
    let referral = object(message, "referral").or_else(|| object(node, "referral"));
    (button.is_some() || referral.is_some()).then(|| Postback {
        payload: button.and_then(|button| text(button, "payload")),
        referral: referral.map(Value::to_string),
        kind: button.map(|_| "quick_reply".to_owned()),
    })
}

/// The stickers that are there as such. For a while, Meta sends each of them as an image too.
fn stickers(attached: &[Value]) -> HashSet<String> {
    let stickers = attached
        .iter()
        .filter(|attachment| kind(attachment) == "sticker");
    stickers.filter_map(sticker_id).collect()
}

fn sticker_id(attachment: &Value) -> Option<String> {
    text(attachment.get("payload")?, "sticker_id")
}

fn kind(attachment: &Value) -> &str {
    let kind = attachment.get("type").and_then(Value::as_str);
    kind.unwrap_or_default()
}

fn add(content: &mut Content, attached: &Value) {
    let payload = attached.get("payload").unwrap_or(&Value::Null);
    let kind = match kind(attached) {
        "image" if text(payload, "sticker_id").is_some() => AttachmentKind::Sticker,
        "image" => AttachmentKind::Image,
        "video" => AttachmentKind::Video,
        "audio" => AttachmentKind::Audio,
        "file" => AttachmentKind::File,
        "sticker" => AttachmentKind::Sticker,
        "location" => AttachmentKind::Location,
        "template" => return add_template(content, attached, payload),
        // A page, reel, post or story that was shared, and what comes to be: where it has an address.
        _ => AttachmentKind::Link,
    };
    let title = || text(payload, "title").or_else(|| text(attached, "title"));
    let url = || link(payload, "url").or_else(|| link(attached, "url"));
    let found = if kind == AttachmentKind::Location {
        let coordinates = object(payload, "coordinates");
        let url = coordinates.and_then(|at| place(at, ["lat", "long"]));
        url.map(|url| attachment(kind, url, title()))
    } else {
        let is_named = matches!(kind, AttachmentKind::Link | AttachmentKind::File);
        url().map(|url| attachment(kind, url, is_named.then(title).flatten()))
    };
    content.attachments.extend(found);
}

/// A card with buttons that another app or the page sent, or products that were shared.
fn add_template(content: &mut Content, attached: &Value, payload: &Value) {
    if content.text.is_empty() {
        let said = text(payload, "text").or_else(|| text(attached, "title"));
        content.text = said.unwrap_or_default();
    }
    let whole = link(payload, "url").or_else(|| link(attached, "url"));
    content
        .attachments
        .extend(whole.map(|url| attachment(AttachmentKind::Link, url, None)));
    let products = payload.get("product").unwrap_or(&Value::Null);
    for element in items(payload, "elements")
        .iter()
        .chain(items(products, "elements"))
    {
        let action = object(element, "default_action");
        let page = action.and_then(|action| link(action, "url"));
        let page = page.or_else(|| link(element, "url").or_else(|| link(element, "item_url")));
        let page = page.map(|url| (AttachmentKind::Link, url));
        let image = || link(element, "image_url").map(|url| (AttachmentKind::Image, url));
        let title = text(element, "title");
        match page.or_else(image) {
            Some((kind, url)) => content.attachments.push(attachment(kind, url, title)),
            None if content.text.is_empty() => content.text = title.unwrap_or_default(),
            None => (),
        }
    }
}

fn attachment(kind: AttachmentKind, url: String, name: Option<String>) -> Attachment {
    Attachment {
        kind,
        url,
        name,
        mime_type: None,
    }
}
