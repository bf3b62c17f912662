//! API tokens and the installation's own secrets.

use rusqlite::{Connection, OptionalExtension as _};
use tradewind_model::{Timestamp, Token};

use super::row::{Coded as _, Column, get};
use crate::{StoreError, TokenHash};

pub(super) fn put_token(db: &Connection, token: &Token, hash: TokenHash) -> Result<(), StoreError> {
    db.prepare_cached(
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

pub(super) fn find_token(db: &Connection, hash: TokenHash) -> Result<Option<Token>, StoreError> {
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
