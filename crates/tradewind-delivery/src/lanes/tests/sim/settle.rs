//! The end of a schedule: the endpoint is well, and all has to arrive.

use std::collections::HashSet;

use super::{
    HOUR, World,
    endpoint::{Endpoint, TIMEOUT},
    shadow::probe_wait,
};

/// Longest wait of one event for its own schedule, with a little on top.
const WAIT_MAX: i64 = 30 * HOUR;
/// Between two messages in a conversation that passes, while others fail.
const HEARTBEAT: i64 = 30_000;
const BEATING: usize = 0;

impl World {
    /// Driven by what ends and by the times at which the core wants to be woken, and by nothing else.
    pub(super) fn settle(&mut self) {
        // Held lanes beyond `held_max` would keep out what shows that the endpoint is well.
        let lanes = self.templates.len();
        let keeps_poison = self.limits.set_aside_after.is_some()
            && lanes > 1
            && self.limits.held_max > lanes
            && self.dice.one_in(2);
        let mut well = Endpoint::new();
        if keeps_poison {
            well.poisoned = self.endpoint.poisoned.iter().copied().collect();
            // In one conversation all passes: others are judged by it.
            let facts = &self.log.facts;
            let failing = facts.iter().filter(|fact| fact.lane != BEATING);
            let failing: HashSet<_> = failing.map(|fact| fact.sequence().0).collect();
            well.poisoned.retain(|sequence| failing.contains(sequence));
            well.poison = self.endpoint.poison;
        }
        self.endpoint = well;
        self.store_failing = 0;
        self.successes = 0;
        self.say(|| format!("settle, poisoned {keeps_poison}"));
        let events = i64::try_from(self.endpoint.poisoned.len()).unwrap();
        let latest = self.now + (WAIT_MAX + HOUR) * (events + 2);
        let first_by = self.first_success_by().filter(|_| !keeps_poison);
        let (begun, mut beat) = (self.now, self.now);
        let mut left: u64 = 2_000_000;
        self.drive(false);
        while !self.is_done() {
            let until = if keeps_poison { beat } else { latest };
            let has_next = self.advance(until);
            if !has_next && keeps_poison && self.waits_for_judgement() {
                beat = self.now + HEARTBEAT.max((self.now - begun) / 10);
                self.append_to(BEATING);
                self.drive(false);
            } else if !has_next && keeps_poison {
                beat = self.now + HEARTBEAT;
            }
            assert!(has_next || keeps_poison, "nothing more happens");
            assert!(self.now < latest, "it takes too long");
            left -= 1;
            assert!(left > 0, "it takes too many steps");
            let in_time = self.successes > 0 || first_by.is_none_or(|by| self.now <= by);
            assert!(in_time, "an endpoint that is well is not found to be");
        }
        assert!(self.lanes.is_empty(), "lanes are left");
        assert_eq!((self.lanes.entry_count(), self.lanes.weight()), (0, 0));
        assert_eq!(self.lanes.in_flight(), 0);
    }

    /// By when a backed-off endpoint that is well now must have had a success.
    fn first_success_by(&self) -> Option<i64> {
        let since = self.shadow.backed_off?;
        let is_left_alone = self.limits.loop_max > 0 && self.own > 0;
        if is_left_alone || self.lanes.is_empty() || self.shadow.jumped > 0 {
            return None;
        }
        let asked = if self.throttled { HOUR } else { 0 };
        let wait = probe_wait(self.now + TIMEOUT - since);
        Some(self.now + TIMEOUT + asked + wait + wait / 5 + 3_000)
    }

    /// Whether some event still fails.
    fn waits_for_judgement(&self) -> bool {
        self.lanes.status().held > 0
    }

    fn is_done(&self) -> bool {
        let driver = &self.driver;
        let is_idle = driver.attempts.is_empty()
            && driver.lane_reads.is_empty()
            && driver.log_read.is_none()
            && driver.saving.is_none()
            && driver.unsaved.is_none();
        let head = self.log.head();
        let is_saved =
            self.saved.cursors.iter().all(|cursor| *cursor >= head) || head <= self.start;
        is_idle && is_saved && self.saved.held.is_empty() && self.all_arrived()
    }

    fn all_arrived(&self) -> bool {
        let wanted = self
            .log
            .facts
            .iter()
            .filter(|fact| fact.sequence() > self.start);
        wanted
            .filter(|fact| fact.counts && !fact.set_aside)
            .all(|fact| fact.arrived)
    }
}
