//! Brings the schema of a database up to this program's.
//!
//! Each migration is a transaction of its own. Which are needed says [`pending`].

use rusqlite::{Connection, TransactionBehavior};
use tradewind_model::Timestamp;

use super::row;
use crate::{
    OpenError,
    migrations::{Migration, pending},
    page::integer,
};

/// The migrations, in order. The first has number 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.sql"),
    include_str!("../../migrations/sqlite/0002_delivery.sql"),
    include_str!("../../migrations/sqlite/0003_links.sql"),
    include_str!("../../migrations/sqlite/0004_agents.sql"),
    include_str!("../../migrations/sqlite/0005_sources.sql"),
];

pub(crate) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), OpenError> {
    run(connection, MIGRATIONS, now)
}

/// Whether it is a database of this program's version.
pub(crate) fn is_current(connection: &Connection) -> Result<bool, OpenError> {
    let exists: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'migration')",
        [],
        |row| row.get(0),
    )?;
    Ok(exists && pending(MIGRATIONS, &applied(connection)?)?.is_empty())
}

fn run(
    connection: &mut Connection,
    migrations: &[&'static str],
    now: Timestamp,
) -> Result<(), OpenError> {
    connection.execute_batch(
        "-- migrate
         CREATE TABLE IF NOT EXISTS migration (
             number INTEGER PRIMARY KEY,
             checksum BLOB NOT NULL,
             applied_at_ms INTEGER NOT NULL
         ) STRICT",
    )?;
    for migration in pending(migrations, &applied(connection)?)? {
        apply(connection, &migration, now)?;
    }
    Ok(())
}

fn applied(connection: &Connection) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    connection
        .prepare("SELECT number, checksum FROM migration ORDER BY number")?
        .query_map([], |row| Ok((row::get(row, 0)?, row.get(1)?)))?
        .collect()
}

fn apply(
    connection: &mut Connection,
    migration: &Migration,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(migration.sql)?;
    tx.execute(
        "-- apply
         INSERT INTO migration (number, checksum, applied_at_ms) VALUES (?1, ?2, ?3)",
        (
            integer(migration.number),
            migration.checksum,
            now.as_millisecond(),
        ),
    )?;
    tx.commit()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use tradewind_model::Timestamp;

    use super::run;

    const FIRST: &str = "CREATE TABLE a (x INTEGER) STRICT";
    const SECOND: &str = "CREATE TABLE b (x INTEGER) STRICT";

    fn migrate(connection: &mut Connection, migrations: &[&'static str]) -> Result<(), String> {
        run(connection, migrations, Timestamp::UNIX_EPOCH).map_err(|error| error.to_string())
    }

    #[test]
    fn each_migration_runs_once_and_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        connection
            .execute("INSERT INTO b (x) VALUES (1)", [])
            .unwrap();
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = "CREATE TABLE b (x INTEGER) STRICT; CREATE TABLE a (x INTEGER) STRICT";
        migrate(&mut connection, &[FIRST]).unwrap();
        migrate(&mut connection, &[FIRST, broken]).unwrap_err();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn a_migration_that_was_edited_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        let error = migrate(&mut connection, &[SECOND]).unwrap_err();
        assert!(error.contains("migration 1"), "{error}");
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let error = migrate(&mut connection, &[FIRST]).unwrap_err();
        assert!(error.contains("newer"), "{error}");
    }
}
