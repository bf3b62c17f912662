//! The people of an installation.

use crate::{Actor, InvitationId, Scope, Timestamp, UserId};

/// A person who works with conversations. Their password is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// In lower case.
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    /// What their logins may do.
    pub scope: Scope,
    pub created_at: Timestamp,
}

impl User {
    /// As who does something.
    pub fn actor(&self) -> Actor {
        Actor {
            id: Some(self.id.uuid()),
            name: self.email.clone(),
        }
    }
}

/// That somebody may become a user. Whoever knows its id may accept it, so the id is random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub id: InvitationId,
    /// In lower case.
    pub email: String,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}
