//! The log: what happened, in the order in which it became durable.

use std::fmt;

use crate::Message;

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

/// One fact about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub sequence: Sequence,
    /// Place among the entries of the conversation: 1, 2, 3 … without a gap.
    pub position: u64,
    pub kind: EntryKind,
    /// The message as it is now; only its delivery state can have moved on since the entry.
    pub message: Message,
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
}

impl LogEntry {
    /// What the entry weighs in memory, roughly, in bytes: windows are bounded by it.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.message.content.text.len()
            + self.message.sender.id.len()
            + self.message.contact_source_id.len()
    }
}
