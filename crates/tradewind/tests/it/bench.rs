//! `tradewind bench`, with phases so short that its figures say nothing.

use std::{path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::binary;

async fn bench(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(directory).arg("bench").args(arguments);
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_debug_build_is_not_measured() {
    let directory = TempDir::new().unwrap();
    let output = bench(directory.path(), &[]).await;
    if cfg!(debug_assertions) {
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("debug build"), "{output:?}");
    }
}

#[tokio::test]
async fn a_benchmark_reports_floor_limit_and_tradewind_and_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let arguments = [
        "--quick",
        "--allow-debug",
        "--phase-ms",
        "400",
        "--json",
        "figures.json",
    ];
    let output = bench(directory.path(), &arguments).await;
    assert!(output.status.success(), "{}", text(&output.stderr));

    let figures = std::fs::read(directory.path().join("figures.json")).unwrap();
    let figures: Value = serde_json::from_slice(&figures).unwrap();
    for subject in ["floor", "limit", "tradewind"] {
        for key in [
            "accepted_per_second",
            "delivered_per_second",
            "cpu_seconds_per_1000",
            "rss_bytes",
            "delivered",
        ] {
            let figure = &figures[subject][key];
            assert!(figure.as_f64().unwrap() > 0.0, "{subject} {key}: {figure}");
        }
        let latency = &figures[subject]["latency_us"];
        let at = |key: &str| latency[key].as_f64().unwrap();
        assert!(
            0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"),
            "{latency}"
        );
        assert_eq!(
            figures["runs"][0][subject]["delivered"],
            figures[subject]["delivered"]
        );
    }
    for ratio in ["cpu_per_message", "throughput", "latency_p50"] {
        assert!(figures["ratios"][ratio].as_f64().unwrap() > 0.0, "{ratio}");
    }
    for key in ["cpu", "cores", "memory_bytes", "kernel", "filesystem"] {
        assert!(!figures["machine"][key].is_null(), "{key}");
    }
    assert!(figures["sync"]["p50_us"].as_f64().unwrap() > 0.0);
    assert_eq!(figures["budgets"].as_array().unwrap().len(), 5);

    let table = text(&output.stdout);
    for words in ["cpu per message", "x floor", "delivered/s", "tradewind"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let mut left = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(left.next().unwrap().unwrap().file_name(), "figures.json");
    assert!(left.next().is_none());
}

#[tokio::test]
async fn a_run_in_which_a_message_is_refused_does_not_count() {
    let directory = TempDir::new().unwrap();
    let mut command = binary();
    command
        .current_dir(directory.path())
        .args(["bench", "--quick", "--allow-debug", "--phase-ms", "200"])
        .env("TRADEWIND_SERVER__TEXT_BYTES_MAX", "200");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("the run does not count"), "{said}");
    assert!(said.contains("400"), "{said}");
    assert_eq!(text(&output.stdout), "");
}

#[tokio::test]
async fn a_part_ends_when_nobody_gives_it_orders() {
    let mut command = binary();
    command.arg("bench-part").stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("no part of a benchmark"),
        "{output:?}"
    );
}
