//! What happens to one lane: it wakes, reads, attempts, goes on, waits.

use std::sync::Arc;

use tradewind_model::{ConversationId, Timestamp};

use super::{Action, Held, Lanes, Limits, Work, later};
use crate::{attempt::Failure, schedule};

impl Lanes {
    /// Moves held lanes whose time has come to where they are started from.
    pub(super) fn wake_due(&mut self, now: Timestamp) {
        while let Some((at, conversation)) = self.due.first().copied() {
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(lane) = self.by_conversation.get_mut(&conversation) {
                lane.work = Work::Queued;
                self.hungry.push_back(conversation);
            }
        }
    }

    pub(super) fn start_reading(&mut self) -> Option<Action> {
        if self.in_flight >= self.limits.in_flight_max || !self.has_room_to_read() {
            return None;
        }
        let conversation = self.hungry.pop_front()?;
        let lane = self.by_conversation.get_mut(&conversation)?;
        let held = lane.held?;
        let to = self.read_to.max(held.last);
        lane.work = Work::Reading { to };
        self.in_flight += 1;
        self.reading += 1;
        Some(Action::ReadLane {
            conversation,
            from: held.first,
            to,
        })
    }

    /// Whether one more lane read fits beside what is in memory and what the reads under way may bring.
    fn has_room_to_read(&self) -> bool {
        let Limits {
            entries_max,
            weight_max,
            lane_entries_max,
            lane_weight_max,
            ..
        } = self.limits;
        let reads = self.reading + 1;
        self.load.entries + reads * lane_entries_max <= entries_max
            && self.load.weight + reads * lane_weight_max <= weight_max
    }

    pub(super) fn start_attempt(&mut self, now: Timestamp) -> Option<Action> {
        if self.in_flight >= self.limits.in_flight_max {
            return None;
        }
        let conversation = self.ready.pop_front()?;
        let lane = self.by_conversation.get_mut(&conversation)?;
        let entry = Arc::clone(lane.queue.front()?);
        lane.work = Work::Attempting { since: now };
        self.in_flight += 1;
        let number = lane.held.map_or(0, |held| held.attempts).saturating_add(1);
        Some(Action::Attempt { entry, number })
    }

    /// The first entry of a lane is delivered.
    pub(super) fn deal_with_first(&mut self, conversation: ConversationId) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        let Some(entry) = lane.queue.pop_front() else {
            return;
        };
        self.load.remove(&entry);
        if let Some(held) = &mut lane.held {
            held.first = entry.sequence.next();
            held.attempts = 0;
            held.error = None;
            self.unsaved.insert(conversation);
        } else {
            self.pending.remove(&entry.sequence);
        }
        self.go_on(conversation);
    }

    /// An idle lane goes on with its next entry, reads on, or is forgotten.
    pub(super) fn go_on(&mut self, conversation: ConversationId) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        if !lane.queue.is_empty() {
            lane.work = Work::Queued;
            self.ready.push_back(conversation);
        } else if lane.held.is_some_and(|held| held.first <= held.last) {
            lane.work = Work::Queued;
            self.hungry.push_back(conversation);
        } else {
            if lane.held.is_some() {
                self.held_count -= 1;
                self.unsaved.insert(conversation);
            }
            self.by_conversation.remove(&conversation);
        }
    }

    /// The first entry of a lane failed: the lane waits, and what is behind it leaves memory.
    pub(super) fn hold(
        &mut self,
        conversation: ConversationId,
        failure: &Failure,
        now: Timestamp,
        jitter: f64,
    ) {
        self.hold_from_first(conversation, now);
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        for entry in lane.queue.drain(..) {
            self.load.remove(&entry);
        }
        let Some(held) = &mut lane.held else { return };
        held.attempts = held.attempts.saturating_add(1);
        held.error = Some(failure.class);
        held.due_at = later(
            now,
            schedule::wait(held.attempts, jitter, failure.retry_after),
        );
        self.due.insert((held.due_at, conversation));
        self.unsaved.insert(conversation);
    }

    /// Holds a lane that is not held yet; of its entries, only the first stays in memory.
    pub(super) fn hold_from_first(&mut self, conversation: ConversationId, now: Timestamp) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        let (None, Some(first), Some(last)) = (lane.held, lane.queue.front(), lane.queue.back())
        else {
            return;
        };
        lane.held = Some(Held {
            first: first.sequence,
            attempts: 0,
            due_at: now,
            error: None,
            last: last.sequence,
        });
        self.held_count += 1;
        self.unsaved.insert(conversation);
        for entry in &lane.queue {
            self.pending.remove(&entry.sequence);
        }
        for entry in lane.queue.drain(1..) {
            self.load.remove(&entry);
        }
    }

    /// Holds the lanes of attempts that take long, as far as they keep the cursor back.
    pub(super) fn hold_slow(&mut self, now: Timestamp) {
        while let Some((conversation, since)) = self.slow_first() {
            if later(since, self.limits.hold_after) > now {
                break;
            }
            self.hold_from_first(conversation, now);
        }
    }

    /// The attempt that keeps the cursor back, if it is one, and since when it runs.
    pub(super) fn slow_first(&self) -> Option<(ConversationId, Timestamp)> {
        let (_, conversation) = self.pending.first_key_value()?;
        match self.by_conversation.get(conversation)?.work {
            Work::Attempting { since } => Some((*conversation, since)),
            _ => None,
        }
    }
}
