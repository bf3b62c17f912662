//! Removes what is older than the settings keep.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tradewind_store::{Retention, Store};

/// How often to look.
const EVERY: Duration = Duration::from_hours(1);
/// When it failed, as it does while the database is away.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// Pause between two bounded removals, so that writers are not kept waiting.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until `stop`.
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
