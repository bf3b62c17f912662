//! A customer's registration for events.

use uuid::Uuid;

use crate::{SenderType, Timestamp, WebhookId};

#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub url: String,
    /// Sent with every delivery, in this order.
    pub headers: Vec<(String, String)>,
    pub status: WebhookStatus,
    /// Signs deliveries: its canonical text is the key. Made at the first subscribe, and changed by
    /// rotation only.
    pub api_secret: Uuid,
    /// The secret before the last rotation, which signs too for a while.
    pub old_secret: Option<OldSecret>,
    /// What the operator calls it.
    pub name: Option<String>,
    /// The typed events that it wants. None: the flat event of each message.
    pub events: Vec<EventType>,
    /// Whose messages it wants. None: everybody's.
    pub senders: Vec<SenderType>,
    /// Subscribed, but nothing is sent: what happens waits in the log.
    pub paused: bool,
    /// Why it was unsubscribed, if not by a call.
    pub ended_because: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OldSecret {
    pub secret: Uuid,
    pub until: Timestamp,
}

/// A kind of typed events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A message is stored, in either direction.
    MessageCreated,
    /// Its source has taken a message of ours, or refused it.
    MessageUpdated,
    /// A conversation has a new message, or one that changed.
    ConversationUpdated,
    /// A channel was connected or disconnected.
    ChannelUpdated,
}

impl EventType {
    pub const ALL: [Self; 4] = [
        Self::MessageCreated,
        Self::MessageUpdated,
        Self::ConversationUpdated,
        Self::ChannelUpdated,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::MessageCreated => "message.created",
            Self::MessageUpdated => "message.updated",
            Self::ConversationUpdated => "conversation.updated",
            Self::ChannelUpdated => "channel.updated",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookStatus {
    Subscribed,
    Unsubscribed,
}

impl WebhookStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "Subscribed",
            Self::Unsubscribed => "Unsubscribed",
        }
    }
}

impl std::fmt::Debug for Webhook {
    /// Without the secret, and without the headers' values, which often are one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("url", &self.url)
            .field("status", &self.status)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// The webhook of callers that name none: an installation's first and often only one. The id is
    /// the one Airy Core gave its single webhook.
    pub const DEFAULT_ID: WebhookId =
        WebhookId::from_uuid(Uuid::from_u128(0x339a_b777_92aa_43a5_b452_82e7_3c50_fc59));
}
