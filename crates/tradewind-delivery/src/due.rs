//! Which entries of the log are this node's to deliver.

use tradewind_model::{LogEntry, Sequence};
use tradewind_store::Share;

/// Tells a driver what to pass over: lanes of other nodes' shards, and what was read before in a shard
/// that is ahead of the others, as happens when shards come from different nodes. Of that, what waits is
/// in held lanes, which are read by themselves.
#[derive(Debug)]
pub(crate) struct Due {
    share: Share,
    /// Up to where shards are ahead.
    ahead_to: Option<Sequence>,
}

impl Due {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            ahead_to: share.farthest(),
            share,
        }
    }

    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// Whether `entry`, read from the log, may have to be delivered here.
    pub(crate) fn contains(&self, entry: &LogEntry) -> bool {
        let lane = entry.lane();
        let is_ahead = self.ahead_to.is_some_and(|to| entry.sequence <= to)
            && self
                .share
                .ahead(lane)
                .is_some_and(|to| entry.sequence <= to);
        self.share.has(lane) && !is_ahead
    }

    /// The log was read up to `read_to`.
    pub(crate) fn passed(&mut self, read_to: Sequence) {
        self.ahead_to = self.ahead_to.filter(|to| *to > read_to);
    }
}
