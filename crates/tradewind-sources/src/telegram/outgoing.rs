//! A message of ours as the calls of the Bot API that send it.

use serde_json::{Value, json};
use tradewind_model::{Attachment, AttachmentKind, Content};

use crate::json::coordinates;

/// Longest text of a message, in characters, as the Bot API has it. What is longer goes in several.
const TEXT_CHARS_MAX: usize = 4_096;
/// Longest caption, in characters.
const CAPTION_CHARS_MAX: usize = 1_024;

/// One call. The chat is not in it yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) method: &'static str,
    pub(super) body: Value,
}

/// The calls, in their order. The text is the caption of the first attachment, where that can have one, and else
/// goes before it.
pub(super) fn parts(content: &Content) -> Vec<Part> {
    let fits = content.text.chars().count() <= CAPTION_CHARS_MAX;
    let first = content.attachments.first();
    let is_caption = fits && first.is_some_and(has_caption) && !content.text.is_empty();
    let mut caption = is_caption.then_some(content.text.as_str());
    let texts = if is_caption {
        Vec::new()
    } else {
        pieces(&content.text)
    };
    let texts = texts.into_iter().map(|piece| Part {
        method: "sendMessage",
        body: json!({"text": piece}),
    });
    let attached = content.attachments.iter().map(|attachment| {
        let mut part = attached(attachment);
        if let Some(text) = caption.take() {
            part.body["caption"] = text.into();
        }
        part
    });
    texts.chain(attached).collect()
}

fn has_caption(attachment: &Attachment) -> bool {
    use AttachmentKind::{Audio, File, Image, Video};
    matches!(attachment.kind, Image | Video | Audio | File)
}

fn attached(attachment: &Attachment) -> Part {
    let kind = attachment.mime_type.as_deref().unwrap_or_default();
    let (method, field) = match attachment.kind {
        // A picture that moves would stand still, and what is spoken would be music.
        AttachmentKind::Image if kind == "image/gif" => ("sendAnimation", "animation"),
        AttachmentKind::Audio if kind.starts_with("audio/ogg") => ("sendVoice", "voice"),
        AttachmentKind::Image => ("sendPhoto", "photo"),
        AttachmentKind::Video => ("sendVideo", "video"),
        AttachmentKind::Audio => ("sendAudio", "audio"),
        AttachmentKind::File => ("sendDocument", "document"),
        AttachmentKind::Sticker => ("sendSticker", "sticker"),
        AttachmentKind::Location => return place(attachment),
        AttachmentKind::Link => ("sendMessage", "text"),
    };
    Part {
        method,
        body: json!({field: attachment.url}),
    }
}

fn place(attachment: &Attachment) -> Part {
    let Some((latitude, longitude)) = coordinates(&attachment.url) else {
        return Part {
            method: "sendMessage",
            body: json!({"text": attachment.url}),
        };
    };
    let mut body = json!({"latitude": latitude, "longitude": longitude});
    let Some(name) = &attachment.name else {
        return Part {
            method: "sendLocation",
            body,
        };
    };
    body["title"] = name.as_str().into();
    // Telegram wants one, and we know of none.
    body["address"] = format!("{latitude}, {longitude}").into();
    Part {
        method: "sendVenue",
        body,
    }
}

/// The text in pieces that Telegram takes: cut where a line ends, or else a word. White space at the cuts goes.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(TEXT_CHARS_MAX) {
        let most = &rest[..end];
        // What comes after may be the white space where it could be cut.
        let cut = if rest[end..].starts_with(char::is_whitespace) {
            None
        } else {
            most.rfind('\n')
                .or_else(|| most.rfind(char::is_whitespace))
                .filter(|cut| *cut > 0)
        };
        let (piece, after) = rest.split_at(cut.unwrap_or(end));
        pieces.push(piece.trim_end());
        rest = after.trim_start();
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests;
