//! One lane, and what the lanes hold in memory.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use tradewind_model::{ConversationId, LogEntry, Sequence, Timestamp};
use tradewind_store::HeldLane;

use crate::{attempt::FailureClass, health::Probe};

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
    pub(super) status: Option<u16>,
    pub(super) due_at: Timestamp,
    /// When it is looked at: when it is due, or before that to see whether it is to be set aside.
    pub(super) wake_at: Timestamp,
    /// The lane has no entry after this one, as far as was read.
    pub(super) last: Sequence,
}

impl Held {
    /// The lane's next entry has not been tried yet.
    pub(super) fn start_anew(&mut self, first: Sequence, now: Timestamp) {
        self.first = first;
        self.attempts = 0;
        self.failing_since = now;
        self.error = None;
        self.status = None;
    }

    pub(super) fn row(&self, conversation_id: ConversationId) -> HeldLane {
        HeldLane {
            conversation_id,
            first: self.first,
            attempts: self.attempts,
            failing_since: self.failing_since,
            due_at: self.due_at,
            error: self.error.map_or("", FailureClass::name).to_owned(),
            status: self.status,
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
