//! Throughput, cost and latency against the floor and the limit.
//!
//! A run takes the three in turn, first as fast as they go, then all at the same rate, a quarter of what
//! Tradewind did. They take turns within each run, so that a machine that is slower for a while is so for
//! all; ratios are taken within a run, and then their median over the runs.

mod figures;

use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use self::figures::{Figures, Ratios};
use crate::bench::{
    Bench, Report,
    budget::Budget,
    figure::{float, median, rounded, shown},
    latency::Latency,
    load::Pace,
    note, table,
    world::{Phase, Subject, Work, World},
};

const CONVERSATIONS: u32 = 1_000;
/// Connections that write as fast as they are answered.
const CONNECTIONS: usize = 64;
/// Of the highest rate, at which latency is measured.
const RATE_SHARE: f64 = 0.25;

/// The figures of one run.
#[derive(Debug)]
struct Run {
    floor: Figures,
    limit: Figures,
    tradewind: Figures,
}

impl Run {
    fn of(&self, subject: Subject) -> &Figures {
        match subject {
            Subject::Floor => &self.floor,
            Subject::Limit => &self.limit,
            Subject::Tradewind => &self.tradewind,
        }
    }
}

pub(super) async fn run(bench: &Bench, sync: Latency) -> anyhow::Result<Report> {
    let mut runs = Vec::new();
    for number in 1..=bench.runs {
        runs.push(run_once(bench, number).await?);
    }
    let of = |subject| runs.iter().map(move |run| run.of(subject));
    let floor = Figures::median(of(Subject::Floor));
    let tradewind = Figures::median(of(Subject::Tradewind));
    let ratios: Vec<_> = runs
        .iter()
        .map(|run| Ratios::new(&run.floor, &run.limit, &run.tradewind))
        .collect();
    let ratios = Ratios::median(&ratios);
    let mut figures = Map::new();
    for subject in Subject::ALL {
        let of_subject = Figures::median(of(subject));
        figures.insert(subject.name().to_owned(), of_subject.json());
    }
    figures.insert("ratios".to_owned(), ratios.json());
    let all = runs.iter().map(|run| {
        let of = |subject| run.of(subject).json();
        json!({ "floor": of(Subject::Floor), "limit": of(Subject::Limit), "tradewind": of(Subject::Tradewind) })
    });
    figures.insert("runs".to_owned(), all.collect());
    Ok(Report {
        figures,
        budgets: budgets(&floor, &tradewind, &ratios, sync),
        table: show(&runs, bench.span),
    })
}

async fn run_once(bench: &Bench, number: u32) -> anyhow::Result<Run> {
    let directory = TempDir::new_in(&bench.directory)?;
    let mut worlds = Vec::new();
    for subject in Subject::ALL {
        worlds.push(World::start(subject, directory.path()).await?);
    }
    // Each is first in some run.
    let turn = usize::try_from(number)? % worlds.len();
    worlds.rotate_left(turn);
    let mut closed = Vec::new();
    for world in &mut worlds {
        let pace = Pace::Closed(CONNECTIONS);
        world.run(work(pace, bench.warm_up)).await?;
        let phase = world.run(work(pace, bench.span)).await?;
        note(&format!(
            "run {number} of {}: {} delivered {}/s with {} ms of CPU per 1,000",
            bench.runs,
            world.subject().name(),
            shown(float(phase.delivered) / phase.delivering),
            shown(phase.server_cpu / float(phase.delivered) * 1e6),
        ));
        closed.push((world.subject(), phase));
    }
    let rate = rate(&closed);
    let mut figures = Vec::new();
    for (world, (subject, closed)) in worlds.iter_mut().zip(&closed) {
        let open = world.run(work(Pace::Open(rate), bench.span)).await?;
        note(&format!(
            "run {number} of {}: {} at {rate}/s, arrived within {} ms (p50), {} ms (p99)",
            bench.runs,
            subject.name(),
            shown(open.arrivals.p50 / 1e3),
            shown(open.arrivals.p99 / 1e3),
        ));
        figures.push((*subject, Figures::new(closed, &open)));
    }
    let find = |subject| {
        let found = figures.iter().find(|(known, _)| *known == subject);
        found
            .map(|(_, figures)| figures.clone())
            .unwrap_or_default()
    };
    Ok(Run {
        floor: find(Subject::Floor),
        limit: find(Subject::Limit),
        tradewind: find(Subject::Tradewind),
    })
}

fn work(pace: Pace, span: Duration) -> Work {
    Work {
        pace,
        span,
        messages: u64::MAX,
        conversations: CONVERSATIONS,
    }
}

/// The rate at which latency is measured, of all three.
fn rate(closed: &[(Subject, Phase)]) -> u64 {
    let tradewind = closed
        .iter()
        .find(|(subject, _)| *subject == Subject::Tradewind);
    let rate = tradewind.map_or(0.0, |(_, phase)| {
        float(phase.delivered) / phase.delivering * RATE_SHARE
    });
    format!("{rate:.0}").parse().unwrap_or(1).max(1)
}

fn budgets(floor: &Figures, tradewind: &Figures, ratios: &Ratios, sync: Latency) -> Vec<Budget> {
    let (theirs, ours) = (floor.latency, tradewind.latency);
    let p50_budget = (theirs.p50 + sync.p50) / 1e3 + 1.0;
    let p99_budget = 3.0 * (theirs.p99 + sync.p99) / 1e3;
    let mebibytes = tradewind.memory_peak / float(1 << 20);
    vec![
        Budget::at_most("cpu_per_message", ratios.cpu_per_message, 2.0, "x floor"),
        Budget::at_least("throughput", ratios.throughput, 0.6, "x floor"),
        Budget::at_most("latency_p50", ours.p50 / 1e3, p50_budget, "ms"),
        Budget::at_most("latency_p99", ours.p99 / 1e3, p99_budget, "ms"),
        Budget::at_most("memory", mebibytes, 64.0, "MiB"),
    ]
}

/// What is read of a figure, and as what it is shown.
type Row = (&'static str, fn(&Figures) -> f64);

const ROWS: [Row; 17] = [
    ("accepted/s", |figures| figures.accepted_per_second),
    ("delivered/s", |figures| figures.delivered_per_second),
    ("CPU ms per 1,000", |figures| figures.cpu * 1e3),
    ("  of the load generator", |figures| figures.load_cpu * 1e3),
    ("  of the receiver", |figures| figures.receiver_cpu * 1e3),
    ("memory, peak MiB", |figures| {
        figures.memory_peak / 1_048_576.0
    }),
    ("bytes written a message", |figures| figures.written),
    ("syncs per 1,000", |figures| figures.syncs * 1e3),
    ("at a fixed rate of", |figures| figures.open_rate),
    ("  CPU ms per 1,000", |figures| figures.open_cpu * 1e3),
    ("  arrival p50 ms", |figures| figures.latency.p50 / 1e3),
    ("  arrival p95 ms", |figures| figures.latency.p95 / 1e3),
    ("  arrival p99 ms", |figures| figures.latency.p99 / 1e3),
    ("  arrival max ms", |figures| figures.latency.max / 1e3),
    ("  answer p50 ms", |figures| figures.answers.p50 / 1e3),
    ("  answer p99 ms", |figures| figures.answers.p99 / 1e3),
    ("  sent late p99 ms", |figures| figures.lateness.p99 / 1e3),
];

fn show(runs: &[Run], span: Duration) -> String {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(Subject::ALL.map(|subject| subject.name().to_owned()));
    for (name, read) in ROWS {
        let mut row = vec![name.to_owned()];
        for subject in Subject::ALL {
            let all: Vec<_> = runs.iter().map(|run| read(run.of(subject))).collect();
            let lowest = all.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut cell = shown(median(all));
            if runs.len() > 1 && lowest.is_finite() {
                cell = format!("{cell} ({}–{})", shown(lowest), shown(highest));
            }
            row.push(cell);
        }
        rows.push(row);
    }
    format!(
        "{}Medians of {} runs of {} s each, lowest and highest in parentheses; all arrived, in order.\n",
        table::aligned(&rows),
        runs.len(),
        rounded(span.as_secs_f64()),
    )
}

impl Figures {
    fn json(&self) -> Value {
        json!(self)
    }
}

impl Ratios {
    fn json(&self) -> Value {
        json!(self)
    }
}
