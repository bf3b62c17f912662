//! What a message at Telegram says: the key that is there tells what it is.

use serde_json::Value;
use tradewind_model::{Attachment, AttachmentKind, Content, Postback, UNSUPPORTED_TEXT};

use crate::json::{is_true, items, object, place, text};

/// Keys of what happened in a chat, without anybody having said anything.
const EVENTS: [&str; 37] = [
    "boost_added",
    "channel_chat_created",
    "chat_background_set",
    "chat_shared",
    "checklist_tasks_added",
    "checklist_tasks_done",
    "connected_website",
    "delete_chat_photo",
    "forum_topic_closed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "giveaway_completed",
    "giveaway_created",
    "group_chat_created",
    "left_chat_member",
    "message_auto_delete_timer_changed",
    "migrate_from_chat_id",
    "migrate_to_chat_id",
    "new_chat_members",
    "new_chat_photo",
    "new_chat_title",
    "passport_data",
    "pinned_message",
    "proximity_alert_triggered",
    "refunded_payment",
    "successful_payment",
    "supergroup_chat_created",
    "user_shared",
    "users_shared",
    "video_chat_ended",
    "video_chat_participants_invited",
    "video_chat_scheduled",
    "video_chat_started",
    "write_access_allowed",
];

pub(super) enum Said {
    Content(Content),
    /// Nothing of the contact's, and what it is instead.
    Nothing(&'static str),
}

/// Reads a message. `file` gives the address of a file by its id.
pub(super) fn read(message: &Value, file: &dyn Fn(&str) -> String) -> Said {
    if let Some(said) = text(message, "text") {
        return Said::Content(Content {
            postback: door(&said),
            ..Content::text(said)
        });
    }
    if let Some(pressed) = object(message, "web_app_data") {
        return Said::Content(of_web_app(pressed));
    }
    if EVENTS.iter().any(|event| message.get(event).is_some()) {
        return Said::Nothing("service_message");
    }
    let mut content = Content {
        text: text(message, "caption").unwrap_or_default(),
        attachments: attached(message, file).into_iter().collect(),
        postback: None,
    };
    if let Some(card) = object(message, "contact") {
        content.text = of_card(card);
    }
    if content.text.is_empty() && content.attachments.is_empty() {
        UNSUPPORTED_TEXT.clone_into(&mut content.text);
    }
    Said::Content(content)
}

/// What came with the link to the bot by which the contact came in: `/start WORD`.
fn door(said: &str) -> Option<Postback> {
    let (command, word) = said.split_once(' ')?;
    // In a group, the bot's name follows.
    let command = command.split('@').next()?;
    let word = word.trim();
    let is_door = command == "/start" && !word.is_empty() && !word.contains(char::is_whitespace);
    is_door.then(|| Postback {
        payload: Some(word.to_owned()),
        referral: None,
        kind: Some("start".to_owned()),
    })
}

/// What a page of the bot's own sent, which a button had opened.
fn of_web_app(pressed: &Value) -> Content {
    Content {
        text: text(pressed, "button_text").unwrap_or_default(),
        attachments: Vec::new(),
        postback: Some(Postback {
            payload: text(pressed, "data"),
            referral: None,
            kind: Some("web_app_data".to_owned()),
        }),
    }
}

fn attached(message: &Value, file: &dyn Fn(&str) -> String) -> Option<Attachment> {
    let found = file_of(message).and_then(|(node, kind, usual)| {
        Some(Attachment {
            kind,
            url: file(&text(node, "file_id")?),
            name: text(node, "file_name").or_else(|| text(node, "title")),
            mime_type: text(node, "mime_type").or_else(|| usual.map(str::to_owned)),
        })
    });
    found.or_else(|| location(message))
}

/// A file, with what it is mostly, where Telegram does not say it.
fn file_of(message: &Value) -> Option<(&Value, AttachmentKind, Option<&'static str>)> {
    use AttachmentKind::{Audio, File, Image, Sticker, Video};
    // A picture that moves is there a second time, as a document.
    let known = [
        ("animation", Video, Some("video/mp4")),
        ("video", Video, Some("video/mp4")),
        ("video_note", Video, Some("video/mp4")),
        ("audio", Audio, Some("audio/mpeg")),
        ("voice", Audio, Some("audio/ogg")),
        ("document", File, None),
    ];
    for (key, kind, usual) in known {
        if let Some(node) = object(message, key) {
            return Some((node, kind, usual));
        }
    }
    if let Some(sticker) = object(message, "sticker") {
        return Some((sticker, Sticker, Some(type_of_sticker(sticker))));
    }
    Some((largest(message)?, Image, Some("image/jpeg")))
}

/// The largest of the sizes of a photo.
fn largest(message: &Value) -> Option<&Value> {
    let pixels = |size: &&Value| {
        let side = |key| size.get(key).and_then(Value::as_u64).unwrap_or_default();
        side("width").saturating_mul(side("height"))
    };
    let sizes = items(message, "photo").iter();
    sizes
        .filter(|size| text(size, "file_id").is_some())
        .max_by_key(pixels)
}

fn type_of_sticker(node: &Value) -> &'static str {
    if is_true(node, "is_video") {
        "video/webm"
    } else if is_true(node, "is_animated") {
        "application/x-tgsticker"
    } else {
        "image/webp"
    }
}

/// A place, which may be one with a name.
fn location(message: &Value) -> Option<Attachment> {
    let venue = object(message, "venue");
    let at = venue.and_then(|venue| object(venue, "location"));
    let at = at.or_else(|| object(message, "location"))?;
    let name = venue.and_then(|venue| text(venue, "title").or_else(|| text(venue, "address")));
    Some(Attachment {
        kind: AttachmentKind::Location,
        url: place(at, ["latitude", "longitude"])?,
        name,
        mime_type: None,
    })
}

/// An address card: the name and the number.
fn of_card(card: &Value) -> String {
    let names = ["first_name", "last_name"];
    let names = names.iter().filter_map(|key| text(card, key));
    let name = names.collect::<Vec<_>>().join(" ");
    match text(card, "phone_number") {
        Some(phone) if name.is_empty() => phone,
        Some(phone) => format!("{name}: {phone}"),
        None => name,
    }
}
