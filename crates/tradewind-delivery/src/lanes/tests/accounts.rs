//! An endpoint of many accounts, of which one is asked to wait.

use std::time::Duration;

use super::{
    super::Limits,
    fixture::{DELIVERED, Hand, failed, limited},
};
use crate::health::{FAILING_LANES, Turn};

const LIMITED: u64 = 20;
const WAIT: Duration = Duration::from_mins(30);
const WAIT_MS: i64 = 30 * 60 * 1_000;

/// As a source has them.
fn limits() -> Limits {
    Limits {
        set_aside_after: None,
        ..Limits::default()
    }
}

/// Lanes 1 to [`LIMITED`] are asked to wait.
fn with_limited_account() -> Hand {
    let mut hand = Hand::new(limits());
    let lanes: Vec<_> = (1..=LIMITED).map(|lane| (lane, lane)).collect();
    hand.append(&lanes);
    for lane in 1..=LIMITED {
        assert_eq!(hand.finish(lane, &limited(WAIT)), None);
    }
    assert_eq!(hand.in_flight, []);
    hand
}

/// Lanes from 100 on fail, until the endpoint is backed off.
fn back_off(hand: &mut Hand) {
    for lane in (100..).take(usize::try_from(FAILING_LANES).unwrap()) {
        hand.append(&[(lane, lane)]);
        hand.finish(lane, &failed());
    }
    assert!(hand.lanes.status().backed_off.is_some());
}

#[test]
fn lanes_of_a_limited_account_wait_as_asked_and_all_others_go_on() {
    let mut hand = with_limited_account();
    let others: Vec<_> = (101..=108).map(|lane| (lane, lane)).collect();
    hand.append(&others);
    assert_eq!(hand.in_flight.len(), others.len(), "as many as before");
    for (lane, _) in others {
        hand.finish(lane, &DELIVERED);
    }
    hand.go_to(WAIT_MS - 1);
    assert_eq!(hand.in_flight, []);
    hand.go_to(WAIT_MS);
    assert!(!hand.in_flight.is_empty());
    assert!(hand.in_flight.iter().all(|(_, _, number)| *number == 2));
    hand.run_until(2 * WAIT_MS, |_| true);
    assert!(hand.lanes.is_empty());
}

#[test]
fn news_of_the_endpoint_brings_no_limited_lane_forward() {
    let mut hand = with_limited_account();
    back_off(&mut hand);
    let sent = hand.sent.len();
    hand.run_until(WAIT_MS / 2, |_| false);
    assert!(hand.sent.len() > sent, "it was probed");
    let of_limited = |hand: &Hand| {
        let sent = hand.sent.iter();
        sent.filter(|(sequence, _)| *sequence <= LIMITED).count()
    };
    assert_eq!(of_limited(&hand), 20, "with others");
    hand.append(&[(200, 200)]);
    let (_, probe_at) = hand.lanes.status().backed_off.unwrap();
    hand.go_to(probe_at.as_millisecond() + 1);
    let turn = hand.finish(200, &DELIVERED);
    let is_over = |turn| matches!(turn, Some(Turn::Recovered { was_outage, .. }) if was_outage);
    assert!(is_over(turn), "{turn:?}");
    hand.run_until(WAIT_MS - 1, |_| true);
    assert_eq!(of_limited(&hand), 20, "all but those are tried at once");
    hand.run_until(2 * WAIT_MS, |_| true);
    assert!(hand.lanes.is_empty());
}

#[test]
fn a_probe_of_a_limited_account_is_followed_by_one_of_another() {
    let mut hand = Hand::new(limits());
    back_off(&mut hand);
    hand.run_until(WAIT_MS, |_| false);
    hand.append(&[(200, 200), (201, 201)]);
    let (_, probe_at) = hand.lanes.status().backed_off.unwrap();
    hand.go_to(probe_at.as_millisecond() + 1);
    assert_eq!(hand.in_flight, [(201, 201, 1)]);
    assert_eq!(hand.finish(201, &limited(WAIT)), None);
    assert!(hand.lanes.status().backed_off.is_some());
    hand.go_to(hand.now + 11);
    assert_eq!(hand.in_flight, [(200, 200, 1)]);
    let turn = hand.finish(200, &DELIVERED);
    assert!(matches!(turn, Some(Turn::Recovered { .. })), "{turn:?}");
}
