//! The sources: where messages come from, and how replies go back there.
//!
//! One module for each source. A module verifies and parses what its provider sends, and sends what
//! `messages.send` was given; it knows nothing of other providers or of how messages are stored. A new
//! source is a new module here and a line in [`Sources::new`].

pub mod chat_plugin;
mod client;
pub mod config;
mod google;
mod inlet;
mod json;
mod media;
mod meta;
mod own;
mod pacer;
mod parts;
mod provider;
mod replies;
mod telegram;
mod twilio;
mod vault;

use std::sync::Arc;

use tradewind_model::Clock;

pub use client::{Answer, Client};
pub use inlet::{Inbound, InboundMessage, InboundReceipt, Inlet, Posted, Refused};
pub use media::{MediaKey, MediaLinks, PATH as MEDIA_PATH, SECRET_NAME as MEDIA_SECRET_NAME};
pub use own::Own;
pub use provider::{
    Account, AskError, Connected, Explored, Pace, Profile, Provider, SendError, Sent, Wish,
    tidy_reason,
};
pub use replies::{Accounts, Replies};
pub use vault::{Vault, VaultError};

/// The name of [`Tools::hook_key`] in the store.
pub const HOOK_SECRET_NAME: &str = "sources.hooks";

/// What sources work with. Cheap to clone.
#[derive(Clone)]
pub struct Tools {
    pub client: Client,
    pub clock: Arc<dyn Clock>,
    /// Where providers reach this server, such as `https://example.com`, if the settings say.
    pub public_url: Option<String>,
    /// What the words are derived from that providers show who sign nothing. Must stay secret.
    pub hook_key: [u8; 32],
}

/// Every source there is, and the paths where their providers post.
pub struct Sources {
    pub providers: Vec<Arc<dyn Provider>>,
    pub inlets: Vec<Arc<dyn Inlet>>,
}

impl Sources {
    pub fn new(config: &config::Config, tools: &Tools) -> Self {
        let mut sources = Self {
            providers: vec![Arc::new(chat_plugin::ChatPlugin)],
            inlets: Vec::new(),
        };
        meta::add(&mut sources, &config.meta, tools);
        telegram::add(&mut sources, &config.telegram, tools);
        twilio::add(&mut sources, &config.twilio, tools);
        google::add(&mut sources, &config.google, tools);
        sources
    }
}
