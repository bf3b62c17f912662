//! One thing said.

use crate::{ChannelId, Content, ConversationId, MessageId, Source, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub channel_id: ChannelId,
    pub source: Source,
    /// The contact's id at the source: to whom a reply goes.
    pub contact_source_id: String,
    /// Place in the conversation by arrival: 1, 2, 3 … without a gap.
    pub position: u64,
    pub sender: Sender,
    pub content: Content,
    pub state: DeliveryState,
    /// What the contact's side has told of it since; only of what we sent.
    pub receipt: Option<Receipt>,
    /// Why it has failed, in the words of its source.
    pub failure_reason: Option<String>,
    pub sent_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// A contact's id at the source; for what the API sent, the id of the token that sent it.
    pub id: String,
    pub kind: SenderType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SenderType {
    /// The person on the other side.
    SourceContact,
    /// Somebody on our side who wrote at the source itself, past Tradewind.
    SourceUser,
    /// A caller of `messages.send`.
    AppUser,
}

impl SenderType {
    pub const ALL: [Self; 3] = [Self::SourceContact, Self::SourceUser, Self::AppUser];

    pub fn name(self) -> &'static str {
        match self {
            Self::SourceContact => "source_contact",
            Self::SourceUser => "source_user",
            Self::AppUser => "app_user",
        }
    }
}

/// Whether the source has the message. It moves away from `Pending` once; after that, only from `Delivered`
/// to `Failed`, when the source tells later that it could not bring the message to the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    Pending,
    Delivered,
    Failed,
}

impl DeliveryState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// How far a message has come beyond its source, as the source tells. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Receipt {
    /// The contact's device has it.
    Delivered,
    /// The contact has seen it.
    Read,
}

impl Receipt {
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}
