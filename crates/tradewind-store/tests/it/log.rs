//! Reading the log: order, limits, and that nothing is skipped.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};
use tradewind_model::{Actor, Conversation, ConversationId, LogEntry, Sequence};
use tradewind_store::Settlement;
use uuid::Uuid;

use crate::world::{WEIGHTLESS, World, channel, said, sequences, taken};

conformance![
    an_empty_log_ends_where_it_is_read_from,
    the_log_is_read_in_order_and_from_a_cursor,
    a_read_stops_at_its_limit_and_says_so,
    a_read_that_fits_exactly_says_there_is_no_more,
    a_read_stops_at_its_weight,
    an_entry_heavier_than_the_limit_is_read_alone,
    a_read_takes_one_entry_at_least,
    a_reader_beyond_the_end_stays_where_it_is,
    an_entry_shows_its_message_as_it_is_now,
    who_still_has_an_entry_does_not_keep_others_from_what_is_new,
    what_was_just_written_reads_as_after_a_restart,
    a_reader_beside_many_writers_skips_nothing,
    what_was_answered_is_read_by_the_next_read,
    the_head_follows_each_entry,
    the_head_is_known_after_a_restart,
    a_repeated_message_does_not_move_the_head,
    a_lane_has_the_entries_of_its_conversation,
    a_lane_is_read_from_and_to_the_entries_named,
    a_lane_stops_at_its_limits,
    a_lane_is_not_read_beyond_the_head,
    the_lane_of_no_conversation_is_empty,
];

/// `count` messages of two contacts who take turns.
async fn fill(world: &World, count: usize) {
    let site = world.connect("site").await;
    for n in 0..count {
        let contact = ["ada", "ben"][n % 2];
        world.receive(&site, contact, &n.to_string()).await;
    }
}

/// The same, for cases that want the two conversations.
async fn conversations(world: &World, count: usize) -> (ConversationId, ConversationId) {
    fill(world, count).await;
    let id = |contact| Conversation::id_of(channel("site").id, contact);
    (id("ada"), id("ben"))
}

async fn an_empty_log_ends_where_it_is_read_from(world: World) {
    let page = world.read(Sequence::START, 10).await;
    assert_eq!(page.entries, []);
    assert_eq!(page.read_to, Sequence::START);
    assert!(!page.more);
}

async fn the_log_is_read_in_order_and_from_a_cursor(world: World) {
    fill(&world, 6).await;
    let all = world.log().await;
    let texts: Vec<_> = all.iter().map(|it| said(it).content.text.clone()).collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5"]);
    assert!(sequences(&all).is_sorted_by(|a, b| a < b));

    let page = world.read(all[2].sequence, 10).await;

    assert_eq!(page.entries, all[3..]);
    assert_eq!(page.read_to, all[5].sequence);
    assert!(!page.more);
}

async fn a_read_stops_at_its_limit_and_says_so(world: World) {
    fill(&world, 6).await;
    let page = world.read(Sequence::START, 4).await;
    assert_eq!(page.entries.len(), 4);
    assert_eq!(page.read_to, page.entries[3].sequence);
    assert!(page.more);
}

async fn a_read_that_fits_exactly_says_there_is_no_more(world: World) {
    fill(&world, 6).await;
    let page = world.read(Sequence::START, 1 + 6).await;
    assert_eq!((page.entries.len(), page.more), (1 + 6, false));
}

async fn a_read_stops_at_its_weight(world: World) {
    fill(&world, 6).await;
    let all = world.whole_log().await;
    let three: usize = all[..3].iter().map(|entry| entry.weight()).sum();

    for (weight, count) in [(three, 3), (three + 1, 3), (three - 1, 2)] {
        let page = world
            .store
            .read_log(Sequence::START, 10, weight)
            .await
            .unwrap();
        assert_eq!(page.entries, all[..count]);
        assert_eq!(page.read_to, all[count - 1].sequence);
        assert!(page.more);
    }
}

async fn an_entry_heavier_than_the_limit_is_read_alone(world: World) {
    fill(&world, 3).await;
    let page = world.store.read_log(Sequence::START, 10, 0).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (1, true));
}

async fn a_read_takes_one_entry_at_least(world: World) {
    fill(&world, 3).await;
    assert_eq!(world.read(Sequence::START, 0).await.entries.len(), 1);
}

async fn a_reader_beyond_the_end_stays_where_it_is(world: World) {
    fill(&world, 3).await;
    for beyond in [Sequence(1_000), Sequence(u64::MAX)] {
        let page = world.read(beyond, 10).await;
        assert_eq!((page.entries, page.read_to), (vec![], beyond));
    }
}

async fn an_entry_shows_its_message_as_it_is_now(world: World) {
    let (ada, _) = conversations(&world, 2).await;
    let sent = world.send(ada, "hi").await;
    world.store.settle(sent.id, taken()).await.unwrap();

    let log = world.log().await;

    assert_eq!(said(&log[2]), said(&log[3]));
    assert_ne!(said(&log[2]).state, sent.state);
}

async fn who_still_has_an_entry_does_not_keep_others_from_what_is_new(world: World) {
    let (ada, _) = conversations(&world, 2).await;
    let sent = world.send(ada, "hi").await;
    let read_before = world.log().await;
    world.store.settle(sent.id, taken()).await.unwrap();

    let log = world.log().await;

    assert_eq!(said(&read_before[2]), &sent);
    assert_ne!(said(&log[2]).state, sent.state);
    assert_eq!(said(&log[2]), said(&log[3]));
}

async fn what_was_just_written_reads_as_after_a_restart(mut world: World) {
    let (ada, bob) = conversations(&world, 2).await;
    let sent = world.send(ada, "hi").await;
    let failed = world.send(bob, "ho").await;
    world.send(ada, "still under way").await;
    world.store.settle(sent.id, taken()).await.unwrap();
    let reason = "nobody there".to_owned();
    let failure = Settlement::Failed { reason };
    world.store.settle(failed.id, failure).await.unwrap();
    let channel = world.find(ada).await.channel;
    world
        .store
        .disconnect_channel(channel.id, Actor::server())
        .await
        .unwrap();
    world
        .store
        .connect_channel(channel, Actor::server())
        .await
        .unwrap();
    let before = world.whole_log().await;
    assert_eq!(before.len(), 1 + 2 + 3 + 2 + 2);

    world.reopen().await;

    assert_eq!(world.whole_log().await, before);
}

async fn a_reader_beside_many_writers_skips_nothing(world: World) {
    const WRITERS: usize = 64;
    const EACH: usize = 10;
    const ENTRIES: usize = 1 + WRITERS * EACH;

    let site = world.connect("site").await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&world.store);
        let messages: Vec<_> = (0..EACH)
            .map(|_| world.incoming(&site, &format!("contact-{writer}"), "hello"))
            .collect();
        tasks.spawn(async move {
            for new in messages {
                store.append(new).await.unwrap();
            }
        });
    }
    let mut head = world.store.head();
    let mut cursor = Sequence::START;
    let mut seen = Vec::new();
    while seen.len() < ENTRIES {
        let _ = *head.borrow_and_update();
        let page = world.read(cursor, 7).await;
        cursor = page.read_to;
        seen.extend(page.entries);
        if !page.more && seen.len() < ENTRIES {
            head.changed().await.unwrap();
        }
    }
    tasks.join_all().await;

    assert_eq!(seen.len(), ENTRIES);
    assert_eq!(seen, world.whole_log().await);
}

async fn what_was_answered_is_read_by_the_next_read(world: World) {
    let site = world.connect("site").await;
    let mut cursor = Sequence::START;
    for n in 0..50 {
        let message = world.receive(&site, "ada", &n.to_string()).await;
        let page = world.read(cursor, 10).await;
        assert_eq!(
            page.entries.last().map(|entry| said(entry).id),
            Some(message.id)
        );
        cursor = page.read_to;
    }
}

async fn the_head_follows_each_entry(world: World) {
    let mut head = world.store.head();
    assert_eq!(*head.borrow_and_update(), Sequence::START);

    let site = world.connect("site").await;
    moved(&mut head, Sequence(1)).await;

    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    let log = world.log().await;
    moved(&mut head, log[0].sequence).await;

    let sent = world.send(ada, "hi").await;
    let log = world.log().await;
    moved(&mut head, log[1].sequence).await;

    world.store.settle(sent.id, taken()).await.unwrap();
    let log = world.log().await;
    moved(&mut head, log[2].sequence).await;
}

/// The head is there at once, and who waits for it is woken.
async fn moved(head: &mut watch::Receiver<Sequence>, to: Sequence) {
    assert_eq!(*head.borrow(), to);
    let woken = timeout(Duration::from_secs(5), head.changed());
    woken.await.unwrap().unwrap();
    assert_eq!(*head.borrow_and_update(), to);
}

async fn the_head_is_known_after_a_restart(mut world: World) {
    fill(&world, 3).await;
    let before = *world.store.head().borrow();
    world.reopen().await;
    assert_eq!(*world.store.head().borrow(), before);
}

async fn a_repeated_message_does_not_move_the_head(world: World) {
    let site = world.connect("site").await;
    let new = world.incoming(&site, "ada", "hello");
    world.stored(new.clone()).await;
    let mut head = world.store.head();
    let before = *head.borrow_and_update();

    world.store.append(new).await.unwrap();

    assert_eq!(*head.borrow(), before);
}

async fn a_lane_has_the_entries_of_its_conversation(world: World) {
    let (ada, ben) = conversations(&world, 7).await;
    let all = world.log().await;
    for id in [ada, ben] {
        let of_it = |entry: &&Arc<LogEntry>| said(entry).conversation_id == id;
        let expected: Vec<_> = all.iter().filter(of_it).cloned().collect();
        assert_eq!(world.lane(id).await, expected);
    }
}

async fn a_lane_is_read_from_and_to_the_entries_named(world: World) {
    let (ada, _) = conversations(&world, 10).await;
    let lane = world.lane(ada).await;
    let read = |from, to| world.store.read_lane(ada, from, to, 10, WEIGHTLESS);

    let page = read(lane[1].sequence, lane[3].sequence).await.unwrap();
    assert_eq!(page.entries, lane[1..=3]);
    assert_eq!((page.read_to, page.more), (lane[3].sequence, false));

    // Between two entries of the lane there is one of the other.
    let page = read(lane[1].sequence.next(), lane[2].sequence.previous());
    let page = page.await.unwrap();
    assert_eq!(page.entries, []);
    assert_eq!(page.read_to, lane[2].sequence.previous());
}

async fn a_lane_stops_at_its_limits(world: World) {
    let (ada, _) = conversations(&world, 10).await;
    let lane = world.lane(ada).await;
    let (from, to) = (lane[0].sequence, lane[4].sequence);

    let page = world
        .store
        .read_lane(ada, from, to, 2, WEIGHTLESS)
        .await
        .unwrap();
    assert_eq!(page.entries, lane[..2]);
    assert_eq!((page.read_to, page.more), (lane[1].sequence, true));

    let weight = lane[0].weight() + lane[1].weight() + lane[2].weight();
    let page = world
        .store
        .read_lane(ada, from, to, 10, weight)
        .await
        .unwrap();
    assert_eq!(page.entries, lane[..3]);
    assert_eq!((page.read_to, page.more), (lane[2].sequence, true));
}

async fn a_lane_is_not_read_beyond_the_head(world: World) {
    let (ada, _) = conversations(&world, 4).await;
    let end = Sequence(u64::MAX);
    let page = world
        .store
        .read_lane(ada, Sequence::START, end, 10, WEIGHTLESS);
    assert_eq!(page.await.unwrap().read_to, *world.store.head().borrow());
}

async fn the_lane_of_no_conversation_is_empty(world: World) {
    fill(&world, 4).await;
    let nobody = ConversationId::from_uuid(Uuid::from_u128(7));
    assert_eq!(world.lane(nobody).await, []);
}
