//! What a server costs that has nothing to do, after it had.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::bench::{
    Bench, Report,
    budget::Budget,
    clock,
    figure::{float, mebibytes},
    note,
    usage::{self, Usage, WakeUps},
    world::{Subject, World},
};

/// The server's idle time begins when what it does after its work is done: messages are prepared for searches
/// once nothing else has happened for two seconds. It is done when for so long it takes at most one tick of a
/// processor's time, 10 ms, by which the system counts.
const DONE_AFTER: Duration = Duration::from_secs(3);
const DONE_SECONDS: f64 = 0.015;
/// Longest wait for that.
const BACKGROUND_MAX: Duration = Duration::from_mins(1);

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let directory = TempDir::new_in(&bench.directory)?;
    let mut world = World::start(Subject::Tradewind, &bench.program, directory.path()).await?;
    world.run(bench.full_load(bench.warm_up)).await?;
    let pid = world.pid()?;
    await_done(pid).await?;
    let idle = bench.long(60);
    note(&format!("idle for {} s", idle.as_secs()));
    let (started, before, woken) = (clock::now(), Usage::of(pid)?, WakeUps::of(pid)?);
    tokio::time::sleep(idle).await;
    let seconds = float(clock::now() - started) / 1e9;
    let percent = (Usage::of(pid)?.cpu - before.cpu) / seconds * 100.0;
    let wake_ups = float(WakeUps::of(pid)?.since(&woken)) / seconds;
    let (memory, _) = usage::memory(pid)?;
    let figures = json!({
        "seconds": seconds,
        "cpu_percent": percent,
        "wake_ups_per_second": wake_ups,
        "rss_bytes": memory,
    });
    Ok(Report {
        figures: Map::from_iter([("tradewind".to_owned(), figures)]),
        budgets: vec![Budget::at_most("idle_cpu", percent, 0.1, "%")],
        rows: super::rows(&[
            ("wake-ups a second", wake_ups),
            ("memory, MiB", mebibytes(float(memory))),
        ]),
        foot: format!(
            "Idle for {seconds:.0} s, one webhook, after {:?} of full load.",
            bench.warm_up
        ),
        plots: Vec::new(),
    })
}

/// Waits until the server has done what it does in the background.
async fn await_done(pid: u32) -> anyhow::Result<()> {
    let begun = clock::now();
    loop {
        let before = Usage::of(pid)?.cpu;
        tokio::time::sleep(DONE_AFTER).await;
        if Usage::of(pid)?.cpu - before <= DONE_SECONDS {
            return Ok(());
        }
        let waited = Duration::from_nanos(clock::now() - begun);
        ensure!(
            waited < BACKGROUND_MAX,
            "the server still works {waited:.0?} after its last message"
        );
    }
}
