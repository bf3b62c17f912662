//! Who may call the API.

use crate::{Timestamp, TokenId};

/// An API token as it is kept: its text is not, only the SHA-256 of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub scope: Scope,
    pub expires_at: Option<Timestamp>,
}

/// What a token may do. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reads conversations, messages and channels.
    Read,
    /// Also writes messages.
    Agent,
    /// Also connects channels and webhooks, which includes seeing secrets.
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
