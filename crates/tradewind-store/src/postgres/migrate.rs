//! Brings the schema of a database up to this program's. Nodes that start at once take turns.

use tokio_postgres::Client;
use tradewind_model::Timestamp;

use super::{
    connect::Connection,
    row::{number, params},
};
use crate::{
    OpenError, StoreError,
    migrations::{Migration, pending},
    page::integer,
};

/// The migrations, in order. The first has number 1.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/postgres/0001_init.sql")];

/// In one transaction, which after an error ends with the connection.
pub(crate) async fn migrate(db: &Connection, now: Timestamp) -> Result<(), OpenError> {
    db.begin().await?;
    apply_pending(db, now).await?;
    Ok(db.end(Ok(())).await?)
}

/// Whether it is a database of this program's version.
pub(crate) async fn is_current(db: &Client) -> Result<bool, OpenError> {
    let exists = db
        .query_typed_one("SELECT to_regclass('migration') IS NOT NULL", &[])
        .await
        .map_err(StoreError::from)?;
    let exists: bool = exists.try_get(0).map_err(StoreError::from)?;
    Ok(exists && pending(MIGRATIONS, &applied(db).await?)?.is_empty())
}

async fn apply_pending(db: &Client, now: Timestamp) -> Result<(), OpenError> {
    // Whoever comes second waits here and then finds all of them applied.
    let turn = "SELECT pg_advisory_xact_lock(hashtextextended('tradewind migrations', 0))";
    db.query_typed(turn, &[]).await.map_err(StoreError::from)?;
    db.batch_execute(
        "CREATE TABLE IF NOT EXISTS migration (
             number BIGINT PRIMARY KEY,
             checksum BYTEA NOT NULL,
             applied_at_ms BIGINT NOT NULL
         )",
    )
    .await
    .map_err(StoreError::from)?;
    for migration in pending(MIGRATIONS, &applied(db).await?)? {
        apply(db, &migration, now).await?;
    }
    Ok(())
}

async fn applied(db: &Client) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT number, checksum FROM migration ORDER BY number",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((number(row, 0)?, row.try_get(1)?)))
        .collect()
}

async fn apply(db: &Client, migration: &Migration, now: Timestamp) -> Result<(), StoreError> {
    db.batch_execute(migration.sql).await?;
    db.execute_typed(
        "INSERT INTO migration (number, checksum, applied_at_ms) VALUES ($1, $2, $3)",
        params![
            integer(migration.number) => INT8,
            migration.checksum.as_slice() => BYTEA,
            now.as_millisecond() => INT8,
        ],
    )
    .await?;
    Ok(())
}
