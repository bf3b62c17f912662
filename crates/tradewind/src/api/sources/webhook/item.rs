//! One item of what a connector brings.

use serde::Deserialize;
use serde_json::Value;
use tradewind_model::{
    Channel, Conversation, ConversationId, MessageId, Sender, SenderType, Source, Timestamp,
};
use tradewind_sources::{InboundMessage, InboundReceipt, Profile};
use tradewind_store::{ReceiptKind, ReceiptOf};
use utoipa::ToSchema;

use super::content::{self, MoreRequest};
use crate::api::{
    error::ApiError,
    extract::check_line,
    openapi::{number_or_text, text_or},
};

/// Longest id that a connector gives, in bytes.
const SOURCE_ID_BYTES_MAX: usize = 512;
/// Longest name of a contact, and longest address of a picture, in bytes.
const CONTACT_BYTES_MAX: usize = 200;
const AVATAR_URL_BYTES_MAX: usize = 2_048;

/// A message. Ids are at most 512 bytes.
#[derive(Deserialize, ToSchema)]
pub(super) struct MessageItem {
    /// Yours, and of no other message of your source: what comes again under it is the same message.
    source_message_id: String,
    /// What you call the conversation, within its channel: answers name it.
    source_conversation_id: String,
    /// Of a channel that is connected.
    source_channel_id: String,
    /// Who wrote it.
    source_sender_id: String,
    /// Text, or an object: at least one of its keys is there.
    #[schema(schema_with = text_or::<MoreRequest>)]
    content: Value,
    /// `false`: somebody on our side wrote it, at the source itself. `true` if left out.
    from_contact: Option<bool>,
    /// Milliseconds since 1970, or a time such as `2020-07-20T14:18:08.584Z`.
    #[schema(schema_with = number_or_text)]
    sent_at: Value,
}

/// Something that is known of a conversation.
#[derive(Deserialize, ToSchema)]
pub(super) struct MetadataItem {
    /// `conversation`; others are passed over.
    namespace: String,
    /// The conversation's `source_conversation_id`.
    source_id: String,
    /// Its channel; may be left out where a message of the conversation comes with the same call.
    source_channel_id: Option<String>,
    metadata: ConversationMetadataItem,
}

#[derive(Deserialize, ToSchema)]
struct ConversationMetadataItem {
    contact: Option<ContactItem>,
}

/// Who the contact is. Texts are at most 200 bytes, the address at most 2,048.
#[derive(Deserialize, ToSchema)]
struct ContactItem {
    /// First and last name in one.
    display_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    avatar_url: Option<String>,
}

/// What became of a message that was sent.
#[derive(Deserialize, ToSchema)]
pub(super) struct ReceiptItem {
    source_channel_id: String,
    /// What you answered when you took the message.
    source_message_id: Option<String>,
    /// Or the `id` that the message came to you with.
    #[schema(value_type = Option<Uuid>)]
    message_id: Option<MessageId>,
    /// `delivered`, `read`, or `failed`.
    #[schema(example = "read")]
    state: String,
    /// Why it failed.
    error: Option<String>,
}

/// What somebody in a conversation is called.
pub(super) struct Named {
    pub(super) conversation: ConversationId,
    pub(super) profile: Profile,
}

impl MessageItem {
    /// The message and its id, which follows from that of its source and its own there.
    pub(super) fn check(
        self,
        field: &str,
        source: &Source,
        bytes_max: usize,
    ) -> Result<(MessageId, InboundMessage), ApiError> {
        let of = |name: &str| format!("{field}.{name}");
        for (name, id) in [
            ("source_message_id", &self.source_message_id),
            ("source_conversation_id", &self.source_conversation_id),
            ("source_channel_id", &self.source_channel_id),
            ("source_sender_id", &self.source_sender_id),
        ] {
            check_line(&of(name), id, 1..=SOURCE_ID_BYTES_MAX)?;
        }
        let kind = match self.from_contact {
            Some(false) => SenderType::SourceUser,
            None | Some(true) => SenderType::SourceContact,
        };
        let message = InboundMessage {
            source: source.clone(),
            source_channel_id: self.source_channel_id,
            contact: self.source_conversation_id,
            sender: Sender {
                id: self.source_sender_id,
                kind,
            },
            content: content::check(&of("content"), self.content, bytes_max)?,
            sent_at: Some(time(&of("sent_at"), &self.sent_at)?),
            id_name: self.source_message_id,
            key: None,
            profile: None,
        };
        let id = MessageId::derived(source.name(), &message.id_name);
        Ok((id, message))
    }
}

/// A time as connectors write it.
fn time(field: &str, value: &Value) -> Result<Timestamp, ApiError> {
    let parsed = match value {
        Value::Number(ms) => ms.as_i64().and_then(of_milliseconds),
        Value::String(text) => match text.parse() {
            Ok(ms) => of_milliseconds(ms),
            Err(_) => text.parse().ok(),
        },
        _ => None,
    };
    parsed.ok_or_else(|| {
        let why = "must be milliseconds since 1970, or a time such as 2020-07-20T14:18:08.584Z";
        ApiError::invalid(field, why)
    })
}

fn of_milliseconds(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

impl MetadataItem {
    /// What it says of the contact, if it says something. `messages` are those of the same call.
    pub(super) fn check(
        self,
        field: &str,
        source: &Source,
        messages: &[(MessageId, InboundMessage)],
    ) -> Result<Option<Named>, ApiError> {
        let Some(contact) = self.metadata.contact else {
            return Ok(None);
        };
        if self.namespace != "conversation" {
            return Ok(None);
        }
        let mut beside = messages.iter().map(|(_, message)| message);
        let beside = beside.find(|message| message.contact == self.source_id);
        let channel = self
            .source_channel_id
            .as_deref()
            .or_else(|| beside.map(|message| message.source_channel_id.as_str()));
        let Some(channel) = channel else {
            let why = "is required where no message of the conversation comes with it";
            return Err(ApiError::invalid(format!("{field}.source_channel_id"), why));
        };
        let channel = Channel::id_of(source, channel);
        Ok(Some(Named {
            conversation: Conversation::id_of(channel, &self.source_id),
            profile: contact.check(&format!("{field}.metadata.contact"))?,
        }))
    }
}

impl ContactItem {
    fn check(self, field: &str) -> Result<Profile, ApiError> {
        let said = |name: &str, text: Option<String>, max: usize| {
            let text = text.unwrap_or_default();
            check_line(&format!("{field}.{name}"), &text, 0..=max)?;
            Ok::<_, ApiError>(Some(text).filter(|text| !text.trim().is_empty()))
        };
        let first_name = said("first_name", self.first_name, CONTACT_BYTES_MAX)?;
        let last_name = said("last_name", self.last_name, CONTACT_BYTES_MAX)?;
        let avatar_url = said("avatar_url", self.avatar_url, AVATAR_URL_BYTES_MAX)?;
        let display_name = said("display_name", self.display_name, CONTACT_BYTES_MAX)?;
        let names = match (first_name, last_name, display_name) {
            (None, None, Some(whole)) => Profile::of_name(&whole),
            (first_name, last_name, _) => Profile {
                first_name,
                last_name,
                avatar_url: None,
            },
        };
        Ok(Profile {
            avatar_url,
            ..names
        })
    }
}

impl ReceiptItem {
    pub(super) fn check(self, field: &str, source: &Source) -> Result<InboundReceipt, ApiError> {
        let of = match (self.source_message_id, self.message_id) {
            (_, Some(id)) => ReceiptOf::Message(id),
            (Some(id), None) => ReceiptOf::SourceIds(vec![id]),
            (None, None) => {
                let field = format!("{field}.source_message_id");
                return Err(ApiError::invalid(field, "is required, or message_id"));
            }
        };
        let kind = match self.state.as_str() {
            "delivered" => ReceiptKind::Delivered,
            "read" => ReceiptKind::Read,
            "failed" => ReceiptKind::Failed {
                reason: self
                    .error
                    .unwrap_or_else(|| "the source says so".to_owned()),
            },
            _ => {
                let why = "must be one of delivered, read, failed";
                return Err(ApiError::invalid(format!("{field}.state"), why));
            }
        };
        Ok(InboundReceipt {
            source: source.clone(),
            source_channel_id: self.source_channel_id,
            of,
            kind,
        })
    }
}
