//! API tokens and the installation's own secrets.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _};
use tradewind_model::{Timestamp, Token};

use super::{
    readers::Readers,
    row::{Column, get},
    writer::Batch,
};
use crate::{StoreError, TokenHash, coded::Coded as _};

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
    token: &Token,
    hash: TokenHash,
) -> Result<(), StoreError> {
    batch.token_changed();
    batch
        .prepare_cached(
            "-- put_token
         INSERT INTO token (hash, id, name, scope, expires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (hash) DO UPDATE SET name = excluded.name, scope = excluded.scope,
             expires_at_ms = excluded.expires_at_ms",
        )?
        .execute((
            hash.0,
            token.id.uuid(),
            &token.name,
            token.scope.code(),
            token.expires_at.map(Timestamp::as_millisecond),
        ))?;
    Ok(())
}

fn find_token(db: &Connection, hash: TokenHash) -> Result<Option<Token>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_token
             SELECT id, name, scope, expires_at_ms FROM token WHERE hash = ?1",
        )?
        .query_row([hash.0], |row| {
            Ok(Token {
                id: get(row, 0)?,
                name: row.get(1)?,
                scope: get(row, 2)?,
                expires_at: row
                    .get::<_, Option<Column<Timestamp>>>(3)?
                    .map(Column::into_inner),
            })
        })
        .optional()?;
    Ok(found)
}

pub(super) fn has_tokens(db: &Connection) -> Result<bool, StoreError> {
    let any = db
        .prepare_cached(
            "-- has_tokens
             SELECT EXISTS (SELECT 1 FROM token)",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(any)
}

pub(super) fn secret(db: &Connection, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
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
