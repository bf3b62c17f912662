//! What callgrind wrote, summed up by part of the program.
//!
//! The format: <https://valgrind.org/docs/manual/cl-format.html>.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;

/// Of which part a function is, by what its name has in it: the first that fits.
const PARTS: &[(&str, &[&str])] = &[
    ("signatures", &["sha2", "hmac", "aws_lc", "sha256"]),
    ("JSON", &["serde", "itoa", "zmij"]),
    (
        "HTTP",
        &["hyper", "http", "axum", "tower", "matchit", "url::"],
    ),
    (
        "memory",
        &[
            "mimalloc", "mi_", "malloc", "free", "memcpy", "memmove", "memset", "memcmp", "bcmp",
        ],
    ),
    ("hash tables", &["foldhash", "hashbrown", "core::hash"]),
    (
        "runtime",
        &[
            "tokio",
            "mio::",
            "parking_lot",
            "futures",
            "pthread",
            "epoll",
        ],
    ),
    ("Tradewind", &["tradewind"]),
    (
        "SQLite",
        &[
            "sqlite", "wal", "vdbe", "btree", "pcache", "Cursor", "Page", "MemArray", "moveTo",
            "Affinity",
        ],
    ),
];
const REST: &str = "else";

/// All instructions.
pub(super) fn total(counts: &str) -> anyhow::Result<u64> {
    let total = counts.lines().find_map(|line| line.strip_prefix("totals:"));
    let total = total.context("valgrind counted nothing")?;
    Ok(total.trim().parse()?)
}

/// The instructions of each part: those of its functions, without what these call.
pub(super) fn parts(counts: &str) -> BTreeMap<&'static str, u64> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut sums: HashMap<&str, u64> = HashMap::new();
    let mut function = "";
    let mut is_call = false;
    for line in counts.lines() {
        if let Some(called) = line.strip_prefix("cfn=") {
            named(called, &mut names);
        } else if let Some(entered) = line.strip_prefix("fn=") {
            function = named(entered, &mut names);
        } else if line.starts_with("calls=") {
            // The next line is of what is called.
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line
                .split(' ')
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            if !std::mem::take(&mut is_call) {
                *sums.entry(function).or_default() += cost.unwrap_or_default();
            }
        }
    }
    let mut parts = BTreeMap::new();
    for (function, sum) in sums {
        *parts
            .entry(part_of(names.get(function).unwrap_or(&"")))
            .or_default() += sum;
    }
    parts
}

/// The number of a function, whose name is only given the first time.
fn named<'a>(text: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            number
        }
        None => text,
    }
}

fn part_of(function: &str) -> &'static str {
    let fits = |words: &&[&str]| words.iter().any(|word| function.contains(word));
    let found = PARTS.iter().find(|(_, words)| fits(words));
    found.map_or(REST, |(part, _)| part)
}

#[cfg(test)]
mod tests {
    use super::{parts, total};

    #[test]
    fn functions_are_summed_up_by_part_without_what_they_call() {
        let counts = "\
# callgrind format
events: Ir
fl=(1) a.rs
fn=(1) tradewind_delivery::lanes::next
10 5
+1 2
cfn=(2) sqlite3VdbeExec
calls=3 20
* 1000
fn=(2)
20 900
-1 100
fn=(3) something
1 7
totals: 1014
";
        assert_eq!(total(counts).unwrap(), 1_014);
        let expected = [("SQLite", 1_000), ("Tradewind", 7), ("else", 7)];
        assert_eq!(parts(counts).into_iter().collect::<Vec<_>>(), expected);
    }
}
