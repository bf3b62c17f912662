//! What providers post to us: verified first, then read.
//!
//! An inlet is one path of ours at which one provider posts, for one source or several. It says what a post
//! means, and stores nothing.

use async_trait::async_trait;
use http::HeaderMap;
use tradewind_model::{Channel, ChannelId, Content, Sender, Source, Timestamp};
use tradewind_store::{ReceiptKind, ReceiptOf};

use crate::{MediaLinks, Profile};

#[async_trait]
pub trait Inlet: Send + Sync + 'static {
    /// Where the provider posts, such as `/facebook`. What it posts to below that path comes here too.
    fn path(&self) -> &'static str;

    /// The answer to the `GET` by which a provider asks whether it may post here; `None`: this one does not ask.
    fn challenge(&self, _query: &str) -> Option<Result<String, Refused>> {
        None
    }

    /// Verifies in constant time that the provider sent this, and only then reads it.
    ///
    /// What it does not understand is no error, as the provider would only send it again: it is
    /// [`Inbound::Skipped`].
    fn receive(&self, posted: &Posted<'_>) -> Result<Vec<Inbound>, Refused>;
}

/// A post, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    /// The whole address that the provider called, query included, as the settings and trusted proxies tell:
    /// `https://example.com/twilio?x=y`.
    pub url: &'a str,
    /// The path below that of the inlet, without a slash before it; mostly empty.
    pub below: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub now: Timestamp,
    pub media: &'a MediaLinks,
}

/// Why a post is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not the provider's signature, or none.
    #[error("the signature is missing or wrong")]
    Signature,
    /// A setting is missing without which nothing can be verified.
    #[error("the setting {0} is missing, so that nothing can be verified")]
    NotConfigured(&'static str),
}

/// One thing that a post says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    Message(Box<InboundMessage>),
    Receipt(InboundReceipt),
    /// What is known and of no interest, or not understood: counted under this name.
    Skipped(&'static str),
}

/// A message that a source brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundMessage {
    pub source: Source,
    /// Which of its accounts.
    pub source_channel_id: String,
    /// The contact's id at the source, which is the conversation's there too.
    pub contact: String,
    pub sender: Sender,
    pub content: Content,
    /// `None`: when it came.
    pub sent_at: Option<Timestamp>,
    /// The text that its id is derived from, within its channel.
    pub id_name: String,
    /// The provider's own id of it, where `id_name` is another text: a repeat may come in other words.
    pub key: Option<String>,
    /// What came with it about the contact.
    pub profile: Option<Profile>,
}

/// What a provider tells of a message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundReceipt {
    pub source: Source,
    pub source_channel_id: String,
    pub of: ReceiptOf,
    pub kind: ReceiptKind,
}

impl InboundMessage {
    pub fn channel_id(&self) -> ChannelId {
        Channel::id_of(&self.source, &self.source_channel_id)
    }
}
