//! Which entries of the log are this node's to deliver.

use std::collections::HashSet;

use tradewind_model::{ConversationId, LogEntry, Sequence};
use tradewind_store::{ConsumerState, Share};

/// Tells a driver what to pass over: lanes of other nodes' shards, and what was dealt with in a shard
/// that is ahead of the others, as happens when shards come from different nodes.
#[derive(Debug)]
pub(crate) struct Due {
    share: Share,
    /// Lanes that were held at the start: their entries are to be delivered although their shard is
    /// ahead. Empty once no shard is.
    held: HashSet<ConversationId>,
    /// Up to where shards are ahead.
    ahead_to: Option<Sequence>,
}

impl Due {
    pub(crate) fn new(state: &ConsumerState) -> Self {
        let ahead_to = state.share.farthest();
        let held = ahead_to.map(|_| state.held.iter().map(|lane| lane.conversation_id));
        Self {
            share: state.share.clone(),
            held: held.into_iter().flatten().collect(),
            ahead_to,
        }
    }

    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// Whether `entry`, read from the log, may have to be delivered here.
    pub(crate) fn contains(&self, entry: &LogEntry) -> bool {
        let lane = entry.lane();
        if !self.share.has(lane) {
            return false;
        }
        let Some(ahead_to) = self.ahead_to.filter(|to| entry.sequence <= *to) else {
            return true;
        };
        let done_to = self.share.ahead(lane).unwrap_or(ahead_to);
        entry.sequence > done_to || self.held.contains(&lane)
    }

    /// The log was read up to `read_to`.
    pub(crate) fn passed(&mut self, read_to: Sequence) {
        if self.ahead_to.is_some_and(|to| to <= read_to) {
            self.ahead_to = None;
            self.held = HashSet::new();
        }
    }
}
