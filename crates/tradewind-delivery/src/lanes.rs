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
//!
//! How many attempts run at once, and whether any does, is for [`crate::health`] to say.

mod changes;
mod lane;
mod limits;
mod loops;
mod starts;
mod transitions;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use tradewind_model::{ConversationId, LogEntry, SenderType, Sequence, Timestamp};
use tradewind_store::ConsumerState;

use crate::{
    attempt::{FailureClass, Outcome},
    health::{Health, Sample, Turn},
    time::later,
};
use lane::{Flights, Held, Lane, Load, Work};
use loops::Loops;

pub use changes::{Changes, LaneStatus, LaneWork, Status};
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
    /// Tell the operator that the conversation is left alone until then, because our side answers
    /// itself in it.
    TellLoop {
        conversation: ConversationId,
        until: Timestamp,
    },
}

/// The lanes of one consumer.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    health: Health,
    loops: Loops,
    /// Everything up to here was taken from the log.
    read_to: Sequence,
    /// Entries that keep the cursor back: taken, not dealt with, and their lane not held.
    pending: BTreeMap<Sequence, ConversationId>,
    /// Boxed: most places of a hash table are empty, and it is there twice while it grows.
    by_conversation: HashMap<ConversationId, Box<Lane>>,
    /// Lanes that may go on: those that never failed, and those that are held, with their next entry in
    /// memory and without.
    fresh: VecDeque<ConversationId>,
    loaded: VecDeque<ConversationId>,
    hungry: VecDeque<ConversationId>,
    /// As `hungry`, but their next entry has failed before: these can have to wait for their share.
    retrying: VecDeque<ConversationId>,
    /// Whose turn it is when both kinds could go.
    fresh_is_next: bool,
    retrying_is_next: bool,
    /// Held lanes that wait for their time.
    due: BTreeSet<(Timestamp, ConversationId)>,
    /// Held lanes that have come further than the log was read, as a lane can after a restart: their row
    /// tells what is dealt with, until the log is read up to there.
    ahead: BTreeSet<(Sequence, ConversationId)>,
    /// Of those that wait, lanes whose event has failed for long enough to be set aside, while nothing has
    /// shown that it is at fault. The next success has them tried once more.
    suspects: BTreeSet<ConversationId>,
    held_count: usize,
    flights: Flights,
    /// Lane reads under way: room is kept for what they bring.
    reading: usize,
    load: Load,
    /// What there is to save.
    unsaved: changes::Unsaved,
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
            health: Health::new(
                limits.in_flight_max,
                limits.retries_per_second,
                state.backed_off_since,
                now,
            ),
            loops: Loops::default(),
            read_to: state.cursor,
            pending: BTreeMap::new(),
            by_conversation: HashMap::new(),
            fresh: VecDeque::new(),
            loaded: VecDeque::new(),
            hungry: VecDeque::new(),
            retrying: VecDeque::new(),
            fresh_is_next: false,
            retrying_is_next: false,
            due: BTreeSet::new(),
            ahead: BTreeSet::new(),
            suspects: BTreeSet::new(),
            held_count: state.held.len(),
            flights: Flights::default(),
            reading: 0,
            load: Load::default(),
            unsaved: changes::Unsaved::new(state.cursor, state.backed_off_since),
        };
        for row in state.held {
            let conversation = row.conversation_id;
            let ahead = state.share.ahead(conversation).unwrap_or(state.cursor);
            let held = Held::of(&row, ahead, now);
            lanes.by_conversation.entry(conversation).or_default().held = Some(held);
            lanes.wait(conversation, now);
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
        let waiting = self.held_count - self.ahead.len();
        let full = self.load.weight >= weight_max - weight_max / 4 || waiting >= held_max;
        let share = entries_max - entries_max / 4;
        if full {
            0
        } else {
            share.saturating_sub(self.load.entries)
        }
    }

    /// Takes entries that were read from the log after [`Self::read_to`], without those that the
    /// consumer does not want; the read looked at everything up to `read_to`.
    pub fn extend(&mut self, entries: Vec<Arc<LogEntry>>, read_to: Sequence, now: Timestamp) {
        for entry in entries {
            self.loops.read(&entry);
            let conversation = entry.lane();
            let lane = self.by_conversation.entry(conversation).or_default();
            if let Some(held) = &mut lane.held {
                // Below `first` it was dealt with before a restart.
                held.last = held.last.max(entry.sequence);
                if held.error == Some(FailureClass::Loop) && entry.sender().is_some() {
                    // Whoever writes without hearing events is no loop.
                    self.hurry(conversation, now);
                }
                continue;
            }
            self.pending.insert(entry.sequence, conversation);
            self.load.add(&entry);
            lane.queue.push_back(entry);
            if lane.work == Work::Idle {
                lane.work = Work::Queued;
                self.fresh.push_back(conversation);
            }
        }
        self.read_to = self.read_to.max(read_to);
        while let Some((first, conversation)) = self.ahead.first().copied()
            && first <= self.read_to.next()
        {
            self.ahead.pop_first();
            self.go_on(conversation);
        }
    }

    /// What can be started now.
    pub fn step(&mut self, now: Timestamp) -> Vec<Action> {
        self.wake_due(now);
        let mut actions = Vec::new();
        self.start_attempts(now, &mut actions);
        // After the starts: a lane that is left alone then keeps the cursor back no more, and what does
        // now may be slow already.
        self.hold_slow(now);
        self.probe_early(now);
        while let Some(read) = self.start_reading(now) {
            actions.push(read);
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
    ) -> Option<Turn> {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            unreachable!("a lane with an attempt in flight is not forgotten");
        };
        let Work::Attempting { since, probe } = lane.work else {
            unreachable!("one attempt, one result");
        };
        lane.work = Work::Idle;
        let is_first = lane.held.is_none_or(|held| held.attempts == 0);
        self.flights.end(since, conversation, !is_first);
        let sample = Sample {
            outcome,
            started_at: since,
            is_first,
            probe,
        };
        let turn = self.health.finished(sample, now, jitter);
        match outcome {
            Outcome::Delivered { .. } => self.deal_with_first(conversation, now),
            Outcome::Failed(failure) => self.hold(conversation, failure, now, jitter),
        }
        if let Some(Turn::Recovered { since, was_outage }) = turn
            && was_outage
        {
            self.try_again_after_outage(since, now);
        }
        if matches!(outcome, Outcome::Delivered { .. }) {
            self.try_suspects(now);
        }
        turn
    }

    /// Something passed at the endpoint at `at`, by somebody else's attempt.
    pub fn passed_elsewhere(&mut self, at: Timestamp, now: Timestamp) {
        if self.health.noticed(at) {
            self.try_suspects(now);
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
        now: Timestamp,
    ) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            unreachable!("a lane that is being read is not forgotten");
        };
        let (Work::Reading { to }, Some(held)) = (lane.work, &mut lane.held) else {
            unreachable!("only a held lane is read");
        };
        lane.work = Work::Idle;
        self.reading -= 1;
        if more {
            held.last = held.last.max(read_to.next());
        } else if held.last <= to {
            held.last = entries
                .last()
                .map_or(held.first.previous(), |entry| entry.sequence);
        }
        // What is not there is not for this consumer, or not any more: pass over it, with what was known
        // of it.
        let end = if more { read_to } else { to.min(self.read_to) };
        let next = end.next();
        let next = entries.first().map_or(next, |entry| entry.sequence);
        if next > held.first {
            held.start_anew(next, now);
            self.unsaved.lanes.insert(conversation);
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
        self.reading -= 1;
        lane.work = Work::Idle;
        self.go_on(conversation);
    }

    /// Holds every lane that keeps the cursor back, so that a restart goes on with just what is not
    /// dealt with. Nothing is started or taken after this.
    pub fn hold_all(&mut self, now: Timestamp) {
        while let Some((_, conversation)) = self.pending.first_key_value() {
            self.hold_from_first(*conversation, now);
        }
    }

    /// The endpoint is another one now, or said to be well: everything that waits is tried at once, and
    /// has failed since now at the earliest.
    pub fn endpoint_changed(&mut self, now: Timestamp) {
        self.health.forget(now);
        self.forgive(Timestamp::MIN, now);
        while let Some((_, conversation)) = self.due.first().copied() {
            if !self.hurry(conversation, now) {
                break;
            }
        }
    }

    /// When [`Self::step`] has something to do even if nothing else happens. After a step, that is later
    /// than its time.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at);
        let slow = self
            .slow_first()
            .map(|(_, since)| later(since, self.limits.hold_after));
        let waits = (!self.loaded.is_empty() && self.room_to_attempt(now) > 0)
            || (!self.retrying.is_empty() && self.may_read() && self.has_room_for_retries());
        let retry = self.health.retry_at(now).filter(|_| waits);
        let wakes = [due, slow, self.probe_wake(), retry, self.room_at(now)];
        wakes.into_iter().flatten().min()
    }

    /// Attempts and lane reads under way.
    pub fn in_flight(&self) -> usize {
        self.flights.count() + self.reading
    }

    /// Weight of the entries in memory, in bytes.
    pub fn weight(&self) -> usize {
        self.load.weight
    }

    /// Entries in memory.
    pub fn entry_count(&self) -> usize {
        self.load.entries
    }

    /// Nothing that was read is left: all of it is dealt with, and no lane is held.
    pub fn is_empty(&self) -> bool {
        self.by_conversation.is_empty()
    }

    /// Every entry at or below it is dealt with, or its lane is held.
    pub fn cursor(&self) -> Sequence {
        self.pending
            .first_key_value()
            .map_or(self.read_to, |(first, _)| first.previous())
    }
}

fn is_ours(entry: &LogEntry) -> bool {
    entry
        .sender()
        .is_some_and(|sender| sender != SenderType::SourceContact)
}
