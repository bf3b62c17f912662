//! Where a consumer stands: cursor, generation, held lanes.

use tradewind_model::{ConversationId, Sequence};
use tradewind_store::{ConsumerId, ConsumerState, HeldLane, Progress, Start, StoreError};
use uuid::Uuid;

use crate::world::{World, at, held, nth, progress, source_consumer, webhook_id};

conformance![
    a_new_consumer_starts_where_it_is_told_to,
    a_consumer_that_exists_stays_where_it_is,
    consumers_do_not_meet,
    a_consumer_of_no_webhook_is_not_found,
    a_cursor_moves_forward_only,
    progress_of_an_old_generation_is_refused_whole,
    progress_of_nobody_is_refused,
    a_held_lane_is_kept_until_it_is_released,
    a_held_lane_is_replaced_by_its_next_state,
    a_lane_that_was_released_and_held_again_is_held,
    releasing_a_lane_that_is_not_held_changes_nothing,
    a_lane_of_a_conversation_that_is_gone_is_passed_over,
    many_lanes_are_held_at_once,
    where_a_consumer_stands_survives_a_restart,
    since_when_a_consumer_is_backed_off_is_kept,
];

/// A conversation with one entry each, for each contact.
async fn conversations(world: &World, contacts: &[&str]) -> Vec<ConversationId> {
    let site = world.connect("site").await;
    let mut ids = Vec::new();
    for contact in contacts {
        ids.push(world.receive(&site, contact, "hello").await.conversation_id);
    }
    ids
}

async fn save(world: &World, progress: Progress) -> bool {
    world.store.save_progress(progress).await.unwrap()
}

async fn a_new_consumer_starts_where_it_is_told_to(world: World) {
    conversations(&world, &["ada", "ben"]).await;
    let head = *world.store.head().borrow();
    let [first, second] = ["first", "second"].map(consumer);

    let beginning = world
        .store
        .open_consumer(&first, Start::Beginning)
        .await
        .unwrap();
    let end = world
        .store
        .open_consumer(&second, Start::Head)
        .await
        .unwrap();

    assert_eq!((beginning.cursor, end.cursor), (Sequence::START, head));
    assert_eq!(beginning.held, []);
}

fn consumer(source: &str) -> ConsumerId {
    ConsumerId::Source(tradewind_model::Source::parse(source).unwrap())
}

async fn a_consumer_that_exists_stays_where_it_is(world: World) {
    conversations(&world, &["ada", "ben"]).await;
    let id = source_consumer();
    let opened = world.open_consumer(&id).await;
    assert!(save(&world, progress(&id, opened.generation, nth(1))).await);

    let again = world.store.open_consumer(&id, Start::Head).await.unwrap();

    let expected = ConsumerState {
        cursor: nth(1),
        ..opened
    };
    assert_eq!(again, expected);
}

async fn consumers_do_not_meet(world: World) {
    let lanes = conversations(&world, &["ada", "ben"]).await;
    let [first, second] = ["first", "second"].map(consumer);
    let opened = world.open_consumer(&first).await;
    let untouched = world.open_consumer(&second).await;

    let mut moved = progress(&first, opened.generation, nth(2));
    moved.held = vec![held(lanes[0], nth(1))];
    assert!(save(&world, moved).await);

    assert_eq!(world.open_consumer(&second).await, untouched);
}

async fn a_consumer_of_no_webhook_is_not_found(world: World) {
    let nobody = ConsumerId::Webhook(webhook_id(1));
    let error = world
        .store
        .open_consumer(&nobody, Start::Head)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotFound), "{error:?}");
}

async fn a_cursor_moves_forward_only(world: World) {
    conversations(&world, &["ada", "ben", "cay"]).await;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    for (saved, expected) in [(2, 2), (1, 2), (2, 2), (3, 3), (0, 3)] {
        assert!(save(&world, progress(&id, generation, nth(saved))).await);
        assert_eq!(world.open_consumer(&id).await.cursor, nth(expected));
    }
}

async fn progress_of_an_old_generation_is_refused_whole(world: World) {
    let lanes = conversations(&world, &["ada", "ben"]).await;
    let id = source_consumer();
    let before = world.open_consumer(&id).await;
    for generation in [before.generation + 1, before.generation - 1] {
        let mut stale = progress(&id, generation, nth(2));
        stale.held = vec![held(lanes[0], nth(1))];
        assert!(!save(&world, stale).await);
    }
    assert_eq!(world.open_consumer(&id).await, before);
}

async fn progress_of_nobody_is_refused(world: World) {
    assert!(!save(&world, progress(&source_consumer(), 1, nth(1))).await);
}

async fn a_held_lane_is_kept_until_it_is_released(world: World) {
    let lanes = conversations(&world, &["ada", "ben"]).await;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    let mut holding = progress(&id, generation, nth(2));
    holding.held = vec![held(lanes[0], nth(1)), held(lanes[1], nth(2))];
    assert!(save(&world, holding.clone()).await);
    assert_eq!(world.open_consumer(&id).await.held, holding.held);

    let mut releasing = progress(&id, generation, nth(2));
    releasing.released = vec![lanes[0]];
    assert!(save(&world, releasing).await);

    assert_eq!(world.open_consumer(&id).await.held, holding.held[1..]);
}

async fn a_held_lane_is_replaced_by_its_next_state(world: World) {
    let lanes = conversations(&world, &["ada", "ben"]).await;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    let later = HeldLane {
        conversation_id: lanes[0],
        first: nth(2),
        attempts: 0,
        failing_since: at(30),
        due_at: at(3_600),
        error: String::new(),
        status: None,
    };
    for lane in [held(lanes[0], nth(1)), later] {
        let mut holding = progress(&id, generation, nth(2));
        holding.held = vec![lane.clone()];
        assert!(save(&world, holding).await);
        assert_eq!(world.open_consumer(&id).await.held, [lane]);
    }
}

async fn a_lane_that_was_released_and_held_again_is_held(world: World) {
    let lanes = conversations(&world, &["ada"]).await;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    let mut both = progress(&id, generation, nth(1));
    both.released = lanes.clone();
    both.held = vec![held(lanes[0], nth(1))];
    assert!(save(&world, both.clone()).await);
    assert_eq!(world.open_consumer(&id).await.held, both.held);
}

async fn releasing_a_lane_that_is_not_held_changes_nothing(world: World) {
    let id = source_consumer();
    let before = world.open_consumer(&id).await;
    let mut releasing = progress(&id, before.generation, Sequence::START);
    releasing.released = vec![ConversationId::from_uuid(Uuid::from_u128(7))];
    assert!(save(&world, releasing).await);
    assert_eq!(world.open_consumer(&id).await, before);
}

async fn a_lane_of_a_conversation_that_is_gone_is_passed_over(world: World) {
    let lanes = conversations(&world, &["ada"]).await;
    let id = source_consumer();
    let before = world.open_consumer(&id).await;
    let gone = ConversationId::from_uuid(Uuid::from_u128(7));
    let mut holding = progress(&id, before.generation, nth(1));
    holding.held = vec![held(lanes[0], nth(1)), held(gone, nth(1))];

    assert!(world.store.save_progress(holding).await.unwrap());

    let after = world.open_consumer(&id).await;
    assert_eq!(after.held, [held(lanes[0], nth(1))]);
}

async fn many_lanes_are_held_at_once(world: World) {
    let contacts: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
    let site = world.connect("site").await;
    let messages = contacts.iter().map(|it| world.incoming(&site, it, "hello"));
    world.append_at_once(messages.collect()).await;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    let mut holding = progress(&id, generation, nth(500));
    for entry in world.log().await {
        holding.held.push(held(entry.lane(), entry.sequence));
    }
    assert!(save(&world, holding.clone()).await);

    let mut found = world.open_consumer(&id).await.held;

    found.sort_by_key(|lane| lane.first);
    assert_eq!(found, holding.held);
    let mut releasing = progress(&id, generation, nth(500));
    releasing.released = found.iter().map(|lane| lane.conversation_id).collect();
    assert!(save(&world, releasing).await);
    assert_eq!(world.open_consumer(&id).await.held, []);
}

async fn where_a_consumer_stands_survives_a_restart(mut world: World) {
    let lanes = conversations(&world, &["ada", "ben"]).await;
    let id = source_consumer();
    let opened = world.open_consumer(&id).await;
    let generation = opened.generation;
    let mut holding = progress(&id, generation, nth(2));
    holding.held = vec![held(lanes[1], nth(2))];
    assert!(save(&world, holding.clone()).await);

    world.reopen().await;

    let expected = ConsumerState {
        generation,
        cursor: nth(2),
        backed_off_since: None,
        held: holding.held,
        share: opened.share,
    };
    assert_eq!(world.open_consumer(&id).await, expected);
}

async fn since_when_a_consumer_is_backed_off_is_kept(mut world: World) {
    conversations(&world, &["ada"]).await;
    let id = source_consumer();
    let opened = world.open_consumer(&id).await;
    assert_eq!(opened.backed_off_since, None);
    for since in [Some(at(30)), Some(at(31)), None] {
        let mut saved = progress(&id, opened.generation, nth(1));
        saved.backed_off_since = since;
        assert!(save(&world, saved).await);
        world.reopen().await;
        assert_eq!(world.open_consumer(&id).await.backed_off_since, since);
    }
}
