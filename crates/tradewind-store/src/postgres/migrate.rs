//! Brings the schema up to this program's. As for `SQLite`: forward only, each migration once, recorded
//! with the checksum of its text. Nodes that start at once take turns.

use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;
use tradewind_model::Timestamp;

use super::row::{number, params};
use crate::{OpenError, StoreError, page::integer};

/// The migrations, in order. The first has number 1.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/postgres/0001_init.sql")];

/// Within a transaction.
pub(super) async fn migrate(db: &Client, now: Timestamp) -> Result<(), OpenError> {
    run(db, MIGRATIONS, now).await
}

async fn run(db: &Client, migrations: &[&str], now: Timestamp) -> Result<(), OpenError> {
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
    let applied = applied(db).await?;
    let known = migrations.len();
    if applied.len() > known {
        let found = applied.len();
        return Err(OpenError::NewerSchema { found, known });
    }
    for (number, sql) in (1_u64..).zip(migrations) {
        let checksum: [u8; 32] = Sha256::digest(sql).into();
        match applied.iter().find(|(known, _)| *known == number) {
            Some((_, recorded)) if *recorded == checksum => {}
            Some(_) => return Err(OpenError::ChangedMigration { number }),
            None => apply(db, number, sql, checksum, now).await?,
        }
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

async fn apply(
    db: &Client,
    number: u64,
    sql: &str,
    checksum: [u8; 32],
    now: Timestamp,
) -> Result<(), StoreError> {
    db.batch_execute(sql).await?;
    db.execute_typed(
        "INSERT INTO migration (number, checksum, applied_at_ms) VALUES ($1, $2, $3)",
        params![
            integer(number) => INT8,
            checksum.as_slice() => BYTEA,
            now.as_millisecond() => INT8,
        ],
    )
    .await?;
    Ok(())
}
