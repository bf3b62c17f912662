//! What both backends cut, bound and write alike.

use std::sync::Arc;

use jiff::SignedDuration;
use tradewind_model::{
    AuditEntry, ChannelId, DeliveryState, LogEntry, Message, Sequence, Source, Timestamp,
};

use crate::{
    AuditPage, LogPage, MessageCursor, MessagePage, NewMessage, Origin, Page, SetAsideEntry,
    StoreError,
};

/// Entries one read returns at most, whatever the caller asks for.
pub(crate) const READ_MAX: usize = 10_000;
/// Items one page holds at most, whatever the caller asks for.
const PAGE_MAX: usize = 1_000;
/// Sequences that [`crate::Store::set_aside_by`] gives at most.
pub(crate) const SEQUENCES_MAX: i64 = 1_000_000;
/// Entries that are counted from one read.
pub(crate) const COUNTED: Room = Room {
    entries: 1_000,
    weight: 8 << 20,
};
/// A message is not appended earlier than it was sent, but for the difference of clocks.
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// How much one read of the log returns at most.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    pub(crate) entries: usize,
    pub(crate) weight: usize,
}

/// A page of the log that is being filled.
pub(crate) struct Filling {
    limit: usize,
    weight_max: usize,
    weight: usize,
    entries: Vec<Arc<LogEntry>>,
}

impl Room {
    pub(crate) fn new(entries: usize, weight: usize) -> Self {
        Self { entries, weight }
    }

    pub(crate) fn limit(self) -> usize {
        self.entries.clamp(1, READ_MAX)
    }

    pub(crate) fn page(self) -> Filling {
        Filling {
            limit: self.limit(),
            weight_max: self.weight,
            weight: 0,
            entries: Vec::new(),
        }
    }
}

impl Filling {
    /// `false`: there is no room for it. There always is for the first.
    pub(crate) fn add(&mut self, entry: impl Into<Arc<LogEntry>>) -> bool {
        let entry = entry.into();
        self.weight = self.weight.saturating_add(entry.weight());
        let is_full = self.entries.len() == self.limit || self.weight > self.weight_max;
        if is_full && !self.entries.is_empty() {
            return false;
        }
        self.entries.push(entry);
        true
    }

    /// The last entry that was added.
    pub(crate) fn last(&self) -> Option<Sequence> {
        self.entries.last().map(|entry| entry.sequence)
    }

    /// How many entries to fetch next, of at most so many: one more than fits says that there is more.
    pub(crate) fn wanted(&self, at_most: usize) -> i64 {
        let wanted = (self.limit + 1 - self.entries.len()).min(at_most);
        i64::try_from(wanted).unwrap_or(i64::MAX)
    }

    /// The page, of which an entry was left out.
    pub(crate) fn full(self) -> LogPage {
        LogPage {
            read_to: self.last().unwrap_or(Sequence::START),
            entries: self.entries,
            more: true,
        }
    }

    /// The page, with everything up to `end`.
    pub(crate) fn up_to(self, end: Sequence) -> LogPage {
        LogPage {
            entries: self.entries,
            read_to: end,
            more: false,
        }
    }
}

/// Positions of a conversation's first message that is left and of its last.
pub(crate) struct Positions {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Positions {
    fn end(&self) -> u64 {
        self.last.saturating_add(1)
    }

    /// The page `[from, to)` that `cursor` asks for, cut to what is there.
    pub(crate) fn range(&self, cursor: Option<MessageCursor>, limit: usize) -> (u64, u64) {
        let limit = u64::try_from(page_limit(limit)).unwrap_or(u64::MAX);
        let end = self.end();
        let (from, to) = match cursor {
            None => (self.first, self.first.saturating_add(limit)),
            Some(MessageCursor::From(position)) => (position, position.saturating_add(limit)),
            Some(MessageCursor::Before(position)) => (position.saturating_sub(limit), position),
            Some(MessageCursor::Newest) => (end.saturating_sub(limit), end),
        };
        (from.clamp(self.first, end), to.clamp(self.first, end))
    }

    pub(crate) fn page(&self, items: Vec<Message>, from: u64, to: u64) -> MessagePage {
        let end = self.end();
        Page {
            items,
            previous: (from > self.first).then_some(MessageCursor::Before(from)),
            next: (to < end).then_some(MessageCursor::From(to)),
            total: end - self.first,
        }
    }
}

/// A page of what was fetched, which is one more than `limit` if there is more.
pub(crate) fn set_aside_page(
    mut fetched: Vec<SetAsideEntry>,
    limit: usize,
    total: u64,
) -> Page<SetAsideEntry, Sequence> {
    let more = fetched.len() > limit;
    fetched.truncate(limit);
    let next = fetched.last().map(|last| last.record.sequence);
    Page {
        next: next.filter(|_| more),
        previous: None,
        items: fetched,
        total,
    }
}

/// A page of what was fetched, each with its row, which is one more than `limit` if there is more.
pub(crate) fn audit_page(
    mut fetched: Vec<(u64, AuditEntry)>,
    limit: usize,
    total: u64,
) -> AuditPage {
    let more = fetched.len() > limit;
    fetched.truncate(limit);
    let next = fetched.last().map(|(row, _)| *row);
    Page {
        next: next.filter(|_| more),
        previous: None,
        items: fetched.into_iter().map(|(_, entry)| entry).collect(),
        total,
    }
}

/// A limit as SQL takes it.
pub(crate) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) fn page_limit(limit: usize) -> usize {
    limit.clamp(1, PAGE_MAX)
}

/// What began or was written before this is not kept.
pub(crate) fn cutoff_ms(now: Timestamp, kept: SignedDuration) -> i64 {
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(kept_ms)
}

/// When the entry of a message sent `since` or later was appended, at the earliest.
pub(crate) fn appended_from(since: Timestamp) -> i64 {
    since
        .checked_sub(CLOCKS_APART)
        .unwrap_or(Timestamp::MIN)
        .as_millisecond()
}

/// An unsigned number as a column holds it. Those beyond `i64::MAX` only come from callers who ask for
/// a place that does not exist; the largest place does not exist either.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn json_text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(error.into()))
}

/// A list of values that are known by name, as JSON.
pub(crate) fn names<T: Copy>(
    values: &[T],
    name: fn(T) -> &'static str,
) -> Result<String, StoreError> {
    let names: Vec<_> = values.iter().map(|value| name(*value)).collect();
    json_text(&names)
}

/// A time as it will be read back.
pub(crate) fn whole_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Where a new message comes to stand.
pub(crate) struct Place {
    pub(crate) channel_id: ChannelId,
    pub(crate) source: Source,
    pub(crate) contact_source_id: String,
    pub(crate) position: u64,
}

/// A new message as it will be read back.
pub(crate) fn stored(new: &NewMessage, place: Place) -> Message {
    Message {
        id: new.id,
        conversation_id: new.conversation_id,
        channel_id: place.channel_id,
        source: place.source,
        contact_source_id: place.contact_source_id,
        position: place.position,
        sender: new.sender.clone(),
        content: new.content.clone(),
        state: match new.origin {
            Origin::Source { .. } => DeliveryState::Delivered,
            Origin::Api => DeliveryState::Pending,
        },
        receipt: None,
        failure_reason: None,
        sent_at: whole_milliseconds(new.sent_at),
    }
}
