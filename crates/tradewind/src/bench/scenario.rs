//! What can be measured: one module a scenario.

mod backlog;
mod cluster;
mod consumers;
mod growth;
mod held;
mod idle;
mod instructions;
mod main;
mod sockets;

use super::{Bench, Report, figure::shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
pub(crate) enum Scenario {
    /// Throughput, cost and latency against the floor and the limit.
    Main,
    /// What a server costs that has nothing to do.
    Idle,
    /// How fast many undelivered events are delivered, and what memory they take while they wait.
    Backlog,
    /// What memory many conversations take that wait for a retry.
    Held,
    /// What more webhooks cost.
    Consumers,
    /// How fast a server is that has stored ten million messages.
    Growth,
    /// What many open pages take, and how fast a message reaches one.
    Sockets,
    /// How fast one, two and three nodes are on one PostgreSQL, which --database names, and what they
    /// and it cost.
    Cluster,
    /// How many instructions a message takes: the figure to compare between builds.
    Instructions,
}

impl Scenario {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Idle => "idle",
            Self::Backlog => "backlog",
            Self::Held => "held",
            Self::Consumers => "consumers",
            Self::Growth => "growth",
            Self::Sockets => "sockets",
            Self::Cluster => "cluster",
            Self::Instructions => "instructions",
        }
    }

    pub(super) async fn run(self, bench: &Bench) -> anyhow::Result<Report> {
        match self {
            Self::Main => main::run(bench).await,
            Self::Idle => idle::run(bench).await,
            Self::Backlog => backlog::run(bench).await,
            Self::Held => held::run(bench).await,
            Self::Consumers => consumers::run(bench).await,
            Self::Growth => growth::run(bench).await,
            Self::Sockets => sockets::run(bench).await,
            Self::Cluster => cluster::run(bench).await,
            Self::Instructions => instructions::run(bench).await,
        }
    }
}

/// A table of single figures.
fn rows(figures: &[(&str, f64)]) -> Vec<Vec<String>> {
    figures
        .iter()
        .map(|(name, figure)| vec![(*name).to_owned(), shown(*figure)])
        .collect()
}
