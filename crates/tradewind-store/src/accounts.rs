//! People, tokens, and who changed what.

use async_trait::async_trait;
use tradewind_model::{
    Actor, AuditEntry, Invitation, InvitationId, Timestamp, Token, TokenId, User, UserId,
};

use crate::{Page, StoreError, TokenHash, page::whole_milliseconds};

/// What came of letting something in of which there may only be so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    Done,
    /// There are as many as there may be.
    Full,
    /// There is a user with this e-mail address.
    EmailTaken,
}

/// A user as they come in by an invitation, which has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    pub id: UserId,
    pub first_name: String,
    pub last_name: String,
    pub password_hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    Done(User),
    /// There is no such invitation, or not any more.
    NotFound,
    /// There is a user with its e-mail address.
    EmailTaken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    Done,
    NotFound,
    /// Nobody else could let people in.
    LastAdmin,
}

/// Whom a user is looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserKey {
    Id(UserId),
    /// In lower case.
    Email(String),
}

/// A user and the hash of their password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub user: User,
    pub password_hash: String,
}

impl NewUser {
    /// The user that the invited one becomes.
    pub(crate) fn into_user(self, invitation: &Invitation, now: Timestamp) -> User {
        User {
            id: self.id,
            email: invitation.email.clone(),
            first_name: self.first_name,
            last_name: self.last_name,
            scope: invitation.scope,
            created_at: whole_milliseconds(now),
        }
    }
}

pub type AuditPage = Page<AuditEntry, u64>;

/// Tokens and users, and the record of who changed what. A change and its record are written at once.
#[async_trait]
pub trait Accounts {
    // --- tokens --------------------------------------------------------------------------------

    /// Keeps a token that is nobody's login. Storing the same hash again replaces its name, scope and
    /// expiry. At most `max` such tokens are kept.
    async fn put_token(
        &self,
        token: Token,
        hash: TokenHash,
        max: u64,
        by: Actor,
    ) -> Result<Admitted, StoreError>;

    /// Keeps the token of a user's login, and of all their logins the newest `max`. `false`: there is no
    /// such user, or `password_hash`, which was verified, is not theirs any more.
    async fn log_in(
        &self,
        token: Token,
        hash: TokenHash,
        password_hash: String,
        max: u64,
    ) -> Result<bool, StoreError>;

    async fn find_token(&self, hash: TokenHash) -> Result<Option<Token>, StoreError>;

    /// Tokens that are nobody's login, the oldest first. Bounded by `limit`.
    async fn list_tokens(&self, limit: usize) -> Result<Vec<Token>, StoreError>;

    /// Forgets a token, a login's too. `false`: there is none with this id.
    async fn revoke_token(&self, id: TokenId, by: Actor) -> Result<bool, StoreError>;

    /// Whether any token was ever stored.
    async fn has_tokens(&self) -> Result<bool, StoreError>;

    /// The installation's secret of this name; `fresh` becomes it if there is none yet.
    async fn secret(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError>;

    // --- users ---------------------------------------------------------------------------------

    /// Makes the first user. `false`: there is one already.
    async fn create_owner(&self, owner: Credentials) -> Result<bool, StoreError>;

    async fn has_users(&self) -> Result<bool, StoreError>;

    async fn find_user(&self, key: UserKey) -> Result<Option<Credentials>, StoreError>;

    /// Users, the oldest first. Bounded by `limit`.
    async fn list_users(&self, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Keeps an invitation. At most `max` users and invitations are kept.
    async fn invite(
        &self,
        invitation: Invitation,
        max: u64,
        by: Actor,
    ) -> Result<Admitted, StoreError>;

    /// Makes a user of whom was invited. An invitation is good for one.
    async fn accept_invitation(
        &self,
        id: InvitationId,
        user: NewUser,
    ) -> Result<Accepted, StoreError>;

    /// Replaces a user's password hash `from` by `to`, and forgets their logins but the one with the hash
    /// `kept`. `false`: there is no such user, or `from` is not theirs any more.
    async fn change_password(
        &self,
        id: UserId,
        (from, to): (String, String),
        kept: TokenHash,
    ) -> Result<bool, StoreError>;

    /// Forgets a user, their logins, and the invitations that they made.
    async fn remove_user(&self, id: UserId, by: Actor) -> Result<Removed, StoreError>;

    // --- audit ---------------------------------------------------------------------------------

    /// What was changed, the latest first, before `before`.
    async fn list_audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, StoreError>;
}

/// Among the secrets: that there once was a token.
pub(crate) const HAD_TOKENS: &str = "had tokens";
