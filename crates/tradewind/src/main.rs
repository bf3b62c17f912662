//! Tradewind: every message of every channel on one webhook, answered with one call.

mod api;
mod app;
mod cli;
mod console;
mod lifecycle;
mod live;
mod routes;
mod server;
mod settings;
mod token;
mod upkeep;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
