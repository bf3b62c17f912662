//! The index of words, in a file of its own.
//!
//! It can be made anew from the messages at any time, so it is when it is missing, damaged, of another
//! version, or of other messages, as when a backup was restored beside it. It says which message it has
//! come to, by its row and its id.

use std::{fs, io, path::Path};

use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use super::super::{open::create_file, row::get};
use crate::page::integer;

/// Grows with each change of what is in the file.
const VERSION: i64 = 1;
/// Page cache, in KiB: what one batch touches.
const CACHE_KIB: i64 = 4 << 10;
/// Words are taken apart before they come here: all that is not ASCII belongs to them.
const SCHEMA: &str = "
    CREATE VIRTUAL TABLE word USING fts5 (
        words, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii');
    CREATE TABLE mark (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        -- The last message that is in the index.
        row INTEGER NOT NULL,
        id BLOB NOT NULL,
        -- Of the messages up to this row none is in it that was removed before.
        cleaned_row INTEGER NOT NULL
    ) STRICT;
    INSERT INTO mark (one, row, id, cleaned_row) VALUES (1, 0, zeroblob(16), 0);";

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) row: u64,
    pub(super) id: Uuid,
    pub(super) cleaned_row: u64,
}

/// What is to be added.
#[derive(Debug)]
pub(super) struct Batch {
    /// The index is of other messages: it begins anew.
    pub(super) anew: bool,
    /// Rows of messages, and their words.
    pub(super) added: Vec<(i64, String)>,
    /// There may be more after them.
    pub(super) more: bool,
    pub(super) mark: Mark,
}

#[derive(Debug)]
pub(super) struct Index {
    db: Connection,
}

impl Index {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        // Of what is in it nothing is lost for good, so it may be newer than the last sync; but it is
        // whole after a crash of the machine.
        create_file(path).map_err(|error| unwritable(&error))?;
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == VERSION {
            return Ok(Self { db });
        }
        if version != 0 {
            drop(db);
            remove(path).map_err(|error| unwritable(&error))?;
            return Self::open(path);
        }
        db.execute_batch(&format!(
            "BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
        Ok(Self { db })
    }

    pub(super) fn mark(&self) -> rusqlite::Result<Mark> {
        self.db
            .prepare_cached("-- mark\n SELECT row, id, cleaned_row FROM mark")?
            .query_row([], |row| {
                Ok(Mark {
                    row: get(row, 0)?,
                    id: row.get(1)?,
                    cleaned_row: get(row, 2)?,
                })
            })
    }

    pub(super) fn add(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        if batch.anew {
            tx.execute_batch("-- add\n DROP TABLE word; DROP TABLE mark;")?;
            tx.execute_batch(SCHEMA)?;
        }
        {
            let mut insert =
                tx.prepare_cached("-- add\n INSERT INTO word (rowid, words) VALUES (?1, ?2)")?;
            for (row, words) in &batch.added {
                insert.execute((row, words))?;
            }
            tx.prepare_cached("-- add\n UPDATE mark SET row = ?1, id = ?2")?
                .execute((integer(batch.mark.row), batch.mark.id))?;
        }
        tx.commit()
    }

    /// Messages in the index after `after` and up to `to`, at most `limit`.
    pub(super) fn rows(&self, after: u64, to: u64, limit: i64) -> rusqlite::Result<Vec<i64>> {
        self.db
            .prepare_cached(
                "-- rows
                 SELECT id FROM word_docsize WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
            )?
            .query_map((integer(after), integer(to), limit), |row| row.get(0))?
            .collect()
    }

    /// Removes messages that are gone; all up to `cleaned` were looked at.
    pub(super) fn remove(&mut self, gone: &[i64], cleaned: u64) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        {
            let mut delete = tx.prepare_cached("-- remove\n DELETE FROM word WHERE rowid = ?1")?;
            for row in gone {
                delete.execute([row])?;
            }
            tx.prepare_cached("-- remove\n UPDATE mark SET cleaned_row = ?1")?
                .execute([integer(cleaned)])?;
        }
        tx.commit()
    }

    /// Messages below `before` that have all that is asked for, the newest first.
    pub(super) fn find(&self, query: &str, before: i64, limit: i64) -> rusqlite::Result<Vec<i64>> {
        self.db
            .prepare_cached(
                "-- find
                 SELECT rowid FROM word WHERE word MATCH ?1 AND rowid < ?2
                 ORDER BY rowid DESC LIMIT ?3",
            )?
            .query_map((query, before, limit), |row| row.get(0))?
            .collect()
    }

    /// Whether the file is sound, as far as its first page and its mark tell.
    pub(super) fn is_sound(&self) -> bool {
        self.db
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM mark, word_docsize)",
                [],
                |_| Ok(()),
            )
            .is_ok()
    }
}

/// Whether it is the file that is at fault, which then is made anew.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Removes the file and what `SQLite` keeps beside it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn unwritable(error: &io::Error) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}
