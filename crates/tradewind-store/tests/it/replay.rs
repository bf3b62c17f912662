//! Replays: what a range brings, where its consumer begins, and when it ends.
//!
//! [`brought`] goes over a replay as its driver would, so that what is counted can be held against
//! what comes.

use std::{collections::HashSet, sync::Arc};

use tradewind_model::{
    Actor, ConversationId, EntryKind, LogEntry, MessageId, ReplayId, SenderType, Sequence,
};
use tradewind_store::{ConsumerId, Progress, Replay, ReplayRange, Start, StoreError, Wanted};
use uuid::Uuid;

use crate::{
    retention::{LOG, of, say, sweep},
    set_aside::{aside, listed, set_aside},
    world::{
        WEIGHTLESS, World, at, channel, held, nth, progress, said, taken, webhook, webhook_id,
    },
};

conformance![
    a_replay_of_everything_brings_everything_wanted,
    a_range_of_time_is_half_open,
    a_range_of_time_is_that_of_sending,
    a_conversation_is_replayed_alone,
    a_channel_is_replayed_alone,
    a_message_is_replayed_alone,
    a_message_that_is_not_there_brings_nothing,
    what_is_set_aside_is_replayed_alone,
    ranges_are_combined,
    a_replay_ends_at_the_entry_that_was_the_newest,
    a_replay_begins_with_what_a_sweep_has_left,
    a_replay_of_a_swept_log_brings_nothing,
    a_range_is_found_in_a_long_log,
    no_replay_without_a_subscription,
    a_replay_is_kept_as_it_was_asked_for,
    a_replay_is_a_consumer,
    a_replay_goes_on_after_a_restart,
    a_replay_ends_with_its_subscription,
    a_replay_is_not_forgotten_before_its_end,
    a_replay_ends_when_it_is_told_to,
    what_a_replay_sets_aside_is_its_webhooks,
    what_a_replay_delivered_is_set_aside_no_more,
    a_replay_that_is_behind_misses_nothing,
    each_change_of_a_replay_is_announced,
];

const EVERYTHING: ReplayRange = ReplayRange {
    since: None,
    until: None,
    conversation: None,
    message: None,
    failed: false,
};

/// Every kind of every sender.
fn all() -> Wanted {
    Wanted {
        kinds: EntryKind::ALL.to_vec(),
        senders: vec![],
    }
}

pub(crate) fn replay_id(number: u128) -> ReplayId {
    ReplayId::from_uuid(Uuid::from_u128(number))
}

async fn start(world: &World, number: u128, range: &ReplayRange) -> Option<Replay> {
    let starting = world
        .store
        .start_replay(replay_id(number), webhook_id(1), range.clone());
    starting.await.unwrap()
}

async fn count(world: &World, range: &ReplayRange, wanted: &Wanted) -> u64 {
    let counting = world
        .store
        .count_replay(webhook_id(1), range.clone(), wanted.clone());
    counting.await.unwrap()
}

/// What a replay brings when nothing fails, in the order of the log.
async fn brought(world: &World, replay: &Replay, wanted: &Wanted) -> Vec<Arc<LogEntry>> {
    let store = &world.store;
    let state = world.open_consumer(&ConsumerId::Replay(replay.id)).await;
    let mut entries = Vec::new();
    for lane in &state.held {
        let lane = store.read_lane(
            lane.conversation_id,
            lane.first,
            replay.to,
            10_000,
            WEIGHTLESS,
        );
        entries.extend(lane.await.unwrap().entries);
    }
    if state.cursor < replay.to {
        entries.extend(world.read(state.cursor, 10_000).await.entries);
    }
    let failed = store.set_aside_by(replay.webhook, replay.created_at).await;
    let failed: HashSet<_> = failed.unwrap().into_iter().collect();
    entries.retain(|entry| {
        entry.sequence <= replay.to
            && replay.range.contains(entry)
            && wanted.contains(entry)
            && (!replay.range.failed || failed.contains(&entry.sequence))
    });
    entries.sort_by_key(|entry| entry.sequence);
    entries
}

/// Asks for a range and says which entries came; what is counted has to agree.
async fn ask(world: &World, range: ReplayRange, wanted: &Wanted) -> Vec<Sequence> {
    let counted = count(world, &range, wanted).await;
    let replay = start(world, 99, &range).await.unwrap();
    let entries = brought(world, &replay, wanted).await;
    finish(world, &replay).await;
    assert_eq!(counted, u64::try_from(entries.len()).unwrap(), "{range:?}");
    entries.iter().map(|entry| entry.sequence).collect()
}

/// Sequences of the messages with these numbers.
fn these(numbers: impl IntoIterator<Item = u64>) -> Vec<Sequence> {
    numbers.into_iter().map(nth).collect()
}

/// Webhook 1 and six messages, ten minutes apart: of ada the odd ones, of ben the even ones.
async fn six(world: &World) {
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    for n in 1..=6 {
        let contact = ["ben", "ada"][n % 2];
        say(world, contact, &[&n.to_string()], 600).await;
    }
}

async fn message(world: &World, n: usize) -> MessageId {
    said(&world.log().await[n - 1]).id
}

async fn a_replay_of_everything_brings_everything_wanted(world: World) {
    six(&world).await;
    let sent = world.send(of("ada"), "7").await;
    world.store.settle(sent.id, taken()).await.unwrap();

    let mut everything = vec![Sequence(1)];
    everything.extend(these(1..=8));
    assert_eq!(ask(&world, EVERYTHING, &all()).await, everything);
    let events = Wanted {
        kinds: vec![EntryKind::Received, EntryKind::Sent],
        senders: vec![],
    };
    let expected = these([1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(ask(&world, EVERYTHING, &events).await, expected);
    let ours = Wanted {
        senders: vec![SenderType::AppUser, SenderType::SourceUser],
        ..events
    };
    assert_eq!(ask(&world, EVERYTHING, &ours).await, these([8]));
    let nothing = Wanted {
        kinds: vec![],
        senders: vec![],
    };
    assert_eq!(ask(&world, EVERYTHING, &nothing).await, []);
}

async fn a_range_of_time_is_half_open(world: World) {
    six(&world).await;
    let range = |since: Option<i64>, until: Option<i64>| ReplayRange {
        since: since.map(at),
        until: until.map(at),
        ..EVERYTHING
    };
    // Number n was sent at 600 (n - 1).
    let received = Wanted {
        kinds: vec![EntryKind::Received],
        senders: vec![],
    };
    let cases = [
        (Some(600), None, these(2..=6)),
        (Some(601), None, these(3..=6)),
        (None, Some(600), these([1])),
        (None, Some(601), these(1..=2)),
        (Some(600), Some(1_800), these(2..=3)),
        (Some(600), Some(600), vec![]),
        (Some(1_800), Some(600), vec![]),
        (Some(100_000), None, vec![]),
        (Some(-100_000), Some(100_000), these(1..=6)),
    ];
    for (since, until, expected) in cases {
        let came = ask(&world, range(since, until), &received).await;
        assert_eq!(came, expected, "{since:?} to {until:?}");
    }
}

/// A source may bring a message long after it was sent, and its clock may be ahead of ours.
async fn a_range_of_time_is_that_of_sending(world: World) {
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    let site = world.connect("site").await;
    world.advance(100_000);
    for (contact, sent_at) in [("late", 5), ("ahead", 100_000 + 1_800)] {
        let mut new = world.incoming(&site, contact, contact);
        new.sent_at = at(sent_at);
        world.stored(new).await;
    }
    let since = ReplayRange {
        since: Some(at(100_000 + 1_800)),
        ..EVERYTHING
    };
    assert_eq!(ask(&world, since, &all()).await, these([2]));
    let until = ReplayRange {
        since: Some(at(5)),
        until: Some(at(6)),
        ..EVERYTHING
    };
    assert_eq!(ask(&world, until, &all()).await, these([1]));
}

async fn a_conversation_is_replayed_alone(world: World) {
    six(&world).await;
    let range = |lane: ConversationId| ReplayRange {
        conversation: Some(lane),
        ..EVERYTHING
    };
    assert_eq!(
        ask(&world, range(of("ada")), &all()).await,
        these([1, 3, 5])
    );
    assert_eq!(ask(&world, range(of("nobody")), &all()).await, []);

    // The log is not read for it.
    start(&world, 1, &range(of("ada"))).await.unwrap();
    let state = world.open_consumer(&ConsumerId::Replay(replay_id(1))).await;
    assert_eq!(state.cursor, *world.store.head().borrow());
    let lanes: Vec<_> = state
        .held
        .iter()
        .map(|lane| (lane.conversation_id, lane.first, lane.attempts))
        .collect();
    assert_eq!(lanes, [(of("ada"), nth(1), 0)]);
}

async fn a_channel_is_replayed_alone(world: World) {
    six(&world).await;
    let id = channel("site").id;
    world
        .store
        .disconnect_channel(id, Actor::server())
        .await
        .unwrap();
    let range = ReplayRange {
        conversation: Some(ConversationId::from_uuid(id.uuid())),
        ..EVERYTHING
    };
    assert_eq!(ask(&world, range, &all()).await, [Sequence(1), nth(7)]);
}

async fn a_message_is_replayed_alone(world: World) {
    six(&world).await;
    let sent = world.send(of("ada"), "7").await;
    world.store.settle(sent.id, taken()).await.unwrap();
    let range = |message| ReplayRange {
        message: Some(message),
        ..EVERYTHING
    };
    let third = message(&world, 3).await;
    assert_eq!(ask(&world, range(third), &all()).await, these([3]));
    assert_eq!(ask(&world, range(sent.id), &all()).await, these([7, 8]));
}

async fn a_message_that_is_not_there_brings_nothing(world: World) {
    six(&world).await;
    let nothing = MessageId::from_uuid(Uuid::from_u128(7));
    let range = ReplayRange {
        message: Some(nothing),
        ..EVERYTHING
    };
    assert_eq!(ask(&world, range.clone(), &all()).await, []);
    let failed = ReplayRange {
        failed: true,
        ..range
    };
    assert_eq!(ask(&world, failed, &all()).await, []);
    let of_another = ReplayRange {
        message: Some(message(&world, 1).await),
        conversation: Some(of("ben")),
        ..EVERYTHING
    };
    assert_eq!(ask(&world, of_another, &all()).await, []);
}

async fn what_is_set_aside_is_replayed_alone(world: World) {
    six(&world).await;
    let failed = ReplayRange {
        failed: true,
        ..EVERYTHING
    };
    assert_eq!(ask(&world, failed.clone(), &all()).await, []);
    let consumer = ConsumerId::Webhook(webhook_id(1));
    let records = vec![
        aside(of("ada"), nth(3)),
        aside(of("ben"), nth(2)),
        aside(of("ben"), nth(6)),
    ];
    set_aside(&world, &consumer, records).await;

    assert_eq!(ask(&world, failed.clone(), &all()).await, these([2, 3, 6]));

    // Each lane begins with its first, and what another webhook set aside is not brought.
    world
        .store
        .subscribe(webhook(2), Actor::server())
        .await
        .unwrap();
    let other = ConsumerId::Webhook(webhook_id(2));
    set_aside(&world, &other, vec![aside(of("ada"), nth(1))]).await;
    start(&world, 1, &failed).await.unwrap();
    let state = world.open_consumer(&ConsumerId::Replay(replay_id(1))).await;
    let mut lanes: Vec<_> = state
        .held
        .iter()
        .map(|lane| (lane.first, lane.conversation_id))
        .collect();
    lanes.sort_by_key(|(first, _)| *first);
    assert_eq!(lanes, [(nth(2), of("ben")), (nth(3), of("ada"))]);
    assert_eq!(state.cursor, *world.store.head().borrow());
}

async fn ranges_are_combined(world: World) {
    six(&world).await;
    let consumer = ConsumerId::Webhook(webhook_id(1));
    let records = vec![
        aside(of("ada"), nth(1)),
        aside(of("ada"), nth(5)),
        aside(of("ben"), nth(4)),
    ];
    set_aside(&world, &consumer, records).await;
    let failed = ReplayRange {
        failed: true,
        ..EVERYTHING
    };
    let of_ada = ReplayRange {
        conversation: Some(of("ada")),
        ..EVERYTHING
    };
    let message = Some(message(&world, 5).await);
    let cases = [
        // Number n was sent at 600 (n - 1).
        (
            ReplayRange {
                since: Some(at(1_000)),
                ..failed.clone()
            },
            these([4, 5]),
        ),
        (
            ReplayRange {
                conversation: Some(of("ada")),
                ..failed.clone()
            },
            these([1, 5]),
        ),
        (
            ReplayRange {
                since: Some(at(1_000)),
                ..of_ada.clone()
            },
            these([3, 5]),
        ),
        (
            ReplayRange {
                until: Some(at(1_000)),
                message,
                ..of_ada.clone()
            },
            vec![],
        ),
        (
            ReplayRange {
                message,
                until: Some(at(3_000)),
                since: Some(at(2_000)),
                ..of_ada
            },
            these([5]),
        ),
        (ReplayRange { message, ..failed }, these([5])),
    ];
    for (range, expected) in cases {
        assert_eq!(
            ask(&world, range.clone(), &all()).await,
            expected,
            "{range:?}"
        );
    }
}

async fn a_replay_ends_at_the_entry_that_was_the_newest(world: World) {
    six(&world).await;
    let replay = start(&world, 1, &EVERYTHING).await.unwrap();
    say(&world, "ada", &["too late"], 0).await;
    assert_eq!(replay.to, nth(6));
    assert_eq!(brought(&world, &replay, &all()).await.len(), 1 + 6);
}

async fn a_replay_begins_with_what_a_sweep_has_left(world: World) {
    six(&world).await;
    // It is 3,600 now.
    world.advance(100 + 1);
    say(&world, "ada", &["7", "8"], 600).await;
    world.advance(4_900);
    // The log has numbers 7 and 8 left, a gap before them, and an hour's tolerance is in range.
    let kept = tradewind_store::Retention {
        log: Some(jiff::SignedDuration::from_secs(4_900 + 1_200)),
        ..LOG
    };
    assert_eq!(sweep(&world, &kept).await.log_entries, 1 + 6);
    let since = |seconds| ReplayRange {
        since: Some(at(seconds)),
        ..EVERYTHING
    };
    for (range, expected) in [
        (EVERYTHING, these([7, 8])),
        (since(0), these([7, 8])),
        (since(3_701), these([7, 8])),
        (since(3_702), these([8])),
        (since(4_302), vec![]),
    ] {
        assert_eq!(
            ask(&world, range.clone(), &all()).await,
            expected,
            "{range:?}"
        );
    }
    let of_ada = ReplayRange {
        conversation: Some(of("ada")),
        ..EVERYTHING
    };
    assert_eq!(ask(&world, of_ada, &all()).await, these([7, 8]));
}

async fn a_replay_of_a_swept_log_brings_nothing(world: World) {
    six(&world).await;
    let third = message(&world, 3).await;
    world.advance(10_000);
    sweep(&world, &LOG).await;
    let ranges = [
        EVERYTHING,
        ReplayRange {
            since: Some(at(0)),
            ..EVERYTHING
        },
        ReplayRange {
            conversation: Some(of("ada")),
            ..EVERYTHING
        },
        ReplayRange {
            message: Some(third),
            ..EVERYTHING
        },
        ReplayRange {
            failed: true,
            ..EVERYTHING
        },
    ];
    for range in ranges {
        assert_eq!(ask(&world, range, &all()).await, []);
    }
}

/// The place is found by halving, so that the replay of the last hours does not read the years before.
async fn a_range_is_found_in_a_long_log(world: World) {
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    // Some share a time, and there are gaps of more and less than an hour.
    let mut times = vec![];
    let site = world.connect("site").await;
    for n in 0..90_u64 {
        world.receive(&site, &(n % 3).to_string(), "hello").await;
        times.push(tradewind_model::Clock::now(&*world.clock));
        world.advance([0, 40, 3_000, 9_000][usize::try_from(n % 4).unwrap()]);
    }
    let received = Wanted {
        kinds: vec![EntryKind::Received],
        senders: vec![],
    };
    for since in &times {
        let range = ReplayRange {
            since: Some(*since),
            ..EVERYTHING
        };
        let expected: Vec<_> = (1..)
            .zip(&times)
            .filter(|(_, at)| *at >= since)
            .map(|(n, _)| nth(n))
            .collect();
        assert_eq!(ask(&world, range.clone(), &received).await, expected);
        let replay = start(&world, 1, &range).await.unwrap();
        let cursor = world
            .open_consumer(&ConsumerId::Replay(replay.id))
            .await
            .cursor;
        let hour = jiff::SignedDuration::from_hours(1);
        let read = world.read(cursor, 10_000).await.entries;
        assert!(read.iter().all(|entry| entry.at >= *since - hour));
        finish(&world, &replay).await;
    }
}

async fn no_replay_without_a_subscription(world: World) {
    assert_eq!(start(&world, 1, &EVERYTHING).await, None);
    six(&world).await;
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(start(&world, 1, &EVERYTHING).await, None);
    assert_eq!(world.store.list_replays(10).await.unwrap(), []);
    let id = ConsumerId::Replay(replay_id(1));
    let error = world
        .store
        .open_consumer(&id, Start::Head)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotFound), "{error:?}");
}

async fn a_replay_is_kept_as_it_was_asked_for(mut world: World) {
    six(&world).await;
    let whole = ReplayRange {
        since: Some(at(1)),
        until: Some(at(9_000)),
        conversation: Some(of("ada")),
        message: Some(message(&world, 1).await),
        failed: true,
    };
    let mut expected = Vec::new();
    for (number, range) in [(2, whole), (1, EVERYTHING)] {
        let replay = start(&world, number, &range).await.unwrap();
        let as_asked = Replay {
            id: replay_id(number),
            webhook: webhook_id(1),
            range,
            to: nth(6),
            created_at: at(3_600),
        };
        assert_eq!(replay, as_asked);
        expected.push(as_asked);
    }
    world.reopen().await;
    assert_eq!(world.store.list_replays(10).await.unwrap(), expected);
    assert_eq!(world.store.list_replays(1).await.unwrap(), expected[..1]);
}

async fn a_replay_is_a_consumer(world: World) {
    six(&world).await;
    let live = ConsumerId::Webhook(webhook_id(1));
    let live_before = world.open_consumer(&live).await;
    start(&world, 1, &EVERYTHING).await.unwrap();
    let id = ConsumerId::Replay(replay_id(1));
    let state = world.open_consumer(&id).await;
    assert_eq!((state.cursor, &state.held), (Sequence::START, &vec![]));

    let moved = Progress {
        held: vec![held(of("ada"), nth(3))],
        backed_off_since: Some(at(7)),
        ..progress(&id, state.generation, nth(4))
    };
    assert!(world.store.save_progress(moved.clone()).await.unwrap());
    let stale = progress(&id, state.generation + 1, nth(6));
    assert!(!world.store.save_progress(stale).await.unwrap());

    let after = world.open_consumer(&id).await;
    assert_eq!((after.cursor, after.held), (nth(4), moved.held));
    assert_eq!(after.backed_off_since, Some(at(7)));
    assert_eq!(world.open_consumer(&live).await, live_before);
}

async fn a_replay_goes_on_after_a_restart(mut world: World) {
    six(&world).await;
    let replay = start(&world, 1, &EVERYTHING).await.unwrap();
    let id = ConsumerId::Replay(replay.id);
    let generation = world.open_consumer(&id).await.generation;
    let moved = Progress {
        held: vec![held(of("ada"), nth(3))],
        ..progress(&id, generation, nth(4))
    };
    assert!(world.store.save_progress(moved).await.unwrap());
    let before = world.open_consumer(&id).await;

    world.reopen().await;

    assert_eq!(world.store.list_replays(10).await.unwrap(), [replay]);
    assert_eq!(world.open_consumer(&id).await, before);
}

async fn a_replay_ends_with_its_subscription(world: World) {
    six(&world).await;
    world
        .store
        .subscribe(webhook(2), Actor::server())
        .await
        .unwrap();
    start(&world, 1, &EVERYTHING).await.unwrap();
    let of_ada = ReplayRange {
        conversation: Some(of("ada")),
        ..EVERYTHING
    };
    start(&world, 2, &of_ada).await.unwrap();
    let other = world
        .store
        .start_replay(replay_id(3), webhook_id(2), of_ada)
        .await
        .unwrap()
        .unwrap();

    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();

    assert_eq!(world.store.list_replays(10).await.unwrap(), [other]);
    for number in [1, 2] {
        let id = ConsumerId::Replay(replay_id(number));
        let late = progress(&id, 1, nth(6));
        assert!(!world.store.save_progress(late).await.unwrap());
    }
    // Nor does it come back with the subscription.
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(world.store.list_replays(10).await.unwrap().len(), 1);
    // The endpoint can say so, too.
    let ending = world
        .store
        .end_subscription(webhook_id(2), 1, "410".to_owned());
    ending.await.unwrap();
    assert_eq!(world.store.list_replays(10).await.unwrap(), []);
}

/// Has a replay come to its end, and forgotten.
async fn finish(world: &World, replay: &Replay) {
    come_to_end(world, replay).await;
    world.store.end_replay(replay.id).await.unwrap();
}

async fn come_to_end(world: &World, replay: &Replay) {
    let id = ConsumerId::Replay(replay.id);
    let state = world.open_consumer(&id).await;
    let mut done = progress(&id, state.generation, replay.to);
    done.released = state.held.iter().map(|it| it.conversation_id).collect();
    assert!(world.store.save_progress(done).await.unwrap());
}

async fn a_replay_is_not_forgotten_before_its_end(world: World) {
    six(&world).await;
    let of_ada = ReplayRange {
        conversation: Some(of("ada")),
        ..EVERYTHING
    };
    let replays = [
        start(&world, 1, &EVERYTHING).await.unwrap(),
        start(&world, 2, &of_ada).await.unwrap(),
    ];
    for replay in &replays {
        world.store.end_replay(replay.id).await.unwrap();
    }
    assert_eq!(world.store.list_replays(10).await.unwrap(), replays);
    for replay in &replays {
        finish(&world, replay).await;
    }
    assert_eq!(world.store.list_replays(10).await.unwrap(), []);
}

async fn a_replay_ends_when_it_is_told_to(world: World) {
    six(&world).await;
    let of_ada = ReplayRange {
        conversation: Some(of("ada")),
        ..EVERYTHING
    };
    let first = start(&world, 1, &of_ada).await.unwrap();
    let second = start(&world, 2, &of_ada).await.unwrap();
    come_to_end(&world, &first).await;

    world.store.end_replay(replay_id(1)).await.unwrap();
    world.store.end_replay(replay_id(1)).await.unwrap();

    assert_eq!(world.store.list_replays(10).await.unwrap(), [second]);
    let id = ConsumerId::Replay(replay_id(1));
    let error = world
        .store
        .open_consumer(&id, Start::Head)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotFound), "{error:?}");
    assert!(
        !world
            .store
            .save_progress(progress(&id, 1, nth(6)))
            .await
            .unwrap()
    );
    let left = world.open_consumer(&ConsumerId::Replay(replay_id(2))).await;
    assert_eq!(left.held.len(), 1);
    // A new one finds nothing of the old one's.
    start(&world, 3, &EVERYTHING).await.unwrap();
    let fresh = world.open_consumer(&ConsumerId::Replay(replay_id(3))).await;
    assert_eq!(fresh.held, []);
}

async fn what_a_replay_sets_aside_is_its_webhooks(world: World) {
    six(&world).await;
    start(&world, 1, &EVERYTHING).await.unwrap();
    let id = ConsumerId::Replay(replay_id(1));
    set_aside(&world, &id, vec![aside(of("ada"), nth(3))]).await;
    assert_eq!(listed(&world).await, these([3]));
    world.store.end_replay(replay_id(1)).await.unwrap();
    assert_eq!(listed(&world).await, these([3]));
    let failed = ReplayRange {
        failed: true,
        ..EVERYTHING
    };
    assert_eq!(ask(&world, failed, &all()).await, these([3]));
}

async fn what_a_replay_delivered_is_set_aside_no_more(world: World) {
    six(&world).await;
    let live = ConsumerId::Webhook(webhook_id(1));
    let records = [1, 3].map(|n| aside(of("ada"), nth(n)));
    set_aside(&world, &live, records.to_vec()).await;
    start(&world, 1, &EVERYTHING).await.unwrap();
    let id = ConsumerId::Replay(replay_id(1));
    let generation = world.open_consumer(&id).await.generation;

    let mut saved = progress(&id, generation, nth(2));
    saved.redelivered = these([1, 2]);
    assert!(world.store.save_progress(saved).await.unwrap());

    assert_eq!(listed(&world).await, these([3]));
}

/// What it brings has been dealt with once.
async fn a_replay_that_is_behind_misses_nothing(world: World) {
    six(&world).await;
    let live = ConsumerId::Webhook(webhook_id(1));
    let generation = world.open_consumer(&live).await.generation;
    assert!(
        world
            .store
            .save_progress(progress(&live, generation, nth(6)))
            .await
            .unwrap()
    );
    start(&world, 1, &EVERYTHING).await.unwrap();
    world.advance(10_000);

    let swept = sweep(&world, &LOG).await;

    assert_eq!((swept.log_entries, swept.undelivered), (1 + 6, 0));
}

async fn each_change_of_a_replay_is_announced(world: World) {
    six(&world).await;
    let mut changed = world.store.webhooks_changed();
    changed.mark_unchanged();
    let replay = start(&world, 1, &EVERYTHING).await.unwrap();
    assert!(changed.has_changed().unwrap());
    come_to_end(&world, &replay).await;
    changed.mark_unchanged();
    world.store.end_replay(replay_id(1)).await.unwrap();
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    world.store.end_replay(replay_id(1)).await.unwrap();
    assert!(!changed.has_changed().unwrap());
}
