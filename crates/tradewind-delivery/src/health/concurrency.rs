//! How many attempts an endpoint gets at once.

use std::time::Duration;

use tradewind_model::Timestamp;

/// Attempts at once in the beginning and after an outage.
const CONCURRENCY_START: usize = 8;
/// A success is fast while it takes at most twice the usual time and this.
const FAST_SLACK: Duration = Duration::from_millis(100);
/// How far the usual time moves towards a slower one, and how much weight is left to it.
const USUAL_SHARE: u32 = 64;

/// How many attempts may run at once: it grows on fast successes and halves when the endpoint shows
/// that it is too much, as TCP does with packets.
#[derive(Debug)]
pub(super) struct Concurrency {
    pub(super) max: usize,
    pub(super) limit: usize,
    /// Below it the limit grows with every success; from it on, by one for as many as it is.
    doubling_to: usize,
    successes: usize,
    /// Attempts that started before do not halve it again: they say the same as the first.
    halved_at: Timestamp,
    /// What a success usually takes.
    usual: Option<Duration>,
}

impl Concurrency {
    pub(super) fn new(max: usize, now: Timestamp) -> Self {
        Self {
            max,
            limit: CONCURRENCY_START.min(max),
            doubling_to: max,
            successes: 0,
            halved_at: now,
            usual: None,
        }
    }

    pub(super) fn start_anew(&mut self) {
        self.limit = CONCURRENCY_START.min(self.max);
        self.doubling_to = self.max;
        self.successes = 0;
        self.usual = None;
    }

    pub(super) fn succeeded(&mut self, took: Duration) {
        let usual = self.usual.map_or(took, |usual| {
            if took < usual {
                took
            } else {
                usual + took.saturating_sub(usual) / USUAL_SHARE
            }
        });
        let is_fast = took <= usual * 2 + FAST_SLACK;
        self.usual = Some(usual);
        if !is_fast || self.limit >= self.max {
            return;
        }
        self.successes += 1;
        if self.limit < self.doubling_to || self.successes >= self.limit {
            self.limit += 1;
            self.successes = 0;
        }
    }

    pub(super) fn halve(&mut self, started_at: Timestamp, now: Timestamp) {
        if started_at >= self.halved_at {
            self.limit = (self.limit / 2).max(1);
            self.doubling_to = self.limit;
            self.successes = 0;
            self.halved_at = now;
        }
    }
}
