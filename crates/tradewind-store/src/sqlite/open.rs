//! Opens a data directory: the lock, the files, the connections.
//!
//! One process at a time: the lock is the operating system's, so it ends with the process however
//! that ends, and a lock file that is left over means nothing.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{OpenError, open::DATABASE};

const LOCK: &str = "lock";

/// How long a statement waits for another program that has the database open, such as a backup.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Statements kept prepared on each connection: more than there are in this program.
const STATEMENTS_MAX: usize = 64;
/// Bytes the write-ahead log is cut back to after a checkpoint.
const WAL_BYTES_MAX: i64 = 64 << 20;
/// Page caches, in KiB. What does not fit is in the cache of the system, which costs a call. Readers lose
/// theirs with each commit, so they need what one read takes.
const WRITER_CACHE_KIB: i64 = 16 << 10;
const READER_CACHE_KIB: i64 = 2 << 10;

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory if it is missing, for this user only, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory {
            path: path.to_owned(),
            source,
        };
        create_directory(path).map_err(failed)?;
        let mut lock = create_file(&path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked {
                    path: path.to_owned(),
                    pid: holder(&mut lock),
                });
            }
        }
        lock.set_len(0).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        // SQLite would create its file for everyone to read; the ones beside it follow its mode.
        create_file(&path.join(DATABASE)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn writer(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.connect(flags, WRITER_CACHE_KIB)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
        // The writer does that, between two writes, and sees when it fails.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        // What is removed, such as a channel's token, is overwritten where that costs no extra write.
        connection.pragma_update(None, "secure_delete", "FAST")?;
        Ok(connection)
    }

    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.connect(flags, READER_CACHE_KIB)
    }

    fn connect(&self, flags: OpenFlags, cache_kib: i64) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(self.path.join(DATABASE), flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // Plans do not depend on the values bound. Otherwise SQLite makes many of them anew at every
        // use, which more than doubles what an append costs.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // There are no checksums in the database, so damage is seen where a page makes no sense. This
        // looks at each cell of a page that is read, which costs next to nothing.
        connection.pragma_update(None, "cell_size_check", true)?;
        // Negative: KiB instead of pages.
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        Ok(connection)
    }
}

/// The process that holds the lock, as it wrote it there.
fn holder(lock: &mut File) -> String {
    /// No process id is longer.
    const PID_BYTES_MAX: u64 = 20;

    let mut text = String::new();
    match lock.take(PID_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for reading and writing, creating it for this user only.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
