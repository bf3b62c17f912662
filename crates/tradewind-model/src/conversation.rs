//! The exchange of one contact on one channel.

use std::collections::BTreeMap;

use crate::{Channel, ChannelId, ConversationId, Message, TagId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub id: ConversationId,
    pub channel: Channel,
    pub contact: Contact,
    /// When its first message was sent.
    pub created_at: Timestamp,
    /// The one that arrived last, in either direction.
    pub last_message: Message,
    /// Messages of the contact that nobody has read.
    pub unread_count: u64,
    pub tags: Vec<TagId>,
    /// What the API's users noted about it, by key.
    pub metadata: BTreeMap<String, String>,
}

impl Conversation {
    /// The same contact on the same channel is always the same conversation.
    pub fn id_of(channel: ChannelId, source_conversation_id: &str) -> ConversationId {
        ConversationId::derived(&channel.to_string(), source_conversation_id)
    }
}

/// The person on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The contact's id at the source; web chat: the session's id.
    pub source_id: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub avatar_url: Option<String>,
}
