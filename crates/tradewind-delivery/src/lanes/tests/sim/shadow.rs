//! What the core should know, kept in another way, to judge what it decides.

use tradewind_model::Sequence;

use crate::{
    attempt::{Failure, FailureClass, Outcome},
    health::{FAILING_LANES, PROBE_WAIT_MAX, PROBE_WAIT_MIN},
    schedule,
};

/// An event that fails, and since when, by the world's own time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    pub(super) sequence: Sequence,
    pub(super) since: i64,
    /// How far clocks had jumped by then, all in all.
    pub(super) jumped: i64,
    pub(super) class: FailureClass,
    pub(super) status: Option<u16>,
    /// When it is tried again at the earliest, unless it is excused from that.
    pub(super) due: i64,
    pub(super) is_excused: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneShadow {
    pub(super) failing: Option<Failing>,
    pub(super) saved: Option<Failing>,
    /// The last that went out in this life of the core.
    pub(super) started: Option<Sequence>,
    /// Until when it is left alone.
    pub(super) paused_until: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Shadow {
    pub(super) lanes: Vec<LaneShadow>,
    /// First failures since the last success, and until when they asked to be left alone.
    pub(super) run: u32,
    pub(super) run_since: i64,
    pub(super) asked_until: i64,
    pub(super) last_success: Option<i64>,
    /// Since when the endpoint is backed off, which time that is, and when its last probe ended.
    pub(super) backed_off: Option<i64>,
    pub(super) outages: u32,
    pub(super) probed: Option<i64>,
    pub(super) jumped: i64,
    tokens: f64,
    filled_at: i64,
}

impl Shadow {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            lanes: vec![LaneShadow::default(); lanes],
            run: 0,
            run_since: 0,
            asked_until: 0,
            last_success: None,
            backed_off: None,
            outages: 0,
            probed: None,
            jumped: 0,
            tokens: 0.0,
            filled_at: 0,
        }
    }

    /// The core starts anew, from what was saved.
    pub(super) fn restarted(&mut self, now: i64, backed_off: Option<i64>, per_second: u32) {
        for lane in &mut self.lanes {
            lane.failing = lane.saved;
            lane.started = None;
            lane.paused_until = None;
        }
        self.forget();
        self.outages += 1;
        self.run = if backed_off.is_some() {
            self.excuse();
            FAILING_LANES
        } else {
            0
        };
        self.backed_off = backed_off;
        self.tokens = f64::from(per_second);
        self.filled_at = now;
    }

    pub(super) fn forget(&mut self) {
        self.run = 0;
        self.asked_until = 0;
        self.last_success = None;
        self.backed_off = None;
        self.probed = None;
    }

    pub(super) fn finished(
        &mut self,
        (lane, sequence): (usize, Sequence),
        number: u32,
        outcome: &Outcome,
        now: i64,
    ) {
        let is_first = number == 1;
        let jumped = self.jumped;
        let of_lane = &mut self.lanes[lane];
        match outcome {
            Outcome::Delivered { .. } => {
                of_lane.failing = None;
                self.run = 0;
                self.asked_until = 0;
                self.last_success = Some(now);
                self.backed_off = None;
                if !is_first {
                    self.tokens += 1.0;
                }
            }
            Outcome::Failed(failure) => {
                let known = of_lane.failing.filter(|known| known.sequence == sequence);
                let (since, jumped) =
                    known.map_or((now, jumped), |known| (known.since, known.jumped));
                of_lane.failing = Some(Failing {
                    sequence,
                    since,
                    jumped,
                    class: failure.class,
                    status: failure.status,
                    due: now + wait(number, failure),
                    is_excused: self.backed_off.is_some(),
                });
                if failure.class != FailureClass::Internal {
                    if self.run == 0 {
                        self.run_since = now;
                    }
                    self.run += u32::from(is_first);
                    let wait = failure
                        .retry_after
                        .unwrap_or_default()
                        .as_millis()
                        .min(3_600_000);
                    let asked = now + i64::try_from(wait).unwrap();
                    self.asked_until = self.asked_until.max(asked);
                }
            }
        }
    }

    /// Lanes may be tried before their time.
    pub(super) fn excuse(&mut self) {
        let lanes = self.lanes.iter_mut();
        for failing in lanes.filter_map(|lane| lane.failing.as_mut()) {
            failing.is_excused = true;
        }
    }

    /// Something has passed: what has failed for long may be tried before its time.
    pub(super) fn excuse_old(&mut self, after: i64, now: i64) {
        let lanes = self.lanes.iter_mut();
        for failing in lanes.filter_map(|lane| lane.failing.as_mut()) {
            let age = now - failing.since + self.jumped - failing.jumped;
            failing.is_excused |= age + 1 >= after;
        }
    }

    /// A lane is tried again.
    pub(super) fn retries(&self, lane: usize, now: i64) {
        let failing = self.lanes[lane].failing;
        let failing = failing.expect("what is tried again has failed");
        let at = now + self.jumped - failing.jumped;
        let in_time = failing.is_excused || at >= failing.due;
        assert!(in_time, "tried again {} ms too early", failing.due - at);
    }

    /// An outage is over: its time counts against no event.
    pub(super) fn recovered(&mut self, since: i64, now: i64) {
        for failing in self
            .lanes
            .iter_mut()
            .filter_map(|lane| lane.failing.as_mut())
        {
            failing.since = if failing.since >= since {
                now
            } else {
                (failing.since + (now - since)).min(now)
            };
        }
    }

    /// A retry starts while the endpoint is not backed off.
    pub(super) fn spend(&mut self, now: i64, per_second: u32) {
        let most = f64::from(per_second);
        let ms = f64::from(i32::try_from((now - self.filled_at).min(1_000_000)).unwrap());
        self.tokens = (self.tokens + ms / 1_000.0 * most).min(most) - 1.0;
        self.filled_at = now;
        assert!(self.tokens > -0.01, "more failing retries than are granted");
    }

    /// A probe starts.
    pub(super) fn probes(&self, since: i64, now: i64) {
        if let Some(before) = self.probed {
            let least = probe_wait(before - since);
            assert!(now + 1 >= before + least, "a probe {least} ms too early");
        } else if self.backed_off.is_some_and(|since| since > 0) {
            assert!(now >= self.asked_until, "a probe before its `Retry-After`");
        }
    }

    /// Whether an event may be given up on now.
    pub(super) fn judge(&mut self, lane: usize, sequence: Sequence, after: i64, now: i64) {
        let failing = self.lanes[lane].failing.take();
        let failing = failing.expect("only what fails is set aside");
        assert_eq!(failing.sequence, sequence, "another event failed");
        assert_ne!(failing.class, FailureClass::Internal, "our own trouble");
        let slack = self.jumped - failing.jumped;
        let age = now - failing.since + slack;
        assert!(age + 1 >= after, "set aside after {age} of {after} ms");
        let others_pass = self
            .last_success
            .is_some_and(|at| at + slack > failing.since);
        let is_well = self.backed_off.is_none() && others_pass && self.run == 0;
        assert!(
            is_well || Failure::blames_event(failing.status),
            "set aside though the endpoint is not well"
        );
    }
}

fn wait(number: u32, failure: &Failure) -> i64 {
    let wait = schedule::wait(number, 0.0, failure.retry_after);
    i64::try_from(wait.as_millis()).unwrap()
}

/// The least wait of a probe after one that failed.
pub(super) fn probe_wait(age: i64) -> i64 {
    let least = i64::try_from(PROBE_WAIT_MIN.as_millis()).unwrap();
    let most = i64::try_from(PROBE_WAIT_MAX.as_millis()).unwrap();
    (age / 8).clamp(least, most)
}
