//! How many instructions of the program a message takes, as valgrind counts them.
//!
//! Seconds depend on the machine and on what else it does; this figure hardly does, so it is the one to
//! compare between two builds. Work of the kernel is not in it. Valgrind knows no instructions for
//! SHA-256, so signatures count about four times as much as they cost.

mod callgrind;

use std::{
    collections::BTreeMap,
    fs, iter,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::bench::{
    Bench, CONVERSATIONS, Report,
    figure::{float, shown},
    load::Pace,
    note,
    plot::{Bar, Plot},
    world::{Subject, Work, World},
};

/// Messages before those that count: with them everything is allocated, prepared, connected.
const WARM_UP: u64 = 1_000;
const MESSAGES: u64 = 4_000;
/// A server on valgrind is some fifty times slower.
const SPAN_MAX: Duration = Duration::from_mins(5);
/// Fewer at once than for a rate: valgrind runs one thread at a time anyway.
const CONNECTIONS: usize = 16;
/// Parts that are drawn, the largest first.
const PLOTTED: usize = 7;

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    note("a server on valgrind is slow: this takes a minute or two");
    let now = count(bench, &bench.program).await?;
    let before = match &bench.before {
        Some(program) => Some(count(bench, program).await?),
        None => None,
    };
    let mut series = vec!["now"];
    let mut counted = vec![&now];
    if let Some(before) = &before {
        series.insert(0, "before");
        counted.insert(0, before);
    }
    let mut parts: Vec<&str> = now.parts.keys().map(String::as_str).collect();
    parts.sort_by(|a, b| now.part(b).total_cmp(&now.part(a)));
    let row = |name: &str, figure: &dyn Fn(&Counted) -> f64| {
        let figures = counted.iter().map(|counted| shown(figure(counted)));
        iter::once(name.to_owned()).chain(figures).collect()
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    if series.len() > 1 {
        rows.push(
            iter::once("")
                .chain(series.iter().copied())
                .map(str::to_owned)
                .collect(),
        );
    }
    rows.push(row("instructions a message", &|counted| counted.each));
    for part in &parts {
        rows.push(row(&format!("  {part}"), &|counted| counted.part(part)));
    }
    let groups = parts.iter().take(PLOTTED).map(|part| {
        let bar = |height| Bar {
            lowest: height,
            height,
            highest: height,
        };
        let bars = counted.iter().map(|counted| bar(counted.part(part)));
        ((*part).to_owned(), bars.collect())
    });
    let plots = vec![Plot {
        name: "instructions",
        title: "Instructions a message, by part",
        logarithmic: false,
        series,
        groups: groups.collect(),
    }];
    Ok(Report {
        figures: figures(&now, before.as_ref()),
        budgets: Vec::new(),
        rows,
        foot: format!(
            "Of the program, kernel apart, over {} messages.",
            now.messages
        ),
        plots,
    })
}

fn figures(now: &Counted, before: Option<&Counted>) -> Map<String, Value> {
    let mut figures = Map::from_iter([
        ("per_message".to_owned(), json!(now.each)),
        ("messages".to_owned(), json!(now.messages)),
        ("parts".to_owned(), json!(now.parts)),
    ]);
    if let Some(before) = before {
        let before = json!({ "per_message": before.each, "parts": before.parts });
        figures.insert("before".to_owned(), before);
    }
    figures
}

/// What was counted of one program.
struct Counted {
    messages: u64,
    /// Instructions a message, and of each part of the program.
    each: f64,
    parts: BTreeMap<String, f64>,
}

impl Counted {
    fn part(&self, name: &str) -> f64 {
        self.parts.get(name).copied().unwrap_or_default()
    }
}

async fn count(bench: &Bench, program: &Path) -> anyhow::Result<Counted> {
    let directory = TempDir::new_in(&bench.directory)?;
    let counts = directory.path().join("counts");
    let program = on_valgrind(program, directory.path(), &counts).await?;
    let mut world = World::start(Subject::Tradewind, &program, directory.path()).await?;
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
    let counts = counts.with_extension("1");
    let counts = fs::read_to_string(&counts)
        .with_context(|| format!("valgrind wrote no {}", counts.display()))?;
    let of_each = |counted: u64| float(counted) / float(phase.accepted);
    let parts = callgrind::parts(&counts);
    Ok(Counted {
        messages: phase.accepted,
        each: of_each(callgrind::total(&counts)?),
        parts: parts
            .into_iter()
            .map(|(part, counted)| (part.to_owned(), of_each(counted)))
            .collect(),
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
