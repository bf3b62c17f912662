//! Health driven by hand.

use super::{
    Duration, FAILING_LANES, Failure, FailureClass, Health, Outcome, Probe, Sample, Timestamp,
    Turn, later, probe_wait,
};

const WELL: Outcome = Outcome::Delivered { status: Some(200) };
const SECOND: i64 = 1_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn health(concurrency_max: usize) -> Health {
    Health::new(concurrency_max, 2, None, at(0))
}

fn fails(status: u16) -> Outcome {
    Outcome::Failed(Failure {
        status: Some(status),
        ..Failure::new(FailureClass::Status, "")
    })
}

fn asks(status: u16, wait: Duration) -> Outcome {
    Outcome::Failed(Failure {
        status: Some(status),
        retry_after: Some(wait),
        ..Failure::new(FailureClass::Status, "")
    })
}

/// One account of many is asked to wait.
fn limited() -> Outcome {
    Outcome::Failed(Failure {
        status: Some(429),
        retry_after: Some(Duration::from_hours(1)),
        lane_only: true,
        ..Failure::new(FailureClass::Status, "")
    })
}

fn sample(outcome: &Outcome, started_at: i64) -> Sample<'_> {
    Sample {
        outcome,
        started_at: at(started_at),
        is_first: true,
        probe: None,
    }
}

/// `count` events fail for the first time, at `now`.
fn fail(health: &mut Health, count: u32, now: i64) -> Option<Turn> {
    let outcome = Outcome::Failed(Failure::new(FailureClass::Connect, ""));
    let turns = (0..count).map(|_| health.finished(sample(&outcome, now), at(now), 0.0));
    turns.last().flatten()
}

fn probe(health: &mut Health, outcome: &Outcome, now: i64, jitter: f64) -> Option<Turn> {
    let probe = health.started(at(now));
    assert!(probe.is_some());
    let sample = Sample {
        probe,
        ..sample(outcome, now)
    };
    health.finished(sample, at(now), jitter)
}

#[test]
fn ten_first_failures_without_a_success_between_back_the_endpoint_off() {
    let mut health = health(64);
    assert_eq!(fail(&mut health, FAILING_LANES - 1, 0), None);
    health.finished(sample(&WELL, 1), at(1), 0.0);
    assert_eq!(fail(&mut health, FAILING_LANES - 1, 2), None);
    let known = Sample {
        is_first: false,
        ..sample(&WELL, 3)
    };
    let outcome = fails(500);
    for _ in 0..100 {
        let known = Sample {
            outcome: &outcome,
            ..known
        };
        assert_eq!(health.finished(known, at(3), 0.0), None);
    }
    assert_eq!(health.room(0, at(3)), health.concurrency());
    let turn = fail(&mut health, 1, 4);
    assert_eq!(turn, Some(Turn::BackedOff { since: at(2) }));
    assert_eq!(health.backed_off_since(), Some(at(2)));
}

#[test]
fn our_own_trouble_says_nothing_of_the_endpoint() {
    let mut health = health(64);
    let internal = Outcome::Failed(Failure::new(FailureClass::Internal, ""));
    for _ in 0..100 {
        assert_eq!(health.finished(sample(&internal, 0), at(0), 0.0), None);
    }
    assert_eq!(health.backed_off_since(), None);
}

#[test]
fn what_speaks_of_its_lane_only_says_nothing_of_the_endpoint() {
    let mut health = health(64);
    health.finished(sample(&WELL, 0), at(0), 0.0);
    let concurrency = health.concurrency();
    for _ in 0..100 {
        assert_eq!(health.finished(sample(&limited(), 1), at(1), 0.0), None);
    }
    assert_eq!(health.backed_off_since(), None);
    assert_eq!(health.concurrency(), concurrency);
    assert!(health.clears_endpoint(at(-1)), "nothing begins to fail");
    // It neither helps others to back the endpoint off, nor says when that is to be tried again.
    assert_eq!(fail(&mut health, FAILING_LANES - 1, 2), None);
    assert_eq!(health.finished(sample(&limited(), 1), at(2), 0.0), None);
    let turn = fail(&mut health, 1, 3);
    assert_eq!(turn, Some(Turn::BackedOff { since: at(2) }));
    assert_eq!(health.probe_due_at(), Some(at(3)));
    health.finished(sample(&limited(), 1), at(3), 0.0);
    assert_eq!(health.probe_due_at(), Some(at(3)));
}

#[test]
fn a_probe_that_speaks_of_its_lane_only_leaves_the_question_to_the_next() {
    let mut health = health(64);
    fail(&mut health, FAILING_LANES, 0);
    let hour = 3_600 * SECOND;
    assert_eq!(probe(&mut health, &limited(), hour, 0.0), None);
    assert_eq!(health.backed_off_since(), Some(at(0)), "nothing passed");
    assert_eq!(health.probe_due_at(), Some(at(hour + 10)), "nor failed");
    // One that hangs beside it keeps its place.
    health.started(at(hour + 10));
    let second = health.started(at(hour + 2 * SECOND));
    let outcome = limited();
    let second = Sample {
        probe: second,
        ..sample(&outcome, hour)
    };
    health.finished(second, at(hour + 2 * SECOND), 0.0);
    assert_eq!(health.probe_due_at(), None);
    let turn = probe(&mut health, &WELL, hour + 4 * SECOND, 0.0);
    assert!(matches!(turn, Some(Turn::Recovered { .. })), "{turn:?}");
}

#[test]
fn the_failing_time_begins_with_what_had_not_failed_before() {
    let mut health = health(64);
    let outcome = fails(500);
    let known = Sample {
        is_first: false,
        ..sample(&outcome, 0)
    };
    health.finished(known, at(0), 0.0);
    let hour = 3_600 * SECOND;
    let turn = fail(&mut health, FAILING_LANES, hour);
    assert_eq!(turn, Some(Turn::BackedOff { since: at(hour) }));
}

#[test]
fn probes_are_single_and_wait_an_eighth_of_the_outage() {
    let mut health = health(64);
    fail(&mut health, FAILING_LANES, 0);
    assert_eq!(health.room(0, at(0)), 1, "the first probe goes at once");
    assert_eq!(health.early_probe_at(), Some(at(SECOND)));
    let first = health.started(at(0));
    assert_eq!((first, health.room(1, at(SECOND - 1))), (Some(Probe(1)), 0));
    assert_eq!(health.probe_due_at(), None);
    assert_eq!(health.room(1, at(SECOND)), 1, "it hangs");
    let outcome = fails(503);
    let first = Sample {
        probe: first,
        ..sample(&outcome, 0)
    };
    health.finished(first, at(10), 0.0);
    assert_eq!(health.probe_due_at(), Some(at(20)));
    probe(&mut health, &outcome, 80 * SECOND, 0.0);
    assert_eq!(health.probe_due_at(), Some(at(90 * SECOND)));
    probe(&mut health, &outcome, 160 * SECOND, 0.5);
    assert_eq!(health.probe_due_at(), Some(at(182 * SECOND)));
    let day = 86_400 * SECOND;
    probe(&mut health, &outcome, day, 0.0);
    assert_eq!(health.probe_due_at(), Some(at(day + 300 * SECOND)));
}

#[test]
fn beside_probes_that_hang_two_more_are_made_each_a_second_later() {
    let mut health = health(64);
    fail(&mut health, FAILING_LANES, 0);
    for ms in [0, 1_000, 2_000] {
        let before = health.room(1, at(ms - 1));
        assert_eq!((before, health.room(1, at(ms))), (0, 1), "{ms}");
        health.started(at(ms));
    }
    assert_eq!(health.room(3, at(1_000_000)), 0);
    let outcome = fails(503);
    let first = Sample {
        probe: Some(Probe(1)),
        ..sample(&outcome, 0)
    };
    health.finished(first, at(16_000), 0.0);
    assert_eq!(
        health.second_probe_at(),
        Some(at(18_000)),
        "an eighth of it"
    );
}

#[test]
fn an_endpoint_that_asks_for_time_is_not_probed_before() {
    let mut health = health(64);
    let outcome = asks(429, Duration::from_mins(1));
    health.finished(sample(&outcome, 0), at(0), 0.0);
    fail(&mut health, FAILING_LANES, 10);
    assert_eq!(health.probe_due_at(), Some(at(60 * SECOND)));
    let late = asks(503, Duration::from_mins(2));
    health.finished(sample(&late, 0), at(20), 0.0);
    assert_eq!(health.probe_due_at(), Some(at(20 + 120 * SECOND)));
    let endless = asks(503, Duration::from_hours(1_000));
    probe(&mut health, &endless, 200 * SECOND, 0.0);
    assert_eq!(health.probe_due_at(), Some(at(3_800 * SECOND)));
}

#[test]
fn a_probe_of_an_outage_that_is_over_says_nothing_of_the_next() {
    let mut health = health(64);
    fail(&mut health, FAILING_LANES, 0);
    let old = health.started(at(1));
    health.finished(sample(&WELL, 0), at(1), 0.0);
    fail(&mut health, FAILING_LANES, 2);
    let new = health.started(at(2));
    assert_ne!(old, new);
    let outcome = fails(503);
    let old = Sample {
        probe: old,
        ..sample(&outcome, 0)
    };
    health.finished(old, at(500), 0.0);
    assert_eq!(health.room(1, at(1_001)), 0, "the new one is in flight");
}

#[test]
fn any_success_ends_it_and_says_whether_it_was_an_outage() {
    for (ms, was_outage, room) in [(4_999, false, 28), (5_000, true, 8)] {
        let mut health = health(64);
        for _ in 0..20 {
            health.finished(sample(&WELL, 0), at(0), 0.0);
        }
        fail(&mut health, FAILING_LANES, 0);
        let turn = health.finished(sample(&WELL, 0), at(ms), 0.0);
        let since = at(0);
        assert_eq!(turn, Some(Turn::Recovered { since, was_outage }));
        assert_eq!(health.room(0, at(ms)), room, "an outage starts small again");
    }
    let mut health = health(64);
    fail(&mut health, 2, 0);
    let turn = health.finished(sample(&WELL, 0), at(5_000), 0.0);
    assert!(matches!(
        turn,
        Some(Turn::Recovered {
            was_outage: true,
            ..
        })
    ));
    fail(&mut health, 1, 6_000);
    let turn = health.finished(sample(&WELL, 0), at(60_000), 0.0);
    assert_eq!(turn, None, "one event says nothing of the others");
}

#[test]
fn it_is_remembered_over_a_restart() {
    let mut health = Health::new(64, 2, Some(at(0)), at(100_000));
    assert_eq!(health.backed_off_since(), Some(at(0)));
    assert_eq!(
        (health.room(0, at(100_000)), health.room(1, at(100_000))),
        (1, 1)
    );
    let turn = probe(&mut health, &fails(503), 100_000, 0.0);
    assert_eq!(turn, None);
    assert_eq!(health.probe_due_at(), Some(at(112_500)));
    let future = Health::new(64, 2, Some(at(50_000)), at(0));
    assert_eq!(future.backed_off_since(), Some(at(0)), "a clock was wrong");
}

#[test]
fn concurrency_grows_with_fast_successes_and_halves_once_for_what_was_sent_together() {
    let mut health = health(64);
    assert_eq!(health.concurrency(), 8);
    let succeed = |health: &mut Health, took: i64, now: i64| {
        health.finished(sample(&WELL, now - took), at(now), 0.0);
    };
    for now in 0..10 {
        succeed(&mut health, 10, 100 + now);
    }
    assert_eq!(health.concurrency(), 18, "each success adds one");
    for now in 0..10 {
        succeed(&mut health, 10_000, 20_000 + now);
    }
    assert_eq!(health.concurrency(), 18, "slow ones add none");
    for _ in 0..5 {
        health.finished(sample(&fails(503), 20_100), at(20_200), 0.0);
    }
    assert_eq!(
        health.concurrency(),
        9,
        "five that were sent together are one sign"
    );
    health.finished(sample(&fails(429), 20_300), at(20_400), 0.0);
    assert_eq!(health.concurrency(), 4);
    for now in 0..4 {
        succeed(&mut health, 10, 21_000 + now);
    }
    assert_eq!(
        health.concurrency(),
        5,
        "from half on, it takes as many as it is"
    );
    health.finished(sample(&fails(404), 22_000), at(22_000), 0.0);
    assert_eq!(health.concurrency(), 5, "a refusal is no overload");
    let known = fails(500);
    let known = Sample {
        is_first: false,
        ..sample(&known, 23_000)
    };
    health.finished(known, at(23_000), 0.0);
    assert_eq!(health.concurrency(), 5, "nor is a known failure");
    for now in 0..20 {
        health.finished(sample(&fails(503), 30_000 + now), at(30_000 + now), 0.0);
    }
    assert_eq!(health.concurrency(), 1);
}

#[test]
fn retries_that_fail_have_a_budget_and_those_that_succeed_are_free() {
    let mut health = health(64);
    let takes =
        |health: &mut Health, now: i64| (0..10).take_while(|_| health.take_retry(at(now))).count();
    assert_eq!(takes(&mut health, 0), 2, "one second's at once");
    assert_eq!(takes(&mut health, 400), 0);
    let next = health.retry_at(at(400)).unwrap();
    assert!(next > at(499) && next <= at(502), "{next}");
    assert_eq!(takes(&mut health, 502), 1);
    let success = Sample {
        is_first: false,
        ..sample(&WELL, 502)
    };
    health.finished(success, at(502), 0.0);
    assert_eq!(health.retry_at(at(502)), None);
    assert_eq!(takes(&mut health, 502), 1);
    assert_eq!(takes(&mut health, 3_600_000), 2, "nothing is saved up");
}

#[test]
fn an_endpoint_is_cleared_by_others_that_passed_since_and_nothing_new_that_fails() {
    let mut health = health(64);
    assert!(!health.clears_endpoint(at(0)), "nothing has passed");
    health.finished(sample(&WELL, 10), at(10), 0.0);
    assert!(health.clears_endpoint(at(9)));
    assert!(!health.clears_endpoint(at(10)), "nothing has passed since");
    fail(&mut health, 1, 11);
    assert!(!health.clears_endpoint(at(9)), "another begins to fail");
}

#[test]
fn waits_of_probes_are_within_their_bounds() {
    assert_eq!(probe_wait(Duration::ZERO), Duration::from_millis(10));
    assert_eq!(probe_wait(Duration::from_secs(80)), Duration::from_secs(10));
    assert_eq!(probe_wait(Duration::from_hours(99)), Duration::from_mins(5));
    assert_eq!(later(at(0), probe_wait(Duration::ZERO)), at(10));
}
