//! Sources that somebody else connects, and the verbs of [`OwnSources`]. Removing one appends to the log and
//! is a function of the schema.

use async_trait::async_trait;
use tokio_postgres::{Client, Row};
use tradewind_model::{Action, Actor, Source, Timestamp};
use uuid::Uuid;

use super::{
    PostgresStore, audit,
    connect::{VERB_MAX, within},
    consumer,
    listen::Changed,
    row::{number, params, read_text, source, text, text_or_none, time},
};
use crate::{
    ConsumerId, Created, OwnSource, OwnSources, Start, StoreError, TokenHash, page::row_limit,
};

#[async_trait]
impl OwnSources for PostgresStore {
    async fn create_source(
        &self,
        source: OwnSource,
        hash: TokenHash,
        max: u64,
        by: Actor,
    ) -> Result<Created, StoreError> {
        let now = self.clock.now();
        change!(self, db => create_source(&db, now, &source, hash, (max, &by)))
    }

    async fn list_sources(&self, limit: usize) -> Result<Vec<OwnSource>, StoreError> {
        on!(self, db => list_sources(&db, limit))
    }

    async fn find_source(&self, hash: TokenHash) -> Result<Option<OwnSource>, StoreError> {
        on!(self, db => find_source(&db, hash))
    }

    async fn delete_source(&self, name: Source, by: Actor) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let deleted = on!(self, db => delete_source(&db, now, (&name, self.signals.node), &by))?;
        if deleted {
            self.signals.tell_here();
            self.log_changed().await?;
        }
        Ok(deleted)
    }
}

async fn create_source(
    db: &Client,
    now: Timestamp,
    new: &OwnSource,
    hash: TokenHash,
    (max, by): (u64, &Actor),
) -> Result<Changed<Created>, StoreError> {
    db.query_typed(
        "SELECT pg_advisory_xact_lock(hashtextextended('tradewind sources', 0))",
        &[],
    )
    .await?;
    let name = new.source.name();
    let row = db
        .query_typed_one(
            "SELECT COUNT(*), COUNT(*) FILTER (WHERE name = $1) FROM own_source",
            params![name => TEXT],
        )
        .await?;
    if number(&row, 1)? > 0 {
        return Ok((Created::NameTaken, false));
    }
    if number(&row, 0)? >= max {
        return Ok((Created::Full, false));
    }
    db.execute_typed(
        "INSERT INTO own_source (name, display_name, image_url, action_url, sealed_token, token_hash,
             created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            name => TEXT,
            new.name.as_deref().map(text) => TEXT,
            new.image_url.as_deref().map(text) => TEXT,
            new.action_url.as_deref().map(text) => TEXT,
            text(&new.sealed_token) => TEXT,
            hash.0.as_slice() => BYTEA,
            new.created_at.as_millisecond() => INT8,
        ],
    )
    .await?;
    let replies = ConsumerId::Source(new.source.clone());
    db.query_typed("SELECT forget_replies($1)", params![name => TEXT])
        .await?;
    consumer::create_consumer(db, &replies, Start::Head).await?;
    let action_url = new.action_url.as_deref().unwrap_or_default();
    audit::record(db, now, by, Action::SourceCreated, (name, action_url)).await?;
    Ok((Created::Done, true))
}

async fn list_sources(db: &Client, limit: usize) -> Result<Vec<OwnSource>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT name, display_name, image_url, action_url, sealed_token, created_at_ms
             FROM own_source ORDER BY created_at_ms, name LIMIT $1",
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter().map(own_source).collect()
}

async fn find_source(db: &Client, hash: TokenHash) -> Result<Option<OwnSource>, StoreError> {
    let row = db
        .query_typed_opt(
            "SELECT name, display_name, image_url, action_url, sealed_token, created_at_ms
             FROM own_source WHERE token_hash = $1",
            params![hash.0.as_slice() => BYTEA],
        )
        .await?;
    row.as_ref().map(own_source).transpose()
}

fn own_source(row: &Row) -> Result<OwnSource, StoreError> {
    Ok(OwnSource {
        source: source(row, 0)?,
        name: text_or_none(row, 1)?,
        image_url: text_or_none(row, 2)?,
        action_url: text_or_none(row, 3)?,
        sealed_token: read_text(row, 4)?,
        created_at: time(row, 5)?,
    })
}

async fn delete_source(
    db: &Client,
    now: Timestamp,
    (name, node): (&Source, Uuid),
    by: &Actor,
) -> Result<bool, StoreError> {
    let row = db
        .query_typed_one(
            "SELECT delete_source($1, $2, $3, $4, $5)",
            params![
                now.as_millisecond() => INT8,
                name.name() => TEXT,
                by.id => UUID,
                text(&by.name) => TEXT,
                node.to_string() => TEXT,
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}
