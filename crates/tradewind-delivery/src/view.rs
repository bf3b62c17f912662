//! What an operator sees of a consumer while it runs.

use std::{collections::VecDeque, time::Duration};

use tokio::sync::oneshot;
use tradewind_model::{ConversationId, Sequence, Shards, Timestamp};

use crate::{
    attempt::{FailureClass, Outcome},
    lanes::{LaneStatus, Status},
};

/// Durations of successful attempts that are kept, the newest.
const DURATIONS_MAX: usize = 512;

/// How a consumer does now, and what it did since the program started.
#[derive(Clone, Debug)]
pub struct View {
    /// What of it this node serves; it tells of nothing else.
    pub shards: Shards,
    pub status: Status,
    pub tally: Tally,
}

/// Counts of attempts since the program started.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub delivered: u64,
    /// Failures of each class, in the order of [`FailureClass::ALL`].
    pub failed: [u64; FailureClass::ALL.len()],
    pub set_aside: u64,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    durations: VecDeque<Duration>,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: &Outcome, took: Duration, now: Timestamp) {
        match outcome {
            Outcome::Delivered { .. } => {
                self.delivered += 1;
                self.last_success_at = Some(now);
                if self.durations.len() >= DURATIONS_MAX {
                    self.durations.pop_front();
                }
                self.durations.push_back(took);
            }
            Outcome::Failed(failure) => {
                let class = FailureClass::ALL
                    .iter()
                    .position(|class| *class == failure.class);
                if let Some(count) = class.and_then(|index| self.failed.get_mut(index)) {
                    *count += 1;
                }
                self.last_failure_at = Some(now);
            }
        }
    }

    /// The duration that this share of the newest successes did not exceed, such as 99 of 100.
    pub fn duration(&self, per_cent: usize) -> Option<Duration> {
        let mut sorted: Vec<_> = self.durations.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_cent).div_ceil(100).saturating_sub(1);
        sorted.get(rank).copied()
    }
}

/// What a running consumer is asked or told.
#[derive(Debug)]
pub enum Ask {
    /// Where a lane stands. No answer: another node serves it.
    Lane(ConversationId, oneshot::Sender<LaneStatus>),
    /// The endpoint is another one now: try everything at once.
    EndpointChanged,
}

/// Why an event is not delivered, or what happens to it next, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// It is tried again then; `backed_off_until` if its endpoint is backed off as a whole.
    Retry {
        number: u32,
        at: Timestamp,
        backed_off_until: Option<Timestamp>,
    },
    SetAside,
    Unsubscribed,
    /// An event before it in its conversation has to go first.
    Behind {
        first: Sequence,
    },
}

impl std::fmt::Display for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Retry {
                number,
                at,
                backed_off_until: None,
            } => write!(f, "attempt {number} is due at {at:.3}"),
            Self::Retry {
                number,
                at,
                backed_off_until: Some(until),
            } => write!(
                f,
                "endpoint backed off until {until:.3}, when one event is tried; attempt {number} is due at {at:.3}, or once the endpoint is well"
            ),
            Self::SetAside => f.write_str(
                "set aside: it failed for too long while other events passed; webhooks.replay sends it again",
            ),
            Self::Unsubscribed => f.write_str("the endpoint answered 410, so the webhook is unsubscribed"),
            Self::Behind { first } => write!(f, "behind entry {first} of this conversation"),
        }
    }
}
