//! What the program says to the person who started it. Logs go to standard error, through `tracing`.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

/// Says a line. One that cannot be written, because nobody reads it any more, is not.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

pub(crate) fn error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Sends logs to standard error; `TRADEWIND_LOG` says which, `default` if it is not set.
pub(crate) fn start_logs(default: &str) {
    let filter =
        EnvFilter::try_from_env("TRADEWIND_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that nobody can read must not end what writes it.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
