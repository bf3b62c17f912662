//! The files of attempts: which there are, which is written, and which have to go.
//!
//! Files are numbered as they are begun, and that is their order. One that cannot be read is renamed
//! and left alone until its turn to go comes; it costs a warning, and the records in it.

use std::{fs, io, mem, path::PathBuf};

use rusqlite::ErrorCode;
use tradewind_model::Timestamp;

use super::{
    file::{ASIDE, File, create_directory, found, path_of, remove},
    segment::{Place, Segment},
};
use crate::AttemptRecord;

/// Records in one file: a lookup reads one of them through, and its indexes are made while records wait
/// and with a core to themselves, some 30 ms.
const SEGMENT_ROWS_MAX: u64 = 25_000;
/// Bytes of one file, which those of failures fill with fewer records.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// How long one file is written.
const SEGMENT_AGE_MAX: i64 = 24 * 60 * 60 * 1_000;
/// Files, and the bytes of all.
const SEGMENTS_MAX: usize = 512;
const ATTEMPT_BYTES_MAX: u64 = 1 << 30;
/// Records written in one transaction.
const ATTEMPT_BATCH_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) segment_rows: u64,
    pub(super) segment_bytes: u64,
    pub(super) segment_age_ms: i64,
    pub(super) segments: usize,
    pub(super) bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_rows: SEGMENT_ROWS_MAX,
            segment_bytes: SEGMENT_BYTES_MAX,
            segment_age_ms: SEGMENT_AGE_MAX,
            segments: SEGMENTS_MAX,
            bytes: ATTEMPT_BYTES_MAX,
        }
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    directory: PathBuf,
    limits: Limits,
    /// The oldest first.
    files: Vec<File>,
    /// The last of the files, while it is open for writing.
    active: Option<Segment>,
    /// Whether the last records could not be written, which is said once.
    is_failing: bool,
}

impl Keeper {
    /// Looks at what is there. What cannot be read is set aside; that nothing can be is found out by the
    /// first record.
    pub(super) fn open(directory: PathBuf, limits: Limits, now: Timestamp) -> Self {
        let mut keeper = Self {
            directory,
            limits,
            files: Vec::new(),
            active: None,
            is_failing: false,
        };
        keeper.files = found(&keeper.directory);
        keeper.files.sort_by_key(|file| file.place.number);
        let newest = keeper.newest();
        let readable: Vec<u64> = keeper.readable().map(|file| file.place.number).collect();
        for number in readable {
            if let Err(error) = keeper.look_at(number, Some(number) == newest, now) {
                keeper.failed(number, &error);
            }
        }
        keeper.drop_what_is_too_much();
        keeper
    }

    /// Learns how old a file is, and makes the indexes that a stop in the middle left out.
    fn look_at(&mut self, number: u64, is_newest: bool, now: Timestamp) -> rusqlite::Result<()> {
        let Some(file) = self.files.iter_mut().find(|it| it.place.number == number) else {
            return Ok(());
        };
        let segment = Segment::open(&file.place)?;
        file.newest_at_ms = segment.newest_at_ms()?;
        let is_active = is_newest && !is_full(&segment, self.limits, now)?;
        if is_active {
            segment.begin_writing()?;
        } else {
            segment.seal()?;
        }
        file.bytes = segment.bytes()?;
        if is_active {
            self.active = Some(segment);
        } else {
            segment.close();
        }
        Ok(())
    }

    /// Writes `records`, in as many files as they need; how many could not be written.
    pub(super) fn write(&mut self, records: &[AttemptRecord], now: Timestamp) -> usize {
        let mut left = records;
        let mut is_second_try = false;
        while !left.is_empty() {
            match self.write_some(left, now) {
                Ok(written) => {
                    left = left.get(written..).unwrap_or_default();
                    self.is_failing = false;
                }
                // That file is set aside: the next one may take them.
                Err(error) if is_damaged(&error) && !is_second_try => is_second_try = true,
                Err(error) => {
                    if !mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(
                            error = %error,
                            "attempts cannot be recorded; deliveries go on without"
                        );
                    }
                    return left.len();
                }
            }
        }
        0
    }

    /// Writes as many as one file and one transaction take.
    fn write_some(&mut self, records: &[AttemptRecord], now: Timestamp) -> rusqlite::Result<usize> {
        let limits = self.limits;
        let active = self.active(now)?;
        let room = limits.segment_rows.saturating_sub(active.rows).max(1);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let some = records.len().min(room).min(ATTEMPT_BATCH_MAX);
        let records = records.get(..some).unwrap_or(records);
        let written = active.write(records).and_then(|()| active.bytes());
        let Some(file) = self.files.last_mut() else {
            unreachable!("the file that is written is the last one");
        };
        match written {
            Ok(bytes) => {
                file.bytes = bytes;
                if let Some(newest) = records.last() {
                    file.newest_at_ms = newest.at.as_millisecond();
                }
                Ok(some)
            }
            Err(error) => {
                // What the connection knows may never have been written.
                self.active = None;
                let number = file.place.number;
                self.failed(number, &error);
                Err(error)
            }
        }
    }

    /// The file to write to, which is a new one if the last is full, old or unreadable.
    fn active(&mut self, now: Timestamp) -> rusqlite::Result<&mut Segment> {
        let active = match self.active.take() {
            Some(active) => Some(active),
            None => self.reopen()?,
        };
        let active = match active {
            Some(active) if !is_full(&active, self.limits, now)? => active,
            Some(full) => {
                if let Err(error) = full.seal() {
                    tracing::debug!(error = %error, "a file of attempts has no indexes");
                }
                if let (Some(file), Ok(bytes)) = (self.files.last_mut(), full.bytes()) {
                    file.bytes = bytes;
                }
                full.close();
                self.begin(now)?
            }
            None => self.begin(now)?,
        };
        Ok(self.active.insert(active))
    }

    /// Opens the last file again, after trouble with it.
    fn reopen(&mut self) -> rusqlite::Result<Option<Segment>> {
        let Some(number) = self.newest() else {
            return Ok(None);
        };
        let Some(file) = self.files.last().filter(|it| it.place.number == number) else {
            return Ok(None);
        };
        let opened = Segment::open(&file.place);
        match opened.and_then(|segment| segment.begin_writing().map(|()| segment)) {
            Ok(segment) => Ok(Some(segment)),
            Err(error) if is_damaged(&error) => {
                self.failed(number, &error);
                Ok(None)
            }
            // Removed by somebody: it holds nothing up.
            Err(_) if !file.place.path.exists() => {
                self.files.pop();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self, now: Timestamp) -> rusqlite::Result<Segment> {
        if let Err(error) = create_directory(&self.directory) {
            tracing::debug!(error = %error, "the directory of attempts cannot be made");
        }
        let number = self.files.last().map_or(1, |file| file.place.number + 1);
        let place = Place {
            number,
            path: path_of(&self.directory, number),
        };
        // Under another name until it is whole, so that a start that is cut off leaves no damaged file.
        let unfinished = place.path.with_extension("new");
        remove(&unfinished);
        Segment::create(&unfinished, now).inspect_err(|_| remove(&unfinished))?;
        if let Err(error) = fs::rename(&unfinished, &place.path) {
            tracing::debug!(error = %error, "a file of attempts cannot be named");
        }
        let segment = Segment::open(&place)?;
        segment.begin_writing()?;
        self.files.push(File {
            place,
            newest_at_ms: now.as_millisecond(),
            bytes: 0,
            is_set_aside: false,
        });
        self.drop_what_is_too_much();
        Ok(segment)
    }

    fn readable(&self) -> impl DoubleEndedIterator<Item = &File> {
        self.files.iter().filter(|file| !file.is_set_aside)
    }

    /// The number of the file that was written last, if it can be.
    fn newest(&self) -> Option<u64> {
        let newest = self.files.last().filter(|file| !file.is_set_aside);
        newest.map(|file| file.place.number)
    }

    /// Where the records are, the newest first.
    pub(super) fn places(&self) -> Vec<Place> {
        self.readable().rev().map(|it| it.place.clone()).collect()
    }

    /// Drops the oldest files whose records are all older than that; how many.
    pub(super) fn drop_before(&mut self, cutoff_ms: i64) -> u64 {
        let mut dropped = 0;
        while let Some(file) = self.files.first() {
            if file.newest_at_ms >= cutoff_ms || !self.drop_oldest() {
                break;
            }
            dropped += 1;
        }
        dropped
    }

    fn drop_what_is_too_much(&mut self) {
        let total = |files: &[File]| files.iter().map(|file| file.bytes).sum::<u64>();
        while self.files.len() > self.limits.segments || total(&self.files) > self.limits.bytes {
            if self.files.len() <= 1 || !self.drop_oldest() {
                break;
            }
        }
    }

    /// Whether it could be removed.
    fn drop_oldest(&mut self) -> bool {
        if self.files.len() == 1
            && let Some(active) = self.active.take()
        {
            active.close();
        }
        let Some(file) = self.files.first() else {
            return false;
        };
        match fs::remove_file(&file.place.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(error = %error, "an old file of attempts cannot be removed");
                return false;
            }
        }
        remove(&file.place.path);
        self.files.remove(0);
        true
    }

    /// Sets a file aside if that is what its error means.
    fn failed(&mut self, number: u64, error: &rusqlite::Error) {
        if is_damaged(error) {
            self.set_aside(number, &error.to_string());
        } else {
            tracing::debug!(error = %error, "a file of attempts failed");
        }
    }

    /// Renames a file that cannot be read, once.
    pub(super) fn set_aside(&mut self, number: u64, why: &str) {
        let found = |file: &&mut File| file.place.number == number && !file.is_set_aside;
        let Some(file) = self.files.iter_mut().find(found) else {
            return;
        };
        let aside = file.place.path.with_extension(ASIDE);
        tracing::warn!(
            error = why,
            file = %file.place.path.display(),
            "a file of attempts is damaged and set aside; others are not affected"
        );
        if let Err(error) = fs::rename(&file.place.path, &aside) {
            tracing::debug!(error = %error, "a damaged file of attempts cannot be renamed");
        }
        remove(&file.place.path);
        file.place.path = aside;
        file.is_set_aside = true;
        if self
            .files
            .last()
            .is_some_and(|it| it.place.number == number)
        {
            self.active = None;
        }
    }

    pub(super) fn close(self) {
        if let Some(active) = self.active {
            active.close();
        }
    }

    #[cfg(test)]
    pub(super) fn writing(&self) -> Option<&Segment> {
        self.active.as_ref()
    }
}

fn is_full(segment: &Segment, limits: Limits, now: Timestamp) -> rusqlite::Result<bool> {
    Ok(segment.rows >= limits.segment_rows
        || now.as_millisecond() - segment.created_at_ms >= limits.segment_age_ms
        || segment.bytes()? >= limits.segment_bytes)
}

pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        // The last: a table that is not there.
        Some(code) => matches!(
            code,
            ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown
        ),
        // A row that is not what this program writes.
        None => true,
    }
}
