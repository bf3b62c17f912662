//! What sources brought since the server started: counts, for whoever wonders where a message is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tradewind_model::{Source, Timestamp};

/// Channels that are not connected of which it is told.
const UNKNOWN_CHANNELS_MAX: usize = 1_000;
/// What is told of such a channel's id, in bytes.
const SHOWN_BYTES_MAX: usize = 255;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Counts>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sources: BTreeMap<Source, OfSource>,
    /// What was of no interest or not understood, by what it was.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
    /// Posts that were refused, by their path.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Messages for channels that are not connected.
    pub(crate) unknown: BTreeMap<(Source, String), Unknown>,
    /// Those for which there was no room above.
    pub(crate) unknown_more: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OfSource {
    pub(crate) received: u64,
    pub(crate) repeated: u64,
    pub(crate) receipts: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown {
    pub(crate) count: u64,
    pub(crate) last_at: Timestamp,
}

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    pub(super) fn received(&self, source: &Source) {
        self.of(source, |counts| counts.received += 1);
    }

    pub(super) fn repeated(&self, source: &Source) {
        self.of(source, |counts| counts.repeated += 1);
    }

    pub(super) fn receipt(&self, source: &Source) {
        self.of(source, |counts| counts.receipts += 1);
    }

    pub(super) fn skipped(&self, counts: &HashMap<&'static str, u64>) {
        let mut all = self.lock();
        for (name, count) in counts {
            *all.skipped.entry(name).or_default() += count;
        }
    }

    pub(super) fn skip(&self, name: &'static str) {
        *self.lock().skipped.entry(name).or_default() += 1;
    }

    pub(super) fn refused(&self, path: &'static str, reason: &dyn std::error::Error) {
        let mut counts = self.lock();
        let count = counts.refused.entry(path).or_default();
        *count += 1;
        if *count == 1 {
            tracing::warn!(
                path,
                %reason,
                "a post of a provider is refused; further ones are only counted (sources.stats)"
            );
        }
    }

    /// A message came for a channel that is not connected.
    pub(super) fn unknown(&self, source: &Source, source_channel_id: &str, now: Timestamp) {
        let mut counts = self.lock();
        let end = source_channel_id.floor_char_boundary(SHOWN_BYTES_MAX);
        let source_channel_id = &source_channel_id[..end];
        let key = (source.clone(), source_channel_id.to_owned());
        if let Some(known) = counts.unknown.get_mut(&key) {
            known.count += 1;
            known.last_at = now;
        } else if counts.unknown.len() < UNKNOWN_CHANNELS_MAX {
            let first = Unknown {
                count: 1,
                last_at: now,
            };
            counts.unknown.insert(key, first);
            drop(counts);
            tracing::warn!(
                %source,
                source_channel_id = %source_channel_id.escape_debug(),
                "messages come for a channel that is not connected; they are counted (sources.stats) and not kept"
            );
        } else {
            counts.unknown_more += 1;
        }
    }

    fn of(&self, source: &Source, count: impl FnOnce(&mut OfSource)) {
        let mut counts = self.lock();
        if let Some(known) = counts.sources.get_mut(source) {
            count(known);
        } else {
            let mut first = OfSource::default();
            count(&mut first);
            counts.sources.insert(source.clone(), first);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
