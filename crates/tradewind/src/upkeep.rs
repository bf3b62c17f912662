//! Removes what is older than the settings keep, and prepares messages for searches.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tradewind_model::Sequence;
use tradewind_store::{Retention, Store};

/// How often to look.
const EVERY: Duration = Duration::from_hours(1);
/// When it failed, as it does while the database is away.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// Pause between two bounded removals, so that writers are not kept waiting.
const PAUSE: Duration = Duration::from_millis(50);

/// How long nothing happens before messages are prepared for searches, and how many may come meanwhile.
const QUIET: Duration = Duration::from_secs(2);
const BEHIND_MAX: u64 = 500_000;
/// Pause between two bounded steps of that: it takes a small part of a processor.
const BETWEEN: Duration = Duration::from_millis(100);

/// Prepares messages for searches until `stop`, while there is little else to do. Woken by what is stored,
/// and by nothing else.
pub(crate) async fn index(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut head = store.head();
    let mut indexed = 0;
    let mut is_quiet = false;
    let work = async {
        loop {
            if !is_quiet || head.has_changed().unwrap_or(true) {
                quiet(&mut head, indexed).await;
            }
            let newest = head.borrow_and_update().0;
            let pause = match store.index_messages().await {
                Ok(true) => {
                    // It goes on at once, unless something is stored meanwhile.
                    is_quiet = true;
                    BETWEEN
                }
                Ok(false) => {
                    indexed = newest;
                    is_quiet = false;
                    if head.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "messages could not be prepared for searches; tried again later");
                    AFTER_FAILURE
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    let _ = stop.run_until_cancelled(work).await;
}

/// Waits until nothing is stored for a while, or too much is to wait longer.
async fn quiet(head: &mut watch::Receiver<Sequence>, indexed: u64) {
    while head.borrow_and_update().0.saturating_sub(indexed) < BEHIND_MAX {
        let news = tokio::time::timeout(QUIET, head.changed());
        if !matches!(news.await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Removes what is old until `stop`.
pub(crate) async fn run(store: Arc<dyn Store>, retention: Retention, stop: CancellationToken) {
    let mut pause = PAUSE;
    while let Some(()) = stop.run_until_cancelled(tokio::time::sleep(pause)).await {
        pause = match store.sweep(&retention).await {
            Ok(swept) => {
                if swept.undelivered > 0 {
                    tracing::error!(
                        count = swept.undelivered,
                        "events were removed undelivered: they were older than retention.events_days"
                    );
                }
                if swept.more { PAUSE } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(%error, "old rows could not be removed; tried again later");
                AFTER_FAILURE
            }
        };
    }
}
