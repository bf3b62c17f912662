//! What can be measured: one module a scenario.

mod main;

use super::{Bench, Report, latency::Latency};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Throughput, cost and latency against the floor and the limit.
    Main,
}

impl Scenario {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
        }
    }

    /// `sync` is what a sync of the disk takes.
    pub(super) async fn run(self, bench: &Bench, sync: Latency) -> anyhow::Result<Report> {
        match self {
            Self::Main => main::run(bench, sync).await,
        }
    }
}
