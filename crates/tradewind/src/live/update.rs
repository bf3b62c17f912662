//! What sockets are told, and by which topic.
//!
//! An update is shared by all sockets that hear it. It becomes text once, by the first socket that sends
//! it: so a thousand agents cost one rendering, and whoever hands updates out does none.

#[cfg(test)]
pub(super) mod tests;

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tradewind_delivery::event;
use tradewind_model::{
    Channel, ChannelId, ConversationId, EntryKind, EventType, LogEntry, Message, Sequence, Subject,
    WireTime,
};

use crate::api::view::{ChannelView, MessageView};

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Message,
    UnreadCount,
    ChannelConnected,
    ChannelDisconnected,
    /// All of the log as typed events.
    Events,
}

/// A set of topics: one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics(u8);

impl Topic {
    pub(crate) const ALL: [Self; 5] = [
        Self::Message,
        Self::UnreadCount,
        Self::ChannelConnected,
        Self::ChannelDisconnected,
        Self::Events,
    ];

    /// The topics that an entry is told by. How many messages are unread is not in the log.
    pub(crate) fn of(kind: EntryKind) -> &'static [Self] {
        match kind {
            EntryKind::Received
            | EntryKind::SendRequested
            | EntryKind::Sent
            | EntryKind::SendFailed
            | EntryKind::ReceiptDelivered
            | EntryKind::ReceiptRead => &[Self::Message, Self::Events],
            EntryKind::ChannelConnected => &[Self::ChannelConnected, Self::Events],
            EntryKind::ChannelDisconnected => &[Self::ChannelDisconnected, Self::Events],
            EntryKind::ConversationChanged => &[Self::Events],
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::UnreadCount => 1 << 1,
            Self::ChannelConnected => 1 << 2,
            Self::ChannelDisconnected => 1 << 3,
            Self::Events => 1 << 4,
        }
    }
}

impl Topics {
    pub(crate) fn contains(self, topic: Topic) -> bool {
        self.0 & topic.bit() != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Self {
        Self(topics.into_iter().fold(0, |all, topic| all | topic.bit()))
    }
}

/// One thing to tell by one topic.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) topic: Topic,
    /// The entry that it comes from.
    pub(crate) sequence: Sequence,
    what: What,
    bodies: OnceLock<Vec<String>>,
}

#[derive(Debug)]
enum What {
    Entry(Arc<LogEntry>),
    Unread(UnreadCount),
}

/// How many messages of a conversation are unread, and when that was so.
#[derive(Debug, Serialize)]
pub(crate) struct UnreadCount {
    pub(crate) conversation_id: ConversationId,
    pub(crate) unread_message_count: u64,
    pub(crate) timestamp: WireTime,
}

#[derive(Debug, Serialize)]
struct MessageUpdate {
    conversation_id: ConversationId,
    channel_id: ChannelId,
    message: MessageView,
}

impl Update {
    pub(crate) fn of_entry(entry: &Arc<LogEntry>, topic: Topic) -> Self {
        Self::new(topic, entry.sequence, What::Entry(Arc::clone(entry)))
    }

    /// `sequence` is that of an entry which changed the count.
    pub(crate) fn of_unread(count: UnreadCount, sequence: Sequence) -> Self {
        Self::new(Topic::UnreadCount, sequence, What::Unread(count))
    }

    fn new(topic: Topic, sequence: Sequence, what: What) -> Self {
        Self {
            topic,
            sequence,
            what,
            bodies: OnceLock::new(),
        }
    }

    /// Up to where a socket has heard everything that its topics say once it has heard this. A count says
    /// nothing of that: it may be told before what came before it.
    pub(crate) fn cursor(&self) -> Option<Sequence> {
        match &self.what {
            What::Entry(_) => Some(self.sequence),
            What::Unread(_) => None,
        }
    }

    /// What it weighs while it waits, roughly, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match &self.what {
            What::Entry(entry) => entry.weight(),
            What::Unread(_) => size_of::<Self>(),
        }
    }

    /// The bodies of the frames that tell it, as JSON: one, or several typed events.
    pub(crate) fn bodies(&self) -> &[String] {
        self.bodies.get_or_init(|| {
            self.render().unwrap_or_else(|error| {
                tracing::error!(%error, "an update could not be written as JSON");
                Vec::new()
            })
        })
    }

    fn render(&self) -> serde_json::Result<Vec<String>> {
        let entry = match &self.what {
            What::Entry(entry) => entry,
            What::Unread(count) => return Ok(vec![serde_json::to_string(count)?]),
        };
        if self.topic == Topic::Events {
            let events = event::render(entry, &EventType::ALL)?.into_iter();
            let texts = events.filter_map(|event| String::from_utf8(event.body).ok());
            return Ok(texts.collect());
        }
        let body = match &entry.subject {
            Subject::Message { message, .. } => message_body(message, entry.kind)?,
            Subject::Channel(channel) => channel_body(channel)?,
        };
        Ok(vec![body])
    }
}

/// The message as it was when the entry was written: by now its source may have taken it.
fn message_body(message: &Message, kind: EntryKind) -> serde_json::Result<String> {
    let state = kind.delivery_state().unwrap_or(message.state);
    serde_json::to_string(&MessageUpdate {
        conversation_id: message.conversation_id,
        channel_id: message.channel_id,
        message: MessageView::in_state(message, state),
    })
}

fn channel_body(channel: &Channel) -> serde_json::Result<String> {
    serde_json::to_string(&ChannelView::new(channel))
}
