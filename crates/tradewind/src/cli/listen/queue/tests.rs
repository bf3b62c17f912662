use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::{json, value::to_raw_value};
use tokio::time::Instant;
use tradewind_model::{ConversationId, Random as _, SeededRandom};

use super::{Event, FORWARD_WINDOW_MAX, FORWARDS_MAX, Next, Queue};

fn event(conversation: u64, number: u64) -> Event {
    let id = ConversationId::derived("event", &number.to_string());
    let body = json!({
        "conversation_id": ConversationId::derived("conversation", &conversation.to_string()),
        "id": id,
        "sender": {"id": "1", "type": "source_contact"},
        "source": "CHAT_PLUGIN",
        "sent_at": "2026-11-23T21:32:46.399Z",
        "text": number.to_string(),
    });
    Event::parse(to_raw_value(&body).unwrap()).unwrap()
}

fn number(event: &Event) -> u64 {
    let body: serde_json::Value = serde_json::from_str(event.body.get()).unwrap();
    body["text"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_conversation_waits_for_its_failed_event_and_others_do_not() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.extend(vec![event(1, 1), event(1, 2), event(2, 3)], "c".to_owned());
    let (first, attempt) = queue.start(now).unwrap();
    let (other, _) = queue.start(now).unwrap();
    assert_eq!((number(&first), attempt, number(&other)), (1, 1, 3));
    assert!(queue.start(now).is_none());
    queue.accepted(other.conversation_id);
    let mut at = now;
    for (attempt, wait) in [(2, 1), (3, 2), (4, 5), (5, 5)] {
        let wait = Duration::from_secs(wait);
        let next = queue.failed(first.conversation_id, at, None);
        assert_eq!(next, Next::Again(wait));
        assert!(queue.start(at).is_none());
        assert_eq!(queue.next_due(), Some(at + wait));
        at += wait;
        let (again, number_of_attempt) = queue.start(at).unwrap();
        assert_eq!((number(&again), number_of_attempt), (1, attempt));
    }
    assert_eq!(queue.cursor(), None);
    assert_eq!(
        queue.failed(first.conversation_id, at, Some(5)),
        Next::GivenUp
    );
    let (second, attempt) = queue.start(at).unwrap();
    assert_eq!((number(&second), attempt), (2, 1));
    queue.accepted(second.conversation_id);
    assert_eq!(
        (queue.cursor(), queue.len(), queue.weight),
        (Some("c"), 0, 0)
    );
}

#[test]
fn the_cursor_passes_an_answer_when_all_before_it_is_dealt_with() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.extend(vec![], "0".to_owned());
    assert_eq!(queue.cursor(), Some("0"));
    queue.extend(vec![event(1, 1)], "1".to_owned());
    queue.extend(vec![event(2, 2)], "2".to_owned());
    queue.extend(vec![], "3".to_owned());
    let (first, _) = queue.start(now).unwrap();
    let (second, _) = queue.start(now).unwrap();
    queue.accepted(second.conversation_id);
    assert_eq!(queue.cursor(), Some("0"));
    queue.accepted(first.conversation_id);
    assert_eq!(queue.cursor(), Some("3"));
}

#[test]
fn there_are_bounds() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for number in 0..u64::try_from(FORWARD_WINDOW_MAX).unwrap() {
        assert!(queue.has_room());
        queue.extend(vec![event(number, number)], number.to_string());
    }
    assert!(!queue.has_room());
    let started: Vec<_> = std::iter::from_fn(|| queue.start(now)).collect();
    assert_eq!(started.len(), FORWARDS_MAX);
}

/// Random answers, failures and crashes: order holds, nothing is lost, and the state is never ahead of
/// what was accepted.
#[test]
fn nothing_is_lost_or_out_of_order_whatever_happens() {
    for seed in 0..50 {
        let random = SeededRandom::new(seed);
        let draw = |below: u128| u64::try_from(random.bits() % below).unwrap();
        let events: Vec<_> = (0..60).map(|number| (draw(5), number)).collect();
        let mut accepted: HashMap<u64, Vec<u64>> = HashMap::new();
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        // The cursor is the number of events before it.
        let (mut read_to, mut state) = (0, 0);
        let mut in_flight = VecDeque::new();
        while state < events.len() {
            match draw(10) {
                0..3 => {
                    let to = (read_to + usize::try_from(draw(6)).unwrap()).min(events.len());
                    let read = events[read_to..to]
                        .iter()
                        .map(|(of, number)| event(*of, *number));
                    queue.extend(read.collect(), to.to_string());
                    read_to = to;
                }
                3..6 => in_flight.extend(queue.start(now)),
                6..9 if !in_flight.is_empty() => {
                    let at = usize::try_from(draw(16)).unwrap() % in_flight.len();
                    let (event, _) = in_flight.remove(at).unwrap();
                    if draw(4) == 0 {
                        queue.failed(event.conversation_id, now, None);
                    } else {
                        queue.accepted(event.conversation_id);
                        let number = number(&event);
                        let (of, _) = events[usize::try_from(number).unwrap()];
                        accepted.entry(of).or_default().push(number);
                    }
                }
                9 if draw(8) == 0 => {
                    (queue, in_flight, read_to) = (Queue::default(), VecDeque::new(), state);
                }
                _ => now += Duration::from_millis(draw(2_000)),
            }
            state = queue
                .cursor()
                .map_or(state, |cursor| cursor.parse().unwrap());
            for (of, number) in &events[..state] {
                assert!(accepted[of].contains(number), "seed {seed}: {number}");
            }
        }
        for (of, accepted) in accepted {
            let all = events.iter().filter(|event| event.0 == of);
            // The first time each came is in order; after a crash, some come again from further back.
            let mut first = accepted.clone();
            let mut seen = std::collections::HashSet::new();
            first.retain(|number| seen.insert(*number));
            assert_eq!(
                first,
                all.map(|event| event.1).collect::<Vec<_>>(),
                "seed {seed}"
            );
        }
    }
}
