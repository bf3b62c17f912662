//! Retention where deliveries are behind: what was lost to it is counted, and the rest goes on.

use tradewind_model::{Actor, ConversationId};
use tradewind_store::{ConsumerId, ConsumerState};

use crate::{
    retention::{LOG, of, say, sweep},
    world::{World, held, nth, progress, source_consumer, webhook, webhook_id},
};

conformance![
    entries_beyond_a_cursor_are_counted_as_undelivered,
    entries_of_held_lanes_are_counted_as_undelivered,
    an_entry_two_consumers_missed_is_counted_once,
    unsubscribed_webhooks_miss_nothing,
    a_held_lane_goes_on_with_what_is_left_of_it,
    a_held_lane_with_nothing_left_stays_for_what_its_driver_passes_over,
    a_held_lane_that_begins_later_stays,
];

async fn subscribe(world: &World, number: u128) -> ConsumerId {
    world
        .store
        .subscribe(webhook(number), Actor::server())
        .await
        .unwrap();
    ConsumerId::Webhook(webhook_id(number))
}

/// Moves a consumer's cursor and holds lanes, each from an entry on.
async fn stand(
    world: &World,
    consumer: &ConsumerId,
    cursor: u64,
    lanes: &[(ConversationId, u64)],
) -> ConsumerState {
    let generation = world.open_consumer(consumer).await.generation;
    let mut moved = progress(consumer, generation, nth(cursor));
    moved.held = lanes
        .iter()
        .map(|(id, first)| held(*id, nth(*first)))
        .collect();
    assert!(world.store.save_progress(moved).await.unwrap());
    world.open_consumer(consumer).await
}

async fn entries_beyond_a_cursor_are_counted_as_undelivered(world: World) {
    let webhook = subscribe(&world, 1).await;
    say(&world, "ada", &["1", "2", "3", "4"], 1_000).await;
    stand(&world, &webhook, 3, &[]).await;
    let swept = sweep(&world, &LOG).await;
    assert_eq!((swept.log_entries, swept.undelivered), (1 + 4, 1));
}

async fn entries_of_held_lanes_are_counted_as_undelivered(world: World) {
    let webhook = subscribe(&world, 1).await;
    say(&world, "ada", &["1"], 0).await;
    let ada = of("ada");
    say(&world, "ben", &["2"], 0).await;
    say(&world, "ada", &["3", "4", "5"], 0).await;
    stand(&world, &webhook, 5, &[(ada, 3)]).await;
    world.advance(1_000);
    let swept = sweep(&world, &LOG).await;
    assert_eq!((swept.log_entries, swept.undelivered), (1 + 5, 3));
}

async fn an_entry_two_consumers_missed_is_counted_once(world: World) {
    let webhook = subscribe(&world, 1).await;
    let other = subscribe(&world, 2).await;
    world.open_consumer(&source_consumer()).await;
    say(&world, "ada", &["1", "2", "3", "4"], 1_000).await;
    let ada = of("ada");
    stand(&world, &webhook, 4, &[(ada, 4)]).await;
    stand(&world, &other, 3, &[]).await;
    stand(&world, &source_consumer(), 2, &[]).await;
    assert_eq!(sweep(&world, &LOG).await.undelivered, 2);
}

async fn unsubscribed_webhooks_miss_nothing(world: World) {
    let webhook = subscribe(&world, 1).await;
    say(&world, "ada", &["1", "2"], 1_000).await;
    let ada = of("ada");
    stand(&world, &webhook, 1, &[(ada, 1)]).await;
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    let swept = sweep(&world, &LOG).await;
    assert_eq!((swept.log_entries, swept.undelivered), (1 + 2, 0));
}

async fn a_held_lane_goes_on_with_what_is_left_of_it(world: World) {
    let webhook = subscribe(&world, 1).await;
    say(&world, "ada", &["1", "2"], 0).await;
    let ada = of("ada");
    world.advance(1_000);
    say(&world, "ben", &["3"], 0).await;
    say(&world, "ada", &["4", "5"], 0).await;
    let before = stand(&world, &webhook, 5, &[(ada, 1)]).await;

    assert_eq!(sweep(&world, &LOG).await.undelivered, 2);

    let after = world.open_consumer(&webhook).await;
    assert_eq!(
        (after.generation, after.cursor),
        (before.generation, nth(5))
    );
    assert_eq!(after.held.len(), 1);
    assert_eq!((after.held[0].first, after.held[0].attempts), (nth(4), 0));
    assert_eq!(after.held[0].conversation_id, ada);
}

async fn a_held_lane_with_nothing_left_stays_for_what_its_driver_passes_over(world: World) {
    let webhook = subscribe(&world, 1).await;
    say(&world, "ada", &["1", "2"], 1_000).await;
    let ada = of("ada");
    say(&world, "ben", &["3"], 0).await;
    let state = stand(&world, &webhook, 3, &[(ada, 2)]).await;

    assert_eq!(sweep(&world, &LOG).await.undelivered, 1);

    // Its driver knows the lane as held, so it only moves its cursor over what comes.
    say(&world, "ada", &["4"], 0).await;
    let moved = progress(&webhook, state.generation, nth(4));
    assert!(world.store.save_progress(moved).await.unwrap());
    let held = world.open_consumer(&webhook).await.held;
    assert_eq!(held.len(), 1);
    assert!(nth(2) < held[0].first && held[0].first <= nth(4));
}

async fn a_held_lane_that_begins_later_stays(world: World) {
    let webhook = subscribe(&world, 1).await;
    say(&world, "ada", &["1", "2"], 1_000).await;
    let ada = of("ada");
    say(&world, "ada", &["3"], 0).await;
    let before = stand(&world, &webhook, 3, &[(ada, 3)]).await;

    let swept = sweep(&world, &LOG).await;

    assert_eq!((swept.log_entries, swept.undelivered), (1 + 2, 0));
    assert_eq!(world.open_consumer(&webhook).await, before);
}
