//! The sources: where messages come from, and how replies go back there.
//!
//! One module for each source. A module verifies and parses what its provider sends, and sends what
//! `messages.send` was given; it knows nothing of other providers or of how messages are stored. A new
//! source is a new module here and a line in [`all`].

pub mod chat_plugin;
mod replies;

use std::sync::Arc;

use async_trait::async_trait;
use tradewind_delivery::attempt::Failure;
use tradewind_model::{Message, Source};

pub use replies::Replies;

/// What Tradewind needs of a source.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The name that `channels.connect` knows it by.
    fn source(&self) -> Source;

    /// What a channel is called that was connected without a name.
    fn default_channel_name(&self) -> &'static str;

    /// Hands a reply to the provider. Within a conversation it is called for one message after the
    /// other; a message can come again when a crash or a failure hid that it was taken.
    async fn send(&self, message: &Message) -> Result<(), SendError>;
}

#[derive(Debug)]
pub enum SendError {
    /// Trying again later may help.
    Retry(Failure),
    /// It never will: the message has failed. The reason is the provider's, for the operator.
    Final { reason: String },
}

/// Every source there is.
pub fn all() -> Vec<Arc<dyn Provider>> {
    vec![Arc::new(chat_plugin::ChatPlugin)]
}
