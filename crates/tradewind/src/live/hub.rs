//! Who listens to what.
//!
//! A visitor listens to one conversation, an agent to topics. The hub tells the tail what all of them
//! together want, under the lock that guards who listens: so whoever has begun to listen hears all that
//! is read from then on, and while nobody listens nothing is read.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;
use tradewind_delivery::tail::{Interest, Stand};
use tradewind_model::{ConversationId, EntryKind, LogEntry, SenderType};
use tradewind_store::Wanted;

use super::update::{Topic, Topics, Update};

/// Updates that may wait for one socket of a visitor. One that is further behind is closed.
const WAITING_MAX: usize = 64;
/// The same for an agent, who hears everything.
const AGENT_WAITING_MAX: usize = 1_024;
/// What may wait for one socket, in bytes; one update always may.
const WAITING_WEIGHT_MAX: usize = 16 << 20;

/// Who listens to what. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    listeners: Mutex<Listeners>,
    /// Where the followers stand that bring entries, and those that change what is unread.
    entries: Stand,
    unread: Stand,
}

/// Where a listener's updates go in.
#[derive(Debug)]
struct Inlet {
    updates: mpsc::Sender<Arc<Update>>,
    /// What waits, in bytes.
    weight: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Listeners {
    next: u64,
    visitors: HashMap<ConversationId, HashMap<u64, Inlet>>,
    agents: HashMap<u64, Agent>,
    /// How many agents listen to each topic.
    counts: [usize; Topic::ALL.len()],
    /// What the tail was told.
    entries: Interest,
    unread: Interest,
}

#[derive(Debug)]
struct Agent {
    topics: Topics,
    inlet: Inlet,
}

/// What a listener hears. Dropping it stops listening.
#[derive(Debug)]
pub(crate) struct Listening {
    hub: Hub,
    /// `None`: an agent's.
    conversation: Option<ConversationId>,
    number: u64,
    updates: mpsc::Receiver<Arc<Update>>,
    weight: Arc<AtomicUsize>,
}

impl Listening {
    /// The next update; `None` when this listener fell behind. Cancel safety: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Arc<Update>> {
        let update = self.updates.recv().await?;
        self.weight.fetch_sub(update.weight(), Ordering::Relaxed);
        Some(update)
    }

    /// An agent wants other topics from now on. What waits already is still heard.
    pub(crate) fn choose(&self, topics: Topics) {
        let mut listeners = self.hub.lock();
        if let Some(agent) = listeners.agents.get_mut(&self.number) {
            let before = std::mem::replace(&mut agent.topics, topics);
            listeners.recount(before, topics);
            self.hub.tell(&mut listeners);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.hub.lock();
        match self.conversation {
            Some(conversation) => listeners.remove_visitor(conversation, self.number),
            None => listeners.remove_agent(self.number),
        }
        self.hub.tell(&mut listeners);
    }
}

impl Hub {
    pub(super) fn new(entries: Stand, unread: Stand) -> Self {
        Self(Arc::new(Shared {
            listeners: Mutex::new(Listeners {
                next: 0,
                visitors: HashMap::new(),
                agents: HashMap::new(),
                counts: [0; Topic::ALL.len()],
                entries: Interest::NOTHING,
                unread: Interest::NOTHING,
            }),
            entries,
            unread,
        }))
    }

    /// Hears every message of `conversation` that is delivered from now on, in either direction.
    pub(crate) fn listen_to(&self, conversation: ConversationId) -> Listening {
        let (inlet, updates) = Inlet::new(WAITING_MAX);
        let weight = Arc::clone(&inlet.weight);
        let mut listeners = self.lock();
        let number = listeners.take_number();
        let of = listeners.visitors.entry(conversation).or_default();
        of.insert(number, inlet);
        self.tell(&mut listeners);
        drop(listeners);
        Listening {
            hub: self.clone(),
            conversation: Some(conversation),
            number,
            updates,
            weight,
        }
    }

    /// Hears everything of these topics from now on.
    pub(crate) fn listen(&self, topics: Topics) -> Listening {
        let (inlet, updates) = Inlet::new(AGENT_WAITING_MAX);
        let weight = Arc::clone(&inlet.weight);
        let mut listeners = self.lock();
        let number = listeners.take_number();
        listeners.agents.insert(number, Agent { topics, inlet });
        listeners.recount(Topics::default(), topics);
        self.tell(&mut listeners);
        drop(listeners);
        Listening {
            hub: self.clone(),
            conversation: None,
            number,
            updates,
            weight,
        }
    }

    /// Whether an agent listens to this topic.
    pub(super) fn is_heard(&self, topic: Topic) -> bool {
        self.lock().is_heard(topic)
    }

    /// Hands entries out in their order. Whoever has no room for one is not listened for any more.
    pub(super) fn publish(&self, entries: &[Arc<LogEntry>]) {
        let mut listeners = self.lock();
        for entry in entries {
            for topic in Topic::of(entry.kind) {
                listeners.hand_out(entry, *topic);
            }
        }
        self.tell(&mut listeners);
    }

    pub(super) fn publish_unread(&self, update: Update) {
        let mut listeners = self.lock();
        listeners.tell_agents(&Arc::new(update));
        self.tell(&mut listeners);
    }

    /// Tells the tail what is wanted now, if that has changed.
    fn tell(&self, listeners: &mut Listeners) {
        let (entries, unread) = (listeners.wants_entries(), listeners.wants_unread());
        if std::mem::replace(&mut listeners.entries, entries) != entries {
            self.0.entries.change(entries);
        }
        if std::mem::replace(&mut listeners.unread, unread) != unread {
            self.0.unread.change(unread);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        let listeners = self.0.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inlet {
    fn new(count_max: usize) -> (Self, mpsc::Receiver<Arc<Update>>) {
        let (sender, updates) = mpsc::channel(count_max);
        let inlet = Self {
            updates: sender,
            weight: Arc::default(),
        };
        (inlet, updates)
    }

    /// `false`: the listener has no room, and what it hears would have a gap.
    fn put(&self, update: &Arc<Update>) -> bool {
        let weight = update.weight();
        let before = self.weight.fetch_add(weight, Ordering::Relaxed);
        let has_room = before == 0 || before + weight <= WAITING_WEIGHT_MAX;
        has_room && self.updates.try_send(Arc::clone(update)).is_ok()
    }
}

impl Listeners {
    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn is_heard(&self, topic: Topic) -> bool {
        let mut counted = Topic::ALL.into_iter().zip(self.counts);
        counted.any(|(other, count)| other == topic && count > 0)
    }

    fn recount(&mut self, before: Topics, now: Topics) {
        for (topic, count) in Topic::ALL.into_iter().zip(&mut self.counts) {
            *count += usize::from(now.contains(topic));
            *count -= usize::from(before.contains(topic));
        }
    }

    fn remove_visitor(&mut self, conversation: ConversationId, number: u64) {
        if let Some(of) = self.visitors.get_mut(&conversation) {
            of.remove(&number);
            if of.is_empty() {
                self.visitors.remove(&conversation);
            }
        }
    }

    fn remove_agent(&mut self, number: u64) {
        if let Some(agent) = self.agents.remove(&number) {
            self.recount(agent.topics, Topics::default());
        }
    }

    fn wants_entries(&self) -> Interest {
        let is_wanted = |kind: &EntryKind| {
            // Visitors see messages once these are delivered.
            let by_visitors = kind.is_delivery() && !self.visitors.is_empty();
            by_visitors || Topic::of(*kind).iter().any(|topic| self.is_heard(*topic))
        };
        Interest::of(&Wanted {
            kinds: EntryKind::ALL.into_iter().filter(is_wanted).collect(),
            senders: Vec::new(),
        })
    }

    fn wants_unread(&self) -> Interest {
        if !self.is_heard(Topic::UnreadCount) {
            return Interest::NOTHING;
        }
        let wants = |kind, senders| {
            Interest::of(&Wanted {
                kinds: vec![kind],
                senders,
            })
        };
        let arrived = wants(EntryKind::Received, vec![SenderType::SourceContact]);
        arrived.and(wants(EntryKind::ConversationChanged, Vec::new()))
    }

    fn hand_out(&mut self, entry: &Arc<LogEntry>, topic: Topic) {
        let is_heard = self.is_heard(topic);
        let visitors = if topic == Topic::Message && entry.kind.is_delivery() {
            self.visitors.get_mut(&entry.lane())
        } else {
            None
        };
        if visitors.is_none() && !is_heard {
            return;
        }
        let update = Arc::new(Update::of_entry(entry, topic));
        if let Some(of) = visitors {
            of.retain(|_, inlet| inlet.put(&update));
        }
        if is_heard {
            self.tell_agents(&update);
        }
    }

    fn tell_agents(&mut self, update: &Arc<Update>) {
        let mut behind = Vec::new();
        for (number, agent) in &self.agents {
            if agent.topics.contains(update.topic) && !agent.inlet.put(update) {
                behind.push(*number);
            }
        }
        for number in behind {
            self.remove_agent(number);
        }
    }
}
