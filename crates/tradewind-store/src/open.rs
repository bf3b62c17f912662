//! Why a store cannot be opened.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::StoreError;

/// The file that holds an embedded store.
pub(crate) const DATABASE: &str = "tradewind.db";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the directory {path} or write to it", path = .path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "another tradewind (pid {pid}) uses the directory {path}: stop it first, or give this one \
         a directory of its own",
        path = .path.display()
    )]
    Locked { path: PathBuf, pid: String },
    #[error(
        "the database was written by a newer tradewind (its schema is {found}, this program knows \
         {known}): start that version, or restore a backup from before the upgrade"
    )]
    NewerSchema { found: usize, known: usize },
    #[error(
        "the database was made by another build of tradewind (its migration {number} is not this \
         program's): start a released version"
    )]
    ChangedMigration { number: u64 },
    #[error("the file {DATABASE} is damaged or not a database: restore a backup")]
    NotADatabase(#[source] rusqlite::Error),
    #[error("the database cannot be opened")]
    Sqlite(#[source] rusqlite::Error),
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error(
        "the address of the database is not one: it looks like postgres://user:password@host/name"
    )]
    Address(#[source] tokio_postgres::Error),
    #[error("the certificates of {file} cannot be used")]
    Certificates {
        file: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the connections to the database cannot be set up")]
    Pool(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "there is no store of this version in it: if there is one of an older version, start this one on \
         it once, so that it is brought up to date"
    )]
    NotCurrent,
    #[error("a move to here was not finished: run the same `tradewind migrate` again")]
    Unfinished,
    #[error("the database cannot be used")]
    Postgres(#[from] StoreError),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotADatabase(error),
            _ => Self::Sqlite(error),
        }
    }
}
