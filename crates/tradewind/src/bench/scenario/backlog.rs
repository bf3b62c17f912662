//! A webhook that was paused for long: what its events take while they wait, and how fast they go then.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::bench::{
    Bench, Report,
    budget::Budget,
    clock,
    figure::{float, mebibytes, whole},
    load::Pace,
    note,
    receiver::Reset,
    usage,
    world::{Subject, Work, World},
};

/// How fast new messages keep coming meanwhile, as a share of the live rate.
const NEW_SHARE: f64 = 0.1;
/// Longest time in which everything is sent, or delivered.
const STAGE_MAX: Duration = Duration::from_hours(1);
/// How often the receiver is asked how much came.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was found.
#[derive(Debug, Serialize)]
struct Figures {
    events: u64,
    live_per_second: f64,
    drained_per_second: f64,
    rss_bytes_waiting: u64,
    rss_peak_bytes: u64,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let directory = TempDir::new_in(&bench.directory)?;
    let mut world = World::start(Subject::Tradewind, &bench.program, directory.path()).await?;
    world.run(bench.full_load(bench.warm_up)).await?;
    let live = world.run(bench.full_load(bench.span)).await?;
    let live_per_second = float(live.delivered) / live.delivering;

    let work = bench.full_load(STAGE_MAX);
    world
        .begin(Reset {
            phase: 0,
            // Those of the backlog, and of what comes meanwhile.
            conversations: work.conversations * 2,
            webhooks: 1,
            refused: 0,
        })
        .await?;
    let events = pile_up(&world, work, bench.many(1_000_000)).await?;
    let (rss_bytes_waiting, _) = usage::memory(world.pid()?)?;
    let new = Work {
        pace: Pace::Open(whole(live_per_second * NEW_SHARE).max(1)),
        first: work.conversations,
        // About as long as the old ones need.
        span: Duration::from_secs_f64(float(events) / live_per_second),
        ..work
    };
    let seconds = drain(&world, new, events).await?;
    let (_, rss_peak_bytes) = usage::memory(world.pid()?)?;
    Ok(report(&Figures {
        events,
        live_per_second,
        drained_per_second: float(events) / seconds,
        rss_bytes_waiting,
        rss_peak_bytes,
    }))
}

/// Sends `count` messages while the webhook is paused.
async fn pile_up(world: &World, work: Work, count: u64) -> anyhow::Result<u64> {
    note(&format!("{count} messages for a webhook that is paused"));
    world.subscribe(0, json!({ "paused": true })).await?;
    let mut load = world
        .load(Work {
            messages: count,
            ..work
        })
        .await?;
    load.begin().await?;
    Ok(load.ended(world).await?.accepted)
}

/// Lets the webhook go on, with `new` messages meanwhile. Tells how many seconds it took until as many
/// as had waited were delivered.
async fn drain(world: &World, new: Work, waiting: u64) -> anyhow::Result<f64> {
    let mut load = world.load(new).await?;
    note("the webhook goes on");
    let started = clock::now();
    world.subscribe(0, json!({})).await?;
    load.begin().await?;
    let drained_at = loop {
        let stats = world.stats().await?;
        let now = clock::now();
        if stats.tally.delivered >= waiting || now - started > clock::nanos(STAGE_MAX) {
            break now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let all = waiting + load.ended(world).await?.accepted;
    let stats = world.await_arrivals(all).await?;
    world.check(&stats, all)?;
    Ok(float(drained_at - started) / 1e9)
}

fn report(figures: &Figures) -> Report {
    let Figures {
        events,
        live_per_second,
        drained_per_second,
        rss_bytes_waiting,
        rss_peak_bytes,
    } = figures;
    let (peak, ratio) = (
        mebibytes(float(*rss_peak_bytes)),
        drained_per_second / live_per_second,
    );
    Report {
        figures: Map::from_iter([("tradewind".to_owned(), json!(figures))]),
        budgets: vec![
            Budget::at_least("backlog_drain", ratio, 0.8, "x live"),
            Budget::at_most("backlog_memory", peak, 96.0, "MiB"),
        ],
        rows: super::rows(&[
            ("live, delivered/s", *live_per_second),
            ("backlog, delivered/s", *drained_per_second),
            (
                "memory while it waits, MiB",
                mebibytes(float(*rss_bytes_waiting)),
            ),
            ("memory, peak MiB", peak),
        ]),
        foot: format!(
            "{events} events waited; while they were delivered, new ones came at a tenth of the live rate. All arrived, in order."
        ),
        plots: Vec::new(),
    }
}
