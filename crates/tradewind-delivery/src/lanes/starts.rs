//! Which lane is attempted or read next, and with which one an endpoint that is backed off is probed.

use std::sync::Arc;

use tradewind_model::{ConversationId, Timestamp};

use super::{Action, Lanes, Limits, Work, is_ours};
use crate::time::later;

impl Lanes {
    pub(super) fn start_reading(&mut self, now: Timestamp) -> Option<Action> {
        if !self.may_read() {
            return None;
        }
        let conversation = self.next_hungry(now)?;
        let lane = self.by_conversation.get_mut(&conversation)?;
        let held = lane.held?;
        let to = self.read_to.max(held.last);
        lane.work = Work::Reading { to };
        self.reading += 1;
        Some(Action::ReadLane {
            conversation,
            from: held.first,
            to,
        })
    }

    /// Those that fail and those that go on take turns. While no retry may start, none is read: it would
    /// keep the others out.
    fn next_hungry(&mut self, now: Timestamp) -> Option<ConversationId> {
        if self.health.retry_at(now).is_some() || !self.has_room_for_retries() {
            return self.hungry.pop_front();
        }
        let retrying_first = self.retrying_is_next;
        self.retrying_is_next = !retrying_first;
        if retrying_first {
            self.retrying
                .pop_front()
                .or_else(|| self.hungry.pop_front())
        } else {
            self.hungry
                .pop_front()
                .or_else(|| self.retrying.pop_front())
        }
    }

    /// Whether a lane may be read now: no more than can be attempted soon, and than there is room for.
    pub(super) fn may_read(&self) -> bool {
        let ahead = self.loaded.len() + self.reading;
        self.reading < self.limits.lane_reads_max
            && ahead < self.health.concurrency()
            && self.has_room_to_read()
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

    /// An endpoint that is backed off and has nothing else to be probed with is probed with the lane
    /// whose time comes first, before it comes.
    pub(super) fn probe_early(&mut self, now: Timestamp) {
        let is_due = self.health.early_probe_at().is_some_and(|at| at <= now);
        if !is_due || self.can_start() || self.is_about_to_start() {
            return;
        }
        if let Some(conversation) = self.first_waiting() {
            self.hurry(conversation, now);
        }
    }

    /// When the next probe starts, or is chosen, if nothing else happens before.
    pub(super) fn probe_wake(&self) -> Option<Timestamp> {
        if self.is_full() {
            return None;
        }
        let second = self.health.second_probe_at();
        if !self.fresh.is_empty() && second.is_some() {
            return second;
        }
        if self.can_start() {
            return self.health.probe_due_at();
        }
        let early = self.health.early_probe_at()?;
        let is_chosen = self.is_about_to_start() || self.first_waiting().is_none();
        (!is_chosen).then_some(early)
    }

    /// Whether some lane has its next entry in memory.
    fn can_start(&self) -> bool {
        !(self.fresh.is_empty() && self.loaded.is_empty())
    }

    /// Whether some lane's next entry is being read, or will be when there is room.
    fn is_about_to_start(&self) -> bool {
        self.reading > 0 || !(self.hungry.is_empty() && self.retrying.is_empty())
    }

    /// The lane whose time comes first, of those that wait for the endpoint.
    fn first_waiting(&self) -> Option<ConversationId> {
        let lanes = self.due.iter().map(|(_, conversation)| *conversation);
        let mut retries = lanes.filter(|conversation| {
            let lane = self.by_conversation.get(conversation);
            lane.and_then(|lane| lane.held)
                .is_some_and(|held| held.waits_for_endpoint())
        });
        retries.next()
    }

    pub(super) fn start_attempts(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        while self.room_to_attempt(now) > 0 {
            let Some(conversation) = self.next_lane(now) else {
                break;
            };
            actions.extend(self.start_attempt(conversation, now));
        }
    }

    /// How many attempts may start. Those that hang take none of what the endpoint gets, as others may
    /// pass beside them; they count among all that may be under way.
    pub(super) fn room_to_attempt(&self, now: Timestamp) -> usize {
        let (young, _) = self.flights.since(self.hanging_since(now));
        let places = self
            .limits
            .in_flight_max
            .saturating_sub(self.flights.count());
        self.health.room(young, now).min(places)
    }

    fn is_full(&self) -> bool {
        self.flights.count() >= self.limits.in_flight_max
    }

    /// When there is room for a lane that waits for it, as an attempt hangs then.
    pub(super) fn room_at(&self, now: Timestamp) -> Option<Timestamp> {
        let is_backed_off = self.health.backed_off_since().is_some();
        if self.is_full() || is_backed_off || !self.can_start() || self.room_to_attempt(now) > 0 {
            return None;
        }
        let (_, first) = self.flights.since(self.hanging_since(now));
        first.map(|first| later(first, self.limits.hold_after))
    }

    /// Attempts that started until then hang.
    fn hanging_since(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.limits.hold_after)
            .unwrap_or(Timestamp::MIN)
    }

    fn may_retry(&mut self, now: Timestamp) -> bool {
        let is_backed_off = self.health.backed_off_since().is_some();
        let has_room = self.flights.retries() < self.retries_max();
        (is_backed_off || has_room) && self.health.take_retry(now)
    }

    /// Whether the retries under way, and those whose entry is in memory, leave one more.
    pub(super) fn has_room_for_retries(&self) -> bool {
        if self.health.backed_off_since().is_some() {
            return true;
        }
        let loaded = self.loaded.iter().filter(|lane| self.is_retry(**lane));
        self.flights.retries() + loaded.count() + self.reading < self.retries_max()
    }

    /// Of all attempts, half at most are retries, so that events which hang each time leave room.
    fn retries_max(&self) -> usize {
        (self.limits.in_flight_max / 2).max(1)
    }

    /// Old and new take turns. An endpoint that is backed off is probed with the newest lane that has not
    /// failed: those before it may be many that are at fault.
    fn next_lane(&mut self, now: Timestamp) -> Option<ConversationId> {
        if self.health.backed_off_since().is_some() {
            let newest = self.fresh.pop_back();
            // Beside a probe that hangs, only an event that has not failed says anything.
            let is_second = self.health.probe_due_at().is_none();
            return match newest {
                None if !is_second => self.next_loaded(now),
                newest => newest,
            };
        }
        let fresh_first = self.fresh_is_next;
        self.fresh_is_next = !fresh_first;
        if fresh_first {
            self.fresh.pop_front().or_else(|| self.next_loaded(now))
        } else {
            self.next_loaded(now).or_else(|| self.fresh.pop_front())
        }
    }

    /// The first that is loaded; while no retry may start, the first that is none.
    fn next_loaded(&mut self, now: Timestamp) -> Option<ConversationId> {
        let first = *self.loaded.front()?;
        if self.is_retry(first) && !self.may_retry(now) {
            let mut others = self.loaded.iter();
            let other = others.position(|lane| !self.is_retry(*lane))?;
            return self.loaded.remove(other);
        }
        self.loaded.pop_front()
    }

    fn is_retry(&self, conversation: ConversationId) -> bool {
        let lane = self.by_conversation.get(&conversation);
        lane.and_then(|lane| lane.held)
            .is_some_and(|held| held.attempts > 0)
    }

    fn start_attempt(&mut self, conversation: ConversationId, now: Timestamp) -> Option<Action> {
        let lane = self.by_conversation.get_mut(&conversation)?;
        let entry = Arc::clone(lane.queue.front()?);
        let number = lane.held.map_or(0, |held| held.attempts).saturating_add(1);
        if number == 1 {
            let in_loop = self.loops.has_reached(conversation, self.limits.loop_max);
            if in_loop && is_ours(&entry) {
                return self.leave_alone(conversation, now);
            }
            self.loops.started(&entry, now);
        }
        lane.work = Work::Attempting {
            since: now,
            probe: self.health.started(now),
        };
        self.flights.start(now, conversation, number > 1);
        Some(Action::Attempt { entry, number })
    }
}
