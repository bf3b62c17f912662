//! The core driven by hand. Random histories are in [`sim`].

mod accounts;
mod faults;
mod fixture;
mod memory;
mod outage;
mod sim;

use tradewind_model::Sequence;
use tradewind_store::HeldLane;

use super::{Action, Changes, Limits};
use fixture::{DELIVERED, at, attempts, conversation, entries, failed, fresh};

#[test]
fn one_lane_has_one_attempt_in_flight_and_lanes_run_side_by_side() {
    let mut lanes = fresh(Limits::default());
    lanes.extend(entries(&[(1, 1), (2, 1), (3, 2)]), Sequence(3), at(0));
    assert_eq!(attempts(&lanes.step(at(0))), [(1, 1), (3, 1)]);
    assert_eq!(lanes.step(at(1)), []);
    lanes.finished(conversation(2), &DELIVERED, at(1), 0.0);
    assert_eq!(lanes.cursor(), Sequence(0));
    lanes.finished(conversation(1), &DELIVERED, at(1), 0.0);
    assert_eq!(lanes.cursor(), Sequence(1));
    assert_eq!(attempts(&lanes.step(at(1))), [(2, 1)]);
    lanes.finished(conversation(1), &DELIVERED, at(2), 0.0);
    assert_eq!(lanes.cursor(), Sequence(3));
    assert_eq!((lanes.entry_count(), lanes.in_flight()), (0, 0));
}

#[test]
fn a_failure_costs_one_row_and_lets_the_cursor_pass() {
    let mut lanes = fresh(Limits::default());
    lanes.extend(entries(&[(1, 1), (2, 1), (3, 2)]), Sequence(3), at(0));
    lanes.step(at(0));
    lanes.finished(conversation(2), &DELIVERED, at(0), 0.0);
    lanes.finished(conversation(1), &failed(), at(0), 0.0);
    assert_eq!(lanes.entry_count(), 0);
    let row = |attempts, due: i64| HeldLane {
        conversation_id: conversation(1),
        first: Sequence(1),
        attempts,
        failing_since: at(0),
        due_at: at(due),
        error: "connect".to_owned(),
        status: None,
    };
    let changes = Changes {
        cursor: Sequence(3),
        held: vec![row(1, 1_000)],
        released: vec![],
        backed_off_since: None,
        set_aside: vec![],
        delivered: vec![],
    };
    assert_eq!(lanes.take_changes(), Some(changes));
    assert_eq!(lanes.take_changes(), None);

    assert_eq!(lanes.next_wake(at(0)), Some(at(1_000)));
    assert_eq!(lanes.step(at(999)), []);
    let read = Action::ReadLane {
        conversation: conversation(1),
        from: Sequence(1),
        to: Sequence(3),
    };
    assert_eq!(lanes.step(at(1_000)), [read]);
    lanes.lane_read(
        conversation(1),
        entries(&[(1, 1), (2, 1)]),
        Sequence(3),
        false,
        at(1_000),
    );
    assert_eq!(attempts(&lanes.step(at(1_000))), [(1, 2)]);
    lanes.finished(conversation(1), &failed(), at(1_000), 0.0);
    let changes = lanes.take_changes().unwrap();
    assert_eq!(changes.held, [row(2, 6_000)]);

    lanes.step(at(6_000));
    lanes.lane_read(
        conversation(1),
        entries(&[(1, 1), (2, 1)]),
        Sequence(3),
        false,
        at(1_000),
    );
    assert_eq!(attempts(&lanes.step(at(6_000))), [(1, 3)]);
    lanes.finished(conversation(1), &DELIVERED, at(6_000), 0.0);
    assert_eq!(attempts(&lanes.step(at(6_000))), [(2, 1)]);
    lanes.finished(conversation(1), &DELIVERED, at(6_000), 0.0);
    let changes = lanes.take_changes().unwrap();
    assert_eq!(
        (changes.held, changes.released),
        (vec![], vec![conversation(1)])
    );
    assert_eq!(lanes.next_wake(at(0)), None);
}

#[test]
fn a_slow_attempt_holds_its_lane_and_not_the_cursor() {
    let mut lanes = fresh(Limits::default());
    lanes.extend(entries(&[(1, 1), (2, 2), (3, 1)]), Sequence(3), at(0));
    lanes.step(at(0));
    lanes.finished(conversation(2), &DELIVERED, at(1), 0.0);
    assert_eq!(lanes.next_wake(at(0)), Some(at(1_000)));
    lanes.step(at(1_000));
    assert_eq!(lanes.cursor(), Sequence(3));
    let changes = lanes.take_changes().unwrap();
    assert_eq!(
        (changes.held[0].first, changes.held[0].attempts),
        (Sequence(1), 0)
    );
    lanes.extend(entries(&[(4, 1)]), Sequence(4), at(0));
    lanes.finished(conversation(1), &DELIVERED, at(2_000), 0.0);
    let read = Action::ReadLane {
        conversation: conversation(1),
        from: Sequence(2),
        to: Sequence(4),
    };
    assert_eq!(lanes.step(at(2_000)), [read]);
}

#[test]
fn a_full_window_stops_reading() {
    let limits = Limits {
        entries_max: 128,
        lane_entries_max: 32,
        held_max: 2,
        ..Limits::default()
    };
    let mut lanes = fresh(limits);
    assert_eq!(lanes.room(), 96);
    lanes.extend(entries(&[(1, 1), (2, 2)]), Sequence(2), at(0));
    assert_eq!(lanes.room(), 94);
    lanes.step(at(0));
    lanes.finished(conversation(1), &failed(), at(0), 0.0);
    assert_eq!(lanes.room(), 95);
    lanes.finished(conversation(2), &failed(), at(0), 0.0);
    assert_eq!(lanes.room(), 0);

    let heavy = Limits {
        weight_max: 100,
        lane_weight_max: 25,
        ..Limits::default()
    };
    let mut lanes = fresh(heavy);
    assert!(lanes.room() > 0);
    lanes.extend(entries(&[(1, 1)]), Sequence(1), at(0));
    assert_eq!(lanes.room(), 0);
}
