//! API tokens and the installation's own secrets.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, Row};
use tradewind_model::{Action, Actor, Id, Timestamp, Token, TokenId, UserId};

use super::{
    audit,
    readers::Readers,
    row::{find, get},
    user::find_user,
    writer::Batch,
};
use crate::{
    Admitted, StoreError, TokenHash, UserKey, accounts::HAD_TOKENS, coded::Coded as _,
    page::integer,
};

/// Tokens kept in memory. Each has to be stored first, so nobody fills this by guessing.
const TOKENS_KEPT_MAX: usize = 1_024;

/// Tokens that were asked for: each call of the API brings one.
#[derive(Debug, Default)]
pub(super) struct KeptTokens(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tokens: HashMap<[u8; 32], Token>,
    /// Grows with each change of a token, so that what was read before is not kept after it.
    changes: u64,
    is_closed: bool,
}

impl KeptTokens {
    pub(super) async fn find(
        &self,
        readers: &Readers,
        hash: TokenHash,
    ) -> Result<Option<Token>, StoreError> {
        let changes = {
            let kept = self.lock();
            if let Some(token) = kept.tokens.get(&hash.0) {
                return Ok(Some(token.clone()));
            }
            kept.changes
        };
        let found = readers.read(move |db| find_token(db, hash)).await?;
        if let Some(token) = &found {
            self.keep(changes, hash, token);
        }
        Ok(found)
    }

    /// A token was stored: called after the commit, before anybody is told.
    pub(super) fn forget(&self) {
        let mut kept = self.lock();
        kept.tokens.clear();
        kept.changes += 1;
    }

    /// Nothing is told from memory any more.
    pub(super) fn close(&self) {
        self.forget();
        self.lock().is_closed = true;
    }

    fn keep(&self, changes: u64, hash: TokenHash, token: &Token) {
        let mut kept = self.lock();
        if changes != kept.changes || kept.is_closed {
            return;
        }
        if kept.tokens.len() >= TOKENS_KEPT_MAX {
            kept.tokens.clear();
        }
        kept.tokens.insert(hash.0, token.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn put_token(
    batch: &Batch<'_>,
    now: Timestamp,
    token: &Token,
    hash: TokenHash,
    (max, by): (u64, &Actor),
) -> Result<Admitted, StoreError> {
    let others: u64 = batch
        .prepare_cached(
            "-- put_token
             SELECT COUNT(*) FROM token WHERE user_id IS NULL AND hash <> ?1",
        )?
        .query_row([hash.0], |row| get(row, 0))?;
    if others >= max {
        return Ok(Admitted::Full);
    }
    write_token(batch, token, hash)?;
    let subject = token.id.to_string();
    let detail = format!("{}, {}", token.name, token.scope.name());
    audit::record(batch, now, by, Action::TokenCreated, (&subject, &detail))?;
    Ok(Admitted::Done)
}

pub(super) fn log_in(
    batch: &Batch<'_>,
    token: &Token,
    hash: TokenHash,
    (password_hash, max): (&str, u64),
) -> Result<bool, StoreError> {
    let Some(user) = token.user_id else {
        return Ok(false);
    };
    let known = find_user(batch, &UserKey::Id(user))?;
    if known.is_none_or(|known| known.password_hash != password_hash) {
        return Ok(false);
    }
    write_token(batch, token, hash)?;
    batch
        .prepare_cached(
            "-- log_in
             DELETE FROM token WHERE hash IN (
                 SELECT hash FROM token WHERE user_id = ?1
                 ORDER BY created_at_ms DESC, id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute((user.uuid(), integer(max)))?;
    Ok(true)
}

fn write_token(batch: &Batch<'_>, token: &Token, hash: TokenHash) -> rusqlite::Result<()> {
    batch.token_changed();
    // That there were tokens is known also when all are gone.
    secret(batch, HAD_TOKENS, [0; 32])?;
    batch
        .prepare_cached(
            "-- write_token
             INSERT INTO token (hash, id, name, scope, expires_at_ms, created_at_ms, user_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (hash) DO UPDATE SET name = excluded.name, scope = excluded.scope,
                 expires_at_ms = excluded.expires_at_ms",
        )?
        .execute((
            hash.0,
            token.id.uuid(),
            &token.name,
            token.scope.code(),
            token.expires_at.map(Timestamp::as_millisecond),
            token.created_at.as_millisecond(),
            token.user_id.map(Id::uuid),
        ))?;
    Ok(())
}

/// Forgets all logins of a user.
pub(super) fn forget_logins(batch: &Batch<'_>, user: UserId) -> rusqlite::Result<()> {
    batch.token_changed();
    batch
        .prepare_cached("-- forget_logins\n DELETE FROM token WHERE user_id = ?1")?
        .execute([user.uuid()])?;
    Ok(())
}

pub(super) fn forget_logins_but(
    batch: &Batch<'_>,
    user: UserId,
    kept: TokenHash,
) -> rusqlite::Result<()> {
    batch.token_changed();
    batch
        .prepare_cached(
            "-- forget_logins_but\n DELETE FROM token WHERE user_id = ?1 AND hash <> ?2",
        )?
        .execute((user.uuid(), kept.0))?;
    Ok(())
}

pub(super) fn list_tokens(db: &Connection, limit: i64) -> Result<Vec<Token>, StoreError> {
    let tokens = db
        .prepare_cached(
            "-- list_tokens
             SELECT id, name, scope, expires_at_ms, created_at_ms, user_id FROM token
             WHERE user_id IS NULL ORDER BY created_at_ms, id LIMIT ?1",
        )?
        .query_map([limit], token)?
        .collect::<Result<_, _>>()?;
    Ok(tokens)
}

pub(super) fn revoke_token(
    batch: &Batch<'_>,
    now: Timestamp,
    id: TokenId,
    by: &Actor,
) -> Result<bool, StoreError> {
    let name: Option<String> = batch
        .prepare_cached("-- revoke_token\n DELETE FROM token WHERE id = ?1 RETURNING name")?
        .query_row([id.uuid()], |row| row.get(0))
        .optional()?;
    let Some(name) = name else {
        return Ok(false);
    };
    batch.token_changed();
    // Of a database from before that was noted.
    secret(batch, HAD_TOKENS, [0; 32])?;
    let subject = id.to_string();
    audit::record(batch, now, by, Action::TokenRevoked, (&subject, &name))?;
    Ok(true)
}

/// Forgets tokens that are no longer good.
pub(super) fn sweep_tokens(batch: &Batch<'_>, now: Timestamp) -> rusqlite::Result<usize> {
    let gone = batch
        .prepare_cached("-- sweep_tokens\n DELETE FROM token WHERE expires_at_ms <= ?1")?
        .execute([now.as_millisecond()])?;
    if gone > 0 {
        batch.token_changed();
    }
    Ok(gone)
}

fn find_token(db: &Connection, hash: TokenHash) -> Result<Option<Token>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_token
             SELECT id, name, scope, expires_at_ms, created_at_ms, user_id FROM token
             WHERE hash = ?1",
        )?
        .query_row([hash.0], token)
        .optional()?;
    Ok(found)
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        id: get(row, 0)?,
        name: row.get(1)?,
        scope: get(row, 2)?,
        expires_at: find(row, 3)?,
        created_at: get(row, 4)?,
        user_id: find(row, 5)?,
    })
}

pub(super) fn has_tokens(db: &Connection) -> Result<bool, StoreError> {
    let any = db
        .prepare_cached(
            "-- has_tokens
             SELECT EXISTS (SELECT 1 FROM token)
                 OR EXISTS (SELECT 1 FROM secret WHERE name = ?1)",
        )?
        .query_row([HAD_TOKENS], |row| row.get(0))?;
    Ok(any)
}

pub(super) fn secret(db: &Connection, name: &str, fresh: [u8; 32]) -> rusqlite::Result<[u8; 32]> {
    db.prepare_cached(
        "-- secret
         INSERT INTO secret (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
    )?
    .execute((name, fresh))?;
    let kept = db
        .prepare_cached(
            "-- secret
             SELECT value FROM secret WHERE name = ?1",
        )?
        .query_row([name], |row| row.get(0))?;
    Ok(kept)
}
