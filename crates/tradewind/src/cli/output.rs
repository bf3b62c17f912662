//! What the program says to the person who started it. Logs go to standard error, through `tracing`.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Says a line. One that cannot be written, because nobody reads it any more, is not.
pub(crate) fn say(line: &str) {
    let _ = try_say(line);
}

/// Says a line to whoever reads on standard output.
///
/// # Errors
/// When nobody does any more.
pub(crate) fn try_say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

pub(crate) fn error(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Sends logs to standard error. `filter` says which, as `TRADEWIND_LOG` has it.
///
/// # Errors
/// When it is no filter: a part without `=` is a level.
pub(crate) fn start_logs(filter: &str) -> anyhow::Result<()> {
    let parts = filter.split(',').map(str::trim);
    for part in parts.filter(|part| !part.contains('=')) {
        anyhow::ensure!(
            LEVELS.contains(&part.to_ascii_lowercase().as_str()),
            "TRADEWIND_LOG: {part:?} is not one of {}",
            LEVELS.join(", ")
        );
    }
    let filter = EnvFilter::try_new(filter).context("TRADEWIND_LOG")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A log that nobody can read must not end what writes it.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
