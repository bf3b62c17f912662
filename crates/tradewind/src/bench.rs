//! `tradewind bench`: measures this machine's Tradewind against what no webhook server can do without.
//!
//! Everything is a process of its own on loopback: the server as a user starts it, on a real directory;
//! a load generator; a receiver. In the same run the same load goes through two relays that store nothing:
//! the *floor*, which has the server's own HTTP stack, and the *limit*, on bare hyper. Both what a machine
//! can do and how loaded it is cancel out in the ratios.
//!
//! A figure counts only if every message that was accepted arrived, in order within its conversation;
//! otherwise the benchmark fails.

mod bare_relay;
mod budget;
mod child;
mod clock;
mod figure;
mod latency;
mod ledger;
mod load;
mod machine;
mod part;
pub(crate) mod plot;
mod receiver;
mod relay;
mod scenario;
mod sockets;
mod table;
mod text;
mod usage;
mod wire;
mod world;

use std::{path::PathBuf, time::Duration};

use serde_json::{Map, Value, json};

pub(crate) use part::run as run_part;
pub(crate) use scenario::Scenario;

use self::{budget::Budget, load::Pace, machine::Machine, plot::Plot, world::Work};
use crate::cli::output;

/// Something was lost, out of order or refused, so there is nothing to report.
#[derive(Debug, thiserror::Error)]
#[error("the run does not count: {0}")]
pub(crate) struct Invalid(String);

/// What holds for all scenarios.
#[derive(Debug)]
pub(crate) struct Bench {
    /// A directory on a disk; what is put there is removed at the end.
    pub(crate) directory: PathBuf,
    pub(crate) runs: u32,
    /// How long each measured phase takes.
    pub(crate) span: Duration,
    /// How long each server is under load before it is measured.
    pub(crate) warm_up: Duration,
    /// How often the disk's sync is measured, in each run.
    pub(crate) syncs: u32,
    /// Connections that write as fast as they are answered.
    pub(crate) connections: usize,
    /// By how much what is long or large is made less.
    pub(crate) divisor: u32,
    /// The Tradewind that is measured.
    pub(crate) program: PathBuf,
    /// A `PostgreSQL` on this machine.
    pub(crate) database: Option<String>,
    /// The one whose instructions are shown beside its.
    pub(crate) before: Option<PathBuf>,
}

/// What a scenario found.
#[derive(Debug)]
struct Report {
    figures: Map<String, Value>,
    budgets: Vec<Budget>,
    /// A table: the first row is its head if the first cell there is empty.
    rows: Vec<Vec<String>>,
    /// What to know about the table.
    foot: String,
    plots: Vec<Plot>,
}

/// What all scenarios found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) figures: Value,
    /// For a person.
    pub(crate) text: String,
    /// The same as Markdown.
    pub(crate) markdown: String,
    pub(crate) plots: Vec<Plot>,
    pub(crate) budgets_met: bool,
}

/// Conversations of a load, unless a scenario needs others.
const CONVERSATIONS: u32 = 1_000;

impl Bench {
    /// As fast as it goes.
    fn full_load(&self, span: Duration) -> Work {
        Work {
            pace: Pace::Closed(self.connections),
            span,
            messages: u64::MAX,
            first: 0,
            conversations: CONVERSATIONS,
        }
    }

    /// So many seconds, or less in a quick run.
    fn long(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) / self.divisor
    }

    /// So many, or less in a quick run.
    fn many(&self, count: u64) -> u64 {
        count / u64::from(self.divisor)
    }

    /// Runs the scenarios, one after the other.
    ///
    /// # Errors
    /// [`Invalid`], or whatever kept it from measuring.
    pub(crate) async fn run(&self, scenarios: &[Scenario]) -> anyhow::Result<Outcome> {
        let machine = Machine::look(&self.directory)?;
        if machine.is_in_memory() {
            note(&format!(
                "WARNING: {} is in memory ({}): what is synced there costs nothing and is not durable. Give a directory on a disk by --dir.",
                self.directory.display(),
                machine.filesystem
            ));
        }
        let mut figures = Map::new();
        figures.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        figures.insert("machine".to_owned(), json!(machine));
        let head = table::head(&machine);
        let (mut text, mut markdown) = (head.clone(), head);
        let (mut budgets, mut plots) = (Vec::new(), Vec::new());
        for scenario in scenarios {
            note(&format!("scenario {}", scenario.name()));
            let report = scenario.run(self).await?;
            let verdicts = (!report.budgets.is_empty()).then(|| table::budgets(&report.budgets));
            for rows in verdicts.iter().chain([&report.rows]) {
                text = format!("{text}\n{}", table::aligned(rows));
                markdown = format!("{markdown}\n{}", table::markdown(rows));
            }
            text = format!("{text}{}\n", report.foot);
            markdown = format!("{markdown}\n{}\n", report.foot);
            plots.extend(report.plots);
            budgets.extend(report.budgets);
            // Those of the main scenario are what most readers want, so they stand at the top.
            if *scenario == Scenario::Main {
                figures.extend(report.figures);
            } else {
                figures.insert(scenario.name().to_owned(), report.figures.into());
            }
        }
        figures.insert("budgets".to_owned(), json!(budgets));
        Ok(Outcome {
            figures: figures.into(),
            text,
            markdown,
            plots,
            budgets_met: budgets.iter().all(|budget| budget.met),
        })
    }
}

/// Tells whoever waits how far it is.
fn note(line: &str) {
    output::error(&format!("bench: {line}"));
}
