//! The newest entries of the log, in memory.
//!
//! Who follows the log wants what was committed a moment ago; the writer has it still at hand. Taken from
//! here, it costs neither a query nor a thread. The writer adds what it wrote once it has committed, in
//! the order of the log and without gaps, so that a reader sees just what it would in the database.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tradewind_model::{DeliveryState, LogEntry, MessageId, Receipt, Sequence, Subject};

use super::log::page;
use crate::{LogPage, page::Room};

/// What has become of a message of ours.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) state: DeliveryState,
    pub(super) receipt: Option<Receipt>,
    pub(super) failure_reason: Option<String>,
}

impl Fate {
    /// Writes it to the message of an entry, which is copied if somebody else has it.
    fn write_to(&self, entry: &mut Arc<LogEntry>) {
        if let Subject::Message { message, .. } = &mut Arc::make_mut(entry).subject {
            message.state = self.state;
            message.receipt = self.receipt;
            message.failure_reason.clone_from(&self.failure_reason);
        }
    }
}

/// Entries that are kept, and their weight in bytes.
const RECENT_MAX: usize = 1_024;
const RECENT_WEIGHT_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// All entries that were written after `from`.
    entries: VecDeque<Arc<LogEntry>>,
    from: Sequence,
    weight: usize,
    is_closed: bool,
}

impl Recent {
    /// Adds what was committed.
    pub(super) fn add(&self, written: Vec<Arc<LogEntry>>) {
        let mut kept = self.lock();
        if kept.is_closed {
            return;
        }
        for entry in written {
            if kept.entries.is_empty() {
                kept.from = entry.sequence.previous();
            }
            kept.weight += entry.weight();
            kept.entries.push_back(entry);
        }
        while kept.entries.len() > RECENT_MAX || kept.weight > RECENT_WEIGHT_MAX {
            let Some(oldest) = kept.entries.pop_front() else {
                break;
            };
            kept.weight -= oldest.weight();
            kept.from = oldest.sequence;
        }
    }

    /// What is after `after`. `None`: nothing is, or it is not known here.
    pub(super) fn read(&self, after: Sequence, room: Room) -> Option<LogPage> {
        let kept = self.lock();
        let newest = kept.entries.back()?.sequence;
        if after < kept.from || after >= newest {
            return None;
        }
        let start = kept
            .entries
            .partition_point(|entry| entry.sequence <= after);
        let entries = kept.entries.range(start..).cloned().map(Ok);
        page(entries, room, newest).ok()
    }

    /// Says what became of the message whose first entry has this sequence: an entry shows its message
    /// as it is when it is read.
    pub(super) fn settle(&self, first: Sequence, fate: &Fate) {
        let mut kept = self.lock();
        let found = kept
            .entries
            .binary_search_by_key(&first, |entry| entry.sequence);
        if let Ok(at) = found
            && let Some(entry) = kept.entries.get_mut(at)
        {
            fate.write_to(entry);
        }
    }

    /// Says what a receipt made of a message, in all entries about it: they show it as it is when they are
    /// read.
    pub(super) fn advance(&self, id: MessageId, fate: &Fate) {
        for entry in &mut self.lock().entries {
            if entry.message().is_some_and(|message| message.id == id) {
                fate.write_to(entry);
            }
        }
    }

    /// Forgets all: some of it may not be in the log any more.
    pub(super) fn forget(&self) {
        let mut kept = self.lock();
        kept.entries.clear();
        kept.weight = 0;
    }

    /// Answers nothing any more.
    pub(super) fn close(&self) {
        self.forget();
        self.lock().is_closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tradewind_model::{Channel, EntryKind, LogEntry, Sequence, Source, Subject, Timestamp};

    use super::{RECENT_MAX, RECENT_WEIGHT_MAX, Recent, Room};

    const ALL: Room = Room {
        entries: 10_000,
        weight: usize::MAX,
    };

    fn entries(sequences: std::ops::RangeInclusive<u64>, name_bytes: usize) -> Vec<Arc<LogEntry>> {
        let source = Source::parse("test").unwrap();
        let channel = Channel {
            id: Channel::id_of(&source, "test"),
            source,
            source_channel_id: "test".to_owned(),
            name: Some("x".repeat(name_bytes)),
            image_url: None,
            token: None,
            connected: true,
        };
        let entry = |sequence| {
            Arc::new(LogEntry {
                sequence: Sequence(sequence),
                position: 1,
                kind: EntryKind::ChannelConnected,
                at: Timestamp::UNIX_EPOCH,
                subject: Subject::Channel(channel.clone()),
            })
        };
        sequences.map(entry).collect()
    }

    fn read(recent: &Recent, after: u64) -> Option<Vec<u64>> {
        let page = recent.read(Sequence(after), ALL)?;
        let sequences = page.entries.iter().map(|entry| entry.sequence.0);
        Some(sequences.collect())
    }

    #[test]
    fn it_answers_only_what_it_knows_to_be_whole() {
        let recent = Recent::default();
        assert_eq!(read(&recent, 0), None);
        recent.add(entries(5..=7, 1));
        assert_eq!(read(&recent, 3), None);
        assert_eq!(read(&recent, 4), Some(vec![5, 6, 7]));
        assert_eq!(read(&recent, 6), Some(vec![7]));
        assert_eq!(read(&recent, 7), None);
        recent.forget();
        assert_eq!(read(&recent, 4), None);
        recent.add(entries(8..=8, 1));
        assert_eq!(read(&recent, 6), None);
        assert_eq!(read(&recent, 7), Some(vec![8]));
    }

    #[test]
    fn it_keeps_the_newest_up_to_its_limits() {
        let recent = Recent::default();
        let count = u64::try_from(RECENT_MAX).unwrap();
        recent.add(entries(1..=count + 10, 1));
        assert_eq!(read(&recent, 9), None);
        assert_eq!(read(&recent, 10).unwrap().len(), RECENT_MAX);

        recent.add(entries(count + 11..=count + 20, RECENT_WEIGHT_MAX / 4));
        let kept = read(&recent, count + 17).unwrap();
        assert_eq!(kept.last(), Some(&(count + 20)));
        assert_eq!(read(&recent, count + 16), None);
    }

    #[test]
    fn nothing_is_answered_once_it_is_closed() {
        let recent = Recent::default();
        recent.add(entries(1..=2, 1));
        recent.close();
        recent.add(entries(3..=4, 1));
        assert_eq!(read(&recent, 0), None);
        assert_eq!(read(&recent, 2), None);
    }
}
