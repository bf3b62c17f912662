//! The record of attempts: what is kept, how it is listed, and when it goes.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::task::JoinSet;
use tradewind_model::{Clock as _, ConversationId, Sequence, WebhookId};
use tradewind_store::{AttemptPage, AttemptQuery, AttemptRecord, Retention, StoreError, Swept};
use uuid::Uuid;

use crate::{
    retention::sweep,
    world::{World, at, webhook_id},
};

conformance![
    an_attempt_is_kept_as_it_was_recorded,
    an_attempt_may_have_little_to_say,
    what_is_too_long_is_cut,
    the_newest_attempt_is_listed_first_in_pages,
    a_page_holds_one_attempt_at_least_and_a_thousand_at_most,
    webhooks_do_not_see_the_attempts_of_others,
    attempts_are_found_by_event_conversation_and_outcome,
    ids_that_begin_the_same_are_told_apart,
    everything_recorded_before_is_listed,
    days_end_while_attempts_are_listed,
    attempts_survive_a_restart,
    pages_lead_through_days_and_restarts,
    attempts_go_when_a_day_of_them_is_old,
    attempts_that_are_all_old_go_at_once,
    attempts_after_the_end_are_dropped_and_counted,
];

const DAY: u64 = 24 * 60 * 60;

/// A success that was as short as can be.
pub(crate) fn delivered(event: u128) -> AttemptRecord {
    AttemptRecord {
        webhook: webhook_id(1),
        sequence: Sequence(u64::try_from(event).unwrap()),
        event_id: Uuid::from_u128(event),
        conversation_id: lane(1),
        number: 1,
        is_replay: false,
        at: at(0),
        class: AttemptRecord::DELIVERED.to_owned(),
        status: Some(200),
        address: None,
        reused: false,
        dns_us: None,
        connect_us: None,
        tls_us: None,
        first_byte_us: None,
        total_us: 1_234,
        detail: String::new(),
        next: String::new(),
        response: vec![],
    }
}

/// A failure with everything that can be said of one.
pub(crate) fn failed(event: u128) -> AttemptRecord {
    AttemptRecord {
        number: 7,
        is_replay: true,
        class: "status".to_owned(),
        status: Some(503),
        address: Some("private".to_owned()),
        reused: true,
        dns_us: Some(1),
        connect_us: Some(20),
        tls_us: Some(300),
        first_byte_us: Some(4_000),
        total_us: u32::MAX,
        detail: "the endpoint answered 503 – \"zu viel\"".to_owned(),
        next: "waits for its turn until 14:18".to_owned(),
        response: vec![0, 255, b'{', 0],
        ..delivered(event)
    }
}

fn lane(number: u128) -> ConversationId {
    ConversationId::from_uuid(Uuid::from_u128(number << 64))
}

pub(crate) const OF_FIRST: fn() -> AttemptQuery = || AttemptQuery {
    webhook: webhook_id(1),
    conversation: None,
    event_id: None,
    failed: None,
    before: None,
    limit: 1_000,
};

async fn list(world: &World, query: AttemptQuery) -> AttemptPage {
    world.store.list_attempts(query).await.unwrap()
}

pub(crate) async fn all(world: &World) -> Vec<AttemptRecord> {
    let page = list(world, OF_FIRST()).await;
    assert_eq!(page.next, None);
    page.items
}

/// The events of attempts, as the numbers they were made from.
pub(crate) fn events(attempts: &[AttemptRecord]) -> Vec<u128> {
    let event = |attempt: &AttemptRecord| attempt.event_id.as_u128();
    attempts.iter().map(event).collect()
}

async fn an_attempt_is_kept_as_it_was_recorded(world: World) {
    world.store.record_attempt(failed(1));
    assert_eq!(all(&world).await, [failed(1)]);
    assert_eq!(world.store.attempts_dropped(), 0);
}

async fn an_attempt_may_have_little_to_say(world: World) {
    let unanswered = AttemptRecord {
        class: "dns".to_owned(),
        status: None,
        detail: "no such host".to_owned(),
        total_us: 0,
        ..delivered(2)
    };
    world.store.record_attempt(delivered(1));
    world.store.record_attempt(unanswered.clone());
    assert_eq!(all(&world).await, [unanswered, delivered(1)]);
}

async fn what_is_too_long_is_cut(world: World) {
    let long = AttemptRecord {
        // Two bytes each, so that the bound falls into one.
        detail: format!("x{}", "ü".repeat(1_000)),
        next: "y".repeat(1_000),
        response: vec![7; 70_000],
        ..failed(1)
    };
    world.store.record_attempt(long);
    let kept = &all(&world).await[0];
    assert_eq!(kept.detail, format!("x{}", "ü".repeat(249)));
    assert_eq!(kept.next, "y".repeat(500));
    assert_eq!(kept.response, vec![7; 1_024]);
}

async fn the_newest_attempt_is_listed_first_in_pages(world: World) {
    for event in 1..=5 {
        world.store.record_attempt(delivered(event));
    }
    let page = |before| AttemptQuery {
        before,
        limit: 2,
        ..OF_FIRST()
    };
    let first = list(&world, page(None)).await;
    world.store.record_attempt(delivered(6));
    let second = list(&world, page(first.next)).await;
    let third = list(&world, page(second.next)).await;

    assert_eq!(events(&first.items), [5, 4]);
    assert_eq!(events(&second.items), [3, 2]);
    assert_eq!(events(&third.items), [1]);
    assert_eq!(third.next, None);
    // A page that ends with the last one has no next.
    let rest = AttemptQuery {
        limit: 3,
        ..page(first.next)
    };
    assert_eq!(list(&world, rest).await.next, None);
}

async fn a_page_holds_one_attempt_at_least_and_a_thousand_at_most(world: World) {
    for event in 1..=1_200 {
        world.store.record_attempt(delivered(event));
    }
    for (limit, expected) in [(0, 1), (1_000, 1_000), (usize::MAX, 1_000)] {
        let query = AttemptQuery {
            limit,
            ..OF_FIRST()
        };
        let page = list(&world, query).await;
        assert_eq!((page.items.len(), page.next.is_some()), (expected, true));
    }
}

async fn webhooks_do_not_see_the_attempts_of_others(world: World) {
    let other = AttemptRecord {
        webhook: webhook_id(2),
        ..delivered(2)
    };
    world.store.record_attempt(delivered(1));
    world.store.record_attempt(other.clone());
    world.store.record_attempt(delivered(3));
    let of = |webhook: WebhookId| AttemptQuery {
        webhook,
        ..OF_FIRST()
    };
    assert_eq!(events(&all(&world).await), [3, 1]);
    assert_eq!(list(&world, of(webhook_id(2))).await.items, [other]);
    assert_eq!(list(&world, of(webhook_id(7))).await.items, []);
    let of_another = AttemptQuery {
        event_id: Some(Uuid::from_u128(1)),
        ..of(webhook_id(2))
    };
    assert_eq!(list(&world, of_another).await.items, []);
}

async fn attempts_are_found_by_event_conversation_and_outcome(world: World) {
    for event in 1..=12 {
        let attempt = if event % 3 == 0 {
            failed(event)
        } else {
            delivered(event)
        };
        for number in 1..=2 {
            world.store.record_attempt(AttemptRecord {
                number,
                conversation_id: lane(event % 2),
                ..attempt.clone()
            });
        }
        // They are told apart in one file and in many.
        if event % 5 == 0 {
            world.advance(DAY);
            world.store.list_attempts(OF_FIRST()).await.unwrap();
        }
    }
    let event = |number| Some(Uuid::from_u128(number));
    let cases = [
        (event(4), None, None, vec![4, 4]),
        (event(77), None, None, vec![]),
        (None, Some(lane(0)), Some(true), vec![12, 12, 6, 6]),
        (
            None,
            Some(lane(1)),
            Some(false),
            vec![11, 11, 7, 7, 5, 5, 1, 1],
        ),
        (None, None, Some(true), vec![12, 12, 9, 9, 6, 6, 3, 3]),
        (event(3), None, Some(true), vec![3, 3]),
        (event(3), None, Some(false), vec![]),
        (event(3), Some(lane(1)), Some(true), vec![3, 3]),
        (event(3), Some(lane(0)), None, vec![]),
        (None, Some(lane(9)), None, vec![]),
    ];
    for (event_id, conversation, failed, expected) in cases {
        let query = AttemptQuery {
            event_id,
            conversation,
            failed,
            ..OF_FIRST()
        };
        let page = list(&world, query.clone()).await;
        assert_eq!(events(&page.items), expected, "{query:?}");
        // And page by page.
        let mut one = AttemptQuery { limit: 1, ..query };
        let mut found = Vec::new();
        loop {
            let page = list(&world, one.clone()).await;
            found.extend(page.items);
            assert!(found.len() <= 24, "{found:?}");
            if page.next.is_none() {
                break;
            }
            one.before = page.next;
        }
        assert_eq!(events(&found), expected, "{one:?}");
    }
}

async fn ids_that_begin_the_same_are_told_apart(world: World) {
    let similar = AttemptRecord {
        conversation_id: ConversationId::from_uuid(Uuid::from_u128((1 << 64) + 1)),
        ..delivered(2)
    };
    for attempt in [delivered(1), similar.clone(), delivered(3)] {
        world.store.record_attempt(attempt);
    }
    for day in 0..2 {
        let of_event = AttemptQuery {
            event_id: Some(similar.event_id),
            ..OF_FIRST()
        };
        let of_lane = AttemptQuery {
            conversation: Some(similar.conversation_id),
            ..OF_FIRST()
        };
        for query in [of_event, of_lane] {
            let found = list(&world, query).await.items;
            assert_eq!(events(&found), [2], "{day}");
        }
        world.advance(DAY);
        world.store.record_attempt(delivered(4));
    }
}

async fn everything_recorded_before_is_listed(world: World) {
    let mut tasks = JoinSet::new();
    for task in 0..8_u128 {
        let store = Arc::clone(&world.store);
        tasks.spawn(async move {
            for n in 0..100 {
                let attempt = delivered(task * 1_000 + n);
                store.record_attempt(attempt.clone());
                let query = AttemptQuery {
                    event_id: Some(attempt.event_id),
                    limit: 1,
                    ..OF_FIRST()
                };
                let listing = store.list_attempts(query);
                assert_eq!(listing.await.unwrap().items, [attempt]);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(all(&world).await.len(), 800);
}

async fn days_end_while_attempts_are_listed(world: World) {
    let mut tasks = JoinSet::new();
    for task in 0..4_u128 {
        let (store, clock) = (Arc::clone(&world.store), Arc::clone(&world.clock));
        tasks.spawn(async move {
            for n in 0..20 {
                store.record_attempt(delivered(task * 1_000 + n));
                clock.advance(std::time::Duration::from_secs(DAY / 4));
                let page = store.list_attempts(OF_FIRST()).await.unwrap();
                let events = events(&page.items);
                let own = events.iter().filter(|event| **event / 1_000 == task);
                assert_eq!(u128::try_from(own.count()).unwrap(), n + 1);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(all(&world).await.len(), 80);
    assert_eq!(world.store.attempts_dropped(), 0);
}

async fn attempts_survive_a_restart(mut world: World) {
    for attempt in [delivered(1), failed(2)] {
        world.store.record_attempt(attempt);
    }
    world.reopen().await;
    world.store.record_attempt(delivered(3));
    let expected = [delivered(3), failed(2), delivered(1)];
    assert_eq!(all(&world).await, expected);
    world.reopen().await;
    assert_eq!(all(&world).await, expected);
}

async fn pages_lead_through_days_and_restarts(mut world: World) {
    for event in 1..=20 {
        world.store.record_attempt(delivered(event));
        if event % 3 == 0 {
            // Written before the day is over.
            all(&world).await;
            world.advance(DAY);
        }
        if event % 7 == 0 {
            world.reopen().await;
        }
    }
    let mut query = AttemptQuery {
        limit: 4,
        ..OF_FIRST()
    };
    let mut found = Vec::new();
    loop {
        let page = list(&world, query.clone()).await;
        found.extend(events(&page.items));
        if page.next.is_none() {
            break;
        }
        assert!(page.items.len() == 4 && found.len() <= 20, "{found:?}");
        query.before = page.next;
    }
    assert_eq!(found, (1..=20).rev().collect::<Vec<_>>());
}

const WEEK: Retention = Retention {
    log: None,
    messages: None,
    idempotency_keys: None,
    attempts: Some(SignedDuration::from_hours(7 * 24)),
    audit: None,
};

async fn attempts_go_when_a_day_of_them_is_old(mut world: World) {
    for day in 0..10 {
        for part in 1..=2 {
            world.store.record_attempt(AttemptRecord {
                at: world.clock.now(),
                ..delivered(day * 10 + part)
            });
            all(&world).await;
            world.advance(DAY / 2);
        }
    }
    // It is day 10 now: what began in the days 0 to 2 is older than a week.
    assert_eq!(sweep(&world, &WEEK).await.attempt_segments, 3);
    let left = events(&all(&world).await);
    assert_eq!((left.len(), left.last()), (2 * 7, Some(&31)));
    // A file goes when the last attempt in it is that old.
    world.advance(DAY / 2);
    assert_eq!(sweep(&world, &WEEK).await, Swept::default());
    world.advance(1);
    world.reopen().await;
    let swept = Swept {
        attempt_segments: 1,
        ..Swept::default()
    };
    assert_eq!(sweep(&world, &WEEK).await, swept);
    assert_eq!(events(&all(&world).await).last(), Some(&41));
    assert_eq!(sweep(&world, &WEEK).await, Swept::default());
    let nothing = Retention {
        attempts: None,
        ..WEEK
    };
    world.advance(1_000 * DAY);
    assert_eq!(sweep(&world, &nothing).await, Swept::default());
}

async fn attempts_that_are_all_old_go_at_once(world: World) {
    assert_eq!(sweep(&world, &WEEK).await, Swept::default());
    world.store.record_attempt(delivered(1));
    world.advance(7 * DAY);
    assert_eq!(sweep(&world, &WEEK).await.attempt_segments, 0);
    world.advance(1);
    assert_eq!(sweep(&world, &WEEK).await.attempt_segments, 1);
    assert_eq!(all(&world).await, []);
    // And it goes on.
    world.store.record_attempt(delivered(2));
    assert_eq!(all(&world).await, [delivered(2)]);
    assert_eq!(world.store.attempts_dropped(), 0);
}

async fn attempts_after_the_end_are_dropped_and_counted(mut world: World) {
    world.store.record_attempt(delivered(1));
    world.store.close().await;
    world.store.record_attempt(delivered(2));
    assert_eq!(world.store.attempts_dropped(), 1);
    let error = world.store.list_attempts(OF_FIRST()).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error:?}");
    world.reopen().await;
    assert_eq!(events(&all(&world).await), [1]);
    assert_eq!(world.store.attempts_dropped(), 0);
}
