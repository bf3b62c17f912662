//! Carries replies to a source: the consumer of the log that stands behind `messages.send`.

use std::sync::Arc;

use async_trait::async_trait;
use tradewind_delivery::{
    attempt::{Consumer, Failure, FailureClass, Outcome, Report},
    tail::Interest,
};
use tradewind_model::{DeliveryState, EntryKind, LogEntry, Message, MessageId};
use tradewind_store::{ConsumerId, Settlement, Store, Wanted};

use crate::{Provider, SendError};

pub struct Replies {
    provider: Arc<dyn Provider>,
    store: Arc<dyn Store>,
}

impl Replies {
    pub fn new(provider: Arc<dyn Provider>, store: Arc<dyn Store>) -> Self {
        Self { provider, store }
    }

    async fn settle(&self, id: MessageId, settlement: Settlement) -> Outcome {
        match self.store.settle(id, settlement).await {
            Ok(_) => Outcome::Delivered { status: None },
            Err(error) => Outcome::Failed(Failure::new(
                FailureClass::Internal,
                format!("the source has the message, but it could not be recorded: {error}"),
            )),
        }
    }

    async fn send(&self, message: &Message) -> Outcome {
        if message.state != DeliveryState::Pending {
            // Settled before a restart that lost only the cursor.
            return Outcome::Delivered { status: None };
        }
        match self.provider.send(message).await {
            Ok(()) => self.settle(message.id, Settlement::Sent).await,
            Err(SendError::Final { reason }) => {
                self.settle(message.id, Settlement::Failed { reason }).await
            }
            Err(SendError::Retry(failure)) => Outcome::Failed(failure),
        }
    }

    /// The message that an entry asks to send, if it is this source's.
    fn asked<'a>(&self, entry: &'a LogEntry) -> Option<&'a Message> {
        let asks = entry.kind == EntryKind::SendRequested;
        entry
            .message()
            .filter(|message| asks && message.source == self.provider.source())
    }
}

#[async_trait]
impl Consumer for Replies {
    fn id(&self) -> ConsumerId {
        ConsumerId::Source(self.provider.source())
    }

    fn interest(&self) -> Interest {
        Interest::of(&Wanted {
            kinds: vec![EntryKind::SendRequested],
            senders: Vec::new(),
        })
    }

    fn wants(&self, entry: &LogEntry) -> bool {
        self.asked(entry).is_some()
    }

    async fn attempt(&self, entry: &LogEntry) -> Report {
        match self.asked(entry) {
            Some(message) => self.send(message).await.into(),
            None => Outcome::Delivered { status: None }.into(),
        }
    }
}
