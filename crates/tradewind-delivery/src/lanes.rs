//! The pure core of delivery: which entry is sent when, and how far the consumer has come.
//!
//! One [`Lanes`] serves one consumer. It is told what was read, what became of each attempt and what
//! time it is, and answers with [`Action`]s. It does no I/O, reads no clock and draws no random bits,
//! so that a test can drive it through any history.
//!
//! The one hard idea: the cursor is not held up by what fails. An entry that failed makes its lane
//! *held*: one row that names the first entry which is not dealt with. Entries behind it are forgotten
//! here and read from the log again when their turn comes, so a lane costs the same however much waits
//! in it. A request that takes long holds its lane too, while it is still in flight, so that neither
//! the cursor nor the memory of a consumer depends on its slowest conversation.

mod limits;
mod transitions;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tradewind_model::{ConversationId, LogEntry, Sequence, Timestamp};
use tradewind_store::{ConsumerState, HeldLane};

use crate::{
    attempt::{FailureClass, Outcome},
    schedule,
};

pub use limits::Limits;

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try to bring `entry`; report by [`Lanes::finished`].
    Attempt { entry: Arc<LogEntry>, number: u32 },
    /// Read the lane's entries from `from` up to `to`, within [`Limits::lane_entries_max`] and
    /// [`Limits::lane_weight_max`]; report by [`Lanes::lane_read`].
    ReadLane {
        conversation: ConversationId,
        from: Sequence,
        to: Sequence,
    },
}

/// What is to be saved, in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub cursor: Sequence,
    pub held: Vec<HeldLane>,
    pub released: Vec<ConversationId>,
}

/// The lanes of one consumer.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    /// Everything up to here was taken from the log.
    read_to: Sequence,
    /// Entries that keep the cursor back: taken, not dealt with, and their lane not held.
    pending: BTreeMap<Sequence, ConversationId>,
    by_conversation: HashMap<ConversationId, Lane>,
    /// Lanes whose next entry is in memory and may go out.
    ready: VecDeque<ConversationId>,
    /// Held lanes whose time has come and whose entries have to be read.
    hungry: VecDeque<ConversationId>,
    /// Held lanes that wait for their time.
    due: BTreeSet<(Timestamp, ConversationId)>,
    held_count: usize,
    in_flight: usize,
    /// Lane reads under way: room is kept for what they bring.
    reading: usize,
    load: Load,
    /// Lanes whose row differs from what was last saved.
    unsaved: BTreeSet<ConversationId>,
    saved_cursor: Sequence,
}

/// What is in memory.
#[derive(Debug, Default)]
struct Load {
    entries: usize,
    weight: usize,
}

impl Load {
    fn add(&mut self, entry: &LogEntry) {
        self.entries += 1;
        self.weight += entry.weight();
    }

    fn remove(&mut self, entry: &LogEntry) {
        self.entries -= 1;
        self.weight -= entry.weight();
    }
}

#[derive(Debug, Default)]
struct Lane {
    /// The next entries to go, the first first. While it is in flight, the first stays here.
    queue: VecDeque<Arc<LogEntry>>,
    work: Work,
    held: Option<Held>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Nothing to do, or waiting for its time.
    #[default]
    Idle,
    /// In `ready` or `hungry`.
    Queued,
    Attempting {
        since: Timestamp,
    },
    Reading {
        to: Sequence,
    },
}

#[derive(Debug, Clone, Copy)]
struct Held {
    /// First entry of the lane that is not dealt with.
    first: Sequence,
    attempts: u32,
    due_at: Timestamp,
    error: Option<FailureClass>,
    /// The lane has no entry after this one, as far as was read.
    last: Sequence,
}

impl Lanes {
    /// Starts where `state` says the consumer stands.
    pub fn new(limits: Limits, state: ConsumerState, now: Timestamp) -> Self {
        assert!(
            limits.entries_max / 4 >= limits.lane_entries_max,
            "a lane's read fits"
        );
        assert!(
            limits.weight_max / 4 >= limits.lane_weight_max,
            "a lane's read fits"
        );
        let mut lanes = Self {
            limits,
            read_to: state.cursor,
            pending: BTreeMap::new(),
            by_conversation: HashMap::new(),
            ready: VecDeque::new(),
            hungry: VecDeque::new(),
            due: BTreeSet::new(),
            held_count: state.held.len(),
            in_flight: 0,
            reading: 0,
            load: Load::default(),
            unsaved: BTreeSet::new(),
            saved_cursor: state.cursor,
        };
        // A clock that was wrong when the row was written must not silence the lane.
        let latest = later(now, schedule::WAIT_MAX);
        for row in state.held {
            let due_at = row.due_at.min(latest);
            let held = Held {
                first: row.first,
                attempts: row.attempts,
                due_at,
                error: FailureClass::find(&row.error),
                // Unknown, so the most it can be: reading the lane tells.
                last: state.cursor.max(row.first),
            };
            lanes.due.insert((due_at, row.conversation_id));
            let lane = lanes
                .by_conversation
                .entry(row.conversation_id)
                .or_default();
            lane.held = Some(held);
        }
        lanes
    }

    /// Where the next read of the log goes on.
    pub fn read_to(&self) -> Sequence {
        self.read_to
    }

    /// How many entries the next read of the log may bring; 0 while the window is full.
    pub fn room(&self) -> usize {
        let Limits {
            entries_max,
            weight_max,
            held_max,
            ..
        } = self.limits;
        let full = self.load.weight >= weight_max - weight_max / 4 || self.held_count >= held_max;
        let share = entries_max - entries_max / 4;
        if full {
            0
        } else {
            share.saturating_sub(self.load.entries)
        }
    }

    /// Takes entries that were read from the log after [`Self::read_to`], without those that the
    /// consumer does not want; the read looked at everything up to `read_to`.
    pub fn extend(&mut self, entries: Vec<Arc<LogEntry>>, read_to: Sequence) {
        for entry in entries {
            let conversation = entry.message.conversation_id;
            let lane = self.by_conversation.entry(conversation).or_default();
            if let Some(held) = &mut lane.held {
                // Below `first` it was dealt with before a restart.
                held.last = held.last.max(entry.sequence);
                continue;
            }
            self.pending.insert(entry.sequence, conversation);
            self.load.add(&entry);
            lane.queue.push_back(entry);
            if lane.work == Work::Idle {
                lane.work = Work::Queued;
                self.ready.push_back(conversation);
            }
        }
        self.read_to = self.read_to.max(read_to);
    }

    /// What can be started now.
    pub fn step(&mut self, now: Timestamp) -> Vec<Action> {
        self.hold_slow(now);
        self.wake_due(now);
        let mut actions = Vec::new();
        while self.in_flight < self.limits.in_flight_max {
            // Old and new take turns.
            let hungry = self.start_reading();
            let ready = self.start_attempt(now);
            if hungry.is_none() && ready.is_none() {
                break;
            }
            actions.extend(hungry);
            actions.extend(ready);
        }
        actions
    }

    /// Takes what became of the attempt of the first entry of a lane. `jitter` is random, in `[0, 1)`.
    pub fn finished(
        &mut self,
        conversation: ConversationId,
        outcome: &Outcome,
        now: Timestamp,
        jitter: f64,
    ) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            unreachable!("a lane with an attempt in flight is not forgotten");
        };
        assert!(
            matches!(lane.work, Work::Attempting { .. }),
            "one attempt, one result"
        );
        lane.work = Work::Idle;
        self.in_flight -= 1;
        match outcome {
            Outcome::Delivered { .. } => self.deal_with_first(conversation),
            Outcome::Failed(failure) => self.hold(conversation, failure, now, jitter),
        }
    }

    /// Takes entries of a held lane that were read on [`Action::ReadLane`], without those that the
    /// consumer does not want. `read_to` is how far the read looked; `more`, whether it stopped before
    /// the end it was given.
    pub fn lane_read(
        &mut self,
        conversation: ConversationId,
        entries: Vec<Arc<LogEntry>>,
        read_to: Sequence,
        more: bool,
    ) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            unreachable!("a lane that is being read is not forgotten");
        };
        let (Work::Reading { to }, Some(held)) = (lane.work, &mut lane.held) else {
            unreachable!("only a held lane is read");
        };
        lane.work = Work::Idle;
        self.in_flight -= 1;
        self.reading -= 1;
        if more {
            held.last = held.last.max(read_to.next());
        } else if held.last <= to {
            held.last = entries
                .last()
                .map_or(held.first.previous(), |entry| entry.sequence);
        }
        if entries.is_empty() {
            // Nothing of it is for this consumer: pass over it.
            held.first = held
                .first
                .max(if more { read_to.next() } else { to.next() });
            held.attempts = 0;
            held.error = None;
            self.unsaved.insert(conversation);
        }
        for entry in entries {
            self.load.add(&entry);
            lane.queue.push_back(entry);
        }
        self.go_on(conversation);
    }

    /// A read of a lane failed: it is asked for again by a later [`Self::step`].
    pub fn lane_read_failed(&mut self, conversation: ConversationId) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            unreachable!("a lane that is being read is not forgotten");
        };
        self.in_flight -= 1;
        self.reading -= 1;
        lane.work = Work::Queued;
        self.hungry.push_back(conversation);
    }

    /// Holds every lane that keeps the cursor back, so that a restart goes on with just what is not
    /// dealt with. Nothing is started or taken after this.
    pub fn hold_all(&mut self, now: Timestamp) {
        while let Some((_, conversation)) = self.pending.first_key_value() {
            self.hold_from_first(*conversation, now);
        }
    }

    /// When [`Self::step`] has something to do even if nothing else happens.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at);
        let slow = self
            .slow_first()
            .map(|(_, since)| later(since, self.limits.hold_after));
        [due, slow].into_iter().flatten().min()
    }

    /// What is to be saved, or `None` if all is. It counts as saved from now on: the caller saves it, or
    /// gives up the whole consumer.
    pub fn take_changes(&mut self) -> Option<Changes> {
        if !self.has_changes() {
            return None;
        }
        let cursor = self.cursor();
        self.saved_cursor = cursor;
        let mut changes = Changes {
            cursor,
            held: Vec::new(),
            released: Vec::new(),
        };
        for conversation in std::mem::take(&mut self.unsaved) {
            match self
                .by_conversation
                .get(&conversation)
                .and_then(|lane| lane.held)
            {
                Some(held) => changes.held.push(HeldLane {
                    conversation_id: conversation,
                    first: held.first,
                    attempts: held.attempts,
                    due_at: held.due_at,
                    error: held.error.map_or("", FailureClass::name).to_owned(),
                }),
                None => changes.released.push(conversation),
            }
        }
        Some(changes)
    }

    pub fn has_changes(&self) -> bool {
        !self.unsaved.is_empty() || self.cursor() != self.saved_cursor
    }

    /// Attempts and lane reads under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Weight of the entries in memory, in bytes.
    pub fn weight(&self) -> usize {
        self.load.weight
    }

    /// Entries in memory.
    pub fn entry_count(&self) -> usize {
        self.load.entries
    }

    /// Every entry at or below it is dealt with, or its lane is held.
    pub fn cursor(&self) -> Sequence {
        self.pending
            .first_key_value()
            .map_or(self.read_to, |(first, _)| first.previous())
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
