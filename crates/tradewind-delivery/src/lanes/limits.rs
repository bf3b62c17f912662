//! The bounds of a consumer.

use std::time::Duration;

/// Bounds of one consumer's state in memory, and of what it asks of its endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries in memory that are not dealt with. A quarter of them is left to held lanes, so that new
    /// entries cannot starve them; that is at least one [`Self::lane_entries_max`].
    pub entries_max: usize,
    /// Their weight in bytes, divided likewise.
    pub weight_max: usize,
    /// Attempts at once, when the endpoint does well.
    pub in_flight_max: usize,
    /// Held lanes beyond which nothing new is read.
    pub held_max: usize,
    /// Lane reads at once.
    pub lane_reads_max: usize,
    /// Entries of a held lane that are read at once, and their weight; one is always read.
    pub lane_entries_max: usize,
    pub lane_weight_max: usize,
    /// An attempt that takes longer holds its lane, so that the cursor can pass it.
    pub hold_after: Duration,
    /// How long an event may fail while its endpoint is otherwise well, before it is set aside.
    /// `None`: for ever.
    pub set_aside_after: Option<Duration>,
    /// Retries a second that may fail.
    pub retries_per_second: u32,
    /// Messages of our own side in one conversation, each written after the event of the one before
    /// went out, before a loop is taken for one. 0: never.
    pub loop_max: u32,
    /// How long a conversation in a loop is left alone.
    pub loop_pause: Duration,
    /// Whether [`super::Changes::delivered`] says which entries were delivered.
    pub tells_delivered: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries_max: 4_096,
            weight_max: 32 << 20,
            in_flight_max: 64,
            held_max: 100_000,
            lane_reads_max: 16,
            lane_entries_max: 32,
            lane_weight_max: 256 << 10,
            hold_after: Duration::from_secs(1),
            set_aside_after: Some(Duration::from_mins(10)),
            retries_per_second: 100,
            loop_max: 100,
            loop_pause: Duration::from_mins(10),
            tells_delivered: false,
        }
    }
}
