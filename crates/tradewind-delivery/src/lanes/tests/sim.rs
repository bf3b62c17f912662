//! The core in a world of its own: a log, a store, an endpoint and a driver that are models, and a clock
//! that is a number. One seed is one schedule, and replays exactly.
//!
//! It is a failure when
//! - an event goes out before all before it in its conversation are delivered, or durably set aside;
//! - two attempts of a conversation are in flight, or an event goes out again which progress covers or
//!   the core knows to be delivered;
//! - a crash finds an event that is neither dealt with nor above the saved progress (nothing is lost);
//! - entries, weight, held lanes, attempts, reads or retries pass their bounds;
//! - an event is set aside that is not at fault, or before its time, or the endpoint is backed off, probed
//!   or taken for well against the rules;
//! - the core asks to be woken at once though it has nothing to do, or has something to do earlier than
//!   it asked to be woken;
//! - with an endpoint that is well, and woken only when it asks to be, the core does not come to an end.

mod dice;
mod drive;
mod endpoint;
mod log;
mod run;
mod settle;
mod shadow;

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use tradewind_model::{ConversationId, LogEntry, SHARDS, Sequence, Shards, Subject, Timestamp};
use tradewind_store::Share;

use self::{
    dice::Dice,
    endpoint::{Endpoint, Mood},
    log::{Log, Saved},
    shadow::{Failing, Shadow},
};
use super::{
    super::{Changes, Lanes, Limits, is_ours},
    fixture::{at, conversation, entry, own},
};
use crate::due::Due;

/// What one read of the log brings at most.
const READ_MAX: usize = 40;
const CONVERSATIONS: usize = 30;
const SAVE_EVERY: i64 = 200;
const STORE_PAUSE: i64 = 1_000;
const HOUR: i64 = 3_600_000;
/// The first reading of the clock.
const EPOCH: i64 = 1_000_000_000_000;

struct Flight {
    index: usize,
    number: u32,
    started_at: i64,
    ends_at: i64,
    /// The outage that it probes.
    probes: Option<u32>,
}

struct LaneRead {
    lane: usize,
    from: Sequence,
    to: Sequence,
    ends_at: i64,
}

struct LogRead {
    after: Sequence,
    limit: usize,
    ends_at: i64,
}

/// Changes on their way to the store, with what the shadow knew when they were taken.
struct Save {
    changes: Changes,
    failing: Vec<Option<Failing>>,
    /// What was delivered since the changes before.
    passed: Vec<usize>,
}

/// What does not survive a crash, beside the core.
#[derive(Default)]
struct Driver {
    attempts: Vec<Flight>,
    lane_reads: Vec<LaneRead>,
    log_read: Option<LogRead>,
    more: bool,
    looked_at: Sequence,
    saving: Option<(Save, i64)>,
    unsaved: Option<Save>,
    save_at: Option<i64>,
    store_pause: Option<i64>,
    wake: Option<i64>,
    /// Wakes in a row at which nothing happened.
    idle_wakes: usize,
    /// Something has ended that the core has not been asked about yet.
    is_behind: bool,
    /// Set-aside events that were judged, of those not taken.
    judged: usize,
    delivered: Vec<Sequence>,
    passed: Vec<usize>,
}

struct World {
    dice: Dice,
    limits: Limits,
    /// Milliseconds that have passed, and how far the clock of this life of the core is off.
    now: i64,
    offset: i64,
    jumps: bool,
    life: u32,
    log: Log,
    templates: &'static [(LogEntry, LogEntry)],
    numbers: HashMap<ConversationId, usize>,
    weight_max: usize,
    /// Percent of the entries that our own side wrote, and that the consumer does not want.
    own: u64,
    unwanted: u64,
    saved: Saved,
    /// As it was when the core began this life.
    restored: Saved,
    /// The subscription begins after it.
    start: Sequence,
    /// Others serve shards too, so that each life of the core has others of them.
    is_one_of_many: bool,
    due: Due,
    lanes: Lanes,
    driver: Driver,
    /// Percent of the store's answers that are errors.
    store_failing: u64,
    endpoint: Endpoint,
    shadow: Shadow,
    throttled: bool,
    /// Steps so far, and successes since the endpoint was last said to be well.
    steps: u64,
    successes: u64,
    trace: Option<Vec<String>>,
}

fn random_limits(dice: &mut Dice) -> Limits {
    let lane_entries_max = 1 + dice.index(8);
    let lane_weight_max = 300 + dice.index(4_000);
    Limits {
        entries_max: 4 * lane_entries_max + dice.index(64),
        weight_max: 4 * lane_weight_max + dice.index(32_000),
        in_flight_max: 1 + dice.index(20),
        held_max: 1 + dice.index(60),
        lane_reads_max: 1 + dice.index(4),
        lane_entries_max,
        lane_weight_max,
        hold_after: Duration::from_millis(1 + dice.below(2_000)),
        set_aside_after: dice
            .pick(&[None, Some(600), Some(600), Some(5), Some(60)])
            .map(Duration::from_secs),
        retries_per_second: dice.pick(&[1, 2, 100]),
        loop_max: dice.pick(&[0, 2, 5]),
        loop_pause: Duration::from_secs(dice.pick(&[1, 600])),
        tells_delivered: dice.one_in(2),
    }
}

impl World {
    fn new(seed: u64, is_traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let limits = random_limits(&mut dice);
        let count = dice.pick(&[1, 3, 12, 16, CONVERSATIONS]);
        let saved = Saved {
            generation: 1,
            cursors: [Sequence::START; SHARDS],
            backed_off_since: None,
            held: std::collections::BTreeMap::new(),
        };
        let templates = &TEMPLATES[..count];
        let numbers = templates.iter().enumerate();
        let numbers = numbers.map(|(number, (entry, _))| (entry.lane(), number));
        let mut world = Self {
            limits,
            now: 0,
            offset: EPOCH,
            jumps: dice.one_in(5),
            life: 0,
            log: Log::new(count),
            numbers: numbers.collect(),
            weight_max: templates[0].0.weight().max(templates[0].1.weight()),
            templates,
            own: dice.pick(&[0, 0, 50, 95]),
            unwanted: dice.pick(&[0, 0, 20, 80]),
            restored: saved.clone(),
            start: Sequence::START,
            lanes: Lanes::new(limits, saved.state(Shards::ALL), at(EPOCH)),
            is_one_of_many: dice.one_in(2),
            due: Due::new(Share::whole()),
            saved,
            driver: Driver::default(),
            store_failing: dice.pick(&[0, 0, 5, 20]),
            endpoint: Endpoint::new(),
            shadow: Shadow::new(count),
            throttled: false,
            steps: 0,
            successes: 0,
            trace: is_traced.then(Vec::new),
            dice,
        };
        world.say(|| format!("{count} conversations, {limits:?}"));
        world.begin();
        world
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12} {}", self.now, what()));
        }
    }

    fn clock(&self) -> Timestamp {
        at(self.now + self.offset)
    }

    /// When a time of the core comes, rounded up to the world's milliseconds.
    fn real(&self, time: Timestamp) -> i64 {
        let floor = time.as_millisecond();
        let part = i64::from(time > at(floor));
        floor + part - self.offset
    }

    /// A schedule of about `length` steps, and then time for all to arrive.
    fn run(&mut self, length: u64) {
        while self.steps < length {
            let gap = self.dice.pick(&[
                0, 0, 0, 1, 1, 5, 5, 20, 50, 500, 3_000, 20_000, 120_000, 1_200_000,
            ]);
            let until = self.now + gap;
            while self.steps < length && self.advance(until) {
                self.steps += 1;
            }
            self.inject();
            self.steps += 1;
        }
        // Others leave, so that all is served here.
        if self.shards() != Shards::ALL {
            self.is_one_of_many = false;
            if self.dice.one_in(2) {
                self.stop();
            } else {
                self.crash();
            }
        }
        self.settle();
    }

    /// What this life of the core serves.
    fn shards(&self) -> Shards {
        self.due.share().holder.shards
    }

    fn inject(&mut self) {
        match self.dice.below(100) {
            0..50 => self.append(),
            50..60 => self.change_endpoint(),
            60..66 => self.poison(),
            66..72 => self.crash(),
            72..76 => self.stop(),
            76..78 => self.end_subscription(),
            78..81 => self.change_url(),
            81..84 => self.prune(),
            _ => self.look(),
        }
    }

    fn append(&mut self) {
        let count = self.dice.pick(&[1, 1, 2, 3, 10, 40]);
        for _ in 0..count {
            let lane = self.dice.index(self.templates.len());
            self.append_to(lane);
        }
        self.drive(false);
    }

    fn append_to(&mut self, lane: usize) {
        let sequence = Sequence(self.log.head().0 + 1 + self.dice.below(2));
        let clock = self.clock();
        let is_own = self.dice.percent(self.own);
        let (contact, own) = &self.templates[lane];
        let mut entry = if is_own { own } else { contact }.clone();
        entry.sequence = sequence;
        if let Subject::Message { message, .. } = &mut entry.subject {
            message.sent_at = clock;
        }
        let is_wanted = !self.dice.percent(self.unwanted);
        self.say(|| format!("append {sequence} to {lane}, own {is_own}, wanted {is_wanted}"));
        self.log.push(entry, lane, is_wanted);
    }

    fn change_endpoint(&mut self) {
        self.endpoint.change(&mut self.dice);
        self.throttled |= matches!(self.endpoint.mood, Mood::Throttling(_));
        let Endpoint { mood, losing, .. } = self.endpoint;
        self.say(|| format!("the endpoint is {mood:?}, losing {losing} %"));
    }

    fn poison(&mut self) {
        self.endpoint.poison = self.dice.pick(&[500, 422, 429, 400]);
        self.endpoint.poisoned_lanes.clear();
        if self.dice.one_in(2) {
            let lane = self.dice.index(self.templates.len());
            self.endpoint.poisoned_lanes.insert(lane);
        }
        let next = self.log.head().0 + self.dice.below(4);
        self.endpoint.poisoned.insert(next);
        let lanes = self.endpoint.poisoned_lanes.clone();
        self.say(|| format!("poisoned: {lanes:?} and {next}"));
    }

    /// What was in flight may have arrived or not; what was not saved is gone.
    fn crash(&mut self) {
        self.say(|| "crash".to_owned());
        for flight in std::mem::take(&mut self.driver.attempts) {
            if self.dice.one_in(2) {
                self.log.facts[flight.index].arrived = true;
            }
        }
        if let Some((save, _)) = self.driver.saving.take()
            && self.dice.one_in(2)
        {
            self.apply(&save);
        }
        self.restart();
    }

    /// A stop in order: what is in flight ends, and progress is saved.
    fn stop(&mut self) {
        self.say(|| "stop".to_owned());
        while !self.driver.attempts.is_empty() {
            let last = self.driver.attempts.iter().map(|flight| flight.ends_at);
            self.now = self.now.max(last.min().unwrap());
            let index = self.dice.index(self.driver.attempts.len());
            self.end_attempt(index);
        }
        if let Some((save, _)) = self.driver.saving.take() {
            self.apply(&save);
            self.lanes.saved(&save.changes.set_aside);
        }
        self.lanes.hold_all(self.clock());
        while let Some(save) = self.next_save() {
            self.apply(&save);
        }
        let mut cursors = self.shards().iter().map(|shard| self.saved.cursors[shard]);
        let read_to = self.lanes.read_to();
        assert!(cursors.all(|cursor| cursor >= read_to), "after a stop");
        self.restart();
    }

    fn restart(&mut self) {
        if self.jumps && self.dice.one_in(3) {
            let jump = self.dice.ms(2 * HOUR) - HOUR;
            self.offset += jump;
            self.shadow.jumped += jump.abs();
            self.say(|| format!("the clock jumps by {jump}"));
        }
        for fact in &self.log.facts {
            let lost =
                fact.sequence() > self.start && !fact.is_dealt_with() && self.saved.covers(fact);
            assert!(!lost, "{} is lost", fact.sequence());
        }
        self.begin();
    }

    /// A life of the core begins with what is saved.
    fn begin(&mut self) {
        self.life += 1;
        self.restored = self.saved.clone();
        let clock = self.clock();
        let shards = if self.is_one_of_many && self.dice.one_in(2) {
            Shards::from_bits(self.dice.below(u64::MAX) | self.dice.below(u64::MAX))
        } else {
            Shards::ALL
        };
        let state = self.saved.state(shards);
        self.say(|| format!("from {} with {shards:?}", state.cursor));
        self.due = Due::new(state.share.clone());
        self.lanes = Lanes::new(self.limits, state, clock);
        self.driver = Driver {
            more: true,
            ..Driver::default()
        };
        let backed_off = self.saved.backed_off_since;
        let backed_off = backed_off.map(|since| self.real(since.min(clock)));
        self.shadow
            .restarted(self.now, backed_off, self.limits.retries_per_second);
        self.drive(false);
    }

    /// The endpoint wants nothing any more, and is subscribed anew: what was before is not its any more.
    fn end_subscription(&mut self) {
        self.say(|| "a new subscription".to_owned());
        self.start = self.log.head();
        self.saved = Saved {
            generation: self.saved.generation + 1,
            cursors: [self.start; SHARDS],
            backed_off_since: None,
            held: std::collections::BTreeMap::new(),
        };
        for lane in &mut self.shadow.lanes {
            lane.saved = None;
        }
        self.restart();
    }

    fn change_url(&mut self) {
        self.say(|| "another address".to_owned());
        self.lanes.endpoint_changed(self.clock());
        assert!(self.lanes.due.is_empty(), "some lanes still wait");
        self.shadow.forget();
        self.shadow.excuse();
        // An attempt that was a probe before is none any more.
        self.shadow.outages += 1;
        for lane in &mut self.shadow.lanes {
            lane.paused_until = None;
            if let Some(failing) = &mut lane.failing {
                failing.since = self.now;
            }
        }
        self.drive(false);
    }

    /// Old entries are removed, delivered or not.
    fn prune(&mut self) {
        let upto = self.dice.index(self.log.facts.len() + 1);
        if self.dice.one_in(4) {
            self.say(|| format!("the first {upto} entries are removed"));
            for fact in &mut self.log.facts[..upto] {
                fact.counts = false;
            }
        }
    }

    /// Asked before the time at which it wants to be woken, the core must have nothing to do.
    fn look(&mut self) {
        // The budget of retries wakes it a millisecond late, rather than in vain.
        let soon = self.now + 1;
        if self.driver.is_behind || self.driver.wake.is_some_and(|wake| wake <= soon) {
            return;
        }
        let before = self.lanes.cursor();
        let actions = self.lanes.step(self.clock());
        let wake = self.driver.wake;
        assert!(
            actions.is_empty() && self.lanes.cursor() == before,
            "it wants to be woken at {wake:?}, but could do before: {actions:?}"
        );
    }
}

/// What the contact of each conversation says, and what our own side does. Its ids are digests, which
/// would take a good part of a schedule's time.
static TEMPLATES: LazyLock<Vec<(LogEntry, LogEntry)>> =
    LazyLock::new(|| (0..CONVERSATIONS).map(template).collect());

fn template(number: usize) -> (LogEntry, LogEntry) {
    let lane = u64::try_from(number).unwrap();
    let (contact, own) = (entry(0, lane), own(0, lane, at(0)));
    assert_eq!(contact.lane(), conversation(lane));
    assert!(!is_ours(&contact) && is_ours(&own));
    (contact, own)
}
