//! How many instructions of the program a message takes, as valgrind counts them.
//!
//! Seconds depend on the machine and on what else it does; this figure hardly does, so it is the one to
//! compare between two builds. Work of the kernel is not in it. Valgrind knows no instructions for
//! SHA-256, so signatures count about four times as much as they cost.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::bench::{
    Bench, CONVERSATIONS, Report,
    figure::float,
    load::Pace,
    note,
    world::{Subject, Work, World},
};

/// Messages before those that count: with them everything is allocated, prepared, connected.
const WARM_UP: u64 = 1_000;
const MESSAGES: u64 = 4_000;
/// A server on valgrind is some fifty times slower.
const SPAN_MAX: Duration = Duration::from_mins(5);
/// Fewer at once than for a rate: valgrind runs one thread at a time anyway.
const CONNECTIONS: usize = 16;

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let directory = TempDir::new_in(&bench.directory)?;
    let counts = directory.path().join("counts");
    let program = on_valgrind(&bench.program, directory.path(), &counts).await?;
    let mut world = World::start(Subject::Tradewind, &program, directory.path()).await?;
    note("a server on valgrind is slow: this takes a minute or two");
    let work = |messages| Work {
        pace: Pace::Closed(CONNECTIONS),
        span: SPAN_MAX,
        messages,
        first: 0,
        conversations: CONVERSATIONS,
    };
    world.run(work(bench.many(WARM_UP))).await?;
    let pid = world.pid()?;
    control("--zero", pid).await?;
    let phase = world.run(work(bench.many(MESSAGES))).await?;
    control("--dump", pid).await?;
    let counted = total(&counts.with_extension("1"))?;
    let each = float(counted) / float(phase.accepted);
    Ok(Report {
        figures: Map::from_iter([
            ("per_message".to_owned(), json!(each)),
            ("messages".to_owned(), json!(phase.accepted)),
        ]),
        budgets: Vec::new(),
        rows: super::rows(&[("instructions a message", each)]),
        foot: format!(
            "Of the program, kernel apart, over {} messages.",
            phase.accepted
        ),
        plots: Vec::new(),
    })
}

/// Writes a program that runs `program` on valgrind, which counts into `counts`.
async fn on_valgrind(program: &Path, directory: &Path, counts: &Path) -> anyhow::Result<PathBuf> {
    let found = Command::new("valgrind").arg("--version").output().await;
    ensure!(
        found.is_ok_and(|found| found.status.success()),
        "this scenario needs valgrind: install the package of that name"
    );
    let script = directory.join("on-valgrind");
    let text = format!(
        "#!/bin/sh\nexec valgrind --quiet --tool=callgrind --callgrind-out-file='{}' '{}' \"$@\"\n",
        counts.display(),
        program.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

async fn control(order: &str, pid: u32) -> anyhow::Result<()> {
    let mut control = Command::new("callgrind_control");
    let done = control.arg(order).arg(pid.to_string()).output().await?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "callgrind_control {order}: {said}");
    Ok(())
}

/// The sum of a file of callgrind.
fn total(counts: &Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(counts)
        .with_context(|| format!("valgrind wrote no {}", counts.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:"));
    let total = total.context("valgrind counted nothing")?;
    Ok(total.trim().parse()?)
}
