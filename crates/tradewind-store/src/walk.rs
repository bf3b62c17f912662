//! How a list of conversations is walked while messages arrive.
//!
//! A message moves its conversation to the top. Whoever walks down the list would miss one that was below
//! and jumps over them. So a cursor that leads on says two things: below which place nothing was shown, and
//! which message was the newest by then. The next page first looks at the messages that came since. One
//! whose conversation's message before it was not newer by then, and below the place, has moved a
//! conversation that was not shown: it is shown now. So each conversation that was there when the walk
//! began is shown once.

use std::collections::HashSet;

use crate::ConversationCursor;

/// Messages that one page looks at for conversations that have moved.
pub(crate) const MOVES_MAX: usize = 20_000;

/// A conversation by its row, and its place in the list: the row of its last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) row: i64,
    pub(crate) place: u64,
}

/// Where a walk stands: nothing below `below` was shown of what was there when `seen` was the newest
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) below: u64,
    pub(crate) seen: u64,
}

/// A message that came since, in a conversation that was not new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) message: u64,
    pub(crate) conversation: i64,
    /// The message before it in its conversation; 0 where that was removed.
    pub(crate) previous: Option<u64>,
}

/// What of a walk's next page has moved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) rows: Vec<i64>,
    /// Up to which message that is all.
    seen: u64,
    /// Whether that is the newest.
    pub(crate) is_over: bool,
}

/// Which conversations are on a page, and where the list continues.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) rows: Vec<i64>,
    pub(crate) next: Option<Mark>,
    /// What is above this place is on pages before.
    pub(crate) above: u64,
}

impl Mark {
    /// The beginning of a walk.
    pub(crate) fn start(newest: u64) -> Self {
        Self {
            below: u64::MAX,
            seen: newest,
        }
    }

    /// Of these moves, which are in order, those of conversations that were not shown.
    pub(crate) fn unseen(self, moves: &[Move]) -> Vec<Move> {
        let is_unseen = |previous| previous <= self.seen && previous < self.below;
        let moves = moves.iter().copied();
        moves
            .filter(|it| it.previous.is_some_and(is_unseen))
            .collect()
    }
}

impl Moved {
    /// Nothing.
    pub(crate) fn nothing(newest: u64) -> Self {
        Self {
            rows: Vec::new(),
            seen: newest,
            is_over: true,
        }
    }

    /// How many more fit on the page.
    pub(crate) fn room(&self, limit: usize) -> usize {
        limit.saturating_sub(self.rows.len())
    }

    /// Of the `unseen` those that match, as many as fit. `looked_at` is what they are of, which goes up to
    /// `newest` unless there are as many as one page looks at.
    pub(crate) fn of(
        looked_at: &[Move],
        unseen: &[Move],
        matching: &HashSet<i64>,
        (limit, newest): (usize, u64),
    ) -> Self {
        let mut fitting: Vec<&Move> = unseen
            .iter()
            .filter(|it| matching.contains(&it.conversation))
            .collect();
        let more = fitting.len() > limit;
        fitting.truncate(limit);
        let seen = match (fitting.last(), looked_at.last()) {
            (Some(last), _) if more => last.message,
            (_, Some(last)) if looked_at.len() >= MOVES_MAX => last.message,
            _ => newest,
        };
        let rows = fitting.iter().map(|it| it.conversation).collect();
        Self {
            rows,
            seen,
            is_over: seen >= newest,
        }
    }
}

impl Cut {
    /// A page of what has moved, and then of what was found `below`, which is one more than fits if there
    /// is more.
    pub(crate) fn forward(mark: Mark, moved: Moved, mut below: Vec<Spot>, limit: usize) -> Self {
        let room = moved.room(limit);
        let more = below.len() > room;
        below.truncate(room);
        let next = Mark {
            below: below.last().map_or(mark.below, |last| last.place),
            seen: moved.seen,
        };
        let above = below.first().map(|first| first.place);
        let mut rows = moved.rows;
        rows.extend(below.iter().map(|spot| spot.row));
        Self {
            rows,
            next: (more || !moved.is_over).then_some(next),
            above: above.unwrap_or(mark.below.saturating_sub(1)),
        }
    }

    /// The page of those just `above` a place, the lowest first. Whether it leads on is not known yet: where
    /// to is in `next`.
    pub(crate) fn back(found: &[Spot], above: u64, newest: u64) -> Self {
        let lowest = found.first().map(|spot| spot.place);
        let highest = found.last().map(|spot| spot.place);
        Self {
            rows: found.iter().rev().map(|spot| spot.row).collect(),
            next: Some(Mark {
                below: lowest.unwrap_or(above.saturating_add(1)),
                seen: newest,
            }),
            above: highest.unwrap_or(u64::MAX),
        }
    }
}

/// The matches of a filter that are known, the highest place first.
pub(crate) struct Sorted(Vec<Spot>);

impl Sorted {
    pub(crate) fn of(mut spots: Vec<Spot>) -> Self {
        spots.sort_unstable_by_key(|spot| std::cmp::Reverse(spot.place));
        Self(spots)
    }

    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    /// Those below a place, the highest first.
    pub(crate) fn below(&self, place: u64, limit: usize) -> Vec<Spot> {
        let first = self.0.partition_point(|spot| spot.place >= place);
        self.0.iter().skip(first).take(limit).copied().collect()
    }

    /// Those above a place, the lowest first.
    pub(crate) fn above(&self, place: u64, limit: usize) -> Vec<Spot> {
        let end = self.0.partition_point(|spot| spot.place > place);
        let above = self.0.get(..end).unwrap_or_default();
        above.iter().rev().take(limit).copied().collect()
    }
}

impl ConversationCursor {
    /// Where the pages lead on.
    pub(crate) fn next(mark: Mark, matching: Option<u64>) -> Self {
        Self::Next {
            below: mark.below,
            seen: mark.seen,
            matching,
        }
    }

    /// How many match the filter, as was counted for the first page.
    pub(crate) fn matching(self) -> Option<u64> {
        match self {
            Self::Next { matching, .. } | Self::After { matching, .. } => matching,
        }
    }
}
