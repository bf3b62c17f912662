//! A copy of a directory's database, made while a server works on it.
//!
//! It is what the database was at one moment: the copy reads on in one transaction. Meanwhile the
//! write-ahead log cannot be brought into the database, and a server writes nothing more once it is
//! full, so a copy that takes too long is given up before that.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
    config::DbConfig,
};

use super::{
    open::{create_directory, create_file},
    wal::LOG_BYTES_MAX,
};
use crate::open::DATABASE;

/// Pages copied at once (4 MiB).
const STEP: i32 = 1_024;
/// Bytes in the write-ahead log at which the copy is given up.
const LOG_BYTES_LEFT: u64 = LOG_BYTES_MAX / 4 * 3;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
    #[error("{} exists already: name a directory that does not", .0.display())]
    Exists(PathBuf),
    #[error("the copy cannot be written to {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "too much was written meanwhile: copy to a faster disk, at a quieter time, or take a snapshot \
         of the file system"
    )]
    TooSlow,
    #[error("another program keeps the database locked")]
    Busy,
    #[error("the database cannot be copied")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the copy is damaged, as the database may be: {0}")]
    Damaged(String),
}

/// Copies the database in the directory `from` into a new directory `to`, of which a server can be
/// started, and looks through the copy for damage. `tell` is told the pages that are copied and all of
/// them. The record of attempts is not copied.
///
/// Blocks.
pub fn back_up(from: &Path, to: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(), BackupError> {
    let database = from.join(DATABASE);
    if !database.is_file() {
        return Err(BackupError::NoStore(from.to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    // Under another name until it is whole: nobody takes a part for a backup.
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(format!(".unfinished-{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let failed = |source| BackupError::Write {
        path: to.to_owned(),
        source,
    };
    create_directory(&unfinished).map_err(failed)?;
    create_file(&unfinished.join(DATABASE)).map_err(failed)?;
    let copied = copy(&database, &unfinished.join(DATABASE), tell);
    if let Err(error) = copied {
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    sync(&unfinished.join(DATABASE)).map_err(failed)?;
    sync(&unfinished).map_err(failed)?;
    fs::rename(&unfinished, to).map_err(failed)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync(parent.unwrap_or(Path::new("."))).map_err(failed)
}

fn copy(from: &Path, to: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags)?;
    source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    source.pragma_update(None, "query_only", true)?;
    let reading = source.unchecked_transaction()?;
    reading.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    // It is synced when it is whole.
    target.pragma_update(None, "synchronous", "OFF")?;
    target.pragma_update(None, "journal_mode", "OFF")?;
    let log = from.with_extension("db-wal");
    {
        let backup = Backup::new(&reading, &mut target)?;
        loop {
            match backup.step(STEP)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(BackupError::Busy),
            }
            let progress = backup.progress();
            let total = u64::try_from(progress.pagecount).unwrap_or(0);
            let left = u64::try_from(progress.remaining).unwrap_or(0);
            tell(total.saturating_sub(left), total);
            if fs::metadata(&log).is_ok_and(|log| log.len() > LOG_BYTES_LEFT) {
                return Err(BackupError::TooSlow);
            }
        }
    }
    // The server's log is not kept from the database any longer.
    drop(reading);
    drop(source);
    let found: String = target.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(BackupError::Damaged(found));
    }
    Ok(())
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
