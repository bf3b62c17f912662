//! API tokens and the installation's own secrets.

use tokio_postgres::{Client, Row};
use tradewind_model::{Action, Actor, Id, Timestamp, Token, TokenId, UserId};

use super::{
    audit,
    row::{code, coded, id, id_or_none, number, params, read_text, text, time, time_or_none},
    user::{find_user, lock},
};
use crate::{
    Admitted, StoreError, TokenHash, UserKey,
    accounts::HAD_TOKENS,
    page::{integer, row_limit},
};

pub(super) async fn put_token(
    db: &Client,
    now: Timestamp,
    token: &Token,
    hash: TokenHash,
    (max, by): (u64, &Actor),
) -> Result<Admitted, StoreError> {
    lock(db).await?;
    let others = db
        .query_typed_one(
            "SELECT COUNT(*) FROM token WHERE user_id IS NULL AND hash <> $1",
            params![hash.0.as_slice() => BYTEA],
        )
        .await?;
    if number(&others, 0)? >= max {
        return Ok(Admitted::Full);
    }
    write_token(db, token, hash).await?;
    let subject = token.id.to_string();
    let detail = format!("{}, {}", token.name, token.scope.name());
    let about = (subject.as_str(), detail.as_str());
    audit::record(db, now, by, Action::TokenCreated, about).await?;
    Ok(Admitted::Done)
}

pub(super) async fn log_in(
    db: &Client,
    token: &Token,
    hash: TokenHash,
    (password_hash, max): (&str, u64),
) -> Result<bool, StoreError> {
    lock(db).await?;
    let Some(user) = token.user_id else {
        return Ok(false);
    };
    let known = find_user(db, &UserKey::Id(user)).await?;
    if known.is_none_or(|known| known.password_hash != password_hash) {
        return Ok(false);
    }
    write_token(db, token, hash).await?;
    db.execute_typed(
        "DELETE FROM token WHERE hash IN (
             SELECT hash FROM token WHERE user_id = $1
             ORDER BY created_at_ms DESC, id DESC OFFSET $2)",
        params![user.uuid() => UUID, integer(max) => INT8],
    )
    .await?;
    Ok(true)
}

async fn write_token(db: &Client, token: &Token, hash: TokenHash) -> Result<(), StoreError> {
    // That there were tokens is known also when all are gone.
    secret(db, HAD_TOKENS, [0; 32]).await?;
    db.execute_typed(
        "INSERT INTO token (hash, id, name, scope, expires_at_ms, created_at_ms, user_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (hash) DO UPDATE SET name = excluded.name, scope = excluded.scope,
             expires_at_ms = excluded.expires_at_ms",
        params![
            hash.0.as_slice() => BYTEA,
            token.id.uuid() => UUID,
            text(&token.name) => TEXT,
            code(token.scope) => INT2,
            token.expires_at.map(Timestamp::as_millisecond) => INT8,
            token.created_at.as_millisecond() => INT8,
            token.user_id.map(Id::uuid) => UUID,
        ],
    )
    .await?;
    Ok(())
}

/// Forgets all logins of a user.
pub(super) async fn forget_logins(db: &Client, user: UserId) -> Result<(), StoreError> {
    db.execute_typed(
        "DELETE FROM token WHERE user_id = $1",
        params![user.uuid() => UUID],
    )
    .await?;
    Ok(())
}

pub(super) async fn forget_logins_but(
    db: &Client,
    user: UserId,
    kept: TokenHash,
) -> Result<(), StoreError> {
    db.execute_typed(
        "DELETE FROM token WHERE user_id = $1 AND hash <> $2",
        params![user.uuid() => UUID, kept.0.as_slice() => BYTEA],
    )
    .await?;
    Ok(())
}

pub(super) async fn find_token(db: &Client, hash: TokenHash) -> Result<Option<Token>, StoreError> {
    let row = db
        .query_typed_opt(
            "SELECT id, name, scope, expires_at_ms, created_at_ms, user_id FROM token
             WHERE hash = $1",
            params![hash.0.as_slice() => BYTEA],
        )
        .await?;
    row.as_ref().map(token).transpose()
}

pub(super) async fn list_tokens(db: &Client, limit: usize) -> Result<Vec<Token>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT id, name, scope, expires_at_ms, created_at_ms, user_id FROM token
             WHERE user_id IS NULL ORDER BY created_at_ms, id LIMIT $1",
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter().map(token).collect()
}

pub(super) async fn revoke_token(
    db: &Client,
    now: Timestamp,
    id: TokenId,
    by: &Actor,
) -> Result<bool, StoreError> {
    let row = db
        .query_typed_opt(
            "DELETE FROM token WHERE id = $1 RETURNING name",
            params![id.uuid() => UUID],
        )
        .await?;
    let Some(row) = row else { return Ok(false) };
    secret(db, HAD_TOKENS, [0; 32]).await?;
    let (subject, name) = (id.to_string(), read_text(&row, 0)?);
    audit::record(db, now, by, Action::TokenRevoked, (&subject, &name)).await?;
    Ok(true)
}

/// Forgets tokens that are no longer good.
pub(super) async fn sweep_tokens(db: &Client, now: Timestamp) -> Result<(), StoreError> {
    db.execute_typed(
        "DELETE FROM token WHERE expires_at_ms <= $1",
        params![now.as_millisecond() => INT8],
    )
    .await?;
    Ok(())
}

fn token(row: &Row) -> Result<Token, StoreError> {
    Ok(Token {
        id: id(row, 0)?,
        name: read_text(row, 1)?,
        scope: coded(row, 2)?,
        expires_at: time_or_none(row, 3)?,
        created_at: time(row, 4)?,
        user_id: id_or_none(row, 5)?,
    })
}

pub(super) async fn has_tokens(db: &Client) -> Result<bool, StoreError> {
    let row = db
        .query_typed_one(
            "SELECT EXISTS (SELECT 1 FROM token)
                 OR EXISTS (SELECT 1 FROM secret WHERE name = $1)",
            params![HAD_TOKENS => TEXT],
        )
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
