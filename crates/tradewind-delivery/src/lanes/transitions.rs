//! What happens to one lane: it wakes, goes on, waits, is given up or left alone.

use std::num::NonZero;

use tradewind_model::{ConversationId, Timestamp};
use tradewind_store::SetAside;

use super::{Action, Held, Lanes, Work};
use crate::{
    attempt::{Failure, FailureClass},
    schedule,
    time::{later, span},
};

impl Lanes {
    /// Moves held lanes whose time has come to where they are started from.
    pub(super) fn wake_due(&mut self, now: Timestamp) {
        while let Some((at, conversation)) = self.due.first().copied() {
            if at > now {
                break;
            }
            let held = self
                .by_conversation
                .get(&conversation)
                .and_then(|lane| lane.held);
            match held {
                // It is looked at before its time, to see whether it is at fault.
                Some(held) if held.due_at > now => {
                    self.due.pop_first();
                    if self.is_at_fault(&held, now) {
                        self.set_aside_first(conversation, now);
                    } else {
                        self.suspects.insert(conversation);
                        self.wait(conversation, now);
                    }
                }
                _ => {
                    self.hurry(conversation, now);
                }
            }
        }
    }

    /// Lets a held lane that waits go on now. `false` if it does not wait.
    pub(super) fn hurry(&mut self, conversation: ConversationId, now: Timestamp) -> bool {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return false;
        };
        let Some(held) = &mut lane.held else {
            return false;
        };
        if !self.due.remove(&(held.wake_at, conversation)) {
            return false;
        }
        self.suspects.remove(&conversation);
        held.due_at = held.due_at.min(now);
        if held.error == Some(FailureClass::Loop) {
            held.error = None;
            self.loops.forget(conversation);
        }
        lane.work = Work::Idle;
        self.read_on(conversation);
        true
    }

    /// Puts an idle held lane, of which nothing is in memory, where it is read on.
    fn read_on(&mut self, conversation: ConversationId) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        lane.work = Work::Queued;
        if lane.held.is_some_and(|held| held.attempts > 0) {
            self.retrying.push_back(conversation);
        } else {
            self.hungry.push_back(conversation);
        }
    }

    /// Lets a held lane wait until it is due, or until it is to be seen whether it is at fault.
    pub(super) fn wait(&mut self, conversation: ConversationId, now: Timestamp) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        let Some(held) = &mut lane.held else { return };
        let judged_at = self
            .limits
            .set_aside_after
            .filter(|_| held.attempts > 0)
            .map(|after| later(held.failing_since, after))
            .filter(|at| *at > now);
        held.wake_at = judged_at.map_or(held.due_at, |at| at.min(held.due_at));
        lane.work = Work::Idle;
        self.due.insert((held.wake_at, conversation));
    }

    /// Holds a lane whose conversation is in a loop.
    pub(super) fn leave_alone(
        &mut self,
        conversation: ConversationId,
        now: Timestamp,
    ) -> Option<Action> {
        self.hold_from_first(conversation, now);
        self.forget_queue(conversation);
        let until = later(now, self.limits.loop_pause);
        let held = self.by_conversation.get_mut(&conversation)?.held.as_mut()?;
        held.error = Some(FailureClass::Loop);
        held.due_at = until;
        self.unsaved.lanes.insert(conversation);
        self.wait(conversation, now);
        Some(Action::TellLoop {
            conversation,
            until,
        })
    }

    /// The first entry of a lane is delivered.
    pub(super) fn deal_with_first(&mut self, conversation: ConversationId, now: Timestamp) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        let Some(entry) = lane.queue.pop_front() else {
            return;
        };
        self.load.remove(&entry);
        if self.limits.tells_delivered {
            self.unsaved.delivered.push(entry.sequence);
        }
        if let Some(held) = &mut lane.held {
            held.start_anew(entry.sequence.next(), now);
            self.unsaved.lanes.insert(conversation);
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
            if lane.held.is_some() {
                self.loaded.push_back(conversation);
            } else {
                self.fresh.push_back(conversation);
            }
        } else if lane.held.is_some_and(|held| held.first <= held.last) {
            self.read_on(conversation);
        } else if let Some(held) = lane.held.filter(|held| held.first > self.read_to.next()) {
            lane.work = Work::Idle;
            self.ahead.insert((held.first, conversation));
        } else {
            if lane.held.is_some() {
                self.held_count -= 1;
                self.unsaved.lanes.insert(conversation);
            }
            self.by_conversation.remove(&conversation);
        }
    }

    /// The first entry of a lane failed: the lane waits, or the entry is set aside. What is behind it
    /// leaves memory.
    pub(super) fn hold(
        &mut self,
        conversation: ConversationId,
        failure: &Failure,
        now: Timestamp,
        jitter: f64,
    ) {
        self.hold_from_first(conversation, now);
        let first = self.forget_queue(conversation);
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        let Some(held) = &mut lane.held else { return };
        // What was before it in the lane is not for this consumer.
        held.first = first.unwrap_or(held.first);
        if held.attempts == 0 {
            held.failing_since = now;
        }
        held.attempts = held.attempts.saturating_add(1);
        held.error = Some(failure.class);
        held.status = failure.status.and_then(NonZero::new);
        held.lane_only = failure.lane_only;
        let wait = schedule::wait(held.attempts, jitter, failure.retry_after);
        held.due_at = later(now, wait);
        self.unsaved.lanes.insert(conversation);
        let held = *held;
        if self.is_at_fault(&held, now) {
            self.set_aside_first(conversation, now);
            return;
        }
        let limit = self.limits.set_aside_after;
        if limit.is_some_and(|after| span(held.failing_since, now) >= after) {
            self.suspects.insert(conversation);
        }
        self.wait(conversation, now);
    }

    /// Something has passed: events that have failed for long are tried once more, and are at fault if
    /// they fail again.
    pub(super) fn try_suspects(&mut self, now: Timestamp) {
        for conversation in std::mem::take(&mut self.suspects) {
            self.hurry(conversation, now);
        }
    }

    /// Whether the event is given up on: it has failed for long enough, and its endpoint is otherwise
    /// well, or says that it is the event.
    fn is_at_fault(&self, held: &Held, now: Timestamp) -> bool {
        let Some(after) = self.limits.set_aside_after else {
            return false;
        };
        held.error != Some(FailureClass::Internal)
            && span(held.failing_since, now) >= after
            && (Failure::blames_event(held.status.map(NonZero::get))
                || self.health.clears_endpoint(held.failing_since))
    }

    /// Gives up on the first entry of a held lane; the lane goes on when that is saved.
    fn set_aside_first(&mut self, conversation: ConversationId, now: Timestamp) {
        let Some(lane) = self.by_conversation.get_mut(&conversation) else {
            return;
        };
        let Some(held) = &mut lane.held else { return };
        self.suspects.remove(&conversation);
        let row = held.row(conversation);
        self.unsaved.set_aside.push(SetAside {
            sequence: row.first,
            conversation_id: conversation,
            attempts: row.attempts,
            failing_since: row.failing_since,
            error: row.error,
            status: row.status,
        });
        held.start_anew(held.first.next(), now);
        held.due_at = now;
        lane.work = Work::SettingAside;
        self.unsaved.lanes.insert(conversation);
    }

    /// An outage that began at `since` is over: what failed in it is tried again at once, and the time
    /// it took counts against no event.
    pub(super) fn try_again_after_outage(&mut self, since: Timestamp, now: Timestamp) {
        let mut waiting = Vec::new();
        for (_, conversation) in std::mem::take(&mut self.due) {
            let lane = self.by_conversation.get(&conversation);
            if let Some(held) = lane.and_then(|lane| lane.held) {
                let is_of_it = held.failing_since >= since;
                waiting.push((conversation, is_of_it && held.waits_for_endpoint()));
            }
        }
        self.forgive(since, now);
        for (conversation, is_of_it) in waiting {
            self.wait(conversation, now);
            if is_of_it {
                self.hurry(conversation, now);
            }
        }
    }

    /// Takes the time from `since` on from what events have been failing for.
    pub(super) fn forgive(&mut self, since: Timestamp, now: Timestamp) {
        for (conversation, lane) in &mut self.by_conversation {
            let Some(held) = lane.held.as_mut().filter(|held| held.attempts > 0) else {
                continue;
            };
            let begins_at = held.failing_since.max(since);
            held.failing_since = later(held.failing_since, span(begins_at, now)).min(now);
            self.unsaved.lanes.insert(*conversation);
        }
    }

    /// Takes a held lane's entries from memory; answers which was the first.
    fn forget_queue(&mut self, conversation: ConversationId) -> Option<tradewind_model::Sequence> {
        let lane = self.by_conversation.get_mut(&conversation)?;
        let first = lane.queue.front().map(|entry| entry.sequence);
        // Not drained: a lane that waits would keep its room.
        for entry in std::mem::take(&mut lane.queue) {
            self.load.remove(&entry);
        }
        first
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
            failing_since: now,
            error: None,
            status: None,
            lane_only: false,
            due_at: now,
            wake_at: now,
            last: last.sequence,
        });
        self.held_count += 1;
        self.unsaved.lanes.insert(conversation);
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
            Work::Attempting { since, .. } => Some((*conversation, since)),
            _ => None,
        }
    }
}
