//! Sums of times that stay within what a time can be.

use std::time::Duration;

use tradewind_model::Timestamp;

pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// From one time to another; nothing if that is earlier.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
