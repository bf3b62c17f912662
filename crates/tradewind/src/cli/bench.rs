//! `tradewind bench`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::{
    bench::{Bench, Outcome, Scenario},
    cli::output,
    server::Signals,
};

/// A budget is not met, and that was to be an error.
#[derive(Debug, thiserror::Error)]
#[error("a budget is not met")]
pub(crate) struct Missed;

#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
pub(crate) struct BenchOptions {
    /// What to measure
    #[arg(value_name = "SCENARIO", value_enum, default_values_t = [Scenario::Main])]
    scenarios: Vec<Scenario>,
    /// One short run, in less than 40 seconds: shows that it works, and roughly how fast
    #[arg(long)]
    quick: bool,
    /// Runs, of which medians are reported [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the servers' data below DIR while it runs; it must be on a disk, not in memory
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write plots (SVG) and tables (Markdown) to DIR
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Connections that write as fast as they are answered
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = parse_connections)]
    connections: usize,
    /// Measure another build of Tradewind
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Count the instructions of this build too, and show both [scenario instructions]
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// A PostgreSQL on this machine in which databases may be made [scenario cluster]
    #[arg(long, value_name = "postgres://…")]
    database: Option<String>,
    /// Exit with 1 when a budget is not met
    #[arg(long)]
    strict: bool,
    /// Measure a build that is not optimised
    #[arg(long, hide = true)]
    allow_debug: bool,
    /// How long each phase takes
    #[arg(long, hide = true, value_name = "MILLISECONDS")]
    phase_ms: Option<u64>,
}

fn parse_connections(text: &str) -> Result<usize, String> {
    let connections = text.parse().ok();
    // Each writes in a conversation of its own at a time.
    let known = connections.filter(|connections| (1..=1_000).contains(connections));
    known.ok_or_else(|| "must be 1 to 1000".to_owned())
}

pub(super) async fn run(options: &BenchOptions) -> anyhow::Result<()> {
    ensure!(
        options.allow_debug || !cfg!(debug_assertions),
        "this is a debug build, whose figures say nothing; use one by cargo build --release"
    );
    let mut signals = Signals::listen()?;
    let directory = TempDir::with_prefix_in("tradewind-bench-", &options.dir)
        .with_context(|| format!("cannot write to {}", options.dir.display()))?;
    let seconds = if options.quick { 3 } else { 8 };
    let span = options
        .phase_ms
        .map_or(Duration::from_secs(seconds), Duration::from_millis);
    let syncs = match options.phase_ms {
        Some(_) => 20,
        None => 300,
    };
    let bench = Bench {
        directory: directory.path().to_owned(),
        runs: options.runs.unwrap_or(if options.quick { 1 } else { 5 }),
        span,
        warm_up: span / 8,
        syncs,
        connections: options.connections,
        divisor: if options.quick { 20 } else { 1 },
        program: match &options.server {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        },
        database: options.database.clone(),
        before: options.before.clone(),
    };
    // Dropping it ends the processes.
    let outcome = tokio::select! {
        outcome = bench.run(&options.scenarios) => outcome?,
        () = signals.next() => bail!("interrupted; nothing is reported"),
    };
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&outcome.figures)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(directory) = &options.report {
        report(&outcome, directory)
            .with_context(|| format!("cannot write to {}", directory.display()))?;
    }
    output::say(outcome.text.trim_end());
    if options.strict && !outcome.budgets_met {
        return Err(Missed.into());
    }
    Ok(())
}

fn report(outcome: &Outcome, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    for plot in &outcome.plots {
        fs::write(directory.join(format!("{}.svg", plot.name)), plot.draw()?)?;
    }
    Ok(fs::write(directory.join("figures.md"), &outcome.markdown)?)
}
