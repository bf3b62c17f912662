//! The newest entries of the log, in memory.

use std::{collections::VecDeque, sync::Arc};

use tradewind_model::{LogEntry, Sequence};
use tradewind_store::LogPage;

use super::{Interest, Part};

/// Entries that are kept, and their weight in bytes; of them, what the last read brought is always kept.
pub(super) const KEPT_ENTRIES_MAX: usize = 2_048;
pub(super) const KEPT_WEIGHT_MAX: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct Kept {
    /// All entries after `from`, up to `read_to`.
    entries: VecDeque<Arc<LogEntry>>,
    from: Sequence,
    pub(super) read_to: Sequence,
    weight: usize,
}

impl Kept {
    pub(super) fn new(head: Sequence) -> Self {
        Self {
            entries: VecDeque::new(),
            from: head,
            read_to: head,
            weight: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.weight = 0;
        self.from = self.read_to;
    }

    /// Takes what was read after [`Self::read_to`]; answers what there is in it.
    pub(super) fn take(&mut self, page: LogPage) -> Interest {
        let brought: usize = page.entries.iter().map(|entry| entry.weight()).sum();
        let count = page.entries.len();
        while let Some(first) = self.entries.front()
            && (self.entries.len() + count > KEPT_ENTRIES_MAX
                || self.weight + brought > KEPT_WEIGHT_MAX)
        {
            self.from = first.sequence;
            self.weight -= first.weight();
            self.entries.pop_front();
        }
        let mut kinds = Interest::NOTHING;
        for entry in page.entries {
            kinds = kinds.and(Interest::in_entry(&entry));
            self.entries.push_back(entry);
        }
        self.weight += brought;
        self.read_to = self.read_to.max(page.read_to);
        kinds
    }

    /// The entries after `after` that meet `interest`; `None` when not all of them are here.
    pub(super) fn part(
        &self,
        after: Sequence,
        interest: Interest,
        limit: usize,
        weight_max: usize,
    ) -> Option<Part> {
        if after < self.from {
            return None;
        }
        let mut part = Part {
            entries: Vec::new(),
            read_to: after.max(self.read_to),
            more: false,
        };
        let first = self
            .entries
            .partition_point(|entry| entry.sequence <= after);
        let mut weight = 0;
        for entry in self.entries.range(first..) {
            if !interest.contains(entry) {
                continue;
            }
            weight += entry.weight();
            if let Some(last) = part.entries.last()
                && (part.entries.len() >= limit || weight > weight_max)
            {
                part.read_to = last.sequence;
                part.more = true;
                break;
            }
            part.entries.push(Arc::clone(entry));
        }
        Some(part)
    }
}
