//! `WhatsApp`: a business's phone number in the Cloud API.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Value, json};
use tradewind_model::{Attachment, AttachmentKind, Message, Source};

use super::{
    OURS,
    error::Problem,
    graph::{Call, Graph, id},
    json::{coordinates, text},
    whatsapp_source,
};
use crate::{Account, AskError, Connected, Pace, Provider, SendError, Sent, Wish, parts::Parts};

/// Longest caption, in characters.
const CAPTION_CHARS_MAX: usize = 1024;

pub(super) struct Phones {
    graph: Graph,
    parts: Parts,
}

impl Phones {
    pub(super) fn new(graph: Graph) -> Self {
        Self {
            graph,
            parts: Parts::default(),
        }
    }
}

#[async_trait]
impl Provider for Phones {
    fn source(&self) -> Source {
        whatsapp_source()
    }

    fn default_channel_name(&self) -> &'static str {
        "WhatsApp number"
    }

    fn takes(&self, kind: AttachmentKind) -> bool {
        kind != AttachmentKind::Link
    }

    /// A number may send 80 messages in any second: 30 at once and 50 more.
    fn pace(&self) -> Option<Pace> {
        Some(Pace {
            every: Duration::from_millis(20),
            burst: 30,
        })
    }

    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        let Some(number) = wish.source_channel_id.as_deref().and_then(id) else {
            let why = "must be the id of a phone number, as WhatsApp's API setup shows it";
            return Err(AskError::invalid("source_channel_id", why));
        };
        let Some(token) = wish.token else {
            return Err(AskError::invalid("token", "is required"));
        };
        let query = [("fields", "id,display_phone_number,verified_name")];
        let found = self.graph.call(&token, Call::get(number, &query)).await;
        let found = found.map_err(Problem::of_given_token)?;
        if text(&found, "display_phone_number").is_none() {
            return Err(AskError::invalid("source_channel_id", "is no phone number"));
        }
        let name = text(&found, "verified_name").or_else(|| text(&found, "display_phone_number"));
        Ok(Connected {
            source_channel_id: text(&found, "id").unwrap_or_else(|| number.to_owned()),
            name: wish.name.or(name),
            image_url: wish.image_url,
            token: Some(token),
        })
    }

    async fn send(&self, account: &Account, message: &Message) -> Result<Sent, SendError> {
        let token = token(account)?;
        let path = format!("{}/messages", account.channel.source_channel_id);
        let parts = parts(message);
        let send = async |part| {
            let answer = self.graph.send(token, &path, part).await?;
            let first = answer.get("messages").and_then(|sent| sent.get(0));
            Ok(first.and_then(|sent| text(sent, "id")))
        };
        self.parts
            .send(message.id, parts.len(), |part| send(&parts[part]))
            .await
    }

    async fn media(
        &self,
        account: &Account,
        reference: &str,
    ) -> Result<reqwest::Response, AskError> {
        let (Some(media), Some(token)) = (id(reference), &account.token) else {
            return Err(AskError::NotFound);
        };
        let query = [(
            "phone_number_id",
            account.channel.source_channel_id.as_str(),
        )];
        let found = self.graph.call(token, Call::get(media, &query)).await?;
        let url = text(&found, "url").ok_or(AskError::NotFound)?;
        self.graph.open(token, &url).await
    }
}

/// What a channel sends with.
pub(super) fn token(account: &Account) -> Result<&SecretString, SendError> {
    account
        .token
        .as_ref()
        .ok_or_else(|| SendError::TokenRefused {
            reason: "the channel was connected without a token".to_owned(),
        })
}

/// A message as `WhatsApp` takes it: the text is the caption of the first attachment, where that can have one,
/// and else goes before it.
fn parts(message: &Message) -> Vec<Value> {
    let content = &message.content;
    let text = Some(content.text.as_str()).filter(|text| !text.is_empty());
    let fits = |text: &str| text.chars().count() <= CAPTION_CHARS_MAX;
    let is_captioned = content.attachments.first().is_some_and(has_caption);
    let (before, mut caption) = match text {
        Some(text) if is_captioned && fits(text) => (None, Some(text)),
        text => (text, None),
    };
    let before = before.map(|text| part(message, "text", &json!({"body": text})));
    let attached = content.attachments.iter().map(|attachment| {
        let (kind, mut body) = attached(attachment);
        if let Some(text) = caption.take() {
            body["caption"] = text.into();
        }
        part(message, kind, &body)
    });
    let mut parts: Vec<_> = before.into_iter().chain(attached).collect();
    // Its receipts tell it again. Those of another part would speak for all, while some are still to be sent.
    if let Some(last) = parts.last_mut() {
        last["biz_opaque_callback_data"] = format!("{OURS}{}", message.id).into();
    }
    parts
}

fn has_caption(attachment: &Attachment) -> bool {
    use AttachmentKind::{File, Image, Video};
    matches!(attachment.kind, Image | Video | File)
}

fn attached(attachment: &Attachment) -> (&'static str, Value) {
    let linked = || json!({"link": attachment.url});
    match attachment.kind {
        AttachmentKind::Image => ("image", linked()),
        AttachmentKind::Video => ("video", linked()),
        AttachmentKind::Audio => ("audio", linked()),
        AttachmentKind::Sticker => ("sticker", linked()),
        AttachmentKind::File => {
            let mut body = linked();
            if let Some(name) = &attachment.name {
                body["filename"] = name.as_str().into();
            }
            ("document", body)
        }
        AttachmentKind::Location => match coordinates(&attachment.url) {
            Some((latitude, longitude)) => {
                let mut body = json!({"latitude": latitude, "longitude": longitude});
                if let Some(name) = &attachment.name {
                    body["name"] = name.as_str().into();
                }
                ("location", body)
            }
            None => ("text", json!({"body": attachment.url})),
        },
        AttachmentKind::Link => ("text", json!({"body": attachment.url})),
    }
}

fn part(message: &Message, kind: &str, body: &Value) -> Value {
    // A contact with a user name may have no number; the id it has instead has a point in it.
    let contact = message.contact_source_id.as_str();
    let to = if contact.contains('.') {
        "recipient"
    } else {
        "to"
    };
    json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        to: contact,
        "type": kind,
        kind: body,
    })
}
