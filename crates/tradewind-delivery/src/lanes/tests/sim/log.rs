//! The log and the saved progress of a schedule: what a crash leaves.

use std::{collections::BTreeMap, sync::Arc};

use tradewind_model::{ConversationId, LogEntry, SHARDS, Sequence, Shards, Timestamp, shard_of};
use tradewind_store::{ConsumerState, HeldLane, Holder, Share};

use super::super::super::Changes;

/// An entry of the log, and what is known of it.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) entry: Arc<LogEntry>,
    pub(super) lane: usize,
    /// The consumer wants it, and it is still there.
    pub(super) counts: bool,
    /// It has come to the endpoint.
    pub(super) arrived: bool,
    /// In which life of the core it was told so, the last time.
    pub(super) delivered_in: Option<u32>,
    /// It is saved as set aside.
    pub(super) set_aside: bool,
}

impl Fact {
    pub(super) fn is_dealt_with(&self) -> bool {
        !self.counts || self.delivered_in.is_some() || self.set_aside
    }

    pub(super) fn sequence(&self) -> Sequence {
        self.entry.sequence
    }
}

/// One page of a read.
pub(super) struct Page {
    pub(super) entries: Vec<Arc<LogEntry>>,
    pub(super) read_to: Sequence,
    pub(super) more: bool,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) facts: Vec<Fact>,
    /// Where each lane's entries are, in order, and how many of the first are dealt with.
    pub(super) lanes: Vec<(Vec<usize>, usize)>,
}

impl Log {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            facts: Vec::new(),
            lanes: vec![(Vec::new(), 0); lanes],
        }
    }

    pub(super) fn head(&self) -> Sequence {
        self.facts.last().map_or(Sequence::START, Fact::sequence)
    }

    pub(super) fn push(&mut self, entry: LogEntry, lane: usize, counts: bool) {
        self.lanes[lane].0.push(self.facts.len());
        self.facts.push(Fact {
            entry: Arc::new(entry),
            lane,
            counts,
            arrived: false,
            delivered_in: None,
            set_aside: false,
        });
    }

    pub(super) fn index_of(&self, sequence: Sequence) -> usize {
        self.facts
            .binary_search_by_key(&sequence, Fact::sequence)
            .expect("the core names entries that are in the log")
    }

    /// The first entry of a lane that is not dealt with, of those after `start`.
    pub(super) fn first_open(&mut self, lane: usize, start: Sequence) -> Option<usize> {
        let (of_lane, done) = &mut self.lanes[lane];
        while let Some(index) = of_lane.get(*done) {
            let fact = &self.facts[*index];
            if fact.sequence() > start && !fact.is_dealt_with() {
                return Some(*index);
            }
            *done += 1;
        }
        None
    }

    pub(super) fn read(&self, after: Sequence, limit: usize) -> Page {
        let from = self.facts.partition_point(|fact| fact.sequence() <= after);
        let found = &self.facts[from..];
        let more = found.len() > limit;
        let page = &found[..limit.min(found.len())];
        Page {
            entries: wanted(page.iter()),
            read_to: page.last().map_or(after, Fact::sequence),
            more,
        }
    }

    pub(super) fn read_lane(
        &self,
        lane: usize,
        from: Sequence,
        to: Sequence,
        limit: usize,
    ) -> Page {
        let of_lane = self.lanes[lane].0.iter().map(|index| &self.facts[*index]);
        let within = of_lane.filter(|fact| (from..=to).contains(&fact.sequence()));
        let mut found: Vec<_> = within.take(limit + 1).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map_or(from, |fact| fact.sequence());
        Page {
            entries: wanted(found.into_iter()),
            read_to: if more { last } else { to },
            more,
        }
    }
}

fn wanted<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<Arc<LogEntry>> {
    let counting = facts.filter(|fact| fact.counts);
    counting.map(|fact| Arc::clone(&fact.entry)).collect()
}

/// What is saved of the consumer.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) generation: u64,
    /// Of each shard.
    pub(super) cursors: [Sequence; SHARDS],
    pub(super) backed_off_since: Option<Timestamp>,
    pub(super) held: BTreeMap<ConversationId, HeldLane>,
}

impl Saved {
    /// One transaction. Done twice, it is the same.
    pub(super) fn apply(&mut self, shards: Shards, changes: &Changes) {
        for shard in shards.iter() {
            self.cursors[shard] = self.cursors[shard].max(changes.cursor);
        }
        self.backed_off_since = changes.backed_off_since;
        for row in &changes.held {
            self.held.insert(row.conversation_id, row.clone());
        }
        for conversation in &changes.released {
            self.held.remove(conversation);
        }
    }

    /// Whether progress says that the entry is dealt with.
    pub(super) fn covers(&self, fact: &Fact) -> bool {
        let sequence = fact.sequence();
        match self.held.get(&fact.entry.lane()) {
            Some(row) => sequence < row.first,
            None => sequence <= self.cursor(fact),
        }
    }

    /// Whether progress, as far as it goes, knows that the entry is dealt with.
    pub(super) fn is_up_to(&self, fact: &Fact) -> bool {
        let is_held = self.held.contains_key(&fact.entry.lane());
        self.covers(fact) || (!is_held && fact.sequence() > self.cursor(fact))
    }

    /// That of the shard that the entry is in.
    fn cursor(&self, fact: &Fact) -> Sequence {
        self.cursors[shard_of(fact.entry.lane())]
    }

    pub(super) fn state(&self, shards: Shards) -> ConsumerState {
        let holder = Holder { shards, term: 0 };
        let (share, cursor) = Share::of(holder, Box::new(self.cursors));
        let held = self
            .held
            .values()
            .filter(|row| shards.has(row.conversation_id));
        ConsumerState {
            generation: self.generation,
            cursor,
            backed_off_since: self.backed_off_since,
            held: held.cloned().collect(),
            share,
        }
    }
}
