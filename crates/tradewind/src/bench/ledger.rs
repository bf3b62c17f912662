//! Judges what arrives: everything once, and in order within its conversation.

use serde::{Deserialize, Serialize};

use super::text::Stamp;

/// What has arrived of one phase.
#[derive(Debug)]
pub(super) struct Ledger {
    phase: u64,
    /// The number that came last, of each conversation.
    last: Vec<u32>,
    tally: Tally,
}

/// The sums of a ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Messages that came, each counted once.
    pub(super) delivered: u64,
    /// Those that came again, which at-least-once delivery allows.
    pub(super) repeats: u64,
    /// Those that came before one of their conversation that should have come first.
    pub(super) out_of_order: u64,
    /// What is no message of this phase.
    pub(super) strange: u64,
    /// The first thing that was wrong, in words.
    pub(super) wrong: Option<String>,
}

impl Ledger {
    pub(super) fn new(phase: u64, conversations: u32) -> Self {
        let conversations = usize::try_from(conversations).unwrap_or_default();
        Self {
            phase,
            last: vec![0; conversations],
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes what arrived; `None` is something without a stamp. Says whether it is new.
    pub(super) fn take(&mut self, stamp: Option<Stamp>) -> bool {
        let Some(stamp) = stamp else {
            self.tally.strange += 1;
            self.say(|| "something without a stamp came".to_owned());
            return false;
        };
        let last = usize::try_from(stamp.conversation)
            .ok()
            .and_then(|at| self.last.get_mut(at));
        let Some(last) = last.filter(|_| stamp.phase == self.phase) else {
            self.tally.strange += 1;
            let phase = self.phase;
            self.say(|| format!("{stamp:?} is not of phase {phase}"));
            return false;
        };
        let expected = *last + 1;
        if stamp.number < expected {
            self.tally.repeats += 1;
            return false;
        }
        *last = stamp.number;
        self.tally.delivered += 1;
        if stamp.number > expected {
            self.tally.out_of_order += 1;
            self.say(|| {
                format!(
                    "in conversation {} message {} came, and {expected} had not",
                    stamp.conversation, stamp.number
                )
            });
        }
        true
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        self.tally.wrong.get_or_insert_with(what);
    }
}

impl Tally {
    /// The sums of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            delivered: self.delivered + other.delivered,
            repeats: self.repeats + other.repeats,
            out_of_order: self.out_of_order + other.out_of_order,
            strange: self.strange + other.strange,
            wrong: self.wrong.clone().or_else(|| other.wrong.clone()),
        }
    }

    /// What is wrong when `accepted` messages were to come, if anything is.
    pub(super) fn fault(&self, accepted: u64) -> Option<String> {
        let Self {
            delivered,
            out_of_order,
            strange,
            wrong,
            ..
        } = self;
        let wrong = wrong.as_deref().unwrap_or("nothing else was wrong");
        if *out_of_order > 0 || *strange > 0 {
            return Some(format!(
                "{out_of_order} messages came out of order and {strange} were not sent: {wrong}"
            ));
        }
        (*delivered != accepted)
            .then(|| format!("{accepted} messages were accepted and {delivered} came: {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Stamp};

    fn stamp(conversation: u32, number: u32) -> Stamp {
        Stamp {
            phase: 1,
            conversation,
            number,
            at: 0,
        }
    }

    fn after(arrivals: &[Stamp]) -> Ledger {
        let mut ledger = Ledger::new(1, 2);
        for arrival in arrivals {
            ledger.take(Some(*arrival));
        }
        ledger
    }

    #[test]
    fn everything_in_order_is_right_and_repeats_are_counted_apart() {
        let ledger = after(&[
            stamp(0, 1),
            stamp(1, 1),
            stamp(0, 2),
            stamp(0, 1),
            stamp(0, 2),
            stamp(0, 3),
        ]);
        assert_eq!(ledger.tally().fault(4), None);
        assert_eq!(ledger.tally().repeats, 2);
    }

    #[test]
    fn a_loss_is_found() {
        let fault = after(&[stamp(0, 1), stamp(1, 1)]).tally().fault(3).unwrap();
        assert!(
            fault.contains("3 messages were accepted and 2 came"),
            "{fault}"
        );
    }

    #[test]
    fn a_message_before_its_predecessor_is_found_though_all_came() {
        let fault = after(&[stamp(0, 2), stamp(0, 1)]).tally().fault(2).unwrap();
        assert!(fault.contains("message 2 came, and 1 had not"), "{fault}");
    }

    #[test]
    fn what_nobody_sent_is_found() {
        let earlier = Stamp {
            phase: 0,
            ..stamp(0, 1)
        };
        for strange in [None, Some(stamp(2, 1)), Some(earlier)] {
            let mut ledger = after(&[stamp(0, 1)]);
            ledger.take(strange);
            assert!(ledger.tally().fault(1).is_some(), "{strange:?}");
        }
    }
}
