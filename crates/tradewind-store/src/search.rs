//! How a page of what a search finds comes together.

use tradewind_model::Message;

use crate::Found;

/// Messages that are added to the index at once.
pub(crate) const INDEXED_MAX: usize = 2_000;
/// Bytes of their texts, beyond which no further message is taken.
pub(crate) const INDEXED_BYTES_MAX: usize = 8 << 20;
/// Messages that one page looks at: beyond them it is given as it is, and the next one goes on there.
pub(crate) const LOOKED_AT_MAX: usize = 5_000;

/// A page that is being filled, from the newest message on.
pub(crate) struct Collected {
    limit: usize,
    below: u64,
    looked_at: usize,
    is_over: bool,
    found: Vec<Message>,
}

impl Collected {
    pub(crate) fn new(limit: usize, before: Option<u64>) -> Self {
        Self {
            limit,
            below: before.unwrap_or(u64::MAX),
            looked_at: 0,
            is_over: false,
            found: Vec::new(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.is_over && self.found.len() < self.limit && self.looked_at < LOOKED_AT_MAX
    }

    /// All at this row and after it was looked at.
    pub(crate) fn below(&self) -> u64 {
        self.below
    }

    /// Takes messages that were looked at, by their rows, as far as there is room. `is_end`: there are no
    /// more after them.
    pub(crate) fn add(&mut self, looked_at: Vec<(u64, Option<Message>)>, is_end: bool) {
        for (row, message) in looked_at {
            if self.found.len() == self.limit {
                return;
            }
            self.below = row;
            self.looked_at += 1;
            self.found.extend(message);
        }
        self.is_over = is_end;
    }

    /// There is nothing more to look at.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    pub(crate) fn page(self) -> Found {
        Found {
            next: (!self.is_over).then_some(self.below),
            messages: self.found,
        }
    }
}
