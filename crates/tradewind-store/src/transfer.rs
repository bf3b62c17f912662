//! Moves a whole store from one backend to the other, row by row.
//!
//! Tables are copied in an order in which nothing points to what is not there yet, each by its key, so
//! that a copy that was interrupted goes on after the last row that arrived. Then both ends are read
//! again and compared: counts, and a checksum over every value. Until that is done the target says that
//! it is unfinished, and no server starts on it.
//!
//! The record of attempts, which only tells what was, is not moved.

mod embedded;
mod postgres;
mod table;
mod values;

use std::path::PathBuf;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tradewind_model::Timestamp;

use crate::{OpenError, StoreError, open::DATABASE};
use embedded::Embedded;
use postgres::Postgres;
use table::{Row, TABLES, Table, Value};

pub(crate) use embedded::refuse_unfinished as refuse_unfinished_directory;
pub(crate) use postgres::refuse_unfinished;

/// Rows that are read and written at once.
const BATCH: usize = 256;

/// One end of a move.
#[derive(Clone, Debug)]
pub enum Place {
    /// The directory of an embedded store.
    Directory(PathBuf),
    /// The address of a `PostgreSQL` database, as in [`crate::PostgresSettings`]. It may hold a password.
    Postgres(Address),
}

/// An address that is not shown.
#[derive(Clone)]
pub struct Address(pub String);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("postgres://…")
    }
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub table: &'static str,
    /// Copying, or comparing afterwards.
    pub compares: bool,
    /// Rows of this table that are done, and that there are.
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("there is no store in {}", .0.display())]
    NoSource(PathBuf),
    #[error("{place} cannot be opened")]
    Open {
        place: &'static str,
        #[source]
        source: OpenError,
    },
    #[error(
        "a server works on the source: stop all of its nodes first, in order, so that all they \
         delivered is recorded"
    )]
    InUse,
    #[error("the source is itself a move that was not finished")]
    SourceUnfinished,
    #[error("the target is not empty ({table} has {rows} rows): name a new database or directory")]
    NotEmpty { table: &'static str, rows: u64 },
    #[error(
        "the target holds an unfinished move of another source, or the source has changed since: name \
         an empty target"
    )]
    OtherSource,
    #[error("{table} differs: {source_rows} rows in the source, {target_rows} in the target{}; if a server was started on one of them meanwhile, begin anew with an empty target", if .source_rows == .target_rows { ", of other content" } else { "" })]
    Differs {
        table: &'static str,
        source_rows: u64,
        target_rows: u64,
    },
    #[error("the store failed; the same command goes on where it stopped")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for TransferError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<tokio_postgres::Error> for TransferError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What is not in rows: where the log and what was swept of it end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    /// The newest sequence that was ever given out, and the newest that was swept.
    head: i64,
    swept: i64,
    swept_message: i64,
    conversations: i64,
    /// Changes with whatever a server does, as far as the backend can tell.
    stamp: i64,
}

/// Which end it is: a source is not changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Source,
    Target,
}

/// What a move came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Rows that are the same on both sides.
    pub rows: u64,
    /// Events that may come again at most, as nodes stood at different places.
    pub repeats: u64,
}

/// One end, opened.
#[async_trait(?Send)]
trait End {
    /// When its migrations were applied: it tells one store from others.
    async fn made_at(&self) -> Result<String, TransferError>;

    /// Fails when a server may change it.
    async fn check_idle(&self) -> Result<(), TransferError>;

    async fn marks(&self) -> Result<Marks, TransferError>;

    /// Events that may have been delivered beyond what the consumers' cursors in the target will say.
    async fn ahead(&self) -> Result<u64, TransferError>;

    async fn count(&self, table: &'static Table) -> Result<u64, TransferError>;

    /// Rows after the one with this key, in the order of keys.
    async fn read(
        &self,
        table: &'static Table,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, TransferError>;

    /// The key of the last row.
    async fn last(&self, table: &'static Table) -> Result<Option<Vec<Value>>, TransferError>;

    /// From which source a move to here is under way.
    async fn begun(&self) -> Result<Option<Vec<u8>>, TransferError>;

    /// Makes room for a move, and says so.
    async fn begin(&mut self, source: [u8; 32], marks: Marks) -> Result<(), TransferError>;

    async fn write(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), TransferError>;

    /// Sets what is not in rows, and makes it a store that can be served.
    async fn finish(&mut self, marks: Marks) -> Result<(), TransferError>;
}

async fn open(place: &Place, role: Role, now: Timestamp) -> Result<Box<dyn End>, OpenError> {
    Ok(match place {
        Place::Directory(path) => Box::new(Embedded::open(path, role, now)?),
        Place::Postgres(Address(url)) => Box::new(Postgres::open(url, role, now).await?),
    })
}

/// Copies everything but the record of attempts, compares, and makes the target a store. Called again
/// after it was interrupted, it goes on. The source stays as it is.
pub async fn transfer(
    from: &Place,
    to: &Place,
    now: Timestamp,
    tell: &mut dyn FnMut(Step),
) -> Result<Moved, TransferError> {
    let failed = |place| move |source| TransferError::Open { place, source };
    if let Place::Directory(path) = from
        && !path.join(DATABASE).is_file()
    {
        return Err(TransferError::NoSource(path.clone()));
    }
    let source = open(from, Role::Source, now)
        .await
        .map_err(failed("the source"))?;
    let mut target = open(to, Role::Target, now)
        .await
        .map_err(failed("the target"))?;
    if source.begun().await?.is_some() {
        return Err(TransferError::SourceUnfinished);
    }
    source.check_idle().await?;
    target.check_idle().await?;
    let marks = source.marks().await?;
    let identity = format!("{} {marks:?}", source.made_at().await?);
    let identity = Sha256::digest(identity).into();
    match target.begun().await? {
        Some(begun) if begun == identity => {}
        Some(_) => return Err(TransferError::OtherSource),
        None => {
            refuse_content(&*target).await?;
            target.begin(identity, marks).await?;
        }
    }
    for table in TABLES {
        copy(&*source, &mut *target, table, tell).await?;
    }
    let mut rows = 0;
    for table in TABLES {
        rows += compare(&*source, &*target, table, tell).await?;
    }
    source.check_idle().await?;
    if source.marks().await? != marks {
        return Err(TransferError::InUse);
    }
    let repeats = source.ahead().await?;
    target.finish(marks).await?;
    Ok(Moved { rows, repeats })
}

async fn refuse_content(target: &dyn End) -> Result<(), TransferError> {
    for table in TABLES {
        let rows = target.count(table).await?;
        if rows > 0 {
            let table = table.name;
            return Err(TransferError::NotEmpty { table, rows });
        }
    }
    Ok(())
}

async fn copy(
    source: &dyn End,
    target: &mut dyn End,
    table: &'static Table,
    tell: &mut dyn FnMut(Step),
) -> Result<(), TransferError> {
    let total = source.count(table).await?;
    let mut done = target.count(table).await?;
    let mut last = target.last(table).await?;
    loop {
        tell(Step {
            table: table.name,
            compares: false,
            done,
            total,
        });
        let rows = source.read(table, last.as_deref(), BATCH).await?;
        let Some(row) = rows.last() else {
            return Ok(());
        };
        last = Some(table.key_of(row));
        target.write(table, &rows).await?;
        done += u64::try_from(rows.len()).unwrap_or(0);
    }
}

/// Reads both ends and compares them.
async fn compare(
    source: &dyn End,
    target: &dyn End,
    table: &'static Table,
    tell: &mut dyn FnMut(Step),
) -> Result<u64, TransferError> {
    let total = source.count(table).await?;
    let mut ends = [
        (source, None, Sha256::new(), 0),
        (target, None, Sha256::new(), 0),
    ];
    loop {
        let mut read = 0;
        for (end, last, hash, count) in &mut ends {
            let rows = end.read(table, last.as_deref(), BATCH).await?;
            for row in &rows {
                for value in row {
                    value.add_to(hash);
                }
            }
            if let Some(row) = rows.last() {
                *last = Some(table.key_of(row));
            }
            read += rows.len();
            *count += u64::try_from(rows.len()).unwrap_or(0);
        }
        tell(Step {
            table: table.name,
            compares: true,
            done: ends[0].3,
            total,
        });
        if read == 0 {
            break;
        }
    }
    let [
        (.., source_hash, source_rows),
        (.., target_hash, target_rows),
    ] = ends;
    if source_rows == target_rows && source_hash.finalize() == target_hash.finalize() {
        return Ok(source_rows);
    }
    Err(TransferError::Differs {
        table: table.name,
        source_rows,
        target_rows,
    })
}
