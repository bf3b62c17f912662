//! How far `listen` came, in a file.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;

/// A file that holds a cursor. It is replaced as a whole, so a crash leaves the old one or the new one.
pub(super) struct StateFile {
    path: PathBuf,
    written: Option<String>,
}

impl StateFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
        }
    }

    /// The cursor, or `None` if there is no file or nothing in it.
    pub(super) fn read(&self) -> anyhow::Result<Option<String>> {
        let path = &self.path;
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|cursor| !cursor.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// What was written last, in this run.
    pub(super) fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }

    pub(super) fn write(&mut self, cursor: &str) -> anyhow::Result<()> {
        if self.written() == Some(cursor) {
            return Ok(());
        }
        let path = &self.path;
        self.replace(cursor)
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.written = Some(cursor.to_owned());
        Ok(())
    }

    fn replace(&self, cursor: &str) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let mut file = File::create(&name)?;
        writeln!(file, "{cursor}")?;
        file.sync_all()?;
        fs::rename(&name, &self.path)
    }
}
