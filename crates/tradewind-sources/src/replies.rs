//! Carries replies to a source: the consumer of the log that stands behind `messages.send`.

use std::sync::Arc;

use async_trait::async_trait;
use tradewind_delivery::attempt::{Consumer, Failure, FailureClass, Outcome};
use tradewind_model::{DeliveryState, EntryKind, LogEntry};
use tradewind_store::{ConsumerId, Settlement, Store};

use crate::{Provider, SendError};

pub struct Replies {
    provider: Arc<dyn Provider>,
    store: Arc<dyn Store>,
}

impl Replies {
    pub fn new(provider: Arc<dyn Provider>, store: Arc<dyn Store>) -> Self {
        Self { provider, store }
    }

    async fn settle(&self, entry: &LogEntry, settlement: Settlement) -> Outcome {
        match self.store.settle(entry.message.id, settlement).await {
            Ok(_) => Outcome::Delivered { status: None },
            Err(error) => Outcome::Failed(Failure::new(
                FailureClass::Internal,
                format!("the source has the message, but it could not be recorded: {error}"),
            )),
        }
    }
}

#[async_trait]
impl Consumer for Replies {
    fn id(&self) -> ConsumerId {
        ConsumerId::Source(self.provider.source())
    }

    fn wants(&self, entry: &LogEntry) -> bool {
        entry.kind == EntryKind::SendRequested && entry.message.source == self.provider.source()
    }

    async fn attempt(&self, entry: &LogEntry) -> Outcome {
        if entry.message.state != DeliveryState::Pending {
            // Settled before a restart that lost only the cursor.
            return Outcome::Delivered { status: None };
        }
        match self.provider.send(&entry.message).await {
            Ok(()) => self.settle(entry, Settlement::Sent).await,
            Err(SendError::Final { reason }) => {
                self.settle(entry, Settlement::Failed { reason }).await
            }
            Err(SendError::Retry(failure)) => Outcome::Failed(failure),
        }
    }
}
