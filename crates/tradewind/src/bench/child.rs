//! A process of the benchmark, as seen by the one that runs it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::part::{Part, Said};

/// Longest time until a process says something that it should say at once.
const SAY_MAX: Duration = Duration::from_mins(1);
/// Bytes of a log that are shown.
const LOG_BYTES_MAX: usize = 2_000;

/// Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, whose log goes to a file in `directory`.
    pub(super) fn start(
        mut program: Command,
        name: &str,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let stderr = File::options().create(true).append(true).open(&log)?;
        program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        let mut child = program
            .spawn()
            .with_context(|| format!("{name}: no start"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        Ok(Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout).lines(),
            child,
            log,
        })
    }

    /// Starts this program as a part.
    pub(super) async fn start_part(
        part: &Part,
        name: &str,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        program.arg("bench-part");
        let mut process = Self::start(program, name, directory)?;
        process.tell(part).await?;
        Ok(process)
    }

    pub(super) async fn tell(&mut self, order: &impl Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_string(order)? + "\n";
        let stdin = self.stdin.as_mut().context("no standard input")?;
        let told = stdin.write_all(line.as_bytes()).await;
        told.map_err(|error| self.failed(&error.to_string()))
    }

    /// The next line that it says, within `patience` more than it should need.
    pub(super) async fn line(&mut self, patience: Duration) -> anyhow::Result<String> {
        let line = tokio::time::timeout(patience + SAY_MAX, self.stdout.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(_) => Err(self.failed("it ended")),
            Err(_) => Err(self.failed("it says nothing")),
        }
    }

    pub(super) async fn said(&mut self, patience: Duration) -> anyhow::Result<Said> {
        let line = self.line(patience).await?;
        serde_json::from_str(&line).map_err(|_| self.failed(&line))
    }

    /// Where a part listens, which is the first that it says.
    pub(super) async fn address(&mut self) -> anyhow::Result<std::net::SocketAddr> {
        match self.said(Duration::ZERO).await? {
            Said::Listens(address) => Ok(address),
            other => Err(self.failed(&format!("{other:?}"))),
        }
    }

    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().ok_or_else(|| self.failed("it ended"))
    }

    /// Whatever went wrong, with the end of what the process logged.
    pub(super) fn failed(&self, what: &str) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let start = log.floor_char_boundary(log.len().saturating_sub(LOG_BYTES_MAX));
        let log = log[start..].trim();
        let said = if log.is_empty() {
            String::new()
        } else {
            format!("; it logged:\n{log}")
        };
        anyhow!("{}: {what}{said}", self.name)
    }
}
