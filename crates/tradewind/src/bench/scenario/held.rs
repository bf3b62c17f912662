//! Conversations that all wait for a retry, beside others that do well.

use std::time::Duration;

use serde_json::{Map, json};
use tempfile::TempDir;

use crate::bench::{
    Bench, Report,
    budget::Budget,
    figure::{float, mebibytes},
    receiver::Reset,
    usage,
    world::{Subject, Work, World},
};

/// Longest time in which everything is sent.
const STAGE_MAX: Duration = Duration::from_hours(1);

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let lanes = bench.many(100_000);
    let directory = TempDir::new_in(&bench.directory)?;
    let mut world = World::start(Subject::Tradewind, &bench.program, directory.path()).await?;
    world.run(bench.full_load(bench.warm_up)).await?;
    // Every second conversation is refused, so that the endpoint is not taken for one that is away.
    let conversations = u32::try_from(lanes * 2)?;
    world
        .begin(Reset {
            phase: 0,
            conversations,
            webhooks: 1,
            refused: 2,
        })
        .await?;
    let mut load = world
        .load(Work {
            messages: lanes * 2,
            conversations,
            ..bench.full_load(STAGE_MAX)
        })
        .await?;
    load.begin().await?;
    let loaded = load.ended(&world).await?;
    let stats = world.await_arrivals(loaded.accepted / 2).await?;
    world.check(&stats, loaded.accepted / 2)?;
    let (memory, memory_peak) = usage::memory(world.pid()?)?;
    let figures = json!({
        "held": lanes,
        "refused_requests": stats.refused,
        "rss_bytes": memory,
        "rss_peak_bytes": memory_peak,
    });
    Ok(Report {
        figures: Map::from_iter([("tradewind".to_owned(), figures)]),
        budgets: vec![Budget::at_most(
            "held_memory",
            mebibytes(float(memory_peak)),
            96.0,
            "MiB",
        )],
        rows: super::rows(&[
            ("conversations that wait", float(lanes)),
            ("requests that were refused", float(stats.refused)),
            ("memory, MiB", mebibytes(float(memory))),
            ("memory, peak MiB", mebibytes(float(memory_peak))),
        ]),
        foot: "As many others were delivered meanwhile, all of them.".to_owned(),
        plots: Vec::new(),
    })
}
