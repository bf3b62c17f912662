//! The driver of a schedule: it does what the real one does, at random speeds.

use std::sync::Arc;

use tradewind_model::LogEntry;

use super::{
    super::super::{Action, LaneStatus, LaneWork, Limits, is_ours},
    Flight, LaneRead, LogRead, READ_MAX, SAVE_EVERY, STORE_PAUSE, Save, World,
};
use crate::{
    attempt::Outcome,
    health::{FAILING_LANES, Turn},
};

/// What happens next.
#[derive(Clone, Copy)]
enum Next {
    Attempt(usize),
    LaneRead(usize),
    LogRead,
    Saved,
    Wake,
}

impl World {
    /// Lets the next thing happen that happens by `until`. `false` if there is none; then it is `until`.
    pub(super) fn advance(&mut self, until: i64) -> bool {
        let Some((at, next)) = self.next().filter(|(at, _)| *at <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(at);
        match next {
            Next::Attempt(index) => self.end_attempt(index),
            Next::LaneRead(index) => self.end_lane_read(index),
            Next::LogRead => self.end_log_read(),
            Next::Saved => self.end_save(),
            Next::Wake => {}
        }
        let more = self.next().is_some_and(|(at, _)| at <= self.now);
        if more && !matches!(next, Next::Wake) && self.dice.one_in(4) {
            // As the driver, which takes all that has ended before it asks the core.
            self.driver.is_behind = true;
        } else {
            self.drive(matches!(next, Next::Wake));
        }
        true
    }

    fn next(&mut self) -> Option<(i64, Next)> {
        let mut first: Option<(i64, Next)> = None;
        let driver = &self.driver;
        let attempts = driver.attempts.iter().enumerate();
        let attempts = attempts.map(|(index, flight)| (flight.ends_at, Next::Attempt(index)));
        let reads = driver.lane_reads.iter().enumerate();
        let reads = reads.map(|(index, read)| (read.ends_at, Next::LaneRead(index)));
        let log_read = driver.log_read.iter();
        let log_read = log_read.map(|read| (read.ends_at, Next::LogRead));
        let saving = driver.saving.iter().map(|(_, at)| (*at, Next::Saved));
        let save_waits = driver.saving.is_some() || driver.store_pause.is_some();
        let save_at = driver.save_at.filter(|_| !save_waits);
        let wakes = [driver.wake, save_at, driver.store_pause]
            .into_iter()
            .flatten();
        let wakes = wakes.map(|at| (at, Next::Wake));
        for next in attempts
            .chain(reads)
            .chain(log_read)
            .chain(saving)
            .chain(wakes)
        {
            let is_first = first.is_none_or(|(at, _)| next.0 < at);
            let is_as_early = first.is_some_and(|(at, _)| next.0 == at);
            if is_first || (is_as_early && self.dice.one_in(2)) {
                first = Some(next);
            }
        }
        first
    }

    /// Asks the core what to start, and starts it.
    pub(super) fn drive(&mut self, is_wake: bool) {
        self.driver.is_behind = false;
        let clock = self.clock();
        let before = (self.lanes.cursor(), self.lanes.unsaved.set_aside.len());
        let actions = self.lanes.step(clock);
        let after = (self.lanes.cursor(), self.lanes.unsaved.set_aside.len());
        let was_due = is_wake && self.driver.wake.is_some_and(|wake| wake <= self.now);
        if was_due && actions.is_empty() && before == after {
            self.driver.idle_wakes += 1;
        } else {
            self.driver.idle_wakes = 0;
        }
        // Each held lane is looked at once to be judged, and once when it is due.
        let most = 2 * self.lanes.status().held + 8;
        assert!(self.driver.idle_wakes <= most, "it wakes in vain");
        let reads = self.driver.lane_reads.len();
        for action in actions {
            match action {
                Action::Attempt { entry, number } => self.start_attempt(&entry, number),
                Action::ReadLane {
                    conversation,
                    from,
                    to,
                } => {
                    let lane = self.numbers[&conversation];
                    let pause = self.driver.store_pause.unwrap_or(self.now);
                    let ends_at = pause.max(self.now) + self.dice.pick(&[0, 0, 1, 5]);
                    self.say(|| format!("read lane {lane} from {from} to {to}"));
                    self.driver.lane_reads.push(LaneRead {
                        lane,
                        from,
                        to,
                        ends_at,
                    });
                }
                Action::TellLoop {
                    conversation,
                    until,
                } => self.leave_alone(self.numbers[&conversation], self.real(until)),
            }
        }
        if self.driver.lane_reads.len() > reads {
            let reads = self.driver.lane_reads.len() * self.limits.lane_entries_max;
            let most = self.lanes.entry_count() + reads;
            assert!(
                most <= self.limits.entries_max,
                "reads for which there is no room"
            );
        }
        self.judge();
        self.start_store_work();
        let wake = self.lanes.next_wake(clock);
        assert!(
            wake.is_none_or(|wake| wake > clock),
            "woken at once, in vain"
        );
        self.driver.wake = wake.map(|wake| self.real(wake));
        self.check_bounds();
    }

    fn start_attempt(&mut self, entry: &Arc<LogEntry>, number: u32) {
        let sequence = entry.sequence;
        let index = self.log.index_of(sequence);
        let lane = self.log.facts[index].lane;
        self.say(|| format!("attempt {number} of {sequence} in {lane}"));
        let flights = self.driver.attempts.iter();
        let twin = flights.map(|flight| self.log.facts[flight.index].lane);
        assert!(
            !twin.into_iter().any(|other| other == lane),
            "two attempts in lane {lane}"
        );
        self.check_order(index);
        let takes = self.endpoint.takes(&mut self.dice);
        let probes = self.shadow.backed_off.map(|since| {
            self.shadow.probes(since, self.now);
            self.shadow.outages
        });
        let attempts = self.driver.attempts.iter();
        let others = attempts.filter(|flight| probes.is_some() && flight.probes == probes);
        let others: Vec<_> = others.map(|flight| flight.started_at).collect();
        if let Some(last) = others.last() {
            // Beside those that hang, and with an event that has not failed.
            assert!(others.len() < 3 && number == 1, "too many probes");
            assert!(
                self.now >= last + 1_000,
                "a second probe beside one that does not hang"
            );
        }
        if number > 1 {
            self.shadow.retries(lane, self.now);
        }
        if probes.is_none() && number > 1 {
            let per_second = self.limits.retries_per_second;
            self.shadow.spend(self.now, per_second);
        }
        self.driver.attempts.push(Flight {
            index,
            number,
            started_at: self.now,
            ends_at: self.now + takes,
            probes,
        });
        let total = self.driver.attempts.len();
        assert!(
            total <= self.limits.in_flight_max,
            "more attempts than may be"
        );
        if probes.is_none() {
            self.check_share(number);
        }
    }

    /// Attempts that do not hang are no more than the endpoint gets, and retries leave half.
    fn check_share(&self, number: u32) {
        let attempts = &self.driver.attempts;
        let hold_after = i64::try_from(self.limits.hold_after.as_millis()).unwrap();
        let young = attempts
            .iter()
            .filter(|attempt| self.now - attempt.started_at < hold_after);
        let concurrency = self.lanes.status().concurrency;
        assert!(young.count() <= concurrency, "more attempts than it gets");
        let retries = attempts
            .iter()
            .filter(|attempt| attempt.number > 1 && attempt.probes.is_none());
        let retries_max = (self.limits.in_flight_max / 2).max(1);
        assert!(
            number == 1 || retries.count() <= retries_max,
            "too many retries"
        );
    }

    fn check_order(&mut self, index: usize) {
        let fact = &self.log.facts[index];
        let (sequence, lane) = (fact.sequence(), fact.lane);
        assert!(
            sequence > self.start,
            "{sequence} is of an old subscription"
        );
        let in_this_life = fact.delivered_in == Some(self.life);
        assert!(!in_this_life, "{sequence} again, though the core knows it");
        assert!(
            !self.restored.covers(fact),
            "{sequence} again, though it is saved"
        );
        let shadow = &mut self.shadow.lanes[lane];
        assert!(
            shadow.started <= Some(sequence),
            "{sequence} after a later one"
        );
        shadow.started = Some(sequence);
        let paused = shadow.paused_until.is_some_and(|until| until > self.now);
        assert!(!paused, "lane {lane} is to be left alone");
        let open = self.log.first_open(lane, self.start);
        let open = open.filter(|open| *open < index);
        let open = open.map(|open| self.log.facts[open].sequence());
        assert_eq!(
            open, None,
            "{sequence} goes out before one before it is dealt with"
        );
    }

    fn leave_alone(&mut self, lane: usize, until: i64) {
        self.say(|| format!("a loop in {lane}"));
        let most = usize::try_from(self.limits.loop_max).unwrap();
        assert!(most > 0, "loops are not looked for");
        let of_lane = self.log.lanes[lane]
            .0
            .iter()
            .map(|index| &self.log.facts[*index]);
        let own = of_lane.filter(|fact| fact.sequence() > self.start);
        let own = own.filter(|fact| is_ours(&fact.entry));
        assert!(own.count() > most, "no loop: too few of our own");
        self.shadow.lanes[lane].paused_until = Some(until);
        // What failed before in the lane has been removed: this is a first attempt.
        self.shadow.lanes[lane].failing = None;
    }

    /// Judges what the core has given up on since it was last asked.
    fn judge(&mut self) {
        let new: Vec<_> = self.lanes.unsaved.set_aside[self.driver.judged..]
            .iter()
            .map(|record| (record.conversation_id, record.sequence))
            .collect();
        self.driver.judged += new.len();
        for (conversation, sequence) in new {
            let lane = self.numbers[&conversation];
            self.say(|| format!("{sequence} in {lane} is set aside"));
            let after = self
                .limits
                .set_aside_after
                .expect("nothing is to be set aside");
            let after = i64::try_from(after.as_millis()).unwrap();
            self.shadow.judge(lane, sequence, after, self.now);
        }
    }

    pub(super) fn end_attempt(&mut self, index: usize) {
        let in_flight = self.driver.attempts.len();
        let flight = self.driver.attempts.swap_remove(index);
        let fact = &mut self.log.facts[flight.index];
        let (lane, sequence) = (fact.lane, fact.sequence());
        let took = self.now - flight.started_at;
        let (outcome, arrived) =
            self.endpoint
                .answers(&mut self.dice, (lane, sequence.0), took, in_flight);
        fact.arrived |= arrived;
        let is_delivered = matches!(outcome, Outcome::Delivered { .. });
        if is_delivered {
            fact.delivered_in = Some(self.life);
            self.driver.passed.push(flight.index);
            self.successes += 1;
            if self.limits.tells_delivered {
                self.driver.delivered.push(sequence);
            }
        }
        let conversation = fact.entry.lane();
        let was_backed_off = self.shadow.backed_off;
        if flight.probes == Some(self.shadow.outages) {
            self.shadow.probed = Some(self.now);
        }
        self.shadow
            .finished((lane, sequence), flight.number, &outcome, self.now);
        if let Some(after) = self.limits.set_aside_after.filter(|_| is_delivered) {
            let after = i64::try_from(after.as_millis()).unwrap();
            self.shadow.excuse_old(after, self.now);
        }
        let jitter = self.dice.unit();
        let turn = self
            .lanes
            .finished(conversation, &outcome, self.clock(), jitter);
        self.say(|| format!("{sequence} in {lane}: {outcome:?}, {turn:?}"));
        match turn {
            Some(Turn::BackedOff { since }) => {
                assert_eq!(was_backed_off, None, "backed off twice");
                assert!(self.shadow.run >= FAILING_LANES, "backed off too soon");
                let since = self.real(since);
                assert_eq!(since, self.shadow.run_since, "an outage of known failures");
                self.shadow.backed_off = Some(since);
                self.shadow.outages += 1;
                self.shadow.probed = None;
                self.shadow.excuse();
            }
            Some(Turn::Recovered { since, was_outage }) => {
                assert!(is_delivered, "well again after a failure");
                if was_outage {
                    let since = self.real(since);
                    assert!(self.now - since >= 4_999, "no outage");
                    self.check_hurried(since);
                    self.shadow.excuse();
                    self.shadow.recovered(since, self.now);
                }
            }
            None => assert!(
                !(is_delivered && was_backed_off.is_some()),
                "a silent recovery"
            ),
        }
        let is_backed_off = self.lanes.status().backed_off.is_some();
        assert_eq!(
            is_backed_off,
            self.shadow.run >= FAILING_LANES,
            "backed off or not"
        );
        self.judge();
    }

    /// What failed in an outage that is over goes on at once.
    fn check_hurried(&self, since: i64) {
        for (lane, shadow) in self.shadow.lanes.iter().enumerate() {
            // One that was removed since is not there to be tried.
            let is_there = |sequence| self.log.facts[self.log.index_of(sequence)].counts;
            let failing = shadow.failing.filter(|failing| is_there(failing.sequence));
            let in_outage = failing.is_some_and(|failing| failing.since >= since);
            let conversation = self.templates[lane].0.lane();
            let status = self.lanes.lane_status(conversation);
            let waits = matches!(status, LaneStatus::Held(_, LaneWork::Waiting));
            let is_sure = self.shadow.jumped == 0;
            assert!(!(in_outage && waits && is_sure), "lane {lane} still waits");
        }
    }

    fn end_lane_read(&mut self, index: usize) {
        let read = self.driver.lane_reads.swap_remove(index);
        let conversation = self.templates[read.lane].0.lane();
        if self.store_fails() {
            self.lanes.lane_read_failed(conversation);
            return;
        }
        let fitting = (self.limits.lane_weight_max / self.weight_max).max(1);
        let limit = fitting.min(self.limits.lane_entries_max);
        let limit = 1 + self.dice.index(limit);
        let page = self.log.read_lane(read.lane, read.from, read.to, limit);
        self.say(|| format!("lane {}: {} entries", read.lane, page.entries.len()));
        let clock = self.clock();
        self.lanes
            .lane_read(conversation, page.entries, page.read_to, page.more, clock);
    }

    fn end_log_read(&mut self) {
        let Some(read) = self.driver.log_read.take() else {
            return;
        };
        if self.store_fails() {
            self.driver.more = true;
            return;
        }
        let mut page = self.log.read(read.after, read.limit);
        page.entries.retain(|entry| self.due.contains(entry));
        self.driver.more = page.more;
        for entry in page
            .entries
            .iter()
            .filter(|entry| entry.message().is_some())
        {
            self.shadow.lanes[self.numbers[&entry.lane()]].paused_until = None;
        }
        self.say(|| {
            format!(
                "the log up to {}: {} entries",
                page.read_to,
                page.entries.len()
            )
        });
        let clock = self.clock();
        self.lanes.extend(page.entries, page.read_to, clock);
        self.due.passed(page.read_to);
    }

    fn store_fails(&mut self) -> bool {
        let fails = self.dice.percent(self.store_failing);
        if fails {
            self.driver.store_pause = Some(self.now + STORE_PAUSE);
            self.say(|| "the store fails".to_owned());
        }
        fails
    }

    fn start_store_work(&mut self) {
        if self
            .driver
            .store_pause
            .is_some_and(|until| until > self.now)
        {
            return;
        }
        self.driver.store_pause = None;
        let head = self.log.head();
        let room = self.lanes.room();
        let wanted = self.driver.more || head > self.driver.looked_at;
        if self.driver.log_read.is_none() && wanted && room > 0 {
            let held = self.lanes.held_count - self.lanes.ahead.len();
            assert!(
                held < self.limits.held_max,
                "read on with {held} held lanes"
            );
            self.driver.looked_at = head;
            self.driver.more = false;
            self.driver.log_read = Some(LogRead {
                after: self.lanes.read_to(),
                limit: room.min(1 + self.dice.index(READ_MAX)),
                ends_at: self.now + self.dice.pick(&[0, 0, 1, 5]),
            });
        }
        let is_unsaved = self.driver.unsaved.is_some() || self.lanes.has_changes();
        if self.driver.saving.is_none() && is_unsaved {
            let at = *self.driver.save_at.get_or_insert(self.now + SAVE_EVERY);
            if (at <= self.now || self.lanes.must_save_now())
                && let Some(save) = self.next_save()
            {
                self.driver.save_at = None;
                let ends_at = self.now + self.dice.pick(&[0, 1, 5, 50]);
                self.driver.saving = Some((save, ends_at));
            }
        }
    }

    /// What could not be saved before comes first.
    pub(super) fn next_save(&mut self) -> Option<Save> {
        if let Some(save) = self.driver.unsaved.take() {
            return Some(save);
        }
        let changes = self.lanes.take_changes()?;
        self.driver.judged = 0;
        let mut told = changes.delivered.clone();
        told.sort_unstable();
        let mut expected = std::mem::take(&mut self.driver.delivered);
        expected.sort_unstable();
        assert_eq!(told, expected, "what is told to be delivered");
        Some(Save {
            passed: std::mem::take(&mut self.driver.passed),
            failing: self.shadow.lanes.iter().map(|lane| lane.failing).collect(),
            changes,
        })
    }

    fn end_save(&mut self) {
        let Some((save, _)) = self.driver.saving.take() else {
            return;
        };
        if self.store_fails() {
            // Saved or not, nobody knows: it is saved again.
            if self.dice.one_in(2) {
                self.apply(&save);
            }
            self.driver.unsaved = Some(save);
            return;
        }
        self.apply(&save);
        self.say(|| format!("saved up to {}", save.changes.cursor));
        self.lanes.saved(&save.changes.set_aside);
    }

    pub(super) fn apply(&mut self, save: &Save) {
        let shards = self.shards();
        self.saved.apply(shards, &save.changes);
        for record in &save.changes.set_aside {
            let index = self.log.index_of(record.sequence);
            self.log.facts[index].set_aside = true;
        }
        for index in &save.passed {
            let fact = &self.log.facts[*index];
            let sequence = fact.sequence();
            assert!(
                self.saved.is_up_to(fact),
                "{sequence} is delivered, but its row is old"
            );
        }
        let lanes = self.shadow.lanes.iter_mut().zip(&save.failing);
        for ((lane, failing), (entry, _)) in lanes.zip(self.templates) {
            if shards.has(entry.lane()) {
                lane.saved = *failing;
            }
        }
    }

    fn check_bounds(&self) {
        let Limits {
            entries_max,
            weight_max,
            held_max,
            lane_reads_max,
            ..
        } = self.limits;
        assert!(
            self.driver.lane_reads.len() <= lane_reads_max,
            "too many reads"
        );
        // A read of the log that is under way while lanes are read comes on top.
        assert!(
            self.lanes.entry_count() <= entries_max + READ_MAX,
            "too many entries"
        );
        let overrun = (READ_MAX + lane_reads_max) * self.weight_max;
        assert!(self.lanes.weight() <= weight_max + overrun, "too heavy");
        let held = held_max + entries_max + READ_MAX;
        assert!(self.lanes.status().held <= held, "too many held lanes");
        if self.steps.is_multiple_of(16) {
            let lanes = self.lanes.by_conversation.values();
            let held = lanes.filter(|lane| lane.held.is_some()).count();
            assert_eq!(held, self.lanes.held_count, "held lanes are counted");
        }
    }
}
