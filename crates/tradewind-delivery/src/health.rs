//! How an endpoint does, judged across its lanes: how many attempts it may have at once, and whether
//! it is backed off as a whole.
//!
//! Pure, like the lanes that ask it. The one hard idea is whom a failure speaks of. An event that
//! failed before and fails again says nothing new of its endpoint; an event that fails for the first
//! time does. So only first failures, one lane after the other with no success between them, back the
//! endpoint off, and one success of any lane ends that. A failure that says that it speaks of its lane
//! only is none of the endpoint's.

mod budget;
mod concurrency;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tradewind_model::Timestamp;

use crate::{
    attempt::{Failure, FailureClass, Outcome},
    schedule::RETRY_AFTER_MAX,
    time::{later, span},
};
use budget::RetryBudget;
use concurrency::Concurrency;

/// Lanes that fail for the first time, with no success between, until their endpoint is backed off.
pub const FAILING_LANES: u32 = 10;
/// The shortest wait between two probes, and the longest. The shortest is short because the first
/// probes are often of an endpoint that is well: many conversations failed at once that are at fault.
pub const PROBE_WAIT_MIN: Duration = Duration::from_millis(10);
pub const PROBE_WAIT_MAX: Duration = Duration::from_mins(5);
/// Probes in flight at once: more than one only while those before hang for this long.
const PROBES_MAX: usize = 3;
pub const PROBE_HANGS_AFTER: Duration = Duration::from_secs(1);
/// How long an endpoint has been failing before an event may be its probe ahead of its own time.
const EARLY_PROBE_AFTER: Duration = Duration::from_secs(1);
/// Of the time that an endpoint has been failing, the share that the next probe waits: so it is found
/// to be well again soon, compared with how long it was not.
const PROBE_SHARE: u32 = 8;
/// Share of a probe's wait that is added at random.
const JITTER_MAX: f64 = 0.2;
/// A failing time that was shorter is no outage: its events wait for their own schedule.
pub const OUTAGE_MIN: Duration = Duration::from_secs(5);

/// What a finished attempt says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) outcome: &'a Outcome,
    pub(crate) started_at: Timestamp,
    /// The event had not failed before.
    pub(crate) is_first: bool,
    /// What [`Health::started`] said.
    pub(crate) probe: Option<Probe>,
}

/// Which time of being backed off an attempt probes. One that ends after that time says nothing of a
/// later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe(u32);

/// A change that concerns all lanes of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing but single probes is sent any more.
    BackedOff { since: Timestamp },
    /// The endpoint is well again after it was backed off, or after a time in which nothing passed.
    Recovered {
        since: Timestamp,
        /// It lasted long enough that events which failed in it are tried again at once.
        was_outage: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Health {
    concurrency: Concurrency,
    last_success: Option<Timestamp>,
    failing: Option<Failing>,
    backed_off: Option<BackedOff>,
    /// How often it was backed off.
    outages: u32,
    budget: RetryBudget,
}

/// Failures since the last success.
#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Timestamp,
    /// Lanes whose event failed for the first time.
    lanes: u32,
    /// When the endpoint asked to be tried again.
    asked: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct BackedOff {
    since: Timestamp,
    probe_at: Timestamp,
    /// Probes in flight, and when the last of them started.
    probing: usize,
    probed_at: Timestamp,
}

impl Health {
    /// `backed_off_since`: what was saved of an endpoint that was backed off.
    pub(crate) fn new(
        concurrency_max: usize,
        retries_per_second: u32,
        backed_off_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let since = backed_off_since.map(|since| since.min(now));
        Self {
            concurrency: Concurrency::new(concurrency_max, now),
            last_success: None,
            failing: since.map(|since| Failing {
                since,
                lanes: FAILING_LANES,
                asked: None,
            }),
            backed_off: since.map(|since| BackedOff {
                since,
                probe_at: now,
                probing: 0,
                probed_at: now,
            }),
            outages: 0,
            budget: RetryBudget::new(retries_per_second, now),
        }
    }

    /// How many attempts may be started while `in_flight` run.
    pub(crate) fn room(&self, in_flight: usize, now: Timestamp) -> usize {
        let limit = self.concurrency.limit;
        match self.backed_off {
            Some(_) => {
                let probe_at = self.probe_due_at().or_else(|| self.second_probe_at());
                usize::from(probe_at.is_some_and(|at| at <= now))
            }
            None => limit.saturating_sub(in_flight),
        }
    }

    /// When the next probe may start; `None` while one is in flight, or none is to be.
    pub(crate) fn probe_due_at(&self) -> Option<Timestamp> {
        let backed_off = self
            .backed_off
            .filter(|backed_off| backed_off.probing == 0)?;
        Some(backed_off.probe_at)
    }

    /// When a probe may start beside one that hangs, as that may be the fault of its event: with an event
    /// that has not failed, and few at once.
    pub(crate) fn second_probe_at(&self) -> Option<Timestamp> {
        let backed_off = self
            .backed_off
            .filter(|backed_off| (1..PROBES_MAX).contains(&backed_off.probing))?;
        let hangs_at = later(backed_off.probed_at, PROBE_HANGS_AFTER);
        Some(hangs_at.max(backed_off.probe_at))
    }

    /// When a probe may take an event before its time: not at once, and only when there is no other.
    pub(crate) fn early_probe_at(&self) -> Option<Timestamp> {
        let since = self.backed_off_since()?;
        let probe_at = self.probe_due_at()?;
        Some(probe_at.max(later(since, EARLY_PROBE_AFTER)))
    }

    /// Takes notice that an attempt starts; answers whether it is a probe.
    pub(crate) fn started(&mut self, now: Timestamp) -> Option<Probe> {
        let backed_off = self.backed_off.as_mut()?;
        backed_off.probing += 1;
        backed_off.probed_at = now;
        Some(Probe(self.outages))
    }

    /// Whether an attempt that is a retry may start now; it has taken its share if so.
    pub(crate) fn take_retry(&mut self, now: Timestamp) -> bool {
        self.backed_off.is_some() || self.budget.take(now)
    }

    /// When the next retry may start, if that is not now.
    pub(crate) fn retry_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.backed_off {
            Some(_) => None,
            None => self.budget.next_at(now),
        }
    }

    /// `jitter` is random, in `[0, 1)`.
    pub(crate) fn finished(
        &mut self,
        sample: Sample<'_>,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Turn> {
        match sample.outcome {
            Outcome::Delivered { .. } => self.succeeded(sample, now),
            Outcome::Failed(failure) if failure.class == FailureClass::Internal => {
                // Our own trouble: it says nothing of the endpoint.
                self.concurrency.halve(sample.started_at, now);
                self.probe_failed(sample.probe, None, now, jitter);
                None
            }
            Outcome::Failed(failure) if failure.lane_only => {
                self.probe_said_nothing(sample.probe, now);
                None
            }
            Outcome::Failed(failure) => self.failed(sample, failure, now, jitter),
        }
    }

    fn succeeded(&mut self, sample: Sample<'_>, now: Timestamp) -> Option<Turn> {
        self.last_success = Some(now);
        if !sample.is_first {
            self.budget.give_back();
        }
        let failing = self.failing.take();
        let took = span(sample.started_at, now);
        if let Some(backed_off) = self.backed_off.take() {
            let since = backed_off.since;
            let was_outage = span(since, now) >= OUTAGE_MIN;
            if was_outage {
                self.concurrency.start_anew();
            } else {
                self.concurrency.succeeded(took);
            }
            return Some(Turn::Recovered { since, was_outage });
        }
        self.concurrency.succeeded(took);
        let outage = failing
            .filter(|failing| failing.lanes >= 2 && span(failing.since, now) >= OUTAGE_MIN)?;
        Some(Turn::Recovered {
            since: outage.since,
            was_outage: true,
        })
    }

    fn failed(
        &mut self,
        sample: Sample<'_>,
        failure: &Failure,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Turn> {
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            lanes: 0,
            asked: None,
        });
        if failing.lanes == 0 {
            // What was known to fail says nothing of since when the endpoint does.
            failing.since = now;
        }
        failing.lanes = failing.lanes.saturating_add(u32::from(sample.is_first));
        let asked = failure
            .retry_after
            .map(|wait| later(now, wait.min(RETRY_AFTER_MAX)));
        failing.asked = failing.asked.max(asked);
        let failing = *failing;
        if failure.is_overload() && (sample.is_first || failure.status == Some(429)) {
            self.concurrency.halve(sample.started_at, now);
        }
        if self.backed_off.is_some() {
            self.probe_failed(sample.probe, asked, now, jitter);
            return None;
        }
        if failing.lanes < FAILING_LANES {
            return None;
        }
        self.outages = self.outages.wrapping_add(1);
        self.backed_off = Some(BackedOff {
            since: failing.since,
            probe_at: failing.asked.unwrap_or(now).max(now),
            probing: 0,
            probed_at: now,
        });
        Some(Turn::BackedOff {
            since: failing.since,
        })
    }

    fn probe_failed(
        &mut self,
        probe: Option<Probe>,
        asked: Option<Timestamp>,
        now: Timestamp,
        jitter: f64,
    ) {
        let is_current = probe == Some(Probe(self.outages));
        let Some(backed_off) = &mut self.backed_off else {
            return;
        };
        if is_current {
            let wait = probe_wait(span(backed_off.since, now)).mul_f64(1.0 + JITTER_MAX * jitter);
            backed_off.probing = backed_off.probing.saturating_sub(1);
            backed_off.probe_at = later(now, wait);
        }
        // What was under way when it was backed off may bring its wish, too.
        backed_off.probe_at = backed_off
            .probe_at
            .max(asked.unwrap_or(backed_off.probe_at));
    }

    /// A probe told neither that the endpoint is well nor that it is not: it does not end the outage, and
    /// the next one, which another lane makes, does not wait for its share of it.
    fn probe_said_nothing(&mut self, probe: Option<Probe>, now: Timestamp) {
        if probe == Some(Probe(self.outages))
            && let Some(backed_off) = &mut self.backed_off
        {
            backed_off.probing = backed_off.probing.saturating_sub(1);
            backed_off.probe_at = backed_off.probe_at.max(later(now, PROBE_WAIT_MIN));
        }
    }

    /// Somebody else's attempt passed at `at`. Answers whether that is news. A probe decides all the same.
    pub(crate) fn noticed(&mut self, at: Timestamp) -> bool {
        if self.backed_off.is_some() || self.last_success.is_some_and(|success| success >= at) {
            return false;
        }
        self.last_success = Some(at);
        self.failing = self.failing.filter(|failing| failing.since > at);
        true
    }

    /// The endpoint is another one now, or said to be well: what was known of it counts no more.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.failing = None;
        self.backed_off = None;
        self.last_success = None;
        self.concurrency = Concurrency::new(self.concurrency.max, now);
    }

    /// Since when the endpoint is backed off.
    pub(crate) fn backed_off_since(&self) -> Option<Timestamp> {
        self.backed_off.map(|backed_off| backed_off.since)
    }

    /// When the next probe starts; its start is in the past while it runs.
    pub(crate) fn probe_at(&self) -> Option<Timestamp> {
        self.backed_off.map(|backed_off| backed_off.probe_at)
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.limit
    }

    /// Whether an event that has failed since then is at fault, and not its endpoint: others passed
    /// since, and nothing but known failures came after them.
    pub(crate) fn clears_endpoint(&self, event_failing_since: Timestamp) -> bool {
        self.backed_off.is_none()
            && self
                .last_success
                .is_some_and(|success| success > event_failing_since)
            && self.failing.is_none_or(|failing| failing.lanes == 0)
    }
}

fn probe_wait(failing_for: Duration) -> Duration {
    (failing_for / PROBE_SHARE).clamp(PROBE_WAIT_MIN, PROBE_WAIT_MAX)
}
