//! The log: what happened, in the order in which it became durable.

use std::fmt;

use crate::{Channel, ConversationId, DeliveryState, Message, Receipt, SenderType, Timestamp};

/// A place in the log. Later entries have larger ones; 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[must_use]
pub struct Sequence(pub u64);

impl Sequence {
    pub const START: Self = Self(0);

    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One fact about one message or one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub sequence: Sequence,
    /// Place among the entries of its lane: 1, 2, 3 … without a gap.
    pub position: u64,
    pub kind: EntryKind,
    /// When it was appended.
    pub at: Timestamp,
    pub subject: Subject,
}

/// What an entry is about, as it is now. Of a message, only its delivery state and its receipt can
/// have moved on since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Message {
        message: Message,
        conversation_created_at: Timestamp,
    },
    Channel(Channel),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A source brought the message.
    Received,
    /// `messages.send` stored the message; its source has yet to take it.
    SendRequested,
    /// The source has taken the message.
    Sent,
    /// The source refused the message for good.
    SendFailed,
    /// A channel was connected.
    ChannelConnected,
    /// A channel was disconnected.
    ChannelDisconnected,
    /// A conversation was read, tagged, or something was noted about it. It is about the conversation's
    /// last message.
    ConversationChanged,
    /// The source tells that the contact's device has our message.
    ReceiptDelivered,
    /// The source tells that the contact has seen our message.
    ReceiptRead,
}

impl EntryKind {
    pub const ALL: [Self; 9] = [
        Self::Received,
        Self::SendRequested,
        Self::Sent,
        Self::SendFailed,
        Self::ChannelConnected,
        Self::ChannelDisconnected,
        Self::ConversationChanged,
        Self::ReceiptDelivered,
        Self::ReceiptRead,
    ];

    /// The state in which such an entry leaves its message. `None`: it says nothing of that.
    pub fn delivery_state(self) -> Option<DeliveryState> {
        match self {
            Self::SendRequested => Some(DeliveryState::Pending),
            Self::Received | Self::Sent | Self::ReceiptDelivered | Self::ReceiptRead => {
                Some(DeliveryState::Delivered)
            }
            Self::SendFailed => Some(DeliveryState::Failed),
            Self::ChannelConnected | Self::ChannelDisconnected | Self::ConversationChanged => None,
        }
    }

    /// Whether its message is delivered by it, in either direction.
    pub fn is_delivery(self) -> bool {
        matches!(self, Self::Received | Self::Sent)
    }

    /// What such an entry tells of its message's way beyond the source.
    pub fn receipt(self) -> Option<Receipt> {
        match self {
            Self::ReceiptDelivered => Some(Receipt::Delivered),
            Self::ReceiptRead => Some(Receipt::Read),
            _ => None,
        }
    }
}

impl LogEntry {
    /// The message it is about, if it is about one.
    pub fn message(&self) -> Option<&Message> {
        match &self.subject {
            Subject::Message { message, .. } => Some(message),
            Subject::Channel(_) => None,
        }
    }

    /// Who sent what the entry says was sent: nobody, if it says something else.
    pub fn sender(&self) -> Option<SenderType> {
        let message = self.message()?;
        (self.kind != EntryKind::ConversationChanged).then_some(message.sender.kind)
    }

    /// What it keeps its order with: the conversation of its message. Facts about a channel keep it
    /// among themselves, under the id of the channel.
    pub fn lane(&self) -> ConversationId {
        match &self.subject {
            Subject::Message { message, .. } => message.conversation_id,
            Subject::Channel(channel) => ConversationId::from_uuid(channel.id.uuid()),
        }
    }

    /// What the entry weighs in memory, roughly, in bytes: windows are bounded by it.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + match &self.subject {
                Subject::Message { message, .. } => {
                    message.content.weight()
                        + message.sender.id.len()
                        + message.contact_source_id.len()
                }
                Subject::Channel(channel) => {
                    let name = channel.name.as_ref().map_or(0, String::len);
                    let image_url = channel.image_url.as_ref().map_or(0, String::len);
                    channel.source_channel_id.len() + name + image_url
                }
            }
    }
}
