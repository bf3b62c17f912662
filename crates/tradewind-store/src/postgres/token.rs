//! API tokens and the installation's own secrets.

use tokio_postgres::{Client, Row};
use tradewind_model::{Timestamp, Token};

use super::row::{code, coded, id, params, read_text, text, time_or_none};
use crate::{StoreError, TokenHash};

pub(super) async fn put_token(
    db: &Client,
    token: &Token,
    hash: TokenHash,
) -> Result<(), StoreError> {
    db.execute_typed(
        "INSERT INTO token (hash, id, name, scope, expires_at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (hash) DO UPDATE SET name = excluded.name, scope = excluded.scope,
             expires_at_ms = excluded.expires_at_ms",
        params![
            hash.0.as_slice() => BYTEA,
            token.id.uuid() => UUID,
            text(&token.name) => TEXT,
            code(token.scope) => INT2,
            token.expires_at.map(Timestamp::as_millisecond) => INT8,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn find_token(db: &Client, hash: TokenHash) -> Result<Option<Token>, StoreError> {
    let row = db
        .query_typed_opt(
            "SELECT id, name, scope, expires_at_ms FROM token WHERE hash = $1",
            params![hash.0.as_slice() => BYTEA],
        )
        .await?;
    row.as_ref().map(token).transpose()
}

fn token(row: &Row) -> Result<Token, StoreError> {
    Ok(Token {
        id: id(row, 0)?,
        name: read_text(row, 1)?,
        scope: coded(row, 2)?,
        expires_at: time_or_none(row, 3)?,
    })
}

pub(super) async fn has_tokens(db: &Client) -> Result<bool, StoreError> {
    let row = db
        .query_typed_one("SELECT EXISTS (SELECT 1 FROM token)", &[])
        .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn secret(
    db: &Client,
    name: &str,
    fresh: [u8; 32],
) -> Result<[u8; 32], StoreError> {
    db.execute_typed(
        "INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        params![name => TEXT, fresh.as_slice() => BYTEA],
    )
    .await?;
    let row = db
        .query_typed_one(
            "SELECT value FROM secret WHERE name = $1",
            params![name => TEXT],
        )
        .await?;
    let kept: &[u8] = row.try_get(0)?;
    kept.try_into()
        .map_err(|_| StoreError::Broken("a secret has another length".into()))
}
