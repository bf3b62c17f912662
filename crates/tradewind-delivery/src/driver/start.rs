//! What a driver starts: attempts, reads, saves.

use std::sync::Arc;

use tokio::time::Instant;
use tradewind_model::{ConversationId, LogEntry, Sequence};
use tradewind_store::crash;

use super::{
    Driver, Ended, Exit, LogRead, READ_MAX, READ_WEIGHT_MAX, SAVE_EVERY, UNSAVED_MAX, sleep_until,
};
use crate::{
    attempt::Attempt,
    lanes::{Action, Limits},
    view::Next,
};

/// Of the window, the share that is left free until it is worth a read.
const FULL_SHARE: usize = 16;

impl Driver {
    /// Starts all that can be started now.
    pub(super) fn start_work(&mut self) {
        if !self.lease.is_valid() {
            self.exit = Some(Exit::Stale);
            return;
        }
        self.notice_success();
        self.read_on();
        self.start_actions();
        // Those that were started may have made room.
        while self.read_on() {
            self.start_actions();
        }
        if !self.store_is_left_alone()
            && !self.saving
            && (self.unsaved.is_some() || self.lanes.has_changes())
        {
            let at = *self
                .save_at
                .get_or_insert_with(|| Instant::now() + SAVE_EVERY);
            if at <= Instant::now() || self.lanes.must_save_now() {
                self.start_save();
            }
        }
    }

    fn start_actions(&mut self) {
        if self.waits_for_save() {
            return;
        }
        for action in self.lanes.step(self.now()) {
            match action {
                Action::Attempt { entry, number } => self.start_attempt(entry, number),
                Action::ReadLane {
                    conversation,
                    from,
                    to,
                } => {
                    self.start_lane_read(conversation, from, to);
                }
                Action::TellLoop {
                    conversation,
                    until,
                } => {
                    tracing::warn!(consumer = %self.consumer.id(), conversation.id = %conversation, %until, "our own messages answer each other without end; the conversation's events wait until then, or until somebody writes");
                }
            }
        }
    }

    /// Takes what is next in the log from memory, or starts to read it from the store. Answers whether
    /// something has come.
    fn read_on(&mut self) -> bool {
        let is_open = self.log_read == LogRead::Open && !self.has_read_all();
        if !is_open || self.lanes.room() < self.worth_reading() {
            return false;
        }
        let after = self.lanes.read_to();
        let limit = self.lanes.room().min(READ_MAX);
        let Some(part) = self.follower.next(after, limit, READ_WEIGHT_MAX) else {
            if !self.store_is_left_alone() {
                self.start_log_read(after, limit);
            }
            return false;
        };
        if !part.more {
            self.log_read = LogRead::Ended;
        }
        self.take_entries(part.entries, part.read_to);
        part.more || part.read_to > after
    }

    /// Room for fewer entries is left until there is more, so that a window that is full is not filled up
    /// one by one.
    fn worth_reading(&self) -> usize {
        READ_MAX.min(self.context.limits.entries_max / FULL_SHARE)
    }

    fn store_is_left_alone(&mut self) -> bool {
        self.store_pause = self.store_pause.filter(|until| *until > Instant::now());
        self.store_pause.is_some()
    }

    /// What passed by another consumer's attempt tells of the endpoint too.
    fn notice_success(&mut self) {
        let passed_at = self.consumer.passed_at();
        if passed_at == self.passed_at {
            return;
        }
        self.passed_at = passed_at;
        if let Some(passed_at) = passed_at {
            let now = self.now();
            let at = now.checked_sub(passed_at.elapsed()).unwrap_or(now);
            self.lanes.passed_elsewhere(at, now);
        }
    }

    /// Whether nothing is to be started before progress is saved.
    pub(super) fn waits_for_save(&self) -> bool {
        let unsaved_for = self.unsaved_since.map(|since| since.elapsed());
        !self.lease.is_endless() && unsaved_for.is_some_and(|time| time > UNSAVED_MAX)
    }

    fn start_attempt(&mut self, entry: Arc<LogEntry>, number: u32) {
        let consumer = Arc::clone(&self.consumer);
        let at = self.context.clock.now();
        self.under_way.push(Box::pin(async move {
            let started = Instant::now();
            let report = consumer.attempt(&entry).await;
            Ended::Attempt(Box::new(Attempt {
                consumer: consumer.id(),
                sequence: entry.sequence,
                message_id: entry.message().map(|message| message.id),
                conversation_id: entry.lane(),
                number,
                at,
                duration: started.elapsed(),
                outcome: report.outcome,
                trace: report.trace,
                next: Next::Nothing,
            }))
        }));
    }

    fn start_lane_read(&mut self, conversation: ConversationId, from: Sequence, to: Sequence) {
        let store = Arc::clone(&self.context.store);
        let pause = self.store_pause;
        let Limits {
            lane_entries_max: limit,
            lane_weight_max: weight_max,
            ..
        } = self.context.limits;
        self.under_way.push(Box::pin(async move {
            if pause.is_some() {
                sleep_until(pause).await;
            }
            let page = store.read_lane(conversation, from, to, limit, weight_max);
            let page = page.await;
            Ended::LaneRead(conversation, page)
        }));
    }

    fn start_log_read(&mut self, after: Sequence, limit: usize) {
        self.log_read = LogRead::UnderWay;
        let store = Arc::clone(&self.context.store);
        self.under_way.push(Box::pin(async move {
            Ended::LogRead(store.read_log(after, limit, READ_WEIGHT_MAX).await)
        }));
    }

    fn start_save(&mut self) {
        let Some(progress) = self.next_progress() else {
            return;
        };
        self.unsaved_since.get_or_insert_with(Instant::now);
        self.saving = true;
        self.save_at = None;
        let store = Arc::clone(&self.context.store);
        self.under_way.push(Box::pin(async move {
            crash::point("before_save");
            let saved = store.save_progress(progress.clone()).await;
            Ended::Saved(progress, saved)
        }));
    }
}
