//! Stores what sources bring.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use tradewind_model::{Channel, Clock, Conversation, MessageId, SenderType};
use tradewind_sources::{Inbound, InboundMessage, InboundReceipt, tidy_reason};
use tradewind_store::{
    Appended, Idempotency, NewMessage, NewReceipt, Origin, ReceiptKind, ReceiptOf, Store,
    StoreError,
};

use super::{
    profiles::{Known, Profiles},
    tally::Tally,
};

/// Longest id of a provider's that is kept as it is, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tally: Tally,
    pub(crate) profiles: Profiles,
}

impl Intake {
    /// Stores all of it, in order. What is of a channel that is not connected is counted instead. After an error
    /// some of it is stored; the same again stores the rest.
    pub(crate) async fn take(&self, inbound: Vec<Inbound>) -> Result<(), StoreError> {
        // Counted once it is all there: a repetition would count it again.
        let mut counts: HashMap<&'static str, u64> = HashMap::new();
        for one in inbound {
            match one {
                Inbound::Message(message) if is_storable(&message) => {
                    self.message(*message).await?;
                }
                Inbound::Message(_) => *counts.entry("unreadable").or_default() += 1,
                Inbound::Receipt(receipt) => self.receipt(receipt).await?,
                Inbound::Skipped(name) => *counts.entry(name).or_default() += 1,
            }
        }
        self.tally.skipped(&counts);
        Ok(())
    }

    async fn message(&self, inbound: InboundMessage) -> Result<(), StoreError> {
        let id = MessageId::derived(&inbound.channel_id().to_string(), &inbound.id_name);
        self.message_as(id, inbound).await
    }

    /// Stores a message under this id, whatever the text says that it would be derived from.
    pub(crate) async fn message_as(
        &self,
        id: MessageId,
        inbound: InboundMessage,
    ) -> Result<(), StoreError> {
        let channel_id = inbound.channel_id();
        if self.is_ours(&inbound).await? {
            self.tally.skip("own_echo");
            return Ok(());
        }
        let conversation_id = Conversation::id_of(channel_id, &inbound.contact);
        let idempotency = inbound.key.map(|key| Idempotency {
            scope: format!("source {channel_id}"),
            key: short(key),
            // Whatever is repeated under this key is the same.
            request_hash: [0; 32],
        });
        let known = Known {
            source: inbound.source.clone(),
            conversation_id,
            contact: inbound.contact.clone(),
            profile: inbound.profile,
        };
        let message = NewMessage {
            id,
            conversation_id,
            origin: Origin::Source {
                channel_id,
                contact_source_id: inbound.contact,
            },
            sender: inbound.sender,
            content: inbound.content,
            sent_at: inbound.sent_at.unwrap_or_else(|| self.clock.now()),
            idempotency,
        };
        let source = &inbound.source;
        match self.store.append(message).await? {
            Appended::Stored(_) => {
                self.tally.received(source);
                self.profiles.look_up(known);
            }
            Appended::Repeated(_) | Appended::KeyReused => self.tally.repeated(source),
            Appended::ChannelNotFound
            | Appended::ChannelDisconnected
            | Appended::ConversationNotFound => {
                let now = self.clock.now();
                self.tally.unknown(source, &inbound.source_channel_id, now);
            }
        }
        Ok(())
    }

    /// Whether what comes as written by somebody on our side is a message that was sent from here.
    async fn is_ours(&self, inbound: &InboundMessage) -> Result<bool, StoreError> {
        match &inbound.key {
            Some(key) if inbound.sender.kind == SenderType::SourceUser => {
                self.store.has_sent(inbound.channel_id(), key.clone()).await
            }
            _ => Ok(false),
        }
    }

    /// A receipt that moves nothing is of a message of somebody else, or late, or comes again.
    async fn receipt(&self, inbound: InboundReceipt) -> Result<(), StoreError> {
        let of = match inbound.of {
            ReceiptOf::SourceIds(mut ids) => {
                ids.retain(|id| is_plain(id));
                ReceiptOf::SourceIds(ids)
            }
            of => of,
        };
        let kind = match inbound.kind {
            ReceiptKind::Failed { reason } => ReceiptKind::Failed {
                reason: tidy_reason(&reason),
            },
            kind => kind,
        };
        let receipt = NewReceipt {
            channel_id: Channel::id_of(&inbound.source, &inbound.source_channel_id),
            of,
            kind,
        };
        self.store.take_receipt(receipt).await?;
        self.tally.receipt(&inbound.source);
        Ok(())
    }
}

/// Whether a text can be kept by every database.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

/// Whether its ids are texts that every database can keep, and say something.
fn is_storable(message: &InboundMessage) -> bool {
    let ids = [
        &message.source_channel_id,
        &message.contact,
        &message.sender.id,
        &message.id_name,
    ];
    ids.into_iter().all(|id| is_plain(id)) && message.key.as_deref().is_none_or(is_plain)
}

/// A provider's id as it is kept: one that is long, as its hash, because an index has no room for it.
fn short(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let digest = Sha256::digest(&key);
    format!("sha256 {}", URL_SAFE_NO_PAD.encode(digest))
}
