//! Which part of the deliveries is this node's.

use std::{sync::Arc, time::Duration};

use tradewind_store::{ConsumerId, Holding, Start, StoreError};

use super::Dispatcher;
use crate::{attempt::Consumer, driver::Exit, lanes::Limits};

/// How long attempts in flight may go on when shards change hands: what is not done by then is sent
/// again by who has them next. With the time of a lease it bounds how long a lane stands still when a
/// node dies.
const HANDOVER_MAX: Duration = Duration::from_secs(2);

impl Dispatcher {
    /// Serves what `now` says from the next look on, and lets go of the rest. Whether that is something else.
    pub(super) async fn hold(&mut self, now: Holding) -> bool {
        let is_other = now.holder != self.holding.holder;
        if is_other {
            let shards = now.holder.shards;
            let all: Vec<ConsumerId> = self.running.keys().cloned().collect();
            if shards.is_empty() {
                // Somebody else may serve them by now.
                for id in &all {
                    self.retire(id).await;
                }
            } else {
                self.pause(all, Some(HANDOVER_MAX)).await;
            }
            self.done.clear();
        }
        self.context.store.gave_up(now.holder.shards);
        self.holding = now;
        is_other
    }

    /// Whether there is nothing to serve, or nobody knows whether there is.
    pub(super) fn holds_nothing(&self) -> bool {
        self.holding.holder.shards.is_empty() || !self.holding.lease.is_valid()
    }

    /// Ends the replies of sources that are gone or have changed, and starts those that do not run.
    pub(super) async fn refresh_replies(&mut self) -> Result<(), StoreError> {
        let listed = self.repliers.list().await?;
        let is_listed = |known: &Arc<dyn Consumer>| listed.iter().any(|it| Arc::ptr_eq(it, known));
        let known = self.replying.iter();
        let gone = known.filter(|(_, consumer)| !is_listed(consumer));
        let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.retire(&id).await;
            self.replying.remove(&id);
        }
        for consumer in listed {
            let id = consumer.id();
            if self.running.contains_key(&id) {
                continue;
            }
            let store = Arc::clone(&self.context.store);
            let state = store.open_consumer(&id, Start::Beginning).await?;
            let limits = Limits {
                set_aside_after: None,
                loop_max: 0,
                ..self.context.limits
            };
            self.replying.insert(id, Arc::clone(&consumer));
            self.start(consumer, state, limits, (None, None));
        }
        Ok(())
    }
}

impl Exit {
    /// Whether a driver may end so by itself. A source has no end.
    pub(super) fn is_expected_of(&self, id: &ConsumerId) -> bool {
        match self {
            Self::Ended => false,
            Self::Stale => true,
            Self::Done | Self::Gone(_) => !matches!(id, ConsumerId::Source(_)),
        }
    }
}
