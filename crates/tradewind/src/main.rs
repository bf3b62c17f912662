//! Tradewind: every message of every channel on one webhook, answered with one call.

mod api;
mod app;
#[cfg(target_os = "linux")]
mod bench;
mod cli;
mod console;
mod inbound;
mod lifecycle;
mod listener;
mod live;
mod media;
mod password;
mod routes;
mod secret_key;
mod server;
mod settings;
mod token;
mod upkeep;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A message allocates in one thread what another frees, at which the system's is slow; docs/decisions/0006
/// has the figures.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
