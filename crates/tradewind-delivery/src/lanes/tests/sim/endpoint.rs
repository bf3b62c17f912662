//! The endpoint of a schedule, and how it behaves.

use std::{collections::HashSet, time::Duration};

use super::dice::Dice;
use crate::attempt::{Failure, FailureClass, Outcome};

/// An exchange ends by then.
pub(super) const TIMEOUT: i64 = 15_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// No connection, or an error for all.
    Down(Option<u16>),
    /// Percent of the attempts that fail.
    Flapping(u64),
    /// Percent that take long, whatever becomes of them, and percent that fail.
    Torn {
        slow: u64,
        failing: u64,
    },
    /// Answers take up to this many milliseconds.
    Slow(i64),
    /// 429 for all, with `Retry-After` in seconds.
    Throttling(u64),
    /// 503 for what comes while more than these are under way.
    Narrow(usize),
    /// Tradewind's own trouble.
    Internal,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) mood: Mood,
    /// Conversations and events that are refused, and how.
    pub(super) poisoned_lanes: HashSet<usize>,
    pub(super) poisoned: HashSet<u64>,
    pub(super) poison: u16,
    /// Percent of the answers that are lost after the event has arrived.
    pub(super) losing: u64,
}

impl Endpoint {
    pub(super) fn new() -> Self {
        Self {
            mood: Mood::Well,
            poisoned_lanes: HashSet::new(),
            poisoned: HashSet::new(),
            poison: 500,
            losing: 0,
        }
    }

    pub(super) fn change(&mut self, dice: &mut Dice) {
        self.mood = match dice.below(14) {
            0..=4 => Mood::Well,
            5 => Mood::Down(None),
            6 => Mood::Down(Some(dice.pick(&[500, 503, 400, 404, 422]))),
            7 => Mood::Flapping(dice.pick(&[10, 50, 90])),
            8 => Mood::Slow(dice.pick(&[500, 3_000, 20_000])),
            9 => Mood::Throttling(dice.pick(&[1, 10, 60, 3_600, 100_000])),
            10 => Mood::Narrow(dice.index(8)),
            11 | 12 => Mood::Torn {
                slow: dice.pick(&[10, 30, 60]),
                failing: dice.pick(&[50, 90, 98]),
            },
            _ => Mood::Internal,
        };
        self.losing = dice.pick(&[0, 0, 0, 0, 10, 50]);
    }

    pub(super) fn is_poisoned(&self, lane: usize, sequence: u64) -> bool {
        self.poisoned_lanes.contains(&lane) || self.poisoned.contains(&sequence)
    }

    pub(super) fn takes(&self, dice: &mut Dice) -> i64 {
        match self.mood {
            Mood::Slow(most) => dice.ms(most).min(TIMEOUT),
            Mood::Torn { slow, .. } if dice.percent(slow) => dice.ms(2 * TIMEOUT).min(TIMEOUT),
            _ => dice.pick(&[0, 1, 1, 2, 5, 20]),
        }
    }

    /// What becomes of an attempt that ends now, and whether its event has arrived.
    pub(super) fn answers(
        &self,
        dice: &mut Dice,
        (lane, sequence): (usize, u64),
        took: i64,
        in_flight: usize,
    ) -> (Outcome, bool) {
        if took >= TIMEOUT {
            return (fails(FailureClass::Timeout, None, None), dice.one_in(2));
        }
        if self.is_poisoned(lane, sequence) {
            return (fails(FailureClass::Status, Some(self.poison), None), false);
        }
        let refused = match self.mood {
            Mood::Well | Mood::Slow(_) => None,
            Mood::Down(None) => Some(fails(FailureClass::Connect, None, None)),
            Mood::Down(status) => Some(fails(FailureClass::Status, status, None)),
            Mood::Flapping(share) | Mood::Torn { failing: share, .. } => dice
                .percent(share)
                .then(|| fails(FailureClass::Status, Some(502), None)),
            Mood::Throttling(wait) => Some(fails(FailureClass::Status, Some(429), Some(wait))),
            Mood::Narrow(most) => {
                (in_flight > most).then(|| fails(FailureClass::Status, Some(503), None))
            }
            Mood::Internal => dice
                .one_in(2)
                .then(|| fails(FailureClass::Internal, None, None)),
        };
        match refused {
            Some(outcome) => (outcome, false),
            None if dice.percent(self.losing) => (fails(FailureClass::Response, None, None), true),
            None => (Outcome::Delivered { status: Some(200) }, true),
        }
    }
}

fn fails(class: FailureClass, status: Option<u16>, retry_after: Option<u64>) -> Outcome {
    Outcome::Failed(Failure {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        ..Failure::new(class, "")
    })
}
