//! Carries replies to a source: the consumer of the log that stands behind `messages.send`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tradewind_delivery::{
    attempt::{Consumer, Failure, FailureClass, Outcome, Report},
    chain::chain,
    tail::Interest,
};
use tradewind_model::{Channel, DeliveryState, EntryKind, LogEntry, Message, MessageId, Source};
use tradewind_store::{ConsumerId, Settlement, Store, StoreError, Wanted};

use crate::{Account, Provider, SendError, Sent, Vault, VaultError, pacer::Pacer, tidy_reason};

/// Finds channels with their tokens open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub store: Arc<dyn Store>,
    pub vault: Vault,
}

pub struct Replies {
    provider: Arc<dyn Provider>,
    /// The provider's: asked of every entry.
    source: Source,
    accounts: Accounts,
    pacer: Option<Pacer>,
}

impl Accounts {
    /// The channel as its provider knows it.
    pub fn open(&self, channel: Channel) -> Result<Account, VaultError> {
        let sealed = channel.token.as_deref();
        let token = sealed.map(|sealed| self.vault.open(&channel.id.to_string(), sealed));
        Ok(Account {
            token: token.transpose()?,
            channel,
        })
    }
}

impl Replies {
    pub fn new(provider: Arc<dyn Provider>, accounts: Accounts) -> Self {
        Self {
            pacer: provider.pace().and_then(Pacer::new),
            source: provider.source(),
            provider,
            accounts,
        }
    }

    async fn settle(&self, id: MessageId, settlement: Settlement) -> Outcome {
        match self.accounts.store.settle(id, settlement).await {
            Ok(_) => Outcome::Delivered { status: None },
            Err(error) => Outcome::Failed(Failure::new(
                FailureClass::Internal,
                format!("the source has the message, but it could not be recorded: {error}"),
            )),
        }
    }

    async fn fail(&self, id: MessageId, reason: &str) -> Outcome {
        let reason = tidy_reason(reason);
        self.settle(id, Settlement::Failed { reason }).await
    }

    async fn send(&self, message: &Message) -> Outcome {
        if message.state != DeliveryState::Pending {
            // Settled before a restart that lost only the cursor.
            return Outcome::Delivered { status: None };
        }
        let sent = match self.accounts.store.find_channel(message.channel_id).await {
            Ok(Some(channel)) if channel.connected => self.hand_over(channel, message).await,
            Ok(_) => Err(SendError::Final {
                reason: "the channel is disconnected".to_owned(),
            }),
            Err(error) => Err(unreadable(&error)),
        };
        match sent {
            Ok(Sent { source_message_id }) => {
                let settlement = Settlement::Sent { source_message_id };
                self.settle(message.id, settlement).await
            }
            Err(SendError::Final { reason }) => self.fail(message.id, &reason).await,
            Err(SendError::TokenRefused { reason }) => {
                tracing::warn!(channel.id = %message.channel_id, reason, "the provider does not take the token of this channel, or the account of the settings; mend that, or connect the channel again by channels.connect");
                self.fail(message.id, &reason).await
            }
            Err(SendError::Retry(failure)) => Outcome::Failed(failure),
        }
    }

    async fn hand_over(&self, channel: Channel, message: &Message) -> Result<Sent, SendError> {
        let account = self
            .accounts
            .open(channel)
            .map_err(|error| SendError::TokenRefused {
                reason: format!("the channel's token cannot be read: {error}"),
            })?;
        if let Some(pacer) = &self.pacer {
            let turn = pacer.turn(message.channel_id).await;
            turn.map_err(|wait| SendError::Retry(too_fast(wait)))?;
        }
        self.provider.send(&account, message).await
    }

    /// The message that an entry asks to send, if it is this source's.
    fn asked<'a>(&self, entry: &'a LogEntry) -> Option<&'a Message> {
        let asks = entry.kind == EntryKind::SendRequested;
        entry
            .message()
            .filter(|message| asks && message.source == self.source)
    }
}

#[async_trait]
impl Consumer for Replies {
    fn id(&self) -> ConsumerId {
        ConsumerId::Source(self.source.clone())
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

fn unreadable(error: &StoreError) -> SendError {
    let detail = format!("the channel could not be read: {}", chain(error));
    SendError::Retry(Failure::new(FailureClass::Internal, detail))
}

fn too_fast(wait: Duration) -> Failure {
    Failure {
        retry_after: Some(wait),
        // The pace is one channel's; the others have their own.
        lane_only: true,
        ..Failure::new(
            FailureClass::Status,
            "as many were sent as the provider takes",
        )
    }
}
