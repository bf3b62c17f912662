//! Who changed what.

use uuid::Uuid;

use crate::Timestamp;

/// Who changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Of the token, or of the user who is logged in with it. `None`: nobody's token was needed.
    pub id: Option<Uuid>,
    pub name: String,
}

impl Actor {
    /// The server by itself.
    pub fn server() -> Self {
        Self {
            id: None,
            name: "tradewind".to_owned(),
        }
    }
}

/// A change that is kept on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub actor: Actor,
    /// What was done: a name of [`Action`].
    pub action: String,
    /// The id of what was changed.
    pub subject: String,
    /// What a person wants to know of it, such as a webhook's URL; never a token, a password or a key.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ChannelConnected,
    ChannelDisconnected,
    SourceCreated,
    SourceDeleted,
    WebhookSubscribed,
    WebhookUnsubscribed,
    WebhookSecretRotated,
    TokenCreated,
    TokenRevoked,
    UserCreated,
    UserInvited,
    UserRemoved,
    PasswordChanged,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelConnected => "channel.connected",
            Self::ChannelDisconnected => "channel.disconnected",
            Self::SourceCreated => "source.created",
            Self::SourceDeleted => "source.deleted",
            Self::WebhookSubscribed => "webhook.subscribed",
            Self::WebhookUnsubscribed => "webhook.unsubscribed",
            Self::WebhookSecretRotated => "webhook.secret_rotated",
            Self::TokenCreated => "token.created",
            Self::TokenRevoked => "token.revoked",
            Self::UserCreated => "user.created",
            Self::UserInvited => "user.invited",
            Self::UserRemoved => "user.removed",
            Self::PasswordChanged => "user.password_changed",
        }
    }
}
