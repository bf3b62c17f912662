//! Files in the directory of attempts: their names, what stands beside them, what is there.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::segment::Place;

const EXTENSION: &str = "db";
/// Of a file that could not be read.
pub(super) const ASIDE: &str = "damaged";

#[derive(Debug)]
pub(super) struct File {
    pub(super) place: Place,
    /// When its newest attempt began.
    pub(super) newest_at_ms: i64,
    pub(super) bytes: u64,
    /// Renamed, and no longer read.
    pub(super) is_set_aside: bool,
}

/// Where the file with this number is.
pub(super) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.{EXTENSION}"))
}

/// The files of a directory, whose age is not known yet but for those set aside.
pub(super) fn found(directory: &Path) -> Vec<File> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let file = |entry: fs::DirEntry| {
        let path = entry.path();
        let number = path.file_stem()?.to_str()?.parse().ok()?;
        let is_set_aside = match path.extension().and_then(OsStr::to_str)? {
            EXTENSION => false,
            ASIDE => true,
            _ => return None,
        };
        let metadata = entry.metadata().ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(File {
            place: Place { number, path },
            newest_at_ms: i64::try_from(changed.as_millis()).unwrap_or(i64::MAX),
            bytes: metadata.len(),
            is_set_aside,
        })
    };
    entries.flatten().filter_map(file).collect()
}

/// Removes a database and what `SQLite` keeps beside it, as far as there is any.
pub(super) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(name);
    }
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
