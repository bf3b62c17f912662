//! The program as a process: what it says, how it is stopped, how it ended.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::SOON;

/// A running program. Dropping it kills it; when its test failed, what it logged is printed.
pub(crate) struct Process {
    child: Child,
    /// Kept open: a program must not fail because nobody reads what it says.
    stdout: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

/// The binary with an environment of its own.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradewind"));
    command.env_clear().kill_on_drop(true);
    command
}

impl Process {
    /// Starts it. What it writes to standard error is added to the file `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let stderr = File::options().create(true).append(true).open(log).unwrap();
        command.stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            log: log.to_owned(),
        }
    }

    /// The next line on standard output.
    pub(crate) async fn line(&mut self) -> String {
        let line = self.line_if_it_lives().await;
        line.unwrap_or_else(|| panic!("it ended: {}", self.log()))
    }

    /// The next line on standard output, unless it ended without one.
    pub(crate) async fn line_if_it_lives(&mut self) -> Option<String> {
        let line = tokio::time::timeout(SOON, self.stdout.next_line()).await;
        line.expect("it should say something").unwrap()
    }

    /// What is left of standard output after its end.
    pub(crate) async fn last_lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            lines.push(line);
        }
        lines
    }

    /// Everything it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Ends it without a chance to do anything about it: SIGKILL.
    pub(crate) async fn kill(&mut self) {
        // It may be dead already.
        let _ = self.child.start_kill();
        self.child.wait().await.unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .await
            .unwrap();
        assert!(status.success());
    }

    pub(crate) async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        ended.expect("the program should have ended").unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program's standard error:\n{}", self.log());
        }
    }
}
