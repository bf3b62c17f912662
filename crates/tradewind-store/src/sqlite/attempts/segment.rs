//! One file of attempts.
//!
//! While it is written it has no index: a record costs one append to one table, and a lookup reads at
//! most one such file through. When it is full its indexes are made at once, from sorted rows, which
//! costs a fraction of what keeping them up to date would, and it becomes a single file that is only
//! read. What repeats is a small number; its word is in a table of the same file.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig, params};
use tradewind_model::{Timestamp, WebhookId};

use super::super::row::get;
use crate::{AttemptRecord, page::integer};

/// Says how the tables of a file look. One of another format is not read.
const FORMAT: i64 = 1;
/// Pages in the write-ahead log that start a checkpoint (1 MiB). Each syncs what it copies, and the sync
/// of a commit beside it waits for that, so there are many small ones. As pages are filled one after
/// the other, hardly one is copied twice.
const CHECKPOINT_PAGES: i64 = 256;
/// How long a statement waits for a listing.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// Flags of an attempt.
pub(super) const IS_REPLAY: i64 = 1;
pub(super) const REUSED: i64 = 2;
/// The word of an attempt that succeeded: 0 takes no room in a row.
pub(super) const DELIVERED: i64 = 0;

const SCHEMA: &str = "
    CREATE TABLE segment (created_at_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE webhook (row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT;
    CREATE TABLE word (row INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE attempt (
        row INTEGER PRIMARY KEY,
        webhook INTEGER NOT NULL,
        conversation_id BLOB NOT NULL,
        event_id BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        class INTEGER NOT NULL,
        status INTEGER,
        address INTEGER,
        dns_us INTEGER,
        connect_us INTEGER,
        tls_us INTEGER,
        first_byte_us INTEGER,
        total_us INTEGER NOT NULL,
        detail TEXT,
        next TEXT,
        response BLOB
    ) STRICT;";

/// By half of an id, which tells as much as the whole. Each is a transaction of its own, for the sake of
/// small checkpoints.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS attempt_event ON attempt (substr(event_id, 1, 8));
    CREATE INDEX IF NOT EXISTS attempt_conversation ON attempt (substr(conversation_id, 1, 8));
    CREATE INDEX IF NOT EXISTS attempt_failed ON attempt (webhook) WHERE class <> 0;";

/// Where a file of attempts is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

/// A file that is written, or looked at by the thread.
#[derive(Debug)]
pub(super) struct Segment {
    connection: Connection,
    pub(super) created_at_ms: i64,
    /// As many as it has, as none is removed.
    pub(super) rows: u64,
    webhooks: HashMap<WebhookId, i64>,
    words: HashMap<String, i64>,
}

impl Place {
    /// Opens the file for reading.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }
}

/// Opens a file, but for one of another format, which is refused as a damaged one.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // Plans do not depend on the values bound, so that none is made anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == FORMAT {
        return Ok(connection);
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
        Some(format!("format {format} is not known")),
    ))
}

impl Segment {
    /// Writes an empty file at `path`, where there is none yet.
    pub(super) fn create(path: &Path, now: Timestamp) -> rusqlite::Result<()> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        let tx = connection.unchecked_transaction()?;
        tx.execute_batch(SCHEMA)?;
        tx.execute(
            "-- create
             INSERT INTO segment (created_at_ms) VALUES (?1)",
            [now.as_millisecond()],
        )?;
        tx.execute(
            "-- create
             INSERT INTO word (row, text) VALUES (?1, ?2)",
            (DELIVERED, AttemptRecord::DELIVERED),
        )?;
        tx.pragma_update(None, "user_version", FORMAT)?;
        tx.commit()
    }

    pub(super) fn open(place: &Place) -> rusqlite::Result<Self> {
        let connection = connect(&place.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // The newest records may be lost with the machine, the file is not.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let (created_at_ms, rows) = connection.query_row(
            "-- load
             SELECT created_at_ms, (SELECT COALESCE(MAX(row), 0) FROM attempt) FROM segment",
            [],
            |row| Ok((row.get(0)?, get(row, 1)?)),
        )?;
        let webhooks = connection
            .prepare("-- load\n SELECT id, row FROM webhook")?
            .query_map([], |row| Ok((get(row, 0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let words = connection
            .prepare("-- load\n SELECT text, row FROM word")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(Self {
            connection,
            created_at_ms,
            rows,
            webhooks,
            words,
        })
    }

    /// Makes it one that is written while it is read.
    pub(super) fn begin_writing(&self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "WAL")
    }

    /// Writes all of `records` or none. After an error the segment is to be opened anew.
    pub(super) fn write(&mut self, records: &[AttemptRecord]) -> rusqlite::Result<()> {
        let Self {
            connection,
            webhooks,
            words,
            ..
        } = self;
        let tx = connection.transaction()?;
        for record in records {
            let webhook = webhook_row(&tx, webhooks, record.webhook)?;
            let class = word_row(&tx, words, &record.class)?;
            let address = match &record.address {
                Some(address) => Some(word_row(&tx, words, address)?),
                None => None,
            };
            insert(&tx, record, (webhook, class, address))?;
        }
        tx.commit()?;
        self.rows += u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    pub(super) fn bytes(&self) -> rusqlite::Result<u64> {
        let statement = "-- bytes
             SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        self.connection
            .prepare_cached(statement)?
            .query_row([], |row| get(row, 0))
    }

    /// When the newest attempt began, or else the file.
    pub(super) fn newest_at_ms(&self) -> rusqlite::Result<i64> {
        let newest = self
            .connection
            .query_row(
                "-- newest_at_ms
                 SELECT at_ms FROM attempt ORDER BY row DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(newest.unwrap_or(self.created_at_ms))
    }

    /// Makes it a file that is only read: with its indexes, and without a write-ahead log.
    pub(super) fn seal(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch(INDEXES)?;
        let sealed = self
            .connection
            .pragma_update(None, "journal_mode", "DELETE");
        if let Err(error) = sealed {
            tracing::debug!(error = %error, "a file of attempts keeps its write-ahead log: it is being read");
        }
        Ok(())
    }

    pub(super) fn close(self) {
        if let Err((_, error)) = self.connection.close() {
            tracing::debug!(error = %error, "a file of attempts was closed without a checkpoint");
        }
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn webhook_row(
    db: &Connection,
    known: &mut HashMap<WebhookId, i64>,
    id: WebhookId,
) -> rusqlite::Result<i64> {
    if let Some(row) = known.get(&id) {
        return Ok(*row);
    }
    let row = db
        .prepare_cached("-- webhook_row\n INSERT INTO webhook (id) VALUES (?1)")?
        .insert([id.uuid()])?;
    known.insert(id, row);
    Ok(row)
}

fn word_row(
    db: &Connection,
    known: &mut HashMap<String, i64>,
    text: &str,
) -> rusqlite::Result<i64> {
    if let Some(row) = known.get(text) {
        return Ok(*row);
    }
    let row = db
        .prepare_cached("-- word_row\n INSERT INTO word (text) VALUES (?1)")?
        .insert([text])?;
    known.insert(text.to_owned(), row);
    Ok(row)
}

fn insert(
    db: &Connection,
    record: &AttemptRecord,
    (webhook, class, address): (i64, i64, Option<i64>),
) -> rusqlite::Result<()> {
    let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let response = (!record.response.is_empty()).then_some(record.response.as_slice());
    db.prepare_cached(
        "-- insert
         INSERT INTO attempt (webhook, conversation_id, event_id, sequence, number, at_ms, flags,
             class, status, address, dns_us, connect_us, tls_us, first_byte_us, total_us, detail,
             next, response)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        webhook,
        record.conversation_id.uuid(),
        record.event_id,
        integer(record.sequence.0),
        record.number,
        record.at.as_millisecond(),
        flag(record.is_replay, IS_REPLAY) | flag(record.reused, REUSED),
        class,
        record.status,
        address,
        record.dns_us,
        record.connect_us,
        record.tls_us,
        record.first_byte_us,
        record.total_us,
        text(&record.detail),
        text(&record.next),
        response,
    ])?;
    Ok(())
}
