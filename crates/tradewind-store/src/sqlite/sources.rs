//! Sources that somebody else connects, and the verbs of [`OwnSources`].

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tradewind_model::{Action, Actor, ChannelId, Source, Timestamp};

use super::{SqliteStore, audit, channel, consumer, row::get, writer::Batch};
use crate::{
    ConsumerId, Created, OwnSource, OwnSources, Start, StoreError, TokenHash, page::row_limit,
};

#[async_trait]
impl OwnSources for SqliteStore {
    async fn create_source(
        &self,
        source: OwnSource,
        hash: TokenHash,
        max: u64,
        by: Actor,
    ) -> Result<Created, StoreError> {
        write!(self, (batch, now) => create_source(batch, now, &source, hash, (max, &by)))
    }

    async fn list_sources(&self, limit: usize) -> Result<Vec<OwnSource>, StoreError> {
        read!(self, db => list_sources(db, row_limit(limit)))
    }

    async fn find_source(&self, hash: TokenHash) -> Result<Option<OwnSource>, StoreError> {
        read!(self, db => find_source(db, hash))
    }

    async fn delete_source(&self, name: Source, by: Actor) -> Result<bool, StoreError> {
        write!(self, (batch, now) => delete_source(batch, now, &name, &by))
    }
}

fn create_source(
    batch: &Batch<'_>,
    now: Timestamp,
    new: &OwnSource,
    hash: TokenHash,
    (max, by): (u64, &Actor),
) -> Result<Created, StoreError> {
    let name = new.source.name();
    let (count, has_name): (u64, bool) = batch
        .prepare_cached(
            "-- create_source
             SELECT COUNT(*), COALESCE(SUM(name = ?1), 0) FROM own_source",
        )?
        .query_row([name], |row| Ok((get(row, 0)?, row.get(1)?)))?;
    if has_name {
        return Ok(Created::NameTaken);
    }
    if count >= max {
        return Ok(Created::Full);
    }
    batch
        .prepare_cached(
            "-- create_source
             INSERT INTO own_source (name, display_name, image_url, action_url, sealed_token, token_hash,
                 created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            name,
            new.name,
            new.image_url,
            new.action_url,
            new.sealed_token,
            hash.0,
            new.created_at.as_millisecond(),
        ])?;
    let replies = ConsumerId::Source(new.source.clone());
    consumer::forget(batch, &replies)?;
    consumer::create_consumer(batch, &replies, Start::Head)?;
    let action_url = new.action_url.as_deref().unwrap_or_default();
    audit::record(batch, now, by, Action::SourceCreated, (name, action_url))?;
    batch.webhook_changed();
    Ok(Created::Done)
}

fn list_sources(db: &Connection, limit: i64) -> Result<Vec<OwnSource>, StoreError> {
    let sources = db
        .prepare_cached(
            "-- list_sources
             SELECT name, display_name, image_url, action_url, sealed_token, created_at_ms
             FROM own_source ORDER BY created_at_ms, name LIMIT ?1",
        )?
        .query_map([limit], own_source)?
        .collect::<Result<_, _>>()?;
    Ok(sources)
}

fn find_source(db: &Connection, hash: TokenHash) -> Result<Option<OwnSource>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_source
             SELECT name, display_name, image_url, action_url, sealed_token, created_at_ms
             FROM own_source WHERE token_hash = ?1",
        )?
        .query_row([hash.0], own_source)
        .optional()?;
    Ok(found)
}

fn own_source(row: &Row<'_>) -> rusqlite::Result<OwnSource> {
    Ok(OwnSource {
        source: get(row, 0)?,
        name: row.get(1)?,
        image_url: row.get(2)?,
        action_url: row.get(3)?,
        sealed_token: row.get(4)?,
        created_at: get(row, 5)?,
    })
}

fn delete_source(
    batch: &Batch<'_>,
    now: Timestamp,
    name: &Source,
    by: &Actor,
) -> Result<bool, StoreError> {
    let deleted = batch
        .prepare_cached("-- delete_source\n DELETE FROM own_source WHERE name = ?1")?
        .execute([name.name()])?;
    if deleted == 0 {
        return Ok(false);
    }
    let channels: Vec<ChannelId> = batch
        .prepare_cached(
            "-- delete_source
             SELECT id FROM channel WHERE source = ?1 AND connected ORDER BY row",
        )?
        .query_map([name.name()], |row| get(row, 0))?
        .collect::<Result<_, _>>()?;
    for id in channels {
        channel::disconnect_channel(batch, now, id, by)?;
    }
    consumer::forget(batch, &ConsumerId::Source(name.clone()))?;
    audit::record(batch, now, by, Action::SourceDeleted, (name.name(), ""))?;
    batch.webhook_changed();
    Ok(true)
}
