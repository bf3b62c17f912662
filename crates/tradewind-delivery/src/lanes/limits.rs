//! The bounds of a consumer.

use std::time::Duration;

/// Bounds of one consumer's state in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries in memory that are not dealt with. A quarter of them is left to held lanes, so that new
    /// entries cannot starve them; that is at least one [`Self::lane_entries_max`].
    pub entries_max: usize,
    /// Their weight in bytes, divided likewise.
    pub weight_max: usize,
    /// Attempts and lane reads under way at once.
    pub in_flight_max: usize,
    /// Held lanes beyond which nothing new is read.
    pub held_max: usize,
    /// Entries of a held lane that are read at once, and their weight; one is always read.
    pub lane_entries_max: usize,
    pub lane_weight_max: usize,
    /// An attempt that takes longer holds its lane, so that the cursor can pass it.
    pub hold_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries_max: 4_096,
            weight_max: 32 << 20,
            in_flight_max: 64,
            held_max: 100_000,
            lane_entries_max: 32,
            lane_weight_max: 256 << 10,
            hold_after: Duration::from_secs(1),
        }
    }
}
