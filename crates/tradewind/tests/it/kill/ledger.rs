//! What the server acknowledged and what arrived, and whether the two agree.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::body::Bytes;

use crate::support::receiver::{Delivery, Receiver};

/// What was delivered longer than this before a death is not delivered again: progress is saved every
/// 200 ms or so, but a machine with much else to do was seen to be 1.7 s late with that.
const UNSAVED: Duration = Duration::from_secs(3);

/// A message that the server acknowledged.
#[derive(Debug)]
pub(super) struct Acknowledged {
    pub(super) id: String,
    pub(super) text: String,
}

/// A death of the server.
pub(super) struct Kill {
    pub(super) at: Instant,
    /// When the receiver had looked at all that it had sent.
    pub(super) heard_at: Instant,
    pub(super) name: &'static str,
}

/// An event that arrived.
struct Arrival {
    /// How many others had arrived before.
    place: usize,
    body: Bytes,
    text: String,
    /// Its last delivery.
    at: Instant,
    /// When that was answered, if it was taken.
    taken_at: Option<Instant>,
}

pub(super) struct Ledger {
    seed: u64,
    /// For each visitor, in order.
    acknowledged: Vec<Vec<Acknowledged>>,
    /// Deliveries that were looked at.
    taken: usize,
    arrivals: HashMap<String, Arrival>,
    kills: Vec<Kill>,
    /// For each kill, what came again because of it.
    repeats: Vec<usize>,
    /// The longest time before a kill at which something was delivered that came again.
    unsaved_most: Duration,
}

impl Ledger {
    pub(super) fn new(seed: u64, visitors: usize) -> Self {
        Self {
            seed,
            acknowledged: (0..visitors).map(|_| Vec::new()).collect(),
            taken: 0,
            arrivals: HashMap::new(),
            kills: Vec::new(),
            repeats: Vec::new(),
            unsaved_most: Duration::ZERO,
        }
    }

    /// Where to write down what each visitor was told.
    pub(super) fn acknowledged(&mut self) -> impl Iterator<Item = &mut Vec<Acknowledged>> {
        self.acknowledged.iter_mut()
    }

    pub(super) fn died(&mut self, kill: Kill) {
        self.kills.push(kill);
        self.repeats.push(0);
    }

    /// Looks at what came since the last time.
    pub(super) fn take(&mut self, receiver: &Receiver) {
        let news = receiver.deliveries_after(self.taken);
        self.taken += news.len();
        for delivery in news {
            self.take_one(&delivery);
        }
    }

    fn take_one(&mut self, delivery: &Delivery) {
        let seed = self.seed;
        let id = delivery.field("id");
        assert_eq!(delivery.header("webhook-id"), id, "seed {seed}");
        let taken_at = (delivery.reply.status == 200).then(|| delivery.at + delivery.reply.after);
        let place = self.arrivals.len();
        if let Some(arrival) = self.arrivals.get_mut(&id) {
            assert_eq!(arrival.body, delivery.body, "seed {seed}: a repeat differs");
            let before = std::mem::replace(&mut arrival.at, delivery.at);
            if let Some(taken_before) = std::mem::replace(&mut arrival.taken_at, taken_at) {
                self.came_again(before, taken_before, delivery);
            }
            return;
        }
        let arrival = Arrival {
            place,
            body: delivery.body.clone(),
            text: delivery.text(),
            at: delivery.at,
            taken_at,
        };
        self.arrivals.insert(id, arrival);
    }

    /// What was taken comes again for one reason only: the process that delivered it died before it
    /// had saved that.
    fn came_again(&mut self, before: Instant, taken_before: Instant, again: &Delivery) {
        let seed = self.seed;
        let kill = self.kills.iter().position(|kill| kill.heard_at >= before);
        let kill = kill.filter(|kill| self.kills[*kill].heard_at <= again.at);
        let kill = kill.unwrap_or_else(|| {
            let after = again.at - before;
            panic!("seed {seed}: no death in {after:?}, and yet again: {again:?}")
        });
        let unsaved = self.kills[kill].at.saturating_duration_since(taken_before);
        assert!(
            unsaved < UNSAVED,
            "seed {seed}: taken {unsaved:?} before the death at {}, and yet again: {again:?}",
            self.kills[kill].name
        );
        self.unsaved_most = self.unsaved_most.max(unsaved);
        self.repeats[kill] += 1;
    }

    /// How much of what was acknowledged, to visitors or as one of these `answers`, has not arrived.
    pub(super) fn missing<'a>(&'a self, answers: impl Iterator<Item = &'a String>) -> usize {
        let ids = self
            .acknowledged
            .iter()
            .flatten()
            .map(|message| &message.id);
        ids.chain(answers)
            .filter(|id| !self.arrivals.contains_key(*id))
            .count()
    }

    /// First arrivals are in the order in which their visitor was told that each is stored.
    pub(super) fn check_order(&self) {
        let seed = self.seed;
        for conversation in &self.acknowledged {
            let arrivals = conversation.iter().map(|message| {
                let arrival = &self.arrivals[&message.id];
                assert_eq!(arrival.text, message.text, "seed {seed}");
                arrival.place
            });
            assert!(arrivals.is_sorted(), "seed {seed}: out of order");
        }
    }

    pub(super) fn summary(&self) -> String {
        let messages: usize = self.acknowledged.iter().map(Vec::len).sum();
        let repeats: usize = self.repeats.iter().sum();
        let most = self.repeats.iter().max().unwrap_or(&0);
        format!(
            "{} deaths, {messages} messages acknowledged, {repeats} deliveries repeated, at most {most} for one death, \
             delivered at most {:?} before it",
            self.kills.len(),
            self.unsaved_most
        )
    }
}
