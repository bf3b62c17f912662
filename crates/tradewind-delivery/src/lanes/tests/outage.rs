//! An endpoint that fails for all, and is well again.

use std::time::Duration;

use super::{
    super::{LaneStatus, LaneWork, Limits},
    fixture::{DELIVERED, Hand, at, conversation, empty_state, failed, failed_with},
};
use crate::health::{FAILING_LANES, Turn};

const LANES: u64 = 20;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Entry n in lane n for each lane.
fn one_each(lanes: u64) -> Vec<(u64, u64)> {
    (1..=lanes).map(|lane| (lane, lane)).collect()
}

fn few_at_once() -> Limits {
    Limits {
        in_flight_max: 8,
        ..Limits::default()
    }
}

/// A core whose endpoint has just been backed off; what comes after is from lane 100 on.
fn backed_off(limits: Limits) -> Hand {
    let mut hand = Hand::new(limits);
    let lanes = u64::from(FAILING_LANES);
    hand.append(&one_each(lanes));
    for lane in 1..=lanes {
        assert_eq!(hand.lanes.status().backed_off, None);
        hand.finish(lane, &failed());
    }
    assert_eq!(hand.lanes.status().backed_off, Some((at(0), at(0))));
    hand
}

#[test]
fn the_tenth_lane_that_fails_leaves_one_probe_and_new_lanes_go_first() {
    let mut hand = Hand::new(few_at_once());
    hand.append(&one_each(LANES));
    for lane in 1..=8 {
        hand.finish(lane, &failed());
    }
    let in_flight = hand.in_flight.len();
    assert_eq!(hand.finish(9, &failed()), None);
    let turn = hand.finish(10, &failed());
    assert_eq!(turn, Some(Turn::BackedOff { since: at(0) }));
    // Those that were under way may end; of what follows, one goes: the newest, as it has not failed and
    // says most.
    let under_way: Vec<_> = hand.in_flight.iter().map(|(_, lane, _)| *lane).collect();
    assert!(under_way.len() <= in_flight, "{under_way:?}");
    for lane in under_way.iter().filter(|lane| **lane != LANES) {
        hand.finish(*lane, &failed());
    }
    assert_eq!(hand.in_flight, [(LANES, LANES, 1)]);
    hand.finish(LANES, &failed());
    assert_eq!(hand.in_flight, [], "the second probe waits");
    hand.go_to(9);
    assert_eq!(hand.in_flight, []);
    hand.go_to(10);
    assert_eq!(hand.in_flight, [(LANES - 1, LANES - 1, 1)]);
}

#[test]
fn without_new_lanes_the_one_that_is_due_first_is_the_probe_but_not_at_once() {
    let mut hand = backed_off(Limits {
        set_aside_after: None,
        ..Limits::default()
    });
    assert_eq!(hand.in_flight, [], "all have failed already");
    assert_eq!(hand.lanes.next_wake(at(0)), Some(at(1_000)));
    hand.go_to(1_000);
    let first = hand.in_flight.clone();
    assert!(matches!(first[..], [(_, _, 2)]), "{first:?}");
    hand.finish(first[0].1, &failed());
    // The others are due, too; but one probe goes at a time, and not before the last one's wait.
    assert_eq!(hand.in_flight, []);
    hand.go_to(2_000);
    let second = hand.in_flight.clone();
    assert!(matches!(second[..], [(_, _, 2)]), "{second:?}");
    assert_ne!(first, second);
    hand.run_until(DAY, |_| false);
    let before = hand.sent.len();
    let probe_at = hand.lanes.status().backed_off.unwrap().1;
    assert!(
        probe_at > at(DAY) && probe_at <= at(DAY + 300_000),
        "{probe_at}"
    );
    let status = hand.lanes.lane_status(conversation(1));
    assert!(matches!(status, LaneStatus::Held(..)), "{status:?}");
    hand.go_to(probe_at.as_millisecond());
    assert_eq!(
        hand.sent.len(),
        before + 1,
        "a probe does not wait for a lane's time"
    );
}

#[test]
fn a_success_brings_all_that_failed_in_the_outage_forward() {
    let mut hand = backed_off(Limits::default());
    hand.run_until(HOUR, |_| false);
    hand.append(&[(100, 100)]);
    let probe_at = hand.lanes.status().backed_off.unwrap().1;
    hand.go_to(probe_at.as_millisecond());
    assert_eq!(hand.in_flight, [(100, 100, 1)]);
    let turn = hand.finish(100, &DELIVERED);
    assert!(matches!(
        turn,
        Some(Turn::Recovered {
            was_outage: true,
            ..
        })
    ));
    assert_eq!(hand.in_flight.len(), 8);
    hand.run_until(hand.now, |_| true);
    assert!(hand.lanes.is_empty(), "all has arrived, without waiting");
}

#[test]
fn a_short_failing_time_brings_nothing_forward() {
    let mut hand = backed_off(Limits::default());
    hand.append(&[(100, 100)]);
    assert_eq!(hand.in_flight, [(100, 100, 1)]);
    hand.now = 500;
    let turn = hand.finish(100, &DELIVERED);
    assert!(matches!(
        turn,
        Some(Turn::Recovered {
            was_outage: false,
            ..
        })
    ));
    assert_eq!(hand.in_flight, []);
    hand.go_to(1_000);
    assert!(!hand.in_flight.is_empty());
}

#[test]
fn the_time_of_an_outage_counts_against_no_event() {
    let mut hand = backed_off(Limits::default());
    hand.run_until(3 * HOUR, |_| false);
    hand.append(&[(100, 100)]);
    hand.go_to(hand.now + 300_000);
    let in_flight = hand.in_flight.clone();
    for (_, lane, _) in in_flight {
        hand.finish(lane, &DELIVERED);
    }
    // What is tried again now fails once more: that is no reason to give it up.
    while let Some((_, lane, _)) = hand.in_flight.first().copied() {
        hand.finish(lane, &failed());
    }
    let changes = hand.save().unwrap();
    assert_eq!(changes.set_aside, []);
    for row in &changes.held {
        assert!(row.failing_since >= at(3 * HOUR), "{row:?}");
    }
}

#[test]
fn what_is_forgiven_is_saved_with_the_end_of_the_outage() {
    let mut hand = backed_off(few_at_once());
    hand.run_until(HOUR, |_| false);
    hand.save();
    hand.append(&[(100, 100)]);
    hand.go_to(HOUR + 300_000);
    let lane = hand.in_flight[0].1;
    hand.finish(lane, &DELIVERED);
    let changes = hand.lanes.take_changes().unwrap();
    assert_eq!(changes.backed_off_since, None);
    assert!(changes.held.len() >= 9, "{changes:?}");
    for row in &changes.held {
        assert!(row.failing_since >= at(HOUR), "{row:?}");
    }
}

#[test]
fn it_is_still_backed_off_after_a_restart_and_probed_at_once() {
    let mut hand = backed_off(few_at_once());
    let changes = hand.save().unwrap();
    assert_eq!(changes.backed_off_since, Some(at(0)));
    let mut state = empty_state();
    state.cursor = changes.cursor;
    state.backed_off_since = changes.backed_off_since;
    state.held = changes.held;
    hand.now = 60_000;
    hand.restart(few_at_once(), state);
    hand.step();
    assert_eq!(hand.in_flight.len(), 1);
    let lane = hand.in_flight[0].1;
    let turn = hand.finish(lane, &DELIVERED);
    assert!(matches!(
        turn,
        Some(Turn::Recovered {
            was_outage: true,
            ..
        })
    ));
    hand.run_until(hand.now, |_| true);
    assert!(hand.lanes.is_empty());
}

#[test]
fn a_poisoned_lane_neither_backs_off_nor_is_it_hurried_by_the_good_news_of_others() {
    let mut hand = Hand::new(Limits {
        set_aside_after: None,
        ..Limits::default()
    });
    hand.append(&[(1, 1)]);
    for second in 0..600 {
        hand.run_until(second * 1_000, |lane| lane != 1);
        let sequence = 2 + u64::try_from(second).unwrap();
        hand.append(&[(sequence, 2 + sequence % 5)]);
        assert_eq!(hand.lanes.status().backed_off, None);
    }
    hand.run_until(600_000, |lane| lane != 1);
    let of_poisoned: Vec<_> = hand
        .sent
        .iter()
        .filter(|(sequence, _)| *sequence == 1)
        .collect();
    assert_eq!(
        of_poisoned.len(),
        5,
        "1 s, 5 s, 30 s, 2 min, and then 10 min"
    );
}

#[test]
fn what_failed_before_an_outage_keeps_its_time_and_what_was_hurried_is_not_hurried_again() {
    let mut hand = backed_off(Limits::default());
    hand.run_until(60_000, |_| false);
    hand.append(&[(100, 100)]);
    hand.go_to(80_000);
    // Lane 1 is poisoned: it fails in the outage, when it is hurried, and after.
    hand.run_until(80_000, |lane| lane != 1);
    let sent = |hand: &Hand| {
        hand.sent
            .iter()
            .filter(|(sequence, _)| *sequence == 1)
            .count()
    };
    let before = sent(&hand);
    let LaneStatus::Held(row, LaneWork::Waiting) = hand.lanes.lane_status(conversation(1)) else {
        panic!("lane 1 waits");
    };
    assert!(row.due_at > at(90_000), "{row:?}");
    // Another outage of a few seconds, of other lanes.
    hand.now = 80_100;
    hand.append(&(201..=212).map(|lane| (lane, lane)).collect::<Vec<_>>());
    hand.run_until(80_100, |_| false);
    hand.run_until(87_000, |_| false);
    hand.append(&[(300, 300)]);
    hand.run_until(89_900, |lane| lane != 1);
    assert_eq!(hand.lanes.status().backed_off, None);
    assert_eq!(sent(&hand), before, "it waits for its own time");
}

#[test]
fn another_address_gets_everything_at_once_and_its_own_time_to_judge() {
    let mut hand = backed_off(Limits::default());
    hand.run_until(2 * HOUR, |_| false);
    hand.lanes.endpoint_changed(at(hand.now));
    hand.step();
    assert_eq!(hand.in_flight.len(), 8);
    hand.run_until(hand.now, |lane| lane != 1);
    let changes = hand.save().unwrap();
    assert_eq!(changes.set_aside, []);
    assert_eq!(hand.lanes.status().held, 1);
}

#[test]
fn new_and_old_take_turns_while_an_endpoint_recovers() {
    let limits = Limits {
        in_flight_max: 1,
        ..Limits::default()
    };
    let mut hand = Hand::new(limits);
    hand.append(&one_each(10));
    hand.run_until(10_000, |_| false);
    let new: Vec<_> = (101..=120).map(|lane| (lane, lane)).collect();
    hand.append(&new);
    hand.sent.clear();
    hand.run_until(20_000, |_| true);
    let old = |(sequence, _): &(u64, u32)| *sequence <= 10;
    // The probe and one more go while the first of the old are read.
    let of_old = hand.sent[2..10].iter().filter(|sent| old(sent)).count();
    assert_eq!(of_old, 4, "{:?}", hand.sent);
}

#[test]
fn a_lane_that_goes_on_does_not_wait_for_retries_that_have_no_share() {
    let limits = Limits {
        retries_per_second: 1,
        in_flight_max: 4,
        set_aside_after: None,
        ..Limits::default()
    };
    let mut hand = Hand::new(limits);
    hand.append(&[(1, 1)]);
    // Many poisoned lanes, with enough successes between for the endpoint to be well.
    for lane in 2..=60 {
        hand.append(&[(2 * lane, lane), (2 * lane + 1, 1)]);
        hand.run_until(hand.now, |lane| lane == 1);
    }
    assert_eq!(hand.lanes.status().held, 59);
    // Lane 1 is held because it is slow, and more waits in it.
    hand.append(&[(201, 1), (202, 1), (203, 1)]);
    hand.go_to(10_000);
    for sequence in 201..=203 {
        let of_one: Vec<_> = hand
            .in_flight
            .iter()
            .filter(|(_, lane, _)| *lane == 1)
            .collect();
        assert_eq!(of_one, [&(sequence, 1, 1)], "at {}", hand.now);
        hand.finish(1, &DELIVERED);
    }
}

#[test]
fn a_day_of_failures_costs_what_schedule_probes_and_budget_allow() {
    let limits = Limits {
        set_aside_after: None,
        ..Limits::default()
    };
    let mut hand = Hand::new(limits);
    hand.append(&one_each(2_000));
    hand.run_until(DAY, |_| false);
    // The first of each probe's kind, one a second at first, and one every five minutes in the end.
    let probes = hand.sent.len();
    assert!((288..700).contains(&probes), "{probes}");

    // The same day for lanes that are poisoned, each, while others pass.
    let mut hand = Hand::new(limits);
    let mut sequence = 0;
    for lane in 1..=50 {
        hand.append(&[(sequence + 1, lane), (sequence + 2, 1_000)]);
        sequence += 2;
        hand.run_until(hand.now, |lane| lane == 1_000);
    }
    hand.run_until(DAY, |lane| lane == 1_000);
    let retries = hand.sent.len() - 100;
    assert!(retries <= 50 * 11, "{retries}");
}

#[test]
fn a_failing_status_of_one_event_is_not_taken_for_the_endpoint() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1)]);
    for _ in 0..30 {
        hand.finish(1, &failed_with(500));
        let wake = hand.lanes.next_wake(at(hand.now)).unwrap();
        hand.go_to(wake.as_millisecond() + 1);
        while hand.in_flight.is_empty() {
            let wake = hand.lanes.next_wake(at(hand.now)).unwrap();
            hand.go_to(wake.as_millisecond() + 1);
        }
    }
    assert_eq!(hand.lanes.status().backed_off, None);
    assert!(hand.now > i64::try_from(Duration::from_hours(24).as_millis()).unwrap());
}
