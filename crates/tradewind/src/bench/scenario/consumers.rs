//! What more webhooks cost: a hundred of which one matches, and ten that match everything.

use serde_json::{Map, json};
use tempfile::TempDir;

use crate::bench::{
    Bench, Report,
    budget::Budget,
    figure::{float, median},
    note,
    receiver::Reset,
    world::{Subject, World},
};

/// How many webhooks there are, and of those that match.
const CASES: [(usize, usize); 3] = [(1, 1), (100, 1), (10, 10)];

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let mut costs = CASES.map(|_| Vec::new());
    let mut ratios = [Vec::new(), Vec::new()];
    for number in 1..=bench.runs {
        let mut run = Vec::new();
        for (costs, (webhooks, matching)) in costs.iter_mut().zip(CASES) {
            let cost = cost(bench, webhooks, matching).await?;
            note(&format!(
                "run {number} of {}: {webhooks} webhooks of which {matching} match: {:.0} ms of CPU per 1,000",
                bench.runs,
                cost * 1e3
            ));
            costs.push(cost);
            run.push(cost);
        }
        if let [one, many, all] = run[..] {
            ratios[0].push(many / one);
            ratios[1].push(all / one);
        }
    }
    let [one, many, all] = costs.map(median);
    let [many_ratio, all_ratio] = ratios.map(median);
    let figures =
        json!({ "one": one, "hundred_of_which_one_matches": many, "ten_that_match": all });
    Ok(Report {
        figures: Map::from_iter([("cpu_seconds_per_1000".to_owned(), figures)]),
        budgets: vec![
            Budget::at_most("webhooks_that_match_nothing", many_ratio, 1.1, "x"),
            Budget::at_most("ten_webhooks", all_ratio, 10.0, "x"),
        ],
        rows: super::rows(&[
            ("CPU ms per 1,000, one webhook", one * 1e3),
            ("  and 99 that match nothing", many * 1e3),
            ("  ten that match everything", all * 1e3),
        ]),
        foot: "Of messages, each delivered to every webhook that matches.".to_owned(),
        plots: Vec::new(),
    })
}

/// CPU seconds of the server for 1,000 messages.
async fn cost(bench: &Bench, webhooks: usize, matching: usize) -> anyhow::Result<f64> {
    let directory = TempDir::new_in(&bench.directory)?;
    let mut world = World::start(Subject::Tradewind, &bench.program, directory.path()).await?;
    for webhook in 1..webhooks {
        let extra = if webhook < matching {
            json!({})
        } else {
            json!({ "senders": ["app_user"] })
        };
        world.subscribe(webhook, extra).await?;
    }
    let mut phases = Vec::new();
    for span in [bench.warm_up, bench.span] {
        let work = bench.full_load(span);
        let reset = Reset {
            phase: 0,
            conversations: work.conversations,
            webhooks: matching,
            refused: 0,
        };
        world.begin(reset).await?;
        phases.push(world.run_on(work, u64::try_from(matching)?).await?);
    }
    let measured = phases.last();
    Ok(measured.map_or(f64::NAN, |phase| {
        phase.server_cpu / float(phase.accepted) * 1e3
    }))
}
