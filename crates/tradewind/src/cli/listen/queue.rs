//! What `listen` forwards next, and how far it has come: decisions without I/O and without a clock.
//!
//! A lane is a conversation. It is in one place at a time: ready, in flight, or due at some time. The
//! events of a lane stay in memory until they are accepted, so there is a bound on them all together,
//! beyond which nothing more is pulled.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tradewind_model::ConversationId;

use crate::cli::event::Event;

/// Attempts at once.
const FORWARDS_MAX: usize = 16;
/// Events in memory, and their weight in bytes, beyond which nothing is pulled.
const FORWARD_WINDOW_MAX: usize = 1_000;
const FORWARD_WEIGHT_MAX: usize = 32 << 20;
/// The waits after the first, second … failed attempt. After the last, the last repeats.
const WAITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// What becomes of an event after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is tried again after this time.
    Again(Duration),
    /// It counts as dealt with, and its conversation goes on.
    GivenUp,
}

#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<ConversationId, Lane>,
    ready: VecDeque<ConversationId>,
    due: BTreeSet<(Instant, ConversationId)>,
    in_flight: usize,
    len: usize,
    weight: usize,
    batches: Batches,
}

/// A conversation that has events to go.
#[derive(Default)]
struct Lane {
    /// The first is the next to go, or in flight.
    events: VecDeque<Waiting>,
    /// Attempts of the first that failed.
    attempts: u32,
}

struct Waiting {
    event: Arc<Event>,
    /// The answer that brought it.
    batch: u64,
}

impl Queue {
    /// Takes the events of one answer, after all of which `cursor` stands.
    pub(super) fn extend(&mut self, events: Vec<Event>, cursor: String) {
        let batch = self.batches.begin(events.len(), cursor);
        for event in events {
            self.len += 1;
            self.weight += event.weight();
            let conversation = event.conversation_id;
            let lane = self.lanes.entry(conversation).or_default();
            if lane.events.is_empty() {
                self.ready.push_back(conversation);
            }
            let event = Arc::new(event);
            lane.events.push_back(Waiting { event, batch });
        }
    }

    /// The next event to forward, if one may go out now, and the number of the attempt. What comes of
    /// it is told by [`Self::accepted`] or [`Self::failed`].
    pub(super) fn start(&mut self, now: Instant) -> Option<(Arc<Event>, u32)> {
        while let Some((_, conversation)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.pop_first();
            self.ready.push_back(conversation);
        }
        if self.in_flight >= FORWARDS_MAX {
            return None;
        }
        let lane = self.lanes.get(&self.ready.pop_front()?);
        let Some((lane, first)) = lane.and_then(|lane| Some((lane, lane.events.front()?))) else {
            unreachable!("a ready lane has an event");
        };
        self.in_flight += 1;
        Some((Arc::clone(&first.event), lane.attempts + 1))
    }

    /// The event of this conversation that was in flight was accepted.
    pub(super) fn accepted(&mut self, conversation: ConversationId) {
        self.in_flight -= 1;
        self.deal_with_first(conversation);
    }

    /// The attempt at the event of this conversation that was in flight failed.
    pub(super) fn failed(
        &mut self,
        conversation: ConversationId,
        now: Instant,
        skip_after: Option<u32>,
    ) -> Next {
        self.in_flight -= 1;
        let lane = self.lanes.entry(conversation).or_default();
        lane.attempts += 1;
        if skip_after.is_some_and(|max| lane.attempts >= max) {
            self.deal_with_first(conversation);
            return Next::GivenUp;
        }
        let index = usize::try_from(lane.attempts - 1).unwrap_or(usize::MAX);
        let wait = WAITS[index.min(WAITS.len() - 1)];
        self.due.insert((now + wait, conversation));
        Next::Again(wait)
    }

    fn deal_with_first(&mut self, conversation: ConversationId) {
        let lane = self.lanes.entry(conversation).or_default();
        let Some(Waiting { event, batch }) = lane.events.pop_front() else {
            unreachable!("what was in flight is the first of its lane");
        };
        lane.attempts = 0;
        if lane.events.is_empty() {
            self.lanes.remove(&conversation);
        } else {
            self.ready.push_back(conversation);
        }
        self.len -= 1;
        self.weight -= event.weight();
        self.batches.deal_with_one(batch);
    }

    /// When [`Self::start`] may have something although nothing else happened.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Whether more events may be pulled.
    pub(super) fn has_room(&self) -> bool {
        self.len < FORWARD_WINDOW_MAX && self.weight < FORWARD_WEIGHT_MAX
    }

    /// Events in memory.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The last cursor before which every event is dealt with.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.batches.done.as_deref()
    }
}

/// Answers of the server, of which some events are not dealt with. A cursor is opaque and stands
/// between two answers, so progress is counted in whole ones.
#[derive(Default)]
struct Batches {
    next: u64,
    /// By age. One that is dealt with is no longer here: its cursor is that of the one before it.
    open: BTreeMap<u64, Batch>,
    done: Option<String>,
}

struct Batch {
    open_count: usize,
    /// Once all of it is dealt with, so is everything before this.
    cursor: String,
}

impl Batches {
    fn begin(&mut self, open_count: usize, cursor: String) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Batch { open_count, cursor });
        if open_count == 0 {
            self.close(number);
        }
        number
    }

    fn deal_with_one(&mut self, number: u64) {
        let Some(batch) = self.open.get_mut(&number) else {
            unreachable!("a batch is open until its last event is dealt with");
        };
        batch.open_count -= 1;
        if batch.open_count == 0 {
            self.close(number);
        }
    }

    fn close(&mut self, number: u64) {
        let Some(Batch { cursor, .. }) = self.open.remove(&number) else {
            unreachable!("a batch is closed once");
        };
        match self.open.range_mut(..number).next_back() {
            Some((_, before)) => before.cursor = cursor,
            None => self.done = Some(cursor),
        }
    }
}
