//! One lane, and what the lanes hold in memory.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZero,
    sync::Arc,
};

use tradewind_model::{ConversationId, LogEntry, Sequence, Timestamp};
use tradewind_store::HeldLane;

use crate::{attempt::FailureClass, health::Probe, schedule, time::later};

/// There can be a hundred thousand of them that are held, so each byte counts: with its box, one takes 128.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The next entries to go, the first first. While it is in flight, the first stays here.
    pub(super) queue: VecDeque<Arc<LogEntry>>,
    pub(super) work: Work,
    pub(super) held: Option<Held>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing to do, or waiting for its time.
    #[default]
    Idle,
    /// In one of the queues of lanes that can go on.
    Queued,
    Attempting {
        since: Timestamp,
        probe: Option<Probe>,
    },
    Reading {
        to: Sequence,
    },
    /// Its first entry is given up, and the lane goes on when that is saved.
    SettingAside,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// First entry of the lane that is not dealt with.
    pub(super) first: Sequence,
    /// Attempts of it that failed, since when, and how the last one did.
    pub(super) attempts: u32,
    pub(super) failing_since: Timestamp,
    pub(super) error: Option<FailureClass>,
    pub(super) status: Option<NonZero<u16>>,
    /// The last one spoke of this lane only: no news of the endpoint brings it forward. Not saved; after
    /// a restart it can come early once.
    pub(super) lane_only: bool,
    pub(super) due_at: Timestamp,
    /// When it is looked at: when it is due, or before that to see whether it is to be set aside.
    pub(super) wake_at: Timestamp,
    /// The lane has no entry after this one, as far as was read.
    pub(super) last: Sequence,
}

impl Held {
    /// What was saved of a lane; `read_to` is how far its shard had been read.
    pub(super) fn of(row: &HeldLane, read_to: Sequence, now: Timestamp) -> Self {
        // A clock that was wrong when the row was written must not silence the lane.
        let latest = later(now, schedule::WAIT_MAX);
        let error = FailureClass::find(&row.error);
        let waits = row.attempts > 0 || error == Some(FailureClass::Loop);
        Self {
            first: row.first,
            attempts: row.attempts,
            failing_since: row.failing_since.min(now),
            error,
            status: row.status.and_then(NonZero::new),
            lane_only: false,
            due_at: row.due_at.min(if waits { latest } else { now }),
            wake_at: now,
            // The most it can be: reading the lane tells, and brings all that its shard had read.
            last: read_to.max(row.first),
        }
    }

    /// The lane's next entry has not been tried yet.
    pub(super) fn start_anew(&mut self, first: Sequence, now: Timestamp) {
        self.first = first;
        self.attempts = 0;
        self.failing_since = now;
        self.error = None;
        self.status = None;
        self.lane_only = false;
    }

    /// Whether it waits for the sake of the endpoint, and so may go on when there is news of that.
    pub(super) fn waits_for_endpoint(&self) -> bool {
        self.error != Some(FailureClass::Loop) && !self.lane_only
    }

    pub(super) fn row(&self, conversation_id: ConversationId) -> HeldLane {
        HeldLane {
            conversation_id,
            first: self.first,
            attempts: self.attempts,
            failing_since: self.failing_since,
            due_at: self.due_at,
            error: self.error.map_or("", FailureClass::name).to_owned(),
            status: self.status.map(NonZero::get),
        }
    }
}

/// The attempts under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    started: BTreeSet<(Timestamp, ConversationId)>,
    retries: usize,
}

impl Flights {
    pub(super) fn start(&mut self, at: Timestamp, conversation: ConversationId, is_retry: bool) {
        self.started.insert((at, conversation));
        self.retries += usize::from(is_retry);
    }

    pub(super) fn end(&mut self, at: Timestamp, conversation: ConversationId, is_retry: bool) {
        self.started.remove(&(at, conversation));
        self.retries -= usize::from(is_retry);
    }

    pub(super) fn count(&self) -> usize {
        self.started.len()
    }

    pub(super) fn retries(&self) -> usize {
        self.retries
    }

    /// Those that started after `at`, and when the first of them did.
    pub(super) fn since(&self, at: Timestamp) -> (usize, Option<Timestamp>) {
        let before = self.started.iter().take_while(|(start, _)| *start <= at);
        let before = before.count();
        let first = self.started.iter().nth(before).map(|(start, _)| *start);
        (self.started.len() - before, first)
    }
}

/// What is in memory.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) entries: usize,
    pub(super) weight: usize,
}

impl Load {
    pub(super) fn add(&mut self, entry: &LogEntry) {
        self.entries += 1;
        self.weight += entry.weight();
    }

    pub(super) fn remove(&mut self, entry: &LogEntry) {
        self.entries -= 1;
        self.weight -= entry.weight();
    }
}
