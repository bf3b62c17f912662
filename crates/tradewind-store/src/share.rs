//! Which part of the deliveries is this node's, and for how long.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;
use tradewind_model::{ConversationId, SHARDS, Sequence, Shards, shard_of};

/// Who delivers what is in some shards: a node, since it took one of them last. Of two that believe to
/// hold the same shard, the one with the lower term does so no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub shards: Shards,
    pub term: u64,
}

impl Holder {
    /// Who holds all while nobody else does.
    pub const ALONE: Self = Self {
        shards: Shards::ALL,
        term: 0,
    };
    pub const NOBODY: Self = Self {
        shards: Shards::NONE,
        term: 0,
    };
}

/// What a node holds, and how long it may believe so.
#[derive(Clone, Debug)]
pub struct Holding {
    pub holder: Holder,
    pub lease: Lease,
}

impl Holding {
    /// That of a node which has not joined.
    pub fn nothing() -> Self {
        Self {
            holder: Holder::NOBODY,
            lease: Lease::until(Instant::now()),
        }
    }

    /// That of the only node there is, which never changes.
    pub(crate) fn alone() -> watch::Receiver<Self> {
        watch::Sender::new(Self::unclaimed()).subscribe()
    }

    /// That of whoever asks, as long as no node has joined.
    pub(crate) fn unclaimed() -> Self {
        Self {
            holder: Holder::ALONE,
            lease: Lease::endless(),
        }
    }
}

/// Until when a node may deliver. It is renewed while its clones are looked at.
#[derive(Clone, Debug)]
pub struct Lease(Option<Arc<Mutex<Instant>>>);

impl Lease {
    pub(crate) fn endless() -> Self {
        Self(None)
    }

    pub(crate) fn until(at: Instant) -> Self {
        Self(Some(Arc::new(Mutex::new(at))))
    }

    pub(crate) fn renew(&self, until: Instant) {
        if let Some(end) = &self.0 {
            *end.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }

    /// Whether there may be others who take over.
    pub fn is_endless(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it lasts: asked before whatever only the holder may do.
    pub fn is_valid(&self) -> bool {
        let end = self.0.as_ref();
        end.is_none_or(|end| Instant::now() < *end.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The part of a consumer that a node serves: the lanes in its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub holder: Holder,
    /// Where each shard stands, if not all of them stand at the consumer's cursor.
    pub(crate) cursors: Option<Box<[Sequence; SHARDS]>>,
}

impl Share {
    /// That of who holds all, each at the consumer's cursor.
    pub fn whole() -> Self {
        Self {
            holder: Holder::ALONE,
            cursors: None,
        }
    }

    /// That of `holder`, whose shards stand at these of all `cursors`; and the cursor of the consumer,
    /// where the one of them stands that is farthest behind.
    pub fn of(holder: Holder, cursors: Box<[Sequence; SHARDS]>) -> (Self, Sequence) {
        let held = holder.shards.iter();
        let held = held.filter_map(|shard| cursors.get(shard).copied());
        let cursor = held.clone().min().unwrap_or(Sequence::START);
        let are_equal = held.max() == Some(cursor);
        let share = Self {
            holder,
            cursors: (!are_equal).then_some(cursors),
        };
        (share, cursor)
    }

    pub fn has(&self, lane: ConversationId) -> bool {
        self.holder.shards.has(lane)
    }

    /// Up to where the lane's shard was read, if that is beyond the consumer's cursor: nothing up to there
    /// is to be delivered, but what waits in held lanes.
    pub fn ahead(&self, lane: ConversationId) -> Option<Sequence> {
        let cursors = self.cursors.as_ref()?;
        cursors.get(shard_of(lane)).copied()
    }

    /// The farthest that a shard is ahead.
    pub fn farthest(&self) -> Option<Sequence> {
        let cursors = self.cursors.as_ref()?;
        let held = self.holder.shards.iter();
        held.filter_map(|shard| cursors.get(shard).copied()).max()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Lease;

    #[test]
    fn a_lease_is_valid_until_it_ends_and_again_once_renewed() {
        let lease = Lease::until(Instant::now());
        let seen = lease.clone();
        assert!(!seen.is_valid());
        lease.renew(Instant::now() + Duration::from_mins(1));
        assert!(seen.is_valid());
        assert!(Lease::endless().is_valid());
    }
}
