//! The verbs of [`Accounts`].

use std::sync::Arc;

use async_trait::async_trait;
use tradewind_model::{Actor, Invitation, InvitationId, Token, TokenId, User, UserId};

use super::{SqliteStore, audit, token, user};
use crate::{
    Accepted, Accounts, Admitted, AuditPage, Credentials, NewUser, Removed, StoreError, TokenHash,
    UserKey, page::row_limit,
};

#[async_trait]
impl Accounts for SqliteStore {
    async fn put_token(
        &self,
        token: Token,
        hash: TokenHash,
        max: u64,
        by: Actor,
    ) -> Result<Admitted, StoreError> {
        write!(self, (batch, now) => token::put_token(batch, now, &token, hash, (max, &by)))
    }

    async fn log_in(
        &self,
        token: Token,
        hash: TokenHash,
        password_hash: String,
        max: u64,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |batch| token::log_in(batch, &token, hash, (&password_hash, max)))
            .await
    }

    async fn find_token(&self, hash: TokenHash) -> Result<Option<Token>, StoreError> {
        let tokens = &self.writer.signals().tokens;
        tokens.find(&self.readers, hash).await
    }

    async fn list_tokens(&self, limit: usize) -> Result<Vec<Token>, StoreError> {
        read!(self, db => token::list_tokens(db, row_limit(limit)))
    }

    async fn revoke_token(&self, id: TokenId, by: Actor) -> Result<bool, StoreError> {
        write!(self, (batch, now) => token::revoke_token(batch, now, id, &by))
    }

    async fn has_tokens(&self) -> Result<bool, StoreError> {
        read!(self, db => token::has_tokens(db))
    }

    async fn secret(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        self.writer
            .write(move |batch| Ok(token::secret(batch, &name, fresh)?))
            .await
    }

    async fn create_owner(&self, owner: Credentials) -> Result<bool, StoreError> {
        write!(self, (batch, now) => user::create_owner(batch, now, &owner))
    }

    async fn has_users(&self) -> Result<bool, StoreError> {
        read!(self, db => Ok(user::has_users(db)?))
    }

    async fn find_user(&self, key: UserKey) -> Result<Option<Credentials>, StoreError> {
        read!(self, db => user::find_user(db, &key))
    }

    async fn list_users(&self, limit: usize) -> Result<Vec<User>, StoreError> {
        read!(self, db => user::list_users(db, row_limit(limit)))
    }

    async fn invite(
        &self,
        invitation: Invitation,
        max: u64,
        by: Actor,
    ) -> Result<Admitted, StoreError> {
        write!(self, (batch, now) => user::invite(batch, now, &invitation, max, &by))
    }

    async fn accept_invitation(
        &self,
        id: InvitationId,
        new: NewUser,
    ) -> Result<Accepted, StoreError> {
        write!(self, (batch, now) => user::accept_invitation(batch, now, id, &new))
    }

    async fn change_password(
        &self,
        id: UserId,
        (from, to): (String, String),
        kept: TokenHash,
    ) -> Result<bool, StoreError> {
        write!(self, (batch, now) => user::change_password(batch, now, id, (&from, &to), kept))
    }

    async fn remove_user(&self, id: UserId, by: Actor) -> Result<Removed, StoreError> {
        write!(self, (batch, now) => user::remove_user(batch, now, id, &by))
    }

    async fn list_audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, StoreError> {
        read!(self, db => audit::list_audit(db, before, limit))
    }
}
