//! Throughput, cost and latency against the floor and the limit.
//!
//! A run takes the three in turn, first as fast as they go, then all at the same rate, a quarter of what
//! Tradewind did. They take turns within each run, so that a machine that is slower for a while is so for
//! all; ratios are taken within a run, and then their median over the runs.

mod figures;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use self::figures::{Figures, Ratios};
use crate::bench::{
    Bench, Report,
    budget::Budget,
    figure::{float, mebibytes, median, rounded, shown, whole},
    latency::Latency,
    load::Pace,
    machine, note,
    plot::{Bar, Plot},
    world::{Phase, Subject, Work, World},
};

/// Of the highest rate, at which latency is measured.
const RATE_SHARE: f64 = 0.25;

/// Cores that others may use without a doubt about the figures.
const OTHERS_CORES_QUIET: f64 = 0.1;
/// Cores that the host may withhold while latency is measured. It does so for all cores at once, for ten
/// milliseconds of every hundred if a quota is used up, so that little of it is all of a p99.
const STOLEN_CORES_QUIET: f64 = 0.005;

/// The figures of one run.
#[derive(Debug)]
struct Run {
    /// What a sync of the disk took before it.
    sync: Latency,
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

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let mut runs = Vec::new();
    for number in 1..=bench.runs {
        runs.push(run_once(bench, number).await?);
    }
    let of = |subject| {
        let all: Vec<_> = runs.iter().map(|run| run.of(subject)).collect();
        Figures::median(&all)
    };
    let (floor, tradewind) = (of(Subject::Floor), of(Subject::Tradewind));
    let ratios: Vec<_> = runs
        .iter()
        .map(|run| Ratios::new(&run.floor, &run.limit, &run.tradewind))
        .collect();
    let ratios = Ratios::median(&ratios);
    let syncs: Vec<_> = runs.iter().map(|run| run.sync).collect();
    let sync = Latency::median(&syncs);
    let mut figures = Map::new();
    figures.insert("sync".to_owned(), in_micros(sync));
    for subject in Subject::ALL {
        figures.insert(subject.name().to_owned(), json!(of(subject)));
    }
    figures.insert("ratios".to_owned(), json!(ratios));
    let all = runs.iter().map(|run| {
        let named = Subject::ALL.map(|subject| (subject.name().to_owned(), json!(run.of(subject))));
        let sync = ("sync".to_owned(), in_micros(run.sync));
        [sync].into_iter().chain(named).collect::<Map<_, _>>()
    });
    figures.insert("runs".to_owned(), all.collect::<Vec<_>>().into());
    Ok(Report {
        figures,
        budgets: budgets(&floor, &tradewind, &ratios, sync),
        rows: rows(&runs),
        foot: foot(bench, &tradewind, sync),
        plots: plots(&runs),
    })
}

async fn run_once(bench: &Bench, number: u32) -> anyhow::Result<Run> {
    let directory = TempDir::new_in(&bench.directory)?;
    let sync = machine::sync_latency(&bench.directory, bench.syncs)?;
    let mut worlds = Vec::new();
    for subject in Subject::ALL {
        worlds.push(World::start(subject, &bench.program, directory.path()).await?);
    }
    // Each is first in some run.
    let turn = usize::try_from(number)? % worlds.len();
    worlds.rotate_left(turn);
    let mut closed = Vec::new();
    for world in &mut worlds {
        world.run(bench.full_load(bench.warm_up)).await?;
        let phase = world.run(bench.full_load(bench.span)).await?;
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
        let work = Work {
            pace: Pace::Open(rate),
            ..bench.full_load(bench.span)
        };
        let open = world.run(work).await?;
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
        sync,
        floor: find(Subject::Floor),
        limit: find(Subject::Limit),
        tradewind: find(Subject::Tradewind),
    })
}

/// The rate at which latency is measured, of all three.
fn rate(closed: &[(Subject, Phase)]) -> u64 {
    let tradewind = closed
        .iter()
        .find(|(subject, _)| *subject == Subject::Tradewind);
    let rate = tradewind.map_or(0.0, |(_, phase)| {
        float(phase.delivered) / phase.delivering * RATE_SHARE
    });
    whole(rate).max(1)
}

fn budgets(floor: &Figures, tradewind: &Figures, ratios: &Ratios, sync: Latency) -> Vec<Budget> {
    let (theirs, ours) = (floor.latency, tradewind.latency);
    let p50_budget = (theirs.p50 + sync.p50) / 1e3 + 1.0;
    let p99_budget = 3.0 * (theirs.p99 + sync.p99) / 1e3;
    vec![
        Budget::at_most("cpu_per_message", ratios.cpu_per_message, 2.0, "x floor"),
        Budget::at_least("throughput", ratios.throughput, 0.6, "x floor"),
        Budget::at_most("latency_p50", ours.p50 / 1e3, p50_budget, "ms"),
        Budget::at_most("latency_p99", ours.p99 / 1e3, p99_budget, "ms"),
        Budget::at_most("memory", mebibytes(tradewind.memory_peak), 64.0, "MiB"),
    ]
}

/// What is read of a figure, and as what it is shown.
type Row = (&'static str, fn(&Figures) -> f64);

const ROWS: [Row; 20] = [
    ("accepted/s", |figures| figures.accepted_per_second),
    ("delivered/s", |figures| figures.delivered_per_second),
    ("CPU ms per 1,000", |figures| figures.cpu * 1e3),
    ("  of the load generator", |figures| figures.load_cpu * 1e3),
    ("  of the receiver", |figures| figures.receiver_cpu * 1e3),
    ("memory, peak MiB", |figures| mebibytes(figures.memory_peak)),
    ("bytes written a message", |figures| figures.written),
    ("syncs per 1,000", |figures| figures.syncs * 1e3),
    ("cores used by others", |figures| figures.others_cores),
    ("cores withheld by the host", |figures| figures.stolen_cores),
    ("at a fixed rate of", |figures| figures.open_rate),
    ("  CPU ms per 1,000", |figures| figures.open_cpu * 1e3),
    ("  cores withheld by the host", |figures| {
        figures.open_stolen_cores
    }),
    ("  arrival p50 ms", |figures| figures.latency.p50 / 1e3),
    ("  arrival p95 ms", |figures| figures.latency.p95 / 1e3),
    ("  arrival p99 ms", |figures| figures.latency.p99 / 1e3),
    ("  arrival max ms", |figures| figures.latency.max / 1e3),
    ("  answer p50 ms", |figures| figures.answers.p50 / 1e3),
    ("  answer p99 ms", |figures| figures.answers.p99 / 1e3),
    ("  sent late p99 ms", |figures| figures.lateness.p99 / 1e3),
];

fn in_micros(latency: Latency) -> Value {
    let Latency { p50, p95, p99, max } = latency;
    json!({ "p50_us": p50, "p95_us": p95, "p99_us": p99, "max_us": max })
}

/// The median, and the lowest and the highest of all runs.
fn bar(runs: &[Run], subject: Subject, read: fn(&Figures) -> f64) -> Bar {
    let all: Vec<_> = runs.iter().map(|run| read(run.of(subject))).collect();
    Bar {
        lowest: all.iter().copied().fold(f64::INFINITY, f64::min),
        highest: all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        height: median(all),
    }
}

fn rows(runs: &[Run]) -> Vec<Vec<String>> {
    let mut head = vec![String::new()];
    head.extend(Subject::ALL.map(|subject| subject.name().to_owned()));
    let mut rows = vec![head];
    for (name, read) in ROWS {
        let mut row = vec![name.to_owned()];
        row.extend(Subject::ALL.map(|subject| {
            let bar = bar(runs, subject, read);
            let middle = shown(bar.height);
            if runs.len() > 1 && bar.lowest.is_finite() {
                format!("{middle} ({}–{})", shown(bar.lowest), shown(bar.highest))
            } else {
                middle
            }
        }));
        rows.push(row);
    }
    rows
}

fn foot(bench: &Bench, tradewind: &Figures, sync: Latency) -> String {
    let what = match bench.runs {
        1 => "One run".to_owned(),
        runs => format!("Medians of {runs} runs (lowest–highest)"),
    };
    let warning = if tradewind.others_cores > OTHERS_CORES_QUIET {
        "\nWARNING: other programs were busy meanwhile; on a quiet machine the figures are better and steadier."
    } else {
        ""
    };
    let stolen = if tradewind.open_stolen_cores > STOLEN_CORES_QUIET {
        "\nWARNING: the host of this virtual machine withheld its cores meanwhile; latency above p90 shows that too."
    } else {
        ""
    };
    format!(
        "{what}, {} s each; {} connections, then a quarter of Tradewind's rate; all arrived, in order. A sync of the disk took {} ms (p50), {} ms (p99).{warning}{stolen}",
        rounded(bench.span.as_secs_f64()),
        bench.connections,
        shown(sync.p50 / 1e3),
        shown(sync.p99 / 1e3),
    )
}

fn plots(runs: &[Run]) -> Vec<Plot> {
    let plot = |name, title, logarithmic, rows: &[Row]| Plot {
        name,
        title,
        logarithmic,
        series: Subject::ALL.map(Subject::name).to_vec(),
        groups: rows
            .iter()
            .map(|(name, read)| {
                let bars = Subject::ALL.map(|subject| bar(runs, subject, *read));
                ((*name).to_owned(), bars.to_vec())
            })
            .collect(),
    };
    vec![
        plot(
            "throughput",
            "Messages a second, as fast as it goes",
            false,
            &[
                ("accepted", |figures| figures.accepted_per_second),
                ("delivered", |figures| figures.delivered_per_second),
            ],
        ),
        plot(
            "cpu",
            "CPU of the server for 1,000 messages, in ms",
            false,
            &[
                ("as fast as it goes", |figures| figures.cpu * 1e3),
                ("at a quarter of that", |figures| figures.open_cpu * 1e3),
            ],
        ),
        plot(
            "latency",
            "From sending to arrival at a quarter of the rate, in ms (logarithmic)",
            true,
            &[
                ("p50", |figures| figures.latency.p50 / 1e3),
                ("p95", |figures| figures.latency.p95 / 1e3),
                ("p99", |figures| figures.latency.p99 / 1e3),
                ("max", |figures| figures.latency.max / 1e3),
            ],
        ),
    ]
}
