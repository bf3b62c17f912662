//! One, two and three nodes on one `PostgreSQL`: how fast, and at what cost.

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::bench::{
    Bench, Report,
    budget::Budget,
    figure::{float, mebibytes, median, shown, whole},
    load::Pace,
    note,
    world::{Phase, Work, World},
};

const NODES: [usize; 3] = [1, 2, 3];
/// CPU seconds of nodes and database for 1,000 messages: a quarter of what the best-known server of its
/// kind needs, with its databases.
const CPU_BUDGET: f64 = 0.85;
/// Of the highest rate, the part at which latency is measured.
const QUARTER: f64 = 4.0;

/// What a number of nodes showed, run by run.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    node_cpu: Vec<f64>,
    database_cpu: Vec<f64>,
    quarter_cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    memory: Vec<f64>,
}

/// Medians.
struct Row {
    nodes: usize,
    rate: f64,
    node_cpu: f64,
    database_cpu: f64,
    quarter_cpu: f64,
    p50: f64,
    p99: f64,
    memory: f64,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let database = bench.database.as_deref();
    let database = database.context(
        "scenario cluster: name a PostgreSQL of this machine by --database, in which it may make databases",
    )?;
    let mut all = NODES.map(|_| Figures::default());
    for number in 1..=bench.runs {
        for (figures, nodes) in all.iter_mut().zip(NODES) {
            let (full, quarter) = measure(bench, database, nodes).await?;
            figures.add(&full, &quarter);
            note(&format!(
                "run {number} of {}: {nodes} nodes delivered {}/s with {} ms of CPU per 1,000, {} of which PostgreSQL",
                bench.runs,
                shown(float(full.delivered) / full.delivering),
                shown(cost(&full, full.server_cpu + full.database_cpu)),
                shown(cost(&full, full.database_cpu)),
            ));
        }
    }
    let rows = all
        .into_iter()
        .zip(NODES)
        .map(|(figures, nodes)| figures.medians(nodes));
    Ok(report(&rows.collect::<Vec<_>>()))
}

/// At full load, and at a quarter of that rate.
async fn measure(bench: &Bench, database: &str, nodes: usize) -> anyhow::Result<(Phase, Phase)> {
    let directory = TempDir::new_in(&bench.directory)?;
    let world = World::start_cluster(&bench.program, directory.path(), database, nodes);
    let mut world = world.await?;
    world.run(bench.full_load(bench.warm_up)).await?;
    let full = world.run(bench.full_load(bench.span)).await?;
    let rate = float(full.delivered) / full.delivering / QUARTER;
    let quarter = Work {
        pace: Pace::Open(whole(rate).max(1)),
        ..bench.full_load(bench.span)
    };
    Ok((full, world.run(quarter).await?))
}

/// Milliseconds for 1,000 messages.
fn cost(phase: &Phase, seconds: f64) -> f64 {
    seconds / float(phase.delivered) * 1e6
}

impl Figures {
    fn add(&mut self, full: &Phase, quarter: &Phase) {
        self.rate.push(float(full.delivered) / full.delivering);
        self.node_cpu.push(cost(full, full.server_cpu));
        self.database_cpu.push(cost(full, full.database_cpu));
        self.p50.push(quarter.arrivals.p50 / 1e3);
        self.p99.push(quarter.arrivals.p99 / 1e3);
        self.quarter_cpu
            .push(cost(quarter, quarter.server_cpu + quarter.database_cpu));
        self.memory.push(mebibytes(float(full.memory_peak)));
    }

    fn medians(self, nodes: usize) -> Row {
        Row {
            nodes,
            rate: median(self.rate),
            node_cpu: median(self.node_cpu),
            database_cpu: median(self.database_cpu),
            quarter_cpu: median(self.quarter_cpu),
            p50: median(self.p50),
            p99: median(self.p99),
            memory: median(self.memory),
        }
    }
}

fn report(rows: &[Row]) -> Report {
    let head = rows.iter().map(|row| format!("{} nodes", row.nodes));
    let mut table = vec![std::iter::once(String::new()).chain(head).collect()];
    let mut line = |name: &str, figure: fn(&Row) -> f64| {
        let cells = rows.iter().map(|row| shown(figure(row)));
        table.push(std::iter::once(name.to_owned()).chain(cells).collect());
    };
    line("delivered/s", |row| row.rate);
    line("CPU ms per 1,000", |row| row.node_cpu + row.database_cpu);
    line("  of the nodes", |row| row.node_cpu);
    line("  of PostgreSQL", |row| row.database_cpu);
    line("at a quarter of the rate: CPU ms per 1,000", |row| {
        row.quarter_cpu
    });
    line("  arrival p50 ms", |row| row.p50);
    line("  arrival p99 ms", |row| row.p99);
    line("memory of a node, peak MiB", |row| row.memory);
    let figures: Map<String, Value> = rows
        .iter()
        .map(|row| {
            let figures = json!({
                "delivered_per_second": row.rate,
                "node_cpu_seconds_per_1000": row.node_cpu / 1e3,
                "database_cpu_seconds_per_1000": row.database_cpu / 1e3,
                "cpu_seconds_per_1000_at_a_quarter": row.quarter_cpu / 1e3,
                "arrival_p50_ms": row.p50,
                "arrival_p99_ms": row.p99,
                "node_memory_mib": row.memory,
            });
            (format!("nodes_{}", row.nodes), figures)
        })
        .collect();
    let worst = rows
        .iter()
        .map(|row| (row.node_cpu + row.database_cpu) / 1e3);
    Report {
        figures,
        budgets: vec![Budget::at_most(
            "cpu_of_nodes_and_database",
            worst.fold(0.0, f64::max),
            CPU_BUDGET,
            "s per 1,000",
        )],
        rows: table,
        foot: "All on this one machine, which the nodes, PostgreSQL, the load and the receiver share: more nodes \
               show what they cost, not what more machines would bring."
            .to_owned(),
        plots: Vec::new(),
    }
}
