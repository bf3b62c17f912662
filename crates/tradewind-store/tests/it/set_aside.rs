//! Entries that a webhook has given up on for now: kept with its progress, listed, and forgotten.

use tradewind_model::{Actor, ConversationId, LogEntry, Sequence};
use tradewind_store::{ConsumerId, Page, Progress, SetAside, SetAsideEntry};
use uuid::Uuid;

use crate::{
    retention::{LOG, of, say, sweep},
    world::{World, at, channel, held, nth, progress, webhook, webhook_id},
};

conformance![
    what_is_set_aside_is_listed_with_its_entry,
    an_entry_is_set_aside_with_the_progress_or_not_at_all,
    the_newest_entry_is_listed_first_in_pages,
    a_page_holds_one_entry_at_least,
    an_entry_set_aside_again_is_replaced,
    an_entry_that_was_redelivered_is_forgotten,
    webhooks_do_not_see_what_others_set_aside,
    a_fact_about_a_channel_can_be_set_aside,
    an_entry_that_is_not_there_is_passed_over,
    sequences_are_given_as_of_a_time,
    what_is_set_aside_goes_with_the_log_and_is_counted,
    what_is_set_aside_stays_when_its_webhook_leaves,
    what_is_set_aside_survives_a_restart,
];

pub(crate) fn aside(lane: ConversationId, sequence: Sequence) -> SetAside {
    SetAside {
        sequence,
        conversation_id: lane,
        attempts: 7,
        failing_since: at(40),
        error: "the endpoint answered 500".to_owned(),
        status: Some(500),
    }
}

/// The consumer of webhook 1, which is subscribed, with what `contact` said in each text.
async fn subscribed(world: &World, texts: &[&str]) -> ConsumerId {
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    say(world, "ada", texts, 0).await;
    ConsumerId::Webhook(webhook_id(1))
}

pub(crate) async fn set_aside(world: &World, consumer: &ConsumerId, records: Vec<SetAside>) {
    let state = world.open_consumer(consumer).await;
    let mut saved = progress(consumer, state.generation, state.cursor);
    saved.set_aside = records;
    assert!(world.store.save_progress(saved).await.unwrap());
}

pub(crate) async fn listed(world: &World) -> Vec<Sequence> {
    sequences(&list(world, None, 1_000).await)
}

async fn list(
    world: &World,
    before: Option<Sequence>,
    limit: usize,
) -> Page<SetAsideEntry, Sequence> {
    let listing = world.store.list_set_aside(webhook_id(1), before, limit);
    listing.await.unwrap()
}

fn sequences(page: &Page<SetAsideEntry, Sequence>) -> Vec<Sequence> {
    page.items.iter().map(|item| item.record.sequence).collect()
}

async fn what_is_set_aside_is_listed_with_its_entry(world: World) {
    let consumer = subscribed(&world, &["1", "2"]).await;
    world.advance(100);
    let refused = SetAside {
        status: None,
        ..aside(of("ada"), nth(2))
    };

    set_aside(&world, &consumer, vec![refused.clone()]).await;

    let page = list(&world, None, 10).await;
    let expected = SetAsideEntry {
        entry: LogEntry::clone(&world.log().await[1]),
        record: refused,
        at: at(100),
    };
    assert_eq!(page.items, [expected]);
    assert_eq!((page.previous, page.next, page.total), (None, None, 1));
}

async fn an_entry_is_set_aside_with_the_progress_or_not_at_all(world: World) {
    let consumer = subscribed(&world, &["1", "2", "3"]).await;
    let before = world.open_consumer(&consumer).await;
    let whole = Progress {
        held: vec![held(of("ada"), nth(3))],
        set_aside: vec![aside(of("ada"), nth(2))],
        ..progress(&consumer, before.generation, nth(3))
    };

    let stale = Progress {
        generation: before.generation + 1,
        ..whole.clone()
    };
    assert!(!world.store.save_progress(stale).await.unwrap());
    assert_eq!(world.open_consumer(&consumer).await, before);
    assert_eq!(listed(&world).await, []);

    assert!(world.store.save_progress(whole).await.unwrap());
    let after = world.open_consumer(&consumer).await;
    assert_eq!((after.cursor, after.held.len()), (nth(3), 1));
    assert_eq!(listed(&world).await, [nth(2)]);
}

async fn the_newest_entry_is_listed_first_in_pages(world: World) {
    let consumer = subscribed(&world, &["1", "2", "3", "4", "5"]).await;
    for n in [4, 1, 5, 2, 3] {
        set_aside(&world, &consumer, vec![aside(of("ada"), nth(n))]).await;
    }

    let first = list(&world, None, 2).await;
    let second = list(&world, first.next, 2).await;
    let third = list(&world, second.next, 2).await;

    assert_eq!(sequences(&first), [5, 4].map(nth));
    assert_eq!(sequences(&second), [3, 2].map(nth));
    assert_eq!(sequences(&third), [1].map(nth));
    assert_eq!(third.next, None);
    assert!([&first, &second, &third].iter().all(|page| page.total == 5));
    // A page that ends with the last one has no next.
    assert_eq!(list(&world, first.next, 3).await.next, None);
    assert_eq!(sequences(&list(&world, Some(nth(1)), 2).await), []);
}

async fn a_page_holds_one_entry_at_least(world: World) {
    let consumer = subscribed(&world, &["1", "2"]).await;
    let both = [1, 2].map(|n| aside(of("ada"), nth(n)));
    set_aside(&world, &consumer, both.to_vec()).await;
    let page = list(&world, None, 0).await;
    assert_eq!((sequences(&page), page.next), (vec![nth(2)], Some(nth(2))));
}

async fn an_entry_set_aside_again_is_replaced(world: World) {
    let consumer = subscribed(&world, &["1"]).await;
    set_aside(&world, &consumer, vec![aside(of("ada"), nth(1))]).await;
    world.advance(60);
    let again = SetAside {
        attempts: 9,
        error: "timeout".to_owned(),
        status: None,
        failing_since: at(50),
        ..aside(of("ada"), nth(1))
    };

    set_aside(&world, &consumer, vec![again.clone()]).await;

    let page = list(&world, None, 10).await;
    assert_eq!((&page.items[0].record, page.items[0].at), (&again, at(60)));
    assert_eq!((page.items.len(), page.total), (1, 1));
}

async fn an_entry_that_was_redelivered_is_forgotten(world: World) {
    let consumer = subscribed(&world, &["1", "2", "3"]).await;
    let all = [1, 2, 3].map(|n| aside(of("ada"), nth(n)));
    set_aside(&world, &consumer, all.to_vec()).await;
    let generation = world.open_consumer(&consumer).await.generation;

    let mut saved = progress(&consumer, generation, Sequence::START);
    saved.redelivered = vec![nth(1), nth(3), Sequence(1_000)];
    assert!(world.store.save_progress(saved).await.unwrap());

    assert_eq!(listed(&world).await, [nth(2)]);
    assert_eq!(list(&world, None, 10).await.total, 1);
}

async fn webhooks_do_not_see_what_others_set_aside(world: World) {
    let consumer = subscribed(&world, &["1", "2"]).await;
    world
        .store
        .subscribe(webhook(2), Actor::server())
        .await
        .unwrap();
    let other = ConsumerId::Webhook(webhook_id(2));
    set_aside(&world, &consumer, vec![aside(of("ada"), nth(1))]).await;
    set_aside(&world, &other, vec![aside(of("ada"), nth(2))]).await;

    assert_eq!(listed(&world).await, [nth(1)]);
    let generation = world.open_consumer(&other).await.generation;
    let mut saved = progress(&other, generation, Sequence::START);
    saved.redelivered = vec![nth(1)];
    assert!(world.store.save_progress(saved).await.unwrap());
    assert_eq!(listed(&world).await, [nth(1)]);
    let nobody = world.store.list_set_aside(webhook_id(7), None, 10).await;
    assert_eq!(nobody.unwrap().total, 0);
}

async fn a_fact_about_a_channel_can_be_set_aside(world: World) {
    let consumer = subscribed(&world, &["1"]).await;
    let lane = ConversationId::from_uuid(channel("site").id.uuid());
    set_aside(&world, &consumer, vec![aside(lane, Sequence(1))]).await;
    let page = list(&world, None, 10).await;
    assert_eq!(page.items[0].record, aside(lane, Sequence(1)));
    assert_eq!(page.items[0].entry, *world.whole_log().await[0]);
}

async fn an_entry_that_is_not_there_is_passed_over(world: World) {
    let consumer = subscribed(&world, &["1", "2"]).await;
    let gone = ConversationId::from_uuid(Uuid::from_u128(7));
    let records = vec![
        aside(of("ada"), Sequence(1_000)),
        aside(gone, nth(1)),
        aside(of("ada"), nth(2)),
    ];
    set_aside(&world, &consumer, records).await;
    assert_eq!(listed(&world).await, [nth(2)]);
}

async fn sequences_are_given_as_of_a_time(world: World) {
    let consumer = subscribed(&world, &["1", "2", "3"]).await;
    for n in [3, 1, 2] {
        set_aside(&world, &consumer, vec![aside(of("ada"), nth(n))]).await;
        world.advance(10);
    }
    for (seconds, expected) in [(-1, vec![]), (10, vec![1, 3]), (20, vec![1, 2, 3])] {
        let found = world.store.set_aside_by(webhook_id(1), at(seconds)).await;
        let expected: Vec<_> = expected.into_iter().map(nth).collect();
        assert_eq!(found.unwrap(), expected, "{seconds}");
    }
}

async fn what_is_set_aside_goes_with_the_log_and_is_counted(world: World) {
    let consumer = subscribed(&world, &["1", "2"]).await;
    world.advance(1_000);
    say(&world, "ada", &["3"], 0).await;
    let both = [1, 3].map(|n| aside(of("ada"), nth(n)));
    let generation = world.open_consumer(&consumer).await.generation;
    let mut saved = progress(&consumer, generation, nth(3));
    saved.set_aside = both.to_vec();
    assert!(world.store.save_progress(saved).await.unwrap());

    let swept = sweep(&world, &LOG).await;

    assert_eq!((swept.log_entries, swept.undelivered), (1 + 2, 1));
    assert_eq!(listed(&world).await, [nth(3)]);
    assert_eq!(list(&world, None, 10).await.total, 1);
}

async fn what_is_set_aside_stays_when_its_webhook_leaves(world: World) {
    let consumer = subscribed(&world, &["1"]).await;
    set_aside(&world, &consumer, vec![aside(of("ada"), nth(1))]).await;
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(listed(&world).await, [nth(1)]);
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(listed(&world).await, [nth(1)]);
}

async fn what_is_set_aside_survives_a_restart(mut world: World) {
    let consumer = subscribed(&world, &["1"]).await;
    set_aside(&world, &consumer, vec![aside(of("ada"), nth(1))]).await;
    let before = list(&world, None, 10).await;
    world.reopen().await;
    assert_eq!(list(&world, None, 10).await, before);
}
