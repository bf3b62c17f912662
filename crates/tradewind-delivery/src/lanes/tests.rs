//! The core driven by hand, and by random histories with crashes between any two steps.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use tradewind_model::{
    Channel, Content, Conversation, ConversationId, DeliveryState, EntryKind, LogEntry, Message,
    MessageId, Random as _, SeededRandom, Sender, SenderType, Sequence, Source, Timestamp,
};
use tradewind_store::{ConsumerState, HeldLane};

use super::{Action, Changes, Lanes, Limits};
use crate::attempt::{Failure, FailureClass, Outcome};

/// What one read of the log brings at most, in bytes.
const READ_WEIGHT_MAX: usize = 4_000;

const DELIVERED: Outcome = Outcome::Delivered { status: Some(200) };

fn failed() -> Outcome {
    Outcome::Failed(Failure::new(FailureClass::Status, "500"))
}

fn conversation(number: u64) -> ConversationId {
    let source = Source::parse("chat_plugin").unwrap();
    Conversation::id_of(Channel::id_of(&source, "test"), &number.to_string())
}

fn entry(sequence: u64, lane: u64) -> LogEntry {
    let source = Source::parse("chat_plugin").unwrap();
    LogEntry {
        sequence: Sequence(sequence),
        position: 1,
        kind: EntryKind::Received,
        message: Message {
            id: MessageId::derived("test", &sequence.to_string()),
            conversation_id: conversation(lane),
            channel_id: Channel::id_of(&source, "test"),
            source,
            contact_source_id: lane.to_string(),
            position: 1,
            sender: Sender {
                id: lane.to_string(),
                kind: SenderType::SourceContact,
            },
            content: Content {
                text: "x".repeat(10),
            },
            state: DeliveryState::Delivered,
            sent_at: Timestamp::UNIX_EPOCH,
        },
    }
}

fn entries(of: &[(u64, u64)]) -> Vec<Arc<LogEntry>> {
    of.iter()
        .map(|(sequence, lane)| Arc::new(entry(*sequence, *lane)))
        .collect()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn fresh(limits: Limits) -> Lanes {
    let state = ConsumerState {
        generation: 1,
        cursor: Sequence::START,
        held: vec![],
    };
    Lanes::new(limits, state, at(0))
}

fn attempts(actions: &[Action]) -> Vec<(u64, u32)> {
    let attempt = |action: &Action| match action {
        Action::Attempt { entry, number } => Some((entry.sequence.0, *number)),
        Action::ReadLane { .. } => None,
    };
    actions.iter().filter_map(attempt).collect()
}

#[test]
fn one_lane_has_one_attempt_in_flight_and_lanes_run_side_by_side() {
    let mut lanes = fresh(Limits::default());
    lanes.extend(entries(&[(1, 1), (2, 1), (3, 2)]), Sequence(3));
    assert_eq!(attempts(&lanes.step(at(0))), [(1, 1), (3, 1)]);
    assert_eq!(lanes.step(at(1)), []);
    lanes.finished(conversation(2), &DELIVERED, at(1), 0.0);
    assert_eq!(lanes.cursor(), Sequence(0));
    lanes.finished(conversation(1), &DELIVERED, at(1), 0.0);
    assert_eq!(lanes.cursor(), Sequence(1));
    assert_eq!(attempts(&lanes.step(at(1))), [(2, 1)]);
    lanes.finished(conversation(1), &DELIVERED, at(2), 0.0);
    assert_eq!(lanes.cursor(), Sequence(3));
    assert_eq!((lanes.entry_count(), lanes.in_flight()), (0, 0));
}

#[test]
fn a_failure_costs_one_row_and_lets_the_cursor_pass() {
    let mut lanes = fresh(Limits::default());
    lanes.extend(entries(&[(1, 1), (2, 1), (3, 2)]), Sequence(3));
    lanes.step(at(0));
    lanes.finished(conversation(2), &DELIVERED, at(0), 0.0);
    lanes.finished(conversation(1), &failed(), at(0), 0.0);
    assert_eq!(lanes.entry_count(), 0);
    let row = |attempts, due: i64| HeldLane {
        conversation_id: conversation(1),
        first: Sequence(1),
        attempts,
        due_at: at(due),
        error: "status".to_owned(),
    };
    let changes = Changes {
        cursor: Sequence(3),
        held: vec![row(1, 1_000)],
        released: vec![],
    };
    assert_eq!(lanes.take_changes(), Some(changes));
    assert_eq!(lanes.take_changes(), None);

    assert_eq!(lanes.next_wake(), Some(at(1_000)));
    assert_eq!(lanes.step(at(999)), []);
    let read = Action::ReadLane {
        conversation: conversation(1),
        from: Sequence(1),
        to: Sequence(3),
    };
    assert_eq!(lanes.step(at(1_000)), [read]);
    lanes.lane_read(
        conversation(1),
        entries(&[(1, 1), (2, 1)]),
        Sequence(3),
        false,
    );
    assert_eq!(attempts(&lanes.step(at(1_000))), [(1, 2)]);
    lanes.finished(conversation(1), &failed(), at(1_000), 0.0);
    let changes = lanes.take_changes().unwrap();
    assert_eq!(changes.held, [row(2, 6_000)]);

    lanes.step(at(6_000));
    lanes.lane_read(
        conversation(1),
        entries(&[(1, 1), (2, 1)]),
        Sequence(3),
        false,
    );
    assert_eq!(attempts(&lanes.step(at(6_000))), [(1, 3)]);
    lanes.finished(conversation(1), &DELIVERED, at(6_000), 0.0);
    assert_eq!(attempts(&lanes.step(at(6_000))), [(2, 1)]);
    lanes.finished(conversation(1), &DELIVERED, at(6_000), 0.0);
    let changes = lanes.take_changes().unwrap();
    assert_eq!(
        (changes.held, changes.released),
        (vec![], vec![conversation(1)])
    );
    assert_eq!(lanes.next_wake(), None);
}

#[test]
fn a_slow_attempt_holds_its_lane_and_not_the_cursor() {
    let mut lanes = fresh(Limits::default());
    lanes.extend(entries(&[(1, 1), (2, 2), (3, 1)]), Sequence(3));
    lanes.step(at(0));
    lanes.finished(conversation(2), &DELIVERED, at(1), 0.0);
    assert_eq!(lanes.next_wake(), Some(at(1_000)));
    lanes.step(at(1_000));
    assert_eq!(lanes.cursor(), Sequence(3));
    let changes = lanes.take_changes().unwrap();
    assert_eq!(
        (changes.held[0].first, changes.held[0].attempts),
        (Sequence(1), 0)
    );
    lanes.extend(entries(&[(4, 1)]), Sequence(4));
    lanes.finished(conversation(1), &DELIVERED, at(2_000), 0.0);
    let read = Action::ReadLane {
        conversation: conversation(1),
        from: Sequence(2),
        to: Sequence(4),
    };
    assert_eq!(lanes.step(at(2_000)), [read]);
}

#[test]
fn a_full_window_stops_reading() {
    let limits = Limits {
        entries_max: 128,
        lane_entries_max: 32,
        held_max: 2,
        ..Limits::default()
    };
    let mut lanes = fresh(limits);
    assert_eq!(lanes.room(), 96);
    lanes.extend(entries(&[(1, 1), (2, 2)]), Sequence(2));
    assert_eq!(lanes.room(), 94);
    lanes.step(at(0));
    lanes.finished(conversation(1), &failed(), at(0), 0.0);
    assert_eq!(lanes.room(), 95);
    lanes.finished(conversation(2), &failed(), at(0), 0.0);
    assert_eq!(lanes.room(), 0);

    let heavy = Limits {
        weight_max: 100,
        lane_weight_max: 25,
        ..Limits::default()
    };
    let mut lanes = fresh(heavy);
    assert!(lanes.room() > 0);
    lanes.extend(entries(&[(1, 1)]), Sequence(1));
    assert_eq!(lanes.room(), 0);
}

/// A consumer with a model of its store, its log and its receiver around the core.
///
/// It fails when an entry arrives before one of the same conversation that precedes it (at its first
/// arrival), when one never arrives, when a bound is passed, or when the consumer stops making progress
/// although its receiver is well.
struct World {
    random: SeededRandom,
    limits: Limits,
    now: i64,
    log: Vec<LogEntry>,
    saved: (Sequence, BTreeMap<ConversationId, HeldLane>),
    lanes: Lanes,
    /// Attempts and reads under way.
    attempts: Vec<LogEntry>,
    lane_reads: Vec<(ConversationId, Sequence, Sequence)>,
    /// Conversations whose entries are refused, and share of random failures in percent.
    poisoned: HashSet<ConversationId>,
    failing_percent: u64,
    arrived: HashMap<ConversationId, Vec<Sequence>>,
    arrivals: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let lane_entries_max = 1 + size_below(&random, 32);
        let lane_weight_max = 500 + size_below(&random, 8_000);
        let limits = Limits {
            entries_max: 4 * lane_entries_max + size_below(&random, 64),
            weight_max: 4 * lane_weight_max + size_below(&random, 16_000),
            in_flight_max: 1 + size_below(&random, 8),
            held_max: 2 + size_below(&random, 10),
            lane_entries_max,
            lane_weight_max,
            hold_after: Duration::from_millis(1 + below(&random, 2_000)),
        };
        Self {
            random,
            limits,
            now: 0,
            log: vec![],
            saved: (Sequence::START, BTreeMap::new()),
            lanes: fresh(limits),
            attempts: vec![],
            lane_reads: vec![],
            poisoned: HashSet::new(),
            failing_percent: 0,
            arrived: HashMap::new(),
            arrivals: 0,
        }
    }

    fn step(&mut self) {
        match below(&self.random, 100) {
            0..20 => self.append(),
            20..40 => self.read_log(),
            40..65 => self.end_attempt(),
            65..75 => self.end_lane_read(),
            75..83 => self.save(),
            83..92 => self.pass(below(&self.random, 3_000).cast_signed()),
            92..95 => self.change_receiver(),
            95..97 => self.lose_attempt(),
            97 => self.stop_in_order(),
            _ => self.crash(),
        }
        self.start();
        assert!(
            self.lanes.in_flight() <= self.limits.in_flight_max,
            "{self:?}"
        );
        // One read of the log can pass its share of the weight, and one entry any bound.
        let Limits {
            entries_max,
            weight_max,
            ..
        } = self.limits;
        assert!(self.lanes.entry_count() <= entries_max, "{self:?}");
        let overrun = READ_WEIGHT_MAX + 2 * entry(1, 1).weight() * self.limits.in_flight_max;
        assert!(self.lanes.weight() <= weight_max + overrun, "{self:?}");
    }

    fn append(&mut self) {
        let sequence =
            self.log.last().map_or(0, |entry| entry.sequence.0) + 1 + below(&self.random, 2);
        self.log.push(entry(sequence, below(&self.random, 6)));
    }

    fn read_log(&mut self) {
        let room = self.lanes.room();
        if room == 0 {
            return;
        }
        let after = self.lanes.read_to();
        let limit = room.min(1 + size_below(&self.random, 40));
        let found: Vec<_> = self
            .log
            .iter()
            .filter(|entry| entry.sequence > after)
            .take(limit.min(READ_WEIGHT_MAX / entry(1, 1).weight()))
            .cloned()
            .collect();
        if let Some(last) = found.last().map(|entry| entry.sequence) {
            self.lanes
                .extend(found.into_iter().map(Arc::new).collect(), last);
        }
    }

    fn start(&mut self) {
        for action in self.lanes.step(at(self.now)) {
            match action {
                Action::Attempt { entry, .. } => {
                    let twin = self.attempts.iter().find(|other| same_lane(other, &entry));
                    assert!(twin.is_none(), "two attempts in one lane: {self:?}");
                    self.attempts.push((*entry).clone());
                }
                Action::ReadLane {
                    conversation,
                    from,
                    to,
                } => self.lane_reads.push((conversation, from, to)),
            }
        }
    }

    fn end_attempt(&mut self) {
        if let Some(entry) = self.pick_attempt() {
            let conversation = entry.message.conversation_id;
            let refused = self.poisoned.contains(&conversation)
                || below(&self.random, 100) < self.failing_percent;
            if !refused {
                self.arrive(&entry);
            }
            let outcome = if refused { failed() } else { DELIVERED };
            self.lanes
                .finished(conversation, &outcome, at(self.now), self.random.unit());
        }
    }

    /// The receiver has the entry, but its answer is lost.
    fn lose_attempt(&mut self) {
        if let Some(entry) = self.pick_attempt() {
            self.arrive(&entry);
            let conversation = entry.message.conversation_id;
            self.lanes
                .finished(conversation, &failed(), at(self.now), self.random.unit());
        }
    }

    fn pick_attempt(&mut self) -> Option<LogEntry> {
        let count = self.attempts.len();
        (count > 0).then(|| self.attempts.swap_remove(size_below(&self.random, count)))
    }

    fn arrive(&mut self, entry: &LogEntry) {
        self.arrivals += 1;
        let lane = entry.message.conversation_id;
        let arrived = self.arrived.entry(lane).or_default();
        if !arrived.contains(&entry.sequence) {
            let expected = self
                .log
                .iter()
                .filter(|other| same_lane(other, entry))
                .nth(arrived.len());
            arrived.push(entry.sequence);
            assert_eq!(
                expected.map(|expected| expected.sequence),
                Some(entry.sequence),
                "out of order: {self:?}"
            );
        }
    }

    fn end_lane_read(&mut self) {
        if self.lane_reads.is_empty() {
            return;
        }
        let (lane, from, to) = self.lane_reads.remove(0);
        if below(&self.random, 10) == 0 {
            self.lanes.lane_read_failed(lane);
            return;
        }
        let fitting = self.limits.lane_weight_max / entry(1, 1).weight();
        let limit = 1 + size_below(&self.random, fitting.clamp(1, self.limits.lane_entries_max));
        let matching = |entry: &&LogEntry| {
            entry.message.conversation_id == lane && (from..=to).contains(&entry.sequence)
        };
        let found: Vec<_> = self
            .log
            .iter()
            .filter(matching)
            .take(limit + 1)
            .cloned()
            .collect();
        let more = found.len() > limit;
        let page: Vec<_> = found.into_iter().take(limit).map(Arc::new).collect();
        let read_to = if more {
            page.last().map_or(from, |entry| entry.sequence)
        } else {
            to
        };
        self.lanes.lane_read(lane, page, read_to, more);
    }

    fn save(&mut self) {
        let Some(changes) = self.lanes.take_changes() else {
            return;
        };
        assert!(
            changes.cursor >= self.saved.0,
            "the cursor moved back: {self:?}"
        );
        self.saved.0 = changes.cursor;
        for row in changes.held {
            self.saved.1.insert(row.conversation_id, row);
        }
        for lane in changes.released {
            self.saved.1.remove(&lane);
        }
    }

    /// What was in flight may have arrived or not; what was not saved is gone.
    fn crash(&mut self) {
        for entry in std::mem::take(&mut self.attempts) {
            if below(&self.random, 2) == 0 {
                self.arrive(&entry);
            }
        }
        self.lane_reads.clear();
        let (cursor, held) = self.saved.clone();
        let state = ConsumerState {
            generation: 1,
            cursor,
            held: held.into_values().collect(),
        };
        self.lanes = Lanes::new(self.limits, state, at(self.now));
    }

    /// A stop in order: what is in flight ends, and progress is saved.
    fn stop_in_order(&mut self) {
        while !self.attempts.is_empty() {
            self.end_attempt();
        }
        self.lane_reads.clear();
        self.lanes.hold_all(at(self.now));
        self.save();
        assert_eq!(self.saved.0, self.lanes.read_to(), "{self:?}");
        self.crash();
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
    }

    fn change_receiver(&mut self) {
        self.failing_percent = [0, 0, 10, 50, 100][size_below(&self.random, 5)];
        self.poisoned = if below(&self.random, 3) == 0 {
            HashSet::from([conversation(below(&self.random, 6))])
        } else {
            HashSet::new()
        };
    }

    /// With a receiver that is well, everything must arrive and nothing remain.
    fn settle(&mut self) {
        self.failing_percent = 0;
        self.poisoned.clear();
        for _ in 0..20_000 {
            self.read_log();
            self.start();
            while !self.attempts.is_empty() {
                self.end_attempt();
                self.start();
            }
            self.end_lane_read();
            self.start();
            if self.is_done() {
                return;
            }
            if self.attempts.is_empty()
                && self.lane_reads.is_empty()
                && let Some(wake) = self.lanes.next_wake()
            {
                self.now = self.now.max(wake.as_millisecond() + 1);
            }
        }
        panic!("no progress: {self:?}");
    }

    fn is_done(&mut self) -> bool {
        let arrived: usize = self.arrived.values().map(Vec::len).sum();
        self.save();
        arrived == self.log.len()
            && self.saved.1.is_empty()
            && self
                .log
                .last()
                .is_none_or(|last| last.sequence == self.saved.0)
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field(
                "log",
                &self
                    .log
                    .iter()
                    .map(|entry| entry.sequence.0)
                    .collect::<Vec<_>>(),
            )
            .field("saved", &self.saved)
            .field("arrived", &self.arrived)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

fn same_lane(one: &LogEntry, other: &LogEntry) -> bool {
    one.message.conversation_id == other.message.conversation_id
}

fn below(random: &SeededRandom, end: u64) -> u64 {
    u64::try_from(random.bits() % u128::from(end)).unwrap()
}

fn size_below(random: &SeededRandom, end: usize) -> usize {
    usize::try_from(below(random, u64::try_from(end).unwrap())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_out_of_order_whatever_happens(seed in any::<u64>(), steps in 1..400_u32) {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
        }
        world.settle();
    }
}

#[test]
fn without_a_crash_or_a_lost_answer_everything_arrives_exactly_once() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        for _ in 0..300 {
            match below(&world.random, 5) {
                0 => world.append(),
                1 => world.read_log(),
                2 => world.end_attempt(),
                3 => world.end_lane_read(),
                _ => world.save(),
            }
            if below(&world.random, 50) == 0 {
                world.change_receiver();
            }
            if below(&world.random, 50) == 0 {
                world.stop_in_order();
            }
            world.start();
        }
        world.settle();
        assert_eq!(world.arrivals, world.log.len(), "seed {seed}");
    }
}
