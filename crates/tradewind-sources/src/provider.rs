//! What Tradewind needs of a source: the seam between what is the same for all and what each does.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tradewind_delivery::attempt::Failure;
use tradewind_model::{AttachmentKind, Channel, Message, Source};

/// How a source is spoken to. Whatever goes to its provider goes through here.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The name that `channels.connect` knows it by.
    fn source(&self) -> Source;

    /// What a channel is called that was connected without a name.
    fn default_channel_name(&self) -> &str;

    /// Whether a message to it may have such an attachment.
    fn takes(&self, _: AttachmentKind) -> bool {
        false
    }

    /// How often messages may be given to it for one channel; `None`: as fast as it takes them.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// Asks the provider about an account that is to be connected. Nothing is changed there yet.
    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        Connected::as_wished(wish)
    }

    /// Makes the provider send the account's messages here, once its channel is known here: what came before
    /// would be taken for a stranger's. Done again when a channel is connected again, so doing it twice must be
    /// harmless.
    async fn subscribe(&self, _: &Account) -> Result<(), AskError> {
        Ok(())
    }

    /// What the owner of a token could connect.
    async fn explore(&self, _: &SecretString) -> Result<Vec<Explored>, AskError> {
        Ok(Vec::new())
    }

    /// Asks the provider to send nothing more. The channel is disconnected here whether it does or not.
    async fn disconnect(&self, _: &Account) -> Result<(), AskError> {
        Ok(())
    }

    /// Hands a message to the provider. Within a conversation it is called for one message after the
    /// other; a message can come again when a crash or a failure hid that it was taken. It must end by
    /// itself within seconds, and can be dropped at any await.
    async fn send(&self, account: &Account, message: &Message) -> Result<Sent, SendError>;

    /// Whether it knows contacts by name that do not come with their messages.
    fn has_profiles(&self) -> bool {
        false
    }

    /// What the provider knows of a contact; `None`: nothing, and asking again would not help.
    async fn profile(&self, _: &Account, _contact: &str) -> Result<Option<Profile>, AskError> {
        Ok(None)
    }

    /// Opens a file of which [`crate::MediaLinks`] gave out a link.
    async fn media(&self, _: &Account, _reference: &str) -> Result<reqwest::Response, AskError> {
        Err(AskError::NotFound)
    }
}

/// A channel, with what its provider wants to be shown. The token that the store has is sealed; this is open.
#[derive(Clone, Debug)]
pub struct Account {
    pub channel: Channel,
    pub token: Option<SecretString>,
}

/// At most `burst` at once, and one more each time `every` has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub every: Duration,
    pub burst: u32,
}

/// What somebody wants to connect. Texts are not empty.
#[derive(Clone, Debug)]
pub struct Wish {
    pub source_channel_id: Option<String>,
    pub name: Option<String>,
    pub image_url: Option<String>,
    pub token: Option<SecretString>,
}

/// An account as its provider knows it.
#[derive(Clone, Debug)]
pub struct Connected {
    pub source_channel_id: String,
    /// `None`: what its source calls a channel by default.
    pub name: Option<String>,
    pub image_url: Option<String>,
    /// What is kept to act for it.
    pub token: Option<SecretString>,
}

impl Connected {
    /// For a source that has nobody to ask.
    pub fn as_wished(wish: Wish) -> Result<Self, AskError> {
        let Some(source_channel_id) = wish.source_channel_id else {
            return Err(AskError::invalid("source_channel_id", "is required"));
        };
        Ok(Self {
            source_channel_id,
            name: wish.name,
            image_url: wish.image_url,
            token: wish.token,
        })
    }
}

/// Something that could be connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored {
    pub source_channel_id: String,
    pub name: Option<String>,
    pub image_url: Option<String>,
}

/// What a provider said when it took a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// By which it speaks of the message later, in receipts.
    pub source_message_id: Option<String>,
}

/// The person on the other side, as their source knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub avatar_url: Option<String>,
}

impl Profile {
    /// Of a name that is one text: what is after its first blank is the last name.
    pub fn of_name(name: &str) -> Self {
        let name = name.trim();
        let (first, last) = match name.split_once(char::is_whitespace) {
            Some((first, last)) => (first, last.trim()),
            None => (name, ""),
        };
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            first_name: known(first),
            last_name: known(last),
            avatar_url: None,
        }
    }
}

/// Why a message was not taken.
#[derive(Debug)]
pub enum SendError {
    /// Trying again later may help.
    Retry(Failure),
    /// It never will: the message has failed. The reason is the provider's, for the operator.
    Final { reason: String },
    /// The provider no longer accepts the channel's token: the message has failed, and so will others until
    /// the channel is connected again.
    TokenRefused { reason: String },
}

/// Why a provider that was asked something did not say it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// What the caller gave is wrong.
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    /// A setting is missing without which the source cannot be used.
    #[error("the setting {0} is missing")]
    NotConfigured(&'static str),
    /// The provider said no; the reason is its own.
    #[error("the provider refused: {0}")]
    Refused(String),
    #[error("there is no such thing at the provider")]
    NotFound,
    /// The provider could not be asked; another time it may answer.
    #[error("the provider could not be asked: {0}")]
    Unavailable(String),
}

impl AskError {
    pub fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            why: why.into(),
        }
    }
}

/// Longest reason that is kept with a message, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

/// A provider's reason as it is kept: not endless, and without what a database cannot keep.
pub fn tidy_reason(reason: &str) -> String {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    reason[..end].replace('\0', "\u{fffd}")
}
