//! How work is divided over the nodes of a cluster: by shards of lanes.

use std::fmt;

use crate::ConversationId;

/// Shards there are. A lane is in the same one for ever, so this is part of the format of what is stored.
pub const SHARDS: usize = 64;

/// The shard of a lane, 0 to 63: the last bits of its id, which are random or of a hash.
pub fn shard_of(lane: ConversationId) -> usize {
    let [.., last] = lane.uuid().into_bytes();
    usize::from(last) % SHARDS
}

/// A set of shards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shards(u64);

impl Shards {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    /// Those whose bit is set.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    pub fn contains(self, shard: usize) -> bool {
        shard < SHARDS && self.0 >> shard & 1 == 1
    }

    /// Whether the shard of `lane` is among them.
    pub fn has(self, lane: ConversationId) -> bool {
        self.contains(shard_of(lane))
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Those that are in either.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub fn iter(self) -> impl Iterator<Item = usize> + Clone {
        (0..SHARDS).filter(move |shard| self.contains(*shard))
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{SHARDS, Shards, shard_of};
    use crate::{ConversationId, SeededRandom, SystemClock};

    #[test]
    fn lanes_are_spread_over_all_shards() {
        let random = SeededRandom::new(7);
        let mut counts = [0_u32; SHARDS];
        for _ in 0..6_400 {
            let fresh = ConversationId::fresh(&SystemClock, &random);
            counts[shard_of(fresh)] += 1;
            let derived = ConversationId::derived("shop", &fresh.to_string());
            counts[shard_of(derived)] += 1;
        }
        assert!(
            counts.iter().all(|count| (100..300).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_set_has_what_its_bits_say() {
        let set = Shards::from_bits(1 | 1 << 63);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63]);
        assert_eq!(set.count(), 2);
        assert_eq!(set.or(Shards::ALL), Shards::ALL);
        assert_eq!(set.or(Shards::NONE), set);
        assert!(Shards::NONE.is_empty());
    }
}
