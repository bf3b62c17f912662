//! Runs many schedules, and shows the one that fails.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use super::{World, dice::Dice};

/// What every change is judged by; `scripts/simulate` runs more.
const SCHEDULES: u64 = 200_000;
/// Steps of a failed schedule that are shown.
const SHOWN: usize = 60;

#[test]
fn no_schedule_loses_an_event_or_breaks_a_law() {
    let schedules = number("TRADEWIND_SIMULATE").unwrap_or(SCHEDULES);
    let first = number("TRADEWIND_SIMULATE_FIRST").unwrap_or(0);
    if schedules == 1 {
        show(first, usize::MAX);
        return;
    }
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let started = Instant::now();
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let done = next.fetch_add(1, Ordering::Relaxed);
            if done >= schedules {
                return;
            }
            let seed = first.wrapping_add(done);
            let mut world = World::new(seed, false);
            let run = AssertUnwindSafe(|| world.run(length(seed)));
            if catch_unwind(run).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
            if done > 0 && done.is_multiple_of(100_000) {
                let seconds = started.elapsed().as_secs();
                println!("{done} of {schedules} schedules in {seconds} s");
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    assert!(failed == u64::MAX || show(failed, SHOWN), "seed {failed}");
}

/// Most schedules are short, some are long.
fn length(seed: u64) -> u64 {
    let mut dice = Dice::new(seed ^ 0x5EED);
    if dice.one_in(100) {
        2_000
    } else {
        20 + dice.below(180)
    }
}

/// Runs one schedule and shows its last steps. `false` if it failed.
fn show(seed: u64, steps: usize) -> bool {
    let mut world = World::new(seed, true);
    let passed = catch_unwind(AssertUnwindSafe(|| world.run(length(seed)))).is_ok();
    let trace = world.trace.unwrap_or_default();
    for line in &trace[trace.len().saturating_sub(steps)..] {
        println!("{line}");
    }
    println!("seed {seed}, {:?}", world.limits);
    println!("again, with all its steps: scripts/simulate 1 {seed}");
    assert!(passed, "schedule {seed} fails");
    passed
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its command how much to do"
)]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}
