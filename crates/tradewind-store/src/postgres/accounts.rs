//! The verbs of [`Accounts`].

use async_trait::async_trait;
use tradewind_model::{Actor, Invitation, InvitationId, Token, TokenId, User, UserId};

use super::{
    PostgresStore, audit,
    connect::{VERB_MAX, within},
    token, user,
};
use crate::{
    Accepted, Accounts, Admitted, AuditPage, Credentials, NewUser, Removed, StoreError, TokenHash,
    UserKey,
};

#[async_trait]
impl Accounts for PostgresStore {
    async fn put_token(
        &self,
        token: Token,
        hash: TokenHash,
        max: u64,
        by: Actor,
    ) -> Result<Admitted, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => token::put_token(&db, now, &token, hash, (max, &by)))
    }

    async fn log_in(
        &self,
        token: Token,
        hash: TokenHash,
        password_hash: String,
        max: u64,
    ) -> Result<bool, StoreError> {
        within_transaction!(self, db => token::log_in(&db, &token, hash, (&password_hash, max)))
    }

    async fn find_token(&self, hash: TokenHash) -> Result<Option<Token>, StoreError> {
        on!(self, db => token::find_token(&db, hash))
    }

    async fn list_tokens(&self, limit: usize) -> Result<Vec<Token>, StoreError> {
        on!(self, db => token::list_tokens(&db, limit))
    }

    async fn revoke_token(&self, id: TokenId, by: Actor) -> Result<bool, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => token::revoke_token(&db, now, id, &by))
    }

    async fn has_tokens(&self) -> Result<bool, StoreError> {
        on!(self, db => token::has_tokens(&db))
    }

    async fn secret(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        on!(self, db => token::secret(&db, name, fresh))
    }

    async fn create_owner(&self, owner: Credentials) -> Result<bool, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => user::create_owner(&db, now, &owner))
    }

    async fn has_users(&self) -> Result<bool, StoreError> {
        on!(self, db => user::has_users(&db))
    }

    async fn find_user(&self, key: UserKey) -> Result<Option<Credentials>, StoreError> {
        on!(self, db => user::find_user(&db, &key))
    }

    async fn list_users(&self, limit: usize) -> Result<Vec<User>, StoreError> {
        on!(self, db => user::list_users(&db, limit))
    }

    async fn invite(
        &self,
        invitation: Invitation,
        max: u64,
        by: Actor,
    ) -> Result<Admitted, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => user::invite(&db, now, &invitation, max, &by))
    }

    async fn accept_invitation(
        &self,
        id: InvitationId,
        new: NewUser,
    ) -> Result<Accepted, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => user::accept_invitation(&db, now, id, &new))
    }

    async fn change_password(
        &self,
        id: UserId,
        (from, to): (String, String),
        kept: TokenHash,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => user::change_password(&db, now, id, (&from, &to), kept))
    }

    async fn remove_user(&self, id: UserId, by: Actor) -> Result<Removed, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => user::remove_user(&db, now, id, &by))
    }

    async fn list_audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, StoreError> {
        on!(self, db => audit::list_audit(&db, before, limit))
    }
}
