//! The processes that a benchmark is made of, besides the server: each is this program again.
//!
//! A part is told on standard input what it is, one line of JSON, and says on standard output how it
//! comes along, a line each. It ends when its standard input does, so that none outlives the benchmark.

use std::{io, net::SocketAddr};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use super::{bare_relay, load, receiver, relay, sockets};
use crate::cli::output;

/// What a process is to be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// The floor: passes each message on to the receiver at this address.
    Relay(SocketAddr),
    /// The limit: the same without looking at it.
    BareRelay(SocketAddr),
    Receiver,
    Load(load::Plan),
    Sockets(sockets::Pages),
}

/// What a part says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    Listens(SocketAddr),
    /// Everything is prepared; the next order starts it.
    Ready,
    Loaded(load::Loaded),
    Heard(sockets::Heard),
}

/// Further lines of standard input. At its end the part ends.
pub(super) type Orders = mpsc::Receiver<String>;

/// Runs this process as a part.
///
/// # Errors
/// When nobody says what it is to be, or the system refuses it what it needs.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let part: Part = serde_json::from_str(&line).context("no part of a benchmark")?;
    let (sender, orders) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let (runtime, ended) = match part {
        // As the server has it.
        Part::Relay(target) => on(Builder::new_multi_thread(), relay::run(target, orders))?,
        Part::BareRelay(target) => {
            on(Builder::new_multi_thread(), bare_relay::run(target, orders))?
        }
        Part::Receiver => on(Builder::new_current_thread(), receiver::run(orders))?,
        Part::Load(plan) => on(Builder::new_current_thread(), load::run(plan, orders))?,
        Part::Sockets(pages) => on(Builder::new_current_thread(), sockets::run(pages, orders))?,
    };
    runtime.shutdown_background();
    ended
}

fn on<T>(mut builder: Builder, work: impl Future<Output = T>) -> anyhow::Result<(Runtime, T)> {
    let runtime = builder.enable_all().build()?;
    let ended = runtime.block_on(work);
    Ok((runtime, ended))
}

/// # Errors
/// When nobody listens any more.
pub(super) fn say(said: &Said) -> anyhow::Result<()> {
    Ok(output::try_say(&serde_json::to_string(said)?)?)
}
