//! Many pages that are open and hardly ever get a message.

use serde_json::{Map, json};
use tempfile::TempDir;

use crate::bench::{
    Bench, Report,
    budget::Budget,
    figure::{float, mebibytes},
    load::Pace,
    note, usage,
    world::{Subject, Work, World},
};

/// Messages a second to all of them.
const RATE: u64 = 100;

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let sockets = u32::try_from(bench.many(10_000))?;
    usage::raise_open_files()?;
    let directory = TempDir::new_in(&bench.directory)?;
    let mut world = World::start(Subject::Tradewind, &bench.program, directory.path()).await?;
    note(&format!("{sockets} sockets"));
    let mut pages = world.open_sockets(sockets).await?;
    let (idle, _) = usage::memory(world.pid()?)?;
    let work = Work {
        pace: Pace::Open(RATE),
        span: bench.long(30),
        conversations: sockets,
        ..bench.full_load(bench.span)
    };
    let phase = world.run(work).await?;
    let heard = pages.heard(&world, phase.accepted).await?;
    let (_, peak) = usage::memory(world.pid()?)?;

    let p99 = heard.latency.p99 / 1e3;
    let figures = json!({
        "sockets": sockets,
        "messages": heard.messages,
        "rss_bytes_idle": idle,
        "rss_peak_bytes": peak,
        "latency_us": heard.latency,
    });
    Ok(Report {
        figures: Map::from_iter([("tradewind".to_owned(), figures)]),
        budgets: vec![
            Budget::at_most("sockets_memory", mebibytes(float(peak)), 200.0, "MiB"),
            Budget::at_most("sockets_latency_p99", p99, 20.0, "ms"),
        ],
        rows: super::rows(&[
            ("sockets", f64::from(sockets)),
            ("memory while all are idle, MiB", mebibytes(float(idle))),
            ("memory, peak MiB", mebibytes(float(peak))),
            ("to a socket p50 ms", heard.latency.p50 / 1e3),
            ("to a socket p99 ms", p99),
        ]),
        foot: format!(
            "{RATE} messages a second, each in another conversation; all reached their sockets."
        ),
        plots: Vec::new(),
    })
}
