//! The write-ahead log of the database: rid of what was refused, brought into the database, bounded.
//!
//! A commit whose sync fails is refused, but its frames, the one that commits included, are in the
//! file. `SQLite` forgets them only in memory, so after a crash its recovery would read them and bring
//! a message back that its sender was told is not stored. The next write takes their place, and the
//! checksums, which run on from frame to frame, then rule out the rest of them. So a small write is
//! made at once, before anybody is answered, and again until the disk takes it. If it takes none, not
//! even that, and the process dies before it does, the refused write may be there afterwards.

mod checkpointer;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use self::checkpointer::{Checkpointer, Look};
use super::fault::{Fault, Faults};

/// Pages in the log that start a checkpoint (48 MiB), during which commits wait for the disk some ms
/// longer. Pages that are written again and again are copied once each time. Less than `WAL_BYTES_MAX`,
/// so that the file is not cut and grown anew each time. Tests have less patience.
const CHECKPOINT_PAGES: i64 = if cfg!(test) { 4_096 } else { 12_288 };
/// Pages in the log (256 MiB) beyond which nothing is written before they are in the database. Tests
/// have less patience here too.
const LOG_PAGES_MAX: i64 = if cfg!(test) { 5_000 } else { 65_536 };
/// The same in bytes, for who copies the database meanwhile.
pub(super) const LOG_BYTES_MAX: u64 = 256 << 20;
/// How long to leave a checkpoint alone that failed.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);

const _: () = assert!(CHECKPOINT_PAGES < LOG_PAGES_MAX);

pub(super) struct Wal {
    faults: Arc<Faults>,
    checkpointer: Checkpointer,
    /// Something refused may still be in the file as if it were not.
    is_unsettled: bool,
    /// Pages in use, those that are in the database already included.
    pages: i64,
    /// No checkpoint before that.
    pause: Option<Instant>,
}

impl Wal {
    /// `connection` is for checkpoints beside the writer.
    pub(super) fn new(connection: Connection, faults: Arc<Faults>) -> io::Result<Self> {
        Ok(Self {
            faults,
            checkpointer: Checkpointer::start(connection)?,
            is_unsettled: false,
            pages: 0,
            pause: None,
        })
    }

    /// Waits for what is under way and closes its files.
    pub(super) fn close(self) {
        self.checkpointer.close();
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// Whether a write may be tried.
    pub(super) fn prepare(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.settle(connection)?;
        if self.faults.is_damaged() {
            return Err(Fault::Damaged);
        }
        if self.pages > LOG_PAGES_MAX {
            self.checkpointer.wait();
            self.shrink(connection)?;
        }
        Ok(())
    }

    /// A write failed, and nobody has been told yet.
    pub(super) fn failed(&mut self, connection: &Connection) {
        self.is_unsettled = true;
        // If it does not work now, it is tried again before anything else is.
        let _ = self.settle(connection);
    }

    /// Puts a write of its own, which changes nothing, in the place of what was refused.
    pub(super) fn settle(&mut self, connection: &Connection) -> Result<(), Fault> {
        if self.is_unsettled {
            // Writes the first page, in which SQLite counts it: a frame that is like no other.
            connection
                .pragma_update(None, "user_version", 0)
                .map_err(|error| fault(&error))?;
            self.is_unsettled = false;
        }
        Ok(())
    }

    /// After a commit: brings the log into the database when it has grown.
    ///
    /// Most of that is done beside the writer. What it wrote meanwhile, it brings there itself: only when
    /// nothing is left in the log can it begin anew.
    pub(super) fn tend(&mut self, connection: &Connection) {
        let Ok(look) = checkpoint(connection, "NOOP") else {
            return;
        };
        self.pages = look.pages;
        let is_large = self.pages >= CHECKPOINT_PAGES;
        match self.checkpointer.look() {
            Look::Idle if is_large && !self.is_pausing() => self.checkpointer.ask(),
            Look::Done(Ok(())) if is_large => match checkpoint(connection, "PASSIVE") {
                Ok(_) => self.faults.checkpoint_worked(),
                Err(error) => self.pause_after(fault(&error)),
            },
            Look::Done(Ok(())) => self.faults.checkpoint_worked(),
            Look::Done(Err(fault)) => self.pause_after(fault),
            Look::Idle | Look::UnderWay => {}
        }
    }

    /// Empties the log. Waits a little for those who read it.
    fn shrink(&mut self, connection: &Connection) -> Result<(), Fault> {
        if self.is_pausing() {
            return Err(Fault::LogFull);
        }
        match checkpoint(connection, "TRUNCATE") {
            Ok(done) if !done.busy => {
                self.pages = 0;
                self.faults.checkpoint_worked();
                return Ok(());
            }
            Ok(_) => self.pause_after(Fault::Locked),
            Err(error) => self.pause_after(fault(&error)),
        }
        Err(Fault::LogFull)
    }

    fn is_pausing(&self) -> bool {
        self.pause.is_some_and(|until| until > Instant::now())
    }

    fn pause_after(&mut self, fault: Fault) {
        self.faults.checkpoint_failed(fault);
        self.pause = Some(Instant::now() + CHECKPOINT_PAUSE);
    }
}

struct Checkpoint {
    busy: bool,
    pages: i64,
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Checkpoint> {
    connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| {
            Ok(Checkpoint {
                busy: row.get(0)?,
                pages: row.get(1)?,
            })
        })
}

/// These statements cannot be wrong by themselves.
fn fault(error: &rusqlite::Error) -> Fault {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    Fault::of(error).unwrap_or(Fault::Write(code))
}
