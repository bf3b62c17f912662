//! Events that are at fault, conversations that answer themselves, and rows that are not what they seem.

use std::{sync::Arc, time::Duration};

use tradewind_model::EntryKind;
use tradewind_model::Sequence;
use tradewind_store::{HeldLane, SetAside};

use super::{
    super::{LaneStatus, Limits},
    fixture::{DELIVERED, Hand, at, conversation, empty_state, entry, failed, failed_with, own},
};

const MINUTE: i64 = 60_000;

fn row(first: u64, attempts: u32) -> HeldLane {
    HeldLane {
        conversation_id: conversation(1),
        first: Sequence(first),
        attempts,
        failing_since: at(0),
        due_at: at(0),
        error: "connect".to_owned(),
        status: None,
    }
}

/// Lane 1 fails, and lane 2 passes once a minute, until `end`.
fn poison(hand: &mut Hand, next: &mut u64, end: i64) {
    while hand.now + MINUTE <= end {
        hand.run_until(hand.now + MINUTE - 1, |lane| lane != 1);
        hand.append(&[(*next, 2)]);
        *next += 1;
        hand.run_until(hand.now + 1, |lane| lane != 1);
    }
}

#[test]
fn an_event_that_fails_for_ten_minutes_while_others_pass_is_set_aside_then() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1), (2, 1)]);
    let mut next = 3;
    poison(&mut hand, &mut next, 10 * MINUTE - 1);
    hand.run_until(10 * MINUTE - 1, |lane| lane != 1);
    assert!(!hand.lanes.must_save_now());
    hand.run_until(10 * MINUTE + 2, |lane| lane != 1);
    assert!(hand.lanes.must_save_now());
    let status = hand.lanes.lane_status(conversation(1));
    assert_eq!(status, LaneStatus::SettingAside);
    let sent = hand.sent.len();
    hand.go_to(hand.now + 60 * MINUTE);
    assert_eq!(hand.sent.len(), sent, "nothing goes on before it is saved");
    let changes = hand.save().unwrap();
    let record = SetAside {
        sequence: Sequence(1),
        conversation_id: conversation(1),
        attempts: 5,
        failing_since: at(0),
        error: "connect".to_owned(),
        status: None,
    };
    assert_eq!(changes.set_aside, [record]);
    let first = changes.held.iter().map(|row| (row.first, row.attempts));
    assert_eq!(first.collect::<Vec<_>>(), [(Sequence(2), 0)]);
    assert_eq!(hand.in_flight, [(2, 1, 1)]);
    hand.finish(1, &DELIVERED);
    assert!(hand.lanes.is_empty());
}

#[test]
fn an_event_is_not_set_aside_while_nothing_else_passes() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1)]);
    hand.run_until(20 * 60 * MINUTE, |_| false);
    assert!(!hand.lanes.must_save_now());
    // One passes; the event is given up when it fails the next time.
    hand.append(&[(2, 2)]);
    hand.run_until(20 * 60 * MINUTE, |lane| lane != 1);
    hand.run_until(50 * 60 * MINUTE, |_| false);
    assert!(hand.lanes.must_save_now());
}

#[test]
fn an_event_is_not_set_aside_while_others_begin_to_fail() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1)]);
    let mut next = 3;
    poison(&mut hand, &mut next, 9 * MINUTE);
    hand.append(&[(100, 3)]);
    hand.run_until(10 * MINUTE + 10, |_| false);
    assert!(!hand.lanes.must_save_now());
}

#[test]
fn a_status_that_blames_the_event_needs_no_others() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1)]);
    while !hand.lanes.must_save_now() {
        assert!(hand.now < 11 * MINUTE);
        if hand.in_flight.is_empty() {
            let wake = hand.lanes.next_wake(at(hand.now)).unwrap();
            hand.go_to(wake.as_millisecond() + 1);
        } else {
            hand.finish(1, &failed_with(422));
        }
    }
    assert!(hand.now >= 10 * MINUTE);
}

#[test]
fn nothing_is_set_aside_if_the_operator_wants_it_so() {
    let mut hand = Hand::new(Limits {
        set_aside_after: None,
        ..Limits::default()
    });
    hand.append(&[(1, 1)]);
    let mut next = 3;
    poison(&mut hand, &mut next, 300 * MINUTE);
    assert_eq!(hand.save().unwrap().set_aside, []);
    assert_eq!(hand.lanes.status().held, 1);
}

fn loops(loop_max: u32) -> Limits {
    Limits {
        loop_max,
        ..Limits::default()
    }
}

/// Our side answers each event of its own, from `first` on, and its events go out at once.
fn answer(hand: &mut Hand, first: u64, count: u64) {
    for sequence in first..first + count {
        hand.now += 10;
        hand.append_one(Arc::new(own(sequence, 1, at(hand.now))));
        hand.step();
        if !hand.in_flight.is_empty() {
            hand.finish(1, &DELIVERED);
        }
    }
}

#[test]
fn a_conversation_that_answers_itself_is_left_alone_until_its_contact_writes_or_it_is_time() {
    let mut hand = Hand::new(loops(5));
    answer(&mut hand, 1, 5);
    assert_eq!((hand.sent.len(), hand.loops), (5, 0));
    answer(&mut hand, 6, 1);
    assert_eq!((hand.sent.len(), hand.loops), (5, 1));
    let status = hand.lanes.lane_status(conversation(1));
    let LaneStatus::Held(row, _) = status else {
        panic!("{status:?}");
    };
    assert_eq!((row.error.as_str(), row.attempts), ("loop", 0));
    hand.append_one(Arc::new(entry(20, 1)));
    hand.run_until(hand.now, |_| true);
    assert!(hand.lanes.is_empty(), "the contact's message sets it free");

    let mut hand = Hand::new(loops(5));
    answer(&mut hand, 1, 6);
    assert_eq!(hand.loops, 1);
    hand.run_until(10 * MINUTE, |_| true);
    assert_eq!(hand.sent.len(), 5);
    hand.run_until(10 * MINUTE + 100, |_| true);
    assert_eq!(hand.sent.len(), 6);
}

#[test]
fn what_is_noted_between_the_answers_of_a_loop_hides_none_and_is_none() {
    let noted = |sequence, sent_at| {
        let mut entry = own(sequence, 1, sent_at);
        entry.kind = EntryKind::ConversationChanged;
        Arc::new(entry)
    };
    let mut hand = Hand::new(loops(5));
    for sequence in 1..=6 {
        answer(&mut hand, 2 * sequence, 1);
        hand.append_one(noted(2 * sequence + 1, at(0)));
        hand.step();
        if !hand.in_flight.is_empty() {
            hand.finish(1, &DELIVERED);
        }
    }
    assert_eq!(hand.loops, 1);

    let sent = hand.sent.len();
    hand.append_one(noted(100, at(0)));
    hand.run_until(hand.now, |_| true);
    assert_eq!(
        hand.sent.len(),
        sent,
        "it does not set the conversation free"
    );

    let mut hand = Hand::new(loops(5));
    for sequence in 1..=100 {
        hand.now += 10;
        hand.append_one(noted(sequence, at(hand.now)));
        hand.step();
        hand.finish(1, &DELIVERED);
    }
    assert_eq!((hand.sent.len(), hand.loops), (100, 0));
}

#[test]
fn who_goes_on_to_write_without_hearing_events_is_no_loop() {
    let mut hand = Hand::new(loops(5));
    answer(&mut hand, 1, 6);
    assert_eq!((hand.sent.len(), hand.loops), (5, 1));
    answer(&mut hand, 7, 1);
    hand.run_until(hand.now, |_| true);
    assert_eq!(hand.sent.len(), 7);
    assert!(hand.lanes.is_empty());
}

#[test]
fn an_event_that_was_not_found_at_fault_in_time_is_tried_at_the_next_success() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1)]);
    hand.run_until(11 * MINUTE, |_| false);
    let tried = hand.sent.len();
    assert_eq!(hand.save().unwrap().set_aside, [], "nothing else passed");
    hand.append(&[(2, 2)]);
    hand.run_until(hand.now, |lane| lane == 2);
    assert_eq!(hand.sent.len(), tried + 2, "it is tried once more at once");
    let set_aside = hand.save().unwrap().set_aside;
    assert_eq!(set_aside[0].sequence, Sequence(1));

    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1)]);
    hand.run_until(11 * MINUTE, |_| false);
    let now = at(hand.now);
    hand.lanes.passed_elsewhere(now, now);
    hand.run_until(hand.now, |_| false);
    let set_aside = hand.save().unwrap().set_aside;
    assert_eq!(
        set_aside[0].sequence,
        Sequence(1),
        "others' successes count"
    );
}

#[test]
fn many_messages_at_once_are_no_loop_nor_are_a_contacts_or_slow_ones() {
    let mut hand = Hand::new(loops(5));
    for sequence in 1..=500 {
        hand.append_one(Arc::new(own(sequence, 1, at(0))));
    }
    hand.now = 1;
    hand.run_until(1, |_| true);
    assert_eq!((hand.sent.len(), hand.loops), (500, 0));

    // Written at once, and read one by one.
    let mut hand = Hand::new(loops(5));
    for sequence in 1..=100 {
        hand.now += 10;
        hand.append_one(Arc::new(own(sequence, 1, at(0))));
        hand.step();
        hand.finish(1, &DELIVERED);
    }
    assert_eq!((hand.sent.len(), hand.loops), (100, 0));

    // Faster than its events go out.
    let mut hand = Hand::new(loops(5));
    for sequence in 1..=100 {
        hand.now += 10;
        hand.append_one(Arc::new(own(2 * sequence, 1, at(hand.now))));
        hand.append_one(Arc::new(own(2 * sequence + 1, 1, at(hand.now))));
        hand.step();
        hand.finish(1, &DELIVERED);
    }
    hand.run_until(hand.now, |_| true);
    assert_eq!((hand.sent.len(), hand.loops), (200, 0));

    let mut hand = Hand::new(loops(5));
    for sequence in 1..=100 {
        answer(&mut hand, 2 * sequence, 1);
        hand.append(&[(2 * sequence + 1, 1)]);
        hand.finish(1, &DELIVERED);
    }
    assert_eq!((hand.sent.len(), hand.loops), (200, 0));

    let mut hand = Hand::new(loops(5));
    for sequence in 1..=100 {
        hand.now += 2 * MINUTE;
        answer(&mut hand, sequence, 1);
    }
    assert_eq!((hand.sent.len(), hand.loops), (100, 0));
}

#[test]
fn without_a_bound_no_loop_is_looked_for() {
    let mut hand = Hand::new(loops(0));
    answer(&mut hand, 1, 300);
    assert_eq!((hand.sent.len(), hand.loops), (300, 0));
}

#[test]
fn what_came_before_a_restart_of_a_lane_in_a_loop_is_still_left_alone() {
    let mut state = empty_state();
    state.cursor = Sequence(1);
    state.held = vec![HeldLane {
        error: "loop".to_owned(),
        due_at: at(10 * MINUTE),
        ..row(1, 0)
    }];
    let mut hand = Hand::new(loops(5));
    hand.append_one(Arc::new(own(1, 1, at(0))));
    hand.restart(loops(5), state);
    hand.run_until(10 * MINUTE - 1, |_| true);
    assert_eq!(hand.sent, []);
    hand.run_until(10 * MINUTE, |_| true);
    assert_eq!(hand.sent, [(1, 1)]);
}

#[test]
fn a_conversation_that_is_left_alone_is_no_probe() {
    let mut state = empty_state();
    state.cursor = Sequence(1);
    state.backed_off_since = Some(at(0));
    state.held = vec![HeldLane {
        error: "loop".to_owned(),
        due_at: at(10 * MINUTE),
        ..row(1, 0)
    }];
    let mut hand = Hand::new(loops(5));
    hand.append_one(Arc::new(own(1, 1, at(0))));
    hand.now = 5_000;
    hand.restart(loops(5), state);
    hand.step();
    assert_eq!(hand.in_flight, []);
    assert_eq!(hand.lanes.next_wake(at(5_000)), Some(at(10 * MINUTE)));
}

#[test]
fn an_event_that_is_not_there_any_more_leaves_its_failures_to_none() {
    let mut hand = Hand::new(Limits::default());
    hand.append(&[(1, 1), (2, 1)]);
    let mut next = 3;
    poison(&mut hand, &mut next, 9 * MINUTE);
    hand.remove(1);
    hand.run_until(13 * MINUTE, |_| false);
    assert_eq!(hand.save().unwrap().set_aside.len(), 1, "the old one");

    let mut hand = Hand::new(Limits {
        set_aside_after: None,
        ..Limits::default()
    });
    hand.append(&[(1, 1), (2, 1)]);
    hand.run_until(40_000, |_| false);
    hand.remove(1);
    hand.run_until(200_000, |_| false);
    let of_second = hand.sent.iter().filter(|(sequence, _)| *sequence == 2);
    let numbers: Vec<_> = of_second.map(|(_, number)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4], "it begins with its first attempt");
}

#[test]
fn a_lane_that_was_further_than_the_cursor_keeps_its_row_until_the_log_is_read_up_to_it() {
    let mut hand = Hand::new(Limits::default());
    let of_log = [(1, 2), (2, 1), (3, 1)];
    hand.append(&of_log);
    // Saved: everything up to 0, and that lane 1 has come to 3.
    let mut state = empty_state();
    state.held = vec![row(3, 0)];
    hand.restart(Limits::default(), state);
    hand.sent.clear();
    hand.run_until(0, |_| true);
    assert_eq!(hand.sent, [(3, 1)]);
    hand.save();
    let again: Vec<_> = super::fixture::entries(&of_log);
    hand.lanes.extend(again, Sequence(3), at(0));
    hand.run_until(0, |_| true);
    assert_eq!(
        hand.sent,
        [(3, 1), (1, 1)],
        "neither 2 nor 3 goes out again"
    );
    assert!(hand.lanes.is_empty());
    assert_eq!(hand.save().unwrap().released, [conversation(1)]);
}

#[test]
fn a_lane_waits_for_what_is_not_written_yet_though_its_row_is_further() {
    let mut state = empty_state();
    state.cursor = Sequence(5);
    state.held = vec![row(9, 0)];
    let mut hand = Hand::new(Limits::default());
    hand.restart(Limits::default(), state);
    hand.run_until(0, |_| true);
    hand.lanes.extend(vec![], Sequence(7), at(0));
    hand.run_until(0, |_| true);
    hand.append(&[(9, 1)]);
    hand.run_until(0, |_| true);
    assert_eq!(hand.sent, [(9, 1)]);
    assert!(hand.lanes.is_empty());
}

#[test]
fn a_clock_that_was_wrong_silences_no_lane() {
    let mut state = empty_state();
    state.held = vec![HeldLane {
        due_at: at(3_600_000),
        ..row(1, 0)
    }];
    let mut hand = Hand::new(Limits::default());
    hand.append_one(Arc::new(entry(1, 1)));
    hand.restart(Limits::default(), state);
    hand.step();
    assert_eq!(
        hand.in_flight,
        [(1, 1, 1)],
        "what never failed waits for nothing"
    );

    let year = Duration::from_hours(24 * 365);
    let mut state = empty_state();
    state.held = vec![HeldLane {
        due_at: at(i64::try_from(year.as_millis()).unwrap()),
        ..row(1, 3)
    }];
    hand.restart(Limits::default(), state);
    let wake = hand.lanes.next_wake(at(0)).unwrap();
    assert!(wake <= at(29 * 3_600_000), "{wake}");
}

#[test]
fn what_was_delivered_is_told_once_each_time() {
    let mut hand = Hand::new(Limits {
        tells_delivered: true,
        ..Limits::default()
    });
    hand.append(&[(1, 1), (2, 1), (3, 2)]);
    hand.finish(1, &DELIVERED);
    hand.finish(2, &failed());
    assert_eq!(hand.save().unwrap().delivered, [Sequence(1)]);
    hand.finish(1, &DELIVERED);
    hand.go_to(1_000);
    hand.finish(2, &DELIVERED);
    assert_eq!(hand.save().unwrap().delivered, [Sequence(2), Sequence(3)]);
    assert_eq!(hand.save(), None);
}
