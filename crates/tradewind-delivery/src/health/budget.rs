//! How many retries an endpoint gets.

use std::time::Duration;

use tradewind_model::Timestamp;

use crate::time::{later, span};

/// Bounds the retries that fail: each takes a token, and those that succeed give theirs back.
#[derive(Debug)]
pub(super) struct RetryBudget {
    per_second: u32,
    tokens: f64,
    filled_at: Timestamp,
}

impl RetryBudget {
    pub(super) fn new(per_second: u32, now: Timestamp) -> Self {
        Self {
            per_second,
            tokens: f64::from(per_second),
            filled_at: now,
        }
    }

    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        self.tokens = self.at(now);
        self.filled_at = self.filled_at.max(now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    pub(super) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.per_second));
    }

    fn at(&self, now: Timestamp) -> f64 {
        let since = span(self.filled_at, now).as_secs_f64();
        let all = f64::from(self.per_second);
        (self.tokens + since * all).min(all)
    }

    pub(super) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let missing = 1.0 - self.at(now);
        // A little more than exact, so that rounding does not wake it in vain.
        let wait = Duration::from_secs_f64((missing / f64::from(self.per_second)).max(0.0));
        (missing > 0.0).then(|| later(now, wait + Duration::from_millis(1)))
    }
}
