//! What can go wrong below the store, told to its operator in words and not too often.
//!
//! A disk that fails refuses every request, so the cause is told here, once in a while, and not by
//! each of them.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{ErrorCode, ffi};

use crate::StoreError;

/// How often the same trouble is told while it lasts.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// How long nothing is accepted after damage was met.
const DAMAGE_PAUSE: Duration = Duration::from_secs(10);

/// Trouble below the store. Nobody who calls it is to blame; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the disk is full: make room")]
    Full,
    #[error("the disk did not sync what was written")]
    Sync,
    /// With the extended code of `SQLite`.
    #[error("the disk cannot be written; is it read-only, or broken? (SQLite {0})")]
    Write(i32),
    #[error("the disk cannot be read (SQLite {0})")]
    Read(i32),
    #[error("another program keeps the database locked")]
    Locked,
    #[error(
        "the write-ahead log is at its limit and cannot be brought into the database: make room on \
         the disk, or end the other program that reads the database"
    )]
    LogFull,
    /// `SQLite` says the same of a page that makes no sense and of one that the disk does not give.
    #[error(
        "the database is damaged or cannot be read: if that lasts, stop the server and restore a \
         backup of its directory"
    )]
    Damaged,
}

/// What the connections of one store have met.
#[derive(Debug, Default)]
pub(super) struct Faults {
    writing: Trouble,
    reading: Trouble,
    checkpoint: Trouble,
    damaged_at: Mutex<Option<Instant>>,
}

/// Something that may fail for a while.
#[derive(Debug, Default)]
struct Trouble {
    lasts: AtomicBool,
    told_at: Mutex<Option<Instant>>,
}

impl Fault {
    /// `None`: the statement itself is wrong.
    pub(super) fn of(error: &rusqlite::Error) -> Option<Self> {
        let error = error.sqlite_error()?;
        let code = error.extended_code;
        Some(match error.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseBusy => Self::Locked,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged,
            ErrorCode::ReadOnly | ErrorCode::CannotOpen => Self::Write(code),
            ErrorCode::SystemIoFailure => match code {
                ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => Self::Sync,
                ffi::SQLITE_IOERR_READ
                | ffi::SQLITE_IOERR_SHORT_READ
                | ffi::SQLITE_IOERR_CORRUPTFS => Self::Read(code),
                _ => Self::Write(code),
            },
            _ => return None,
        })
    }

    /// The fault that made a verb fail, if one did.
    pub(super) fn behind(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Unavailable(source) => source.downcast_ref().copied(),
            _ => None,
        }
    }

    /// Whether every other write would meet it too. What cannot be read may concern one row only.
    pub(super) fn concerns_all(self) -> bool {
        !matches!(self, Self::Read(_))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.into())
    }
}

impl Faults {
    /// Writes were refused because of this.
    pub(super) fn refused(&self, fault: Fault) {
        if self.writing.is_due() {
            tracing::error!(error = %fault, "the store cannot write; all that would be written is refused until it can");
        }
    }

    pub(super) fn write_worked(&self) {
        if self.writing.ends() {
            tracing::info!("the store can write again");
        }
    }

    pub(super) fn read_failed(&self, fault: Fault) {
        self.note(fault);
        if self.reading.is_due() {
            tracing::error!(error = %fault, "the store cannot read");
        }
    }

    pub(super) fn read_worked(&self) {
        self.reading.ends();
    }

    pub(super) fn checkpoint_failed(&self, fault: Fault) {
        self.note(fault);
        if self.checkpoint.is_due() {
            tracing::error!(
                error = %fault,
                "the write-ahead log cannot be brought into the database; it grows up to its limit"
            );
        }
    }

    pub(super) fn checkpoint_worked(&self) {
        self.checkpoint.ends();
    }

    /// Whether damage was met a moment ago, by whichever connection. What is accepted after that would
    /// be lost when a backup is restored, so nothing is. But the disk may only have failed to be read.
    pub(super) fn is_damaged(&self) -> bool {
        let met_at = *self
            .damaged_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        met_at.is_some_and(|at| at.elapsed() < DAMAGE_PAUSE)
    }

    /// A connection met this.
    pub(super) fn note(&self, fault: Fault) {
        if fault == Fault::Damaged {
            *self
                .damaged_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

impl Trouble {
    /// It failed; whether that is to be told now.
    fn is_due(&self) -> bool {
        self.lasts.store(true, Ordering::Relaxed);
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told_at.is_none_or(|at| at.elapsed() > TELL_EVERY);
        if is_due {
            *told_at = Some(Instant::now());
        }
        is_due
    }

    /// It works; whether it did not before.
    fn ends(&self) -> bool {
        self.lasts.load(Ordering::Relaxed) && self.lasts.swap(false, Ordering::Relaxed)
    }
}
