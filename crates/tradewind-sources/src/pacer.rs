//! Gives a provider messages no faster than it takes them, each channel for itself.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};
use tradewind_model::ChannelId;

use crate::Pace;

/// Longest wait within an attempt; a message that would have to wait longer is tried again later.
const PACE_WAIT_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Pacer {
    limiter: DefaultKeyedRateLimiter<ChannelId>,
    clock: DefaultClock,
}

impl Pacer {
    /// `None`: of a pace that is no limit.
    pub(crate) fn new(pace: Pace) -> Option<Self> {
        let quota = Quota::with_period(pace.every)?;
        let quota = quota.allow_burst(NonZeroU32::new(pace.burst)?);
        Some(Self {
            limiter: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        })
    }

    /// Waits until it is this channel's turn.
    ///
    /// # Errors
    /// With the wait that is left, if that is too long to wait here.
    pub(crate) async fn turn(&self, channel: ChannelId) -> Result<(), Duration> {
        let mut left = PACE_WAIT_MAX;
        loop {
            let Err(not_yet) = self.limiter.check_key(&channel) else {
                return Ok(());
            };
            let wait = not_yet.wait_time_from(self.clock.now());
            left = left.checked_sub(wait).ok_or(wait)?;
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tradewind_model::ChannelId;

    use super::Pacer;
    use crate::Pace;

    #[tokio::test]
    async fn a_channel_has_its_turns_at_its_pace() {
        let pace = Pace {
            every: Duration::from_millis(20),
            burst: 2,
        };
        let pacer = Pacer::new(pace).unwrap();
        let channel = ChannelId::derived("test", "1");
        let started = Instant::now();
        for _ in 0..6 {
            pacer.turn(channel).await.unwrap();
        }
        // Two at once, then four that wait.
        assert!(started.elapsed() >= Duration::from_millis(75));
    }

    #[tokio::test]
    async fn whose_turn_is_far_away_is_told_so_and_others_go_on() {
        let pace = Pace {
            every: Duration::from_hours(1),
            burst: 1,
        };
        let pacer = Pacer::new(pace).unwrap();
        let channel = ChannelId::derived("test", "1");
        pacer.turn(channel).await.unwrap();
        let wait = pacer.turn(channel).await.unwrap_err();
        assert!(wait > Duration::from_mins(59), "{wait:?}");
        let other = ChannelId::derived("test", "2");
        pacer.turn(other).await.unwrap();
    }
}
