//! Time that all processes of a benchmark share: nanoseconds since the machine started.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

const SECOND: u64 = 1_000_000_000;

pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    part(time.tv_sec) * SECOND + part(time.tv_nsec)
}

/// A span in nanoseconds.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Wakes at a time to the microsecond. The runtime's own timers do to the millisecond, which is longer
/// than what is measured.
#[derive(Debug)]
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "what is deprecated is to register what may close its descriptor meanwhile, which an `OwnedFd` does not"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(AsyncFd::new(fd)?))
    }

    /// Sets it to go off at `at`, of which [`Self::rings`] tells.
    pub(super) fn set(&self, at: u64) -> io::Result<()> {
        let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = Timespec {
            tv_sec: part(at / SECOND),
            // Zero for both would switch it off.
            tv_nsec: part((at % SECOND).max(1)),
        };
        let spec = Itimerspec {
            it_interval: zero,
            it_value: value,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// Resolves when it has gone off. Cancel safety: whoever drops this may call it again.
    pub(super) async fn rings(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut count = [0; 8];
        // How often it went off does not matter.
        let _ = rustix::io::read(self.0.get_ref(), &mut count);
        ready.clear_ready();
        Ok(())
    }
}
