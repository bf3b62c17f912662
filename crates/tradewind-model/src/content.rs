//! What a message says: text, and what can be more than text.

use serde::{Deserialize, Serialize};

/// What was said. Stored as its JSON; keys that are absent there have their default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Empty if there is nothing but attachments.
    #[serde(default)]
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postback: Option<Postback>,
}

/// Something that came with a message, by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    #[serde(rename = "type")]
    pub kind: AttachmentKind,
    /// Where it is: `https:` in most cases; a place on earth is a `geo:` URI (RFC 5870).
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    Image,
    Video,
    Audio,
    /// Any other file.
    File,
    Sticker,
    Location,
    /// A page that was shared.
    Link,
}

/// A button that was pressed, or a door that was come in by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postback {
    /// What whoever made the button wrote into it for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// JSON text of what the source says of where the contact came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<String>,
    /// The kind of button where the source has several, such as `quick_reply`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The text of what Tradewind cannot show. Airy Core's words, which clients may look for.
pub const UNSUPPORTED_TEXT: &str = "This content cannot be displayed";

impl Content {
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Bytes of its texts, roughly.
    pub(crate) fn weight(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let attachments = self.attachments.iter().map(|attachment| {
            let Attachment {
                url,
                name,
                mime_type,
                ..
            } = attachment;
            size_of::<Attachment>() + url.len() + length(name) + length(mime_type)
        });
        let postback = self.postback.as_ref().map_or(0, |postback| {
            length(&postback.payload) + length(&postback.referral) + length(&postback.kind)
        });
        self.text.len() + attachments.sum::<usize>() + postback
    }
}

impl AttachmentKind {
    pub const ALL: [Self; 7] = [
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::File,
        Self::Sticker,
        Self::Location,
        Self::Link,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::File => "file",
            Self::Sticker => "sticker",
            Self::Location => "location",
            Self::Link => "link",
        }
    }

    /// The kind of a file with this media type, such as `image/png`.
    pub fn of_mime_type(mime_type: &str) -> Self {
        match mime_type.split('/').next().unwrap_or_default() {
            "image" => Self::Image,
            "video" => Self::Video,
            "audio" => Self::Audio,
            _ => Self::File,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attachment, AttachmentKind, Content};

    #[test]
    fn what_is_only_text_is_stored_as_before() {
        let text = serde_json::to_string(&Content::text("hello")).unwrap();
        assert_eq!(text, r#"{"text":"hello"}"#);
    }

    #[test]
    fn a_kind_is_stored_by_its_name() {
        for kind in AttachmentKind::ALL {
            let content = Content {
                attachments: vec![Attachment {
                    kind,
                    url: "https://example.com/a".to_owned(),
                    name: None,
                    mime_type: None,
                }],
                ..Content::default()
            };
            let stored = serde_json::to_value(&content).unwrap();
            assert_eq!(stored["attachments"][0]["type"], kind.name());
            assert_eq!(serde_json::from_value::<Content>(stored).unwrap(), content);
        }
    }
}
