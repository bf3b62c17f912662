//! What `messages.send` is given to say.

use reqwest::Url;
use serde::Deserialize;
use tradewind_model::{Attachment, AttachmentKind, Content, ConversationId};
use utoipa::ToSchema;

use super::MessageRequest;
use crate::{
    api::{error::ApiError, extract::check_line},
    app::App,
};

/// Attachments of one message.
pub(in crate::api) const ATTACHMENTS_MAX: usize = 10;
/// Longest address of an attachment, and longest name or media type, in bytes.
const ATTACHMENT_URL_BYTES_MAX: usize = 2_048;
const ATTACHMENT_NAME_BYTES_MAX: usize = 255;

/// What is answered: text, attachments, or both.
#[derive(Deserialize, ToSchema)]
pub(super) struct AnswerRequest {
    /// At most 64 KiB, or what the settings say. Not only white space, unless there are attachments.
    text: Option<String>,
    /// What goes with it, at most 10, where the source takes such a thing.
    attachments: Option<Vec<AttachmentRequest>>,
}

/// Something that goes with a message, by reference.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct AttachmentRequest {
    /// `image`, `video`, `audio`, `file`, `sticker`, `location` or `link`.
    r#type: String,
    /// Where the source can get it, `https:`; of a location, a `geo:` URI. At most 2,048 bytes.
    url: String,
    /// At most 255 bytes.
    name: Option<String>,
    /// At most 255 bytes.
    mime_type: Option<String>,
}

impl AnswerRequest {
    pub(super) fn into_content(self, bytes_max: usize) -> Result<Content, ApiError> {
        let attachments = self.attachments.unwrap_or_default();
        let text = match self.text {
            Some(text) => text,
            None if attachments.is_empty() => {
                return Err(ApiError::invalid("message.text", "is required"));
            }
            None => String::new(),
        };
        let mut content = if attachments.is_empty() || !text.is_empty() {
            MessageRequest { text }.into_content(bytes_max)?
        } else {
            Content::default()
        };
        if attachments.len() > ATTACHMENTS_MAX {
            let why = format!("must be at most {ATTACHMENTS_MAX}");
            return Err(ApiError::invalid("message.attachments", why));
        }
        for (index, attachment) in attachments.into_iter().enumerate() {
            let field = format!("message.attachments[{index}]");
            content.attachments.push(attachment.parse(&field)?);
        }
        Ok(content)
    }
}

impl AttachmentRequest {
    pub(in crate::api) fn parse(self, field: &str) -> Result<Attachment, ApiError> {
        let known = AttachmentKind::ALL.into_iter();
        let kind = known.clone().find(|kind| kind.name() == self.r#type);
        let kind = kind.ok_or_else(|| {
            let names: Vec<_> = known.map(AttachmentKind::name).collect();
            let why = format!("must be one of {}", names.join(", "));
            ApiError::invalid(format!("{field}.type"), why)
        })?;
        let scheme = self.url.split(':').next().unwrap_or_default();
        let fits = match kind {
            AttachmentKind::Location => scheme == "geo",
            _ => matches!(scheme, "http" | "https") && Url::parse(&self.url).is_ok(),
        };
        let field = |name: &str| format!("{field}.{name}");
        if !fits {
            let why = "must be an https: address, or of a location, geo:latitude,longitude";
            return Err(ApiError::invalid(field("url"), why));
        }
        check_line(&field("url"), &self.url, 1..=ATTACHMENT_URL_BYTES_MAX)?;
        for (name, text) in [("name", &self.name), ("mime_type", &self.mime_type)] {
            check_line(
                &field(name),
                text.as_deref().unwrap_or_default(),
                0..=ATTACHMENT_NAME_BYTES_MAX,
            )?;
        }
        Ok(Attachment {
            kind,
            url: self.url,
            name: self.name,
            mime_type: self.mime_type,
        })
    }
}

/// Checks that the source of a conversation takes these attachments.
pub(super) async fn check_taken(
    app: &App,
    id: ConversationId,
    content: &Content,
) -> Result<(), ApiError> {
    if content.attachments.is_empty() {
        return Ok(());
    }
    let found = app.store.find_conversation(id).await?;
    let source = found.ok_or(ApiError::ConversationNotFound)?.channel.source;
    let provider = app.find_provider(&source).await?;
    for (index, attachment) in content.attachments.iter().enumerate() {
        if !provider
            .as_ref()
            .is_some_and(|provider| provider.takes(attachment.kind))
        {
            let field = format!("message.attachments[{index}].type");
            let why = format!("{source} does not take this ({})", attachment.kind.name());
            return Err(ApiError::invalid(field, why));
        }
    }
    Ok(())
}
