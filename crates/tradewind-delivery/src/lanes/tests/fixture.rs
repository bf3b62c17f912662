//! Entries, times and outcomes as the tests of the core need them.

use std::{sync::Arc, time::Duration};

use tradewind_model::{
    Channel, Content, Conversation, ConversationId, DeliveryState, EntryKind, LogEntry, Message,
    MessageId, Sender, SenderType, Sequence, Source, Subject, Timestamp,
};
use tradewind_store::{ConsumerState, Share};

use super::super::{Action, Changes, Lanes, Limits};
use crate::{
    attempt::{Failure, FailureClass, Outcome},
    health::Turn,
};

pub(super) const DELIVERED: Outcome = Outcome::Delivered { status: Some(200) };

pub(super) fn failed() -> Outcome {
    Outcome::Failed(Failure::new(FailureClass::Connect, "refused"))
}

pub(super) fn failed_with(status: u16) -> Outcome {
    Outcome::Failed(Failure {
        status: Some(status),
        ..Failure::new(FailureClass::Status, "status")
    })
}

/// The account of the lane is asked to wait, and no other.
pub(super) fn limited(wait: Duration) -> Outcome {
    Outcome::Failed(Failure {
        status: Some(429),
        retry_after: Some(wait),
        lane_only: true,
        ..Failure::new(FailureClass::Status, "limited")
    })
}

pub(super) fn conversation(number: u64) -> ConversationId {
    let source = Source::parse("chat_plugin").unwrap();
    Conversation::id_of(Channel::id_of(&source, "test"), &number.to_string())
}

/// What the contact of a conversation says.
pub(super) fn entry(sequence: u64, lane: u64) -> LogEntry {
    message(sequence, lane, SenderType::SourceContact, at(0))
}

/// What our own side says in it.
pub(super) fn own(sequence: u64, lane: u64, sent_at: Timestamp) -> LogEntry {
    message(sequence, lane, SenderType::AppUser, sent_at)
}

fn message(sequence: u64, lane: u64, kind: SenderType, sent_at: Timestamp) -> LogEntry {
    let source = Source::parse("chat_plugin").unwrap();
    let message = Message {
        id: MessageId::derived("test", &sequence.to_string()),
        conversation_id: conversation(lane),
        channel_id: Channel::id_of(&source, "test"),
        source,
        contact_source_id: lane.to_string(),
        position: 1,
        sender: Sender {
            id: lane.to_string(),
            kind,
        },
        content: Content::text("x".repeat(10)),
        state: DeliveryState::Delivered,
        receipt: None,
        failure_reason: None,
        sent_at,
    };
    LogEntry {
        sequence: Sequence(sequence),
        position: 1,
        kind: EntryKind::Received,
        at: sent_at,
        subject: Subject::Message {
            message,
            conversation_created_at: Timestamp::UNIX_EPOCH,
        },
    }
}

pub(super) fn entries(of: &[(u64, u64)]) -> Vec<Arc<LogEntry>> {
    of.iter()
        .map(|(sequence, lane)| Arc::new(entry(*sequence, *lane)))
        .collect()
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

pub(super) fn empty_state() -> ConsumerState {
    ConsumerState {
        generation: 1,
        cursor: Sequence::START,
        backed_off_since: None,
        held: vec![],
        share: Share::whole(),
    }
}

pub(super) fn fresh(limits: Limits) -> Lanes {
    Lanes::new(limits, empty_state(), at(0))
}

/// Sequences and numbers of the attempts among `actions`.
pub(super) fn attempts(actions: &[Action]) -> Vec<(u64, u32)> {
    let attempt = |action: &Action| match action {
        Action::Attempt { entry, number } => Some((entry.sequence.0, *number)),
        Action::ReadLane { .. } | Action::TellLoop { .. } => None,
    };
    actions.iter().filter_map(attempt).collect()
}

/// A core with its log and its clock, to be driven by hand. Lane reads are answered at once.
pub(super) struct Hand {
    pub(super) lanes: Lanes,
    pub(super) now: i64,
    log: Vec<Arc<LogEntry>>,
    /// Attempts in flight: sequence, lane, number.
    pub(super) in_flight: Vec<(u64, u64, u32)>,
    /// All that went out, in order.
    pub(super) sent: Vec<(u64, u32)>,
    /// Lanes that were left alone.
    pub(super) loops: usize,
}

impl Hand {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            lanes: fresh(limits),
            now: 0,
            log: vec![],
            in_flight: vec![],
            sent: vec![],
            loops: 0,
        }
    }

    /// Appends entries and lets the core read them.
    pub(super) fn append(&mut self, of: &[(u64, u64)]) {
        for entry in entries(of) {
            self.append_one(entry);
        }
        self.step();
    }

    pub(super) fn append_one(&mut self, entry: Arc<LogEntry>) {
        self.log.push(Arc::clone(&entry));
        let sequence = entry.sequence;
        self.lanes.extend(vec![entry], sequence, at(self.now));
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        self.log.retain(|entry| entry.sequence.0 != sequence);
    }

    pub(super) fn restart(&mut self, limits: Limits, state: ConsumerState) {
        self.lanes = Lanes::new(limits, state, at(self.now));
        self.in_flight.clear();
    }

    pub(super) fn go_to(&mut self, now: i64) {
        self.now = now;
        self.step();
    }

    /// Lets the time pass as the core asks to be woken, until `end` at most, and has all attempts fail
    /// but those of lanes that `passes`.
    pub(super) fn run_until(&mut self, end: i64, passes: impl Fn(u64) -> bool) {
        self.step();
        loop {
            while let Some((_, lane, _)) = self.in_flight.first().copied() {
                let outcome = if passes(lane) { DELIVERED } else { failed() };
                self.finish(lane, &outcome);
            }
            let wake = self.lanes.next_wake(at(self.now));
            let Some(wake) = wake.filter(|wake| *wake <= at(end)) else {
                self.now = end;
                return;
            };
            self.go_to(wake.as_millisecond() + 1);
        }
    }

    pub(super) fn finish(&mut self, lane: u64, outcome: &Outcome) -> Option<Turn> {
        let index = self
            .in_flight
            .iter()
            .position(|(_, other, _)| *other == lane);
        self.in_flight.remove(index.unwrap());
        let turn = self
            .lanes
            .finished(conversation(lane), outcome, at(self.now), 0.0);
        self.step();
        turn
    }

    /// Saves what there is to save.
    pub(super) fn save(&mut self) -> Option<Changes> {
        let changes = self.lanes.take_changes()?;
        self.lanes.saved(&changes.set_aside);
        self.step();
        Some(changes)
    }

    pub(super) fn step(&mut self) {
        loop {
            let actions = self.lanes.step(at(self.now));
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Attempt { entry, number } => {
                let lane = entry.message().unwrap().contact_source_id.parse().unwrap();
                self.in_flight.push((entry.sequence.0, lane, number));
                self.sent.push((entry.sequence.0, number));
            }
            Action::ReadLane {
                conversation,
                from,
                to,
            } => {
                let within = |entry: &&Arc<LogEntry>| {
                    entry.lane() == conversation && (from..=to).contains(&entry.sequence)
                };
                let found = self.log.iter().filter(within).take(2).cloned();
                let mut found: Vec<_> = found.collect();
                let more = found.len() > 1;
                found.truncate(1);
                let read_to = if more { found[0].sequence } else { to };
                self.lanes
                    .lane_read(conversation, found, read_to, more, at(self.now));
            }
            Action::TellLoop { .. } => self.loops += 1,
        }
    }
}
