//! Who may call the API.

use uuid::Uuid;

use crate::{Actor, Id, Timestamp, TokenId, UserId};

/// An API token as it is kept: its text is not, only the SHA-256 of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    /// What people call it; of a login, the user's e-mail address.
    pub name: String,
    pub scope: Scope,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Whose login it is; `None`: it is a token of its own.
    pub user_id: Option<UserId>,
}

impl Token {
    /// As whom its holder is known: the user whose login it is, or else the token.
    pub fn holder(&self) -> Uuid {
        self.user_id.map_or(self.id.uuid(), Id::uuid)
    }

    /// Its holder, as who does something.
    pub fn actor(&self) -> Actor {
        Actor {
            id: Some(self.holder()),
            name: self.name.clone(),
        }
    }
}

/// What a token may do. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reads conversations, messages and channels.
    Read,
    /// Also writes messages, and reads, tags and names conversations.
    Agent,
    /// Also connects channels and webhooks, which includes seeing secrets, and lets people in.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Read, Self::Agent, Self::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Agent => "agent",
            Self::Admin => "admin",
        }
    }
}
