//! What a driver makes of what has ended.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;
use tradewind_model::{LogEntry, Sequence, Timestamp};
use tradewind_store::{LogPage, Progress, StoreError, crash};

use super::{Driver, Ended, Exit, LogRead, STORE_PAUSE};
use crate::{
    attempt::{Attempt, Outcome},
    chain::chain,
    health::Turn,
    lanes::LaneStatus,
    time::span,
    view::Next,
};

impl Driver {
    /// Takes `ended` and whatever else has ended by now, so that one step starts work for all of it.
    pub(super) fn take_all(&mut self, ended: Ended) {
        self.take(ended);
        while let Some(Some(ended)) = self.under_way.next().now_or_never() {
            self.take(ended);
        }
    }

    pub(super) fn take(&mut self, ended: Ended) {
        match ended {
            Ended::Attempt(attempt) => self.take_attempt(*attempt),
            Ended::LogRead(page) => {
                // Whether there is more, the tail tells.
                self.log_read = LogRead::Open;
                if let Some(page) = self.page(page) {
                    self.take_entries(page.entries, page.read_to);
                }
            }
            Ended::LaneRead(conversation, page) => match self.page(page) {
                Some(mut page) => {
                    page.entries.retain(|entry| self.consumer.wants(entry));
                    let now = self.now();
                    self.lanes
                        .lane_read(conversation, page.entries, page.read_to, page.more, now);
                }
                None => self.lanes.lane_read_failed(conversation),
            },
            Ended::Saved(progress, saved) => self.take_saved(progress, saved),
        }
    }

    fn take_attempt(&mut self, mut attempt: Attempt) {
        crash::point("after_send");
        let jitter = self.context.random.unit();
        let now = self.now();
        self.view.send_modify(|view| {
            view.tally.count(&attempt.outcome, attempt.duration, now);
        });
        let gone = match &attempt.outcome {
            Outcome::Failed(failure) if failure.gone => Some(failure.detail.clone()),
            _ => None,
        };
        if let Some(because) = gone {
            attempt.next = Next::Unsubscribed;
            self.exit = Some(Exit::Gone(because));
        } else {
            let conversation = attempt.conversation_id;
            let turn = self
                .lanes
                .finished(conversation, &attempt.outcome, now, jitter);
            self.tell(turn, now);
            attempt.next = self.next_of(&attempt);
        }
        attempt.log();
        if let Some(webhook) = self.consumer.webhook() {
            self.context.store.record_attempt(attempt.record(webhook));
        }
        if let Some(observer) = &self.context.observer {
            observer(&attempt);
        }
    }

    /// Says once what becomes of the endpoint as a whole.
    fn tell(&self, turn: Option<Turn>, now: Timestamp) {
        let consumer = self.consumer.id();
        match turn {
            Some(Turn::BackedOff { since }) => {
                tracing::warn!(%consumer, %since, "the endpoint fails for all conversations; it is backed off and probed with single events");
            }
            Some(Turn::Recovered { since, .. }) => {
                let outage_ms = span(since, now).as_millis();
                tracing::info!(%consumer, outage_ms, "the endpoint is well again");
            }
            None => {}
        }
    }

    /// What happens next to the entry of an attempt that has been taken note of.
    fn next_of(&self, attempt: &Attempt) -> Next {
        if matches!(attempt.outcome, Outcome::Delivered { .. }) {
            return Next::Nothing;
        }
        match self.lanes.lane_status(attempt.conversation_id) {
            LaneStatus::Held(held, _) => {
                let backed_off = self.lanes.status().backed_off;
                Next::Retry {
                    number: held.attempts.saturating_add(1),
                    at: held.due_at,
                    backed_off_until: backed_off.map(|(_, probe_at)| probe_at),
                }
            }
            LaneStatus::SettingAside => Next::SetAside,
            LaneStatus::Free { .. } | LaneStatus::Going { .. } => Next::Nothing,
        }
    }

    fn take_saved(&mut self, progress: Progress, saved: Result<bool, StoreError>) {
        self.saving = false;
        match saved {
            Ok(true) => {
                crash::point("after_save");
                self.unsaved_since = None;
                self.lanes.saved(&progress.set_aside);
                self.tell_set_aside(&progress);
            }
            Ok(false) => self.exit = Some(Exit::Stale),
            Err(error) => {
                self.store_failed(&error);
                self.unsaved = Some(progress);
            }
        }
    }

    fn tell_set_aside(&self, progress: &Progress) {
        for record in &progress.set_aside {
            tracing::warn!(consumer = %self.consumer.id(), conversation.id = %record.conversation_id, sequence = %record.sequence, attempts = record.attempts, class = record.error, "an event is set aside: it failed for too long while others passed; webhooks.failed lists it");
        }
        let count = u64::try_from(progress.set_aside.len()).unwrap_or(u64::MAX);
        if count > 0 {
            self.view.send_modify(|view| view.tally.set_aside += count);
        }
    }

    fn page(&mut self, page: Result<LogPage, StoreError>) -> Option<LogPage> {
        page.inspect_err(|error| self.store_failed(error)).ok()
    }

    fn store_failed(&mut self, error: &StoreError) {
        // What is wrong with the disk the store tells itself, and not for each consumer every second.
        if !matches!(error, StoreError::Unavailable(_)) {
            tracing::error!(consumer = %self.consumer.id(), error = %chain(error), "the store failed a delivery; it is asked again");
        }
        self.store_pause = Some(Instant::now() + STORE_PAUSE);
    }

    /// Takes what the log has next, up to `read_to`, wherever it was read.
    pub(super) fn take_entries(&mut self, mut entries: Vec<Arc<LogEntry>>, read_to: Sequence) {
        entries.retain(|entry| self.due.contains(entry) && self.consumer.wants(entry));
        self.lanes.extend(entries, read_to, self.now());
        self.due.passed(read_to);
    }
}
