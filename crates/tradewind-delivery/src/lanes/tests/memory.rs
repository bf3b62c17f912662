//! What a consumer costs, however much waits for it.

use std::sync::Arc;

use tradewind_model::{ConversationId, Sequence, Timestamp};
use tradewind_store::HeldLane;

use super::{
    super::{Lanes, Limits, lane::Lane},
    fixture::{Hand, at, empty_state, entry},
};

const MANY: u64 = 100_000;

fn limits() -> Limits {
    Limits {
        set_aside_after: None,
        ..Limits::default()
    }
}

#[test]
fn a_hundred_thousand_conversations_behind_an_endpoint_that_is_down_cost_a_window() {
    let mut hand = Hand::new(limits());
    let mut next = 1;
    let (mut entries, mut held) = (0, 0);
    // A day in which the core is offered all the log has, as often as it has room.
    for minute in 0..24 * 60 {
        while next <= MANY && hand.lanes.room() > 0 {
            hand.append_one(Arc::new(entry(next, next)));
            next += 1;
        }
        hand.run_until(minute * 60_000, |_| false);
        entries = entries.max(hand.lanes.entry_count());
        held = held.max(hand.lanes.status().held);
    }
    assert!(entries <= Limits::default().entries_max, "{entries}");
    assert!(held < 1_000, "{held}");
    assert!(next < 5_000, "{next} are read; the others wait in the log");
}

#[test]
fn a_hundred_thousand_held_lanes_cost_a_row_each_and_nothing_behind_it() {
    let mut state = empty_state();
    state.cursor = Sequence(2 * MANY);
    state.held = (1..=MANY)
        .map(|number| HeldLane {
            conversation_id: ConversationId::derived("test", &number.to_string()),
            first: Sequence(number),
            attempts: 1,
            failing_since: at(0),
            due_at: at(1_000_000),
            error: "timeout".to_owned(),
            status: None,
        })
        .collect();
    let lanes = Lanes::new(limits(), state, at(0));
    assert_eq!(lanes.entry_count(), 0);
    assert_eq!(lanes.room(), 0, "at `held_max`, nothing new is read");
    let in_queues: usize = lanes
        .by_conversation
        .values()
        .map(|lane| lane.queue.capacity())
        .sum();
    assert_eq!(in_queues, 0);
    // A hash table has up to twice as many places as entries, and half of that once more while it grows;
    // a B-tree has twice as many.
    let place = size_of::<(ConversationId, Box<Lane>)>() + 1;
    let due = size_of::<(Timestamp, ConversationId)>();
    let bytes = 3 * place + size_of::<Lane>() + 2 * due;
    assert!(bytes <= 272, "{bytes} bytes a lane");
}

#[test]
fn a_lane_that_waits_keeps_no_room_for_what_was_behind() {
    let mut hand = Hand::new(limits());
    for sequence in 1..=1_000 {
        hand.append_one(Arc::new(entry(sequence, 1)));
    }
    hand.run_until(0, |_| false);
    assert_eq!(hand.lanes.entry_count(), 0);
    let lanes = hand.lanes.by_conversation.values();
    assert_eq!(lanes.map(|lane| lane.queue.capacity()).sum::<usize>(), 0);
}
