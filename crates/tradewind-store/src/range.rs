//! What both backends make of the range of a replay.

use std::borrow::Borrow;

use tradewind_model::{ConversationId, LogEntry, Sequence, Timestamp};

use crate::{HeldLane, ReplayRange, Wanted};

/// Where the log is read for a range.
pub(crate) enum Lane {
    All,
    Of(ConversationId),
    /// What it names is not there.
    None,
}

impl Lane {
    /// The lane of a range: `of_message` is that of the message it names.
    pub(crate) fn of(range: &ReplayRange, of_message: Option<ConversationId>) -> Self {
        if range.message.is_some() && of_message.is_none() {
            return Self::None;
        }
        match (of_message, range.conversation) {
            (Some(lane), Some(asked)) if lane != asked => Self::None,
            (Some(lane), _) | (None, Some(lane)) => Self::Of(lane),
            (None, None) => Self::All,
        }
    }

    pub(crate) fn has(&self, id: ConversationId) -> bool {
        match self {
            Self::All => true,
            Self::Of(lane) => id == *lane,
            Self::None => false,
        }
    }
}

/// How many of `entries` a replay would bring.
pub(crate) fn count<E: Borrow<LogEntry>>(
    entries: impl IntoIterator<Item = E>,
    range: &ReplayRange,
    wanted: &Wanted,
) -> u64 {
    let counted = entries.into_iter().filter(|entry| {
        let entry = entry.borrow();
        range.contains(entry) && wanted.contains(entry)
    });
    u64::try_from(counted.count()).unwrap_or(u64::MAX)
}

/// A lane that a replay begins with: nothing was tried yet.
pub(crate) fn untried(
    conversation_id: ConversationId,
    first: Sequence,
    now: Timestamp,
) -> HeldLane {
    HeldLane {
        conversation_id,
        first,
        attempts: 0,
        failing_since: now,
        due_at: now,
        error: String::new(),
        status: None,
    }
}
