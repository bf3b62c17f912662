//! When a failed event is tried again.

use std::time::Duration;

/// The waits after the first, second … failed attempt. After the last, the last repeats.
pub const WAITS: [Duration; 13] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// Share of a wait that is added at random, so that lanes that failed together spread out.
pub const JITTER_MAX: f64 = 0.2;

/// Longest postponement that a `Retry-After` is granted.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Longest time from a failure to the next attempt.
pub const WAIT_MAX: Duration = Duration::from_mins(24 * 60 + 288);

/// The time from the failure of attempt number `attempts` (1, 2 …) to the next attempt.
///
/// `jitter` is a random number in `[0, 1)`. `retry_after` postpones, up to [`RETRY_AFTER_MAX`]; it
/// never brings the attempt forward.
pub fn wait(attempts: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let scheduled = WAITS[index.min(WAITS.len() - 1)].mul_f64(1.0 + JITTER_MAX * jitter);
    let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    scheduled.max(asked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{RETRY_AFTER_MAX, WAIT_MAX, WAITS, wait};
    use std::time::Duration;

    #[test]
    fn waits_grow_and_then_stay() {
        assert_eq!(wait(1, 0.0, None), Duration::from_secs(1));
        assert_eq!(wait(2, 0.0, None), Duration::from_secs(5));
        assert_eq!(wait(13, 0.0, None), Duration::from_hours(24));
        assert_eq!(wait(14, 0.0, None), Duration::from_hours(24));
        assert_eq!(wait(u32::MAX, 0.0, None), Duration::from_hours(24));
        assert!(WAITS.is_sorted());
    }

    #[test]
    fn the_receiver_can_postpone_but_not_hurry() {
        let asked = |seconds| wait(2, 0.0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(1), Duration::from_secs(5));
        assert_eq!(asked(60), Duration::from_mins(1));
        assert_eq!(asked(1_000_000), RETRY_AFTER_MAX);
    }

    proptest! {
        #[test]
        fn jitter_adds_at_most_a_fifth(attempts in 1_u32..100, jitter in 0.0..1.0_f64) {
            let least = wait(attempts, 0.0, None);
            let actual = wait(attempts, jitter, None);
            prop_assert!(actual >= least);
            prop_assert!(actual <= least.mul_f64(1.2));
            prop_assert!(actual <= WAIT_MAX);
        }
    }
}
