//! Webhooks: what subscribing keeps and what it starts anew.

use tradewind_model::{Conversation, Sequence, Webhook, WebhookStatus};
use tradewind_store::{ConsumerId, ConsumerState, Start};
use uuid::Uuid;

use crate::world::{World, held, progress, webhook_id};

conformance![
    a_webhook_is_kept_as_it_was_subscribed,
    a_new_webhook_starts_at_the_newest_entry,
    an_updated_webhook_keeps_its_secret_and_its_place,
    an_unsubscribed_webhook_forgets_what_waits,
    a_webhook_subscribed_again_starts_at_the_newest_entry,
    a_lane_held_while_unsubscribed_is_forgotten_too,
    a_webhook_unsubscribed_twice_is_unsubscribed,
    a_webhook_nobody_subscribed_is_not_found,
    webhooks_are_listed_oldest_first,
    each_change_of_a_webhook_is_announced,
    webhooks_survive_a_restart,
];

fn webhook(number: u128) -> Webhook {
    Webhook {
        id: webhook_id(number),
        url: "https://example.org/hook".to_owned(),
        headers: vec![
            ("x-b".to_owned(), "1".to_owned()),
            ("x-a".to_owned(), "\"2\" ü".to_owned()),
            ("x-b".to_owned(), "3".to_owned()),
        ],
        status: WebhookStatus::Subscribed,
        api_secret: Uuid::from_u128(number << 64),
    }
}

/// The same webhook at another url.
fn moved(number: u128) -> Webhook {
    Webhook {
        url: "https://example.org/moved".to_owned(),
        headers: vec![],
        api_secret: Uuid::from_u128(99),
        ..webhook(number)
    }
}

async fn state(world: &World, number: u128) -> ConsumerState {
    let id = ConsumerId::Webhook(webhook_id(number));
    world
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap()
}

/// A webhook that has dealt with the first of two entries and holds the lane of the second.
async fn with_a_held_lane(world: &World) {
    world.store.subscribe(webhook(1)).await.unwrap();
    let site = world.connect("site").await;
    let ada = Conversation::id_of(site.id, "ada");
    world.receive(&site, "ada", "1").await;
    world.receive(&site, "ada", "2").await;
    let id = ConsumerId::Webhook(webhook_id(1));
    let mut holding = progress(&id, state(world, 1).await.generation, Sequence(2));
    holding.held = vec![held(ada, Sequence(2))];
    assert!(world.store.save_progress(holding).await.unwrap());
}

async fn a_webhook_is_kept_as_it_was_subscribed(world: World) {
    let kept = world.store.subscribe(webhook(1)).await.unwrap();
    assert!(kept == webhook(1), "{kept:?}");
    let found = world.store.find_webhook(kept.id).await.unwrap();
    assert!(found == Some(webhook(1)), "{found:?}");
}

async fn a_new_webhook_starts_at_the_newest_entry(world: World) {
    let site = world.connect("site").await;
    world.receive(&site, "ada", "before").await;
    let head = *world.store.head().borrow();

    world.store.subscribe(webhook(1)).await.unwrap();

    let state = state(&world, 1).await;
    assert_eq!((state.cursor, state.held), (head, vec![]));
}

async fn an_updated_webhook_keeps_its_secret_and_its_place(world: World) {
    with_a_held_lane(&world).await;
    let before = state(&world, 1).await;

    let kept = world.store.subscribe(moved(1)).await.unwrap();

    assert_eq!(kept.api_secret, webhook(1).api_secret);
    assert_eq!((kept.url, kept.headers), (moved(1).url, vec![]));
    assert_eq!(state(&world, 1).await, before);
}

async fn an_unsubscribed_webhook_forgets_what_waits(world: World) {
    with_a_held_lane(&world).await;
    let before = state(&world, 1).await;

    let kept = world
        .store
        .unsubscribe(webhook_id(1))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(kept.status, WebhookStatus::Unsubscribed);
    assert_eq!(
        (&kept.url, kept.api_secret),
        (&webhook(1).url, webhook(1).api_secret)
    );
    let after = state(&world, 1).await;
    assert!(after.generation > before.generation);
    assert_eq!(after.held, []);
    // What its deliveries had in flight can no longer be saved.
    let late = progress(
        &ConsumerId::Webhook(webhook_id(1)),
        before.generation,
        Sequence(2),
    );
    assert!(!world.store.save_progress(late).await.unwrap());
}

async fn a_webhook_subscribed_again_starts_at_the_newest_entry(world: World) {
    with_a_held_lane(&world).await;
    world.store.unsubscribe(webhook_id(1)).await.unwrap();
    let unsubscribed = state(&world, 1).await;
    let site = world.connect("site").await;
    world.receive(&site, "ada", "while it was away").await;

    let kept = world.store.subscribe(moved(1)).await.unwrap();

    assert_eq!(kept.status, WebhookStatus::Subscribed);
    assert_eq!(
        (kept.url, kept.api_secret),
        (moved(1).url, webhook(1).api_secret)
    );
    let state = state(&world, 1).await;
    assert!(state.generation > unsubscribed.generation);
    assert_eq!(state.cursor, *world.store.head().borrow());
    assert_eq!(state.held, []);
}

async fn a_lane_held_while_unsubscribed_is_forgotten_too(world: World) {
    with_a_held_lane(&world).await;
    world.store.unsubscribe(webhook_id(1)).await.unwrap();
    let id = ConsumerId::Webhook(webhook_id(1));
    let mut holding = progress(&id, state(&world, 1).await.generation, Sequence(2));
    let ada = world.log().await[0].message.conversation_id;
    holding.held = vec![held(ada, Sequence(2))];
    assert!(world.store.save_progress(holding).await.unwrap());

    world.store.subscribe(webhook(1)).await.unwrap();

    assert_eq!(state(&world, 1).await.held, []);
}

async fn a_webhook_unsubscribed_twice_is_unsubscribed(world: World) {
    world.store.subscribe(webhook(1)).await.unwrap();
    let first = world.store.unsubscribe(webhook_id(1)).await.unwrap();
    let second = world.store.unsubscribe(webhook_id(1)).await.unwrap();
    assert!(first == second, "{second:?}");
}

async fn a_webhook_nobody_subscribed_is_not_found(world: World) {
    let nobody = webhook_id(7);
    assert!(world.store.find_webhook(nobody).await.unwrap().is_none());
    assert!(world.store.unsubscribe(nobody).await.unwrap().is_none());
}

async fn webhooks_are_listed_oldest_first(world: World) {
    for number in [3, 1, 2] {
        world.store.subscribe(webhook(number)).await.unwrap();
    }
    world.store.unsubscribe(webhook_id(3)).await.unwrap();
    world.store.subscribe(moved(3)).await.unwrap();
    let ids = |webhooks: Vec<Webhook>| -> Vec<_> { webhooks.iter().map(|it| it.id).collect() };
    let all = ids(world.store.list_webhooks(10).await.unwrap());
    assert_eq!(all, [3, 1, 2].map(webhook_id));
    let first = ids(world.store.list_webhooks(2).await.unwrap());
    assert_eq!(first, [3, 1].map(webhook_id));
}

async fn each_change_of_a_webhook_is_announced(world: World) {
    let mut changed = world.store.webhooks_changed();
    let mut before = *changed.borrow_and_update();
    for step in ["subscribe", "move", "unsubscribe", "subscribe again"] {
        match step {
            "move" => drop(world.store.subscribe(moved(1)).await.unwrap()),
            "unsubscribe" => drop(world.store.unsubscribe(webhook_id(1)).await.unwrap()),
            _ => drop(world.store.subscribe(webhook(1)).await.unwrap()),
        }
        assert!(changed.has_changed().unwrap(), "{step}");
        let now = *changed.borrow_and_update();
        assert!(now > before, "{step}");
        before = now;
    }
    world.connect("site").await;
    assert!(!changed.has_changed().unwrap());
}

async fn webhooks_survive_a_restart(mut world: World) {
    with_a_held_lane(&world).await;
    let before = state(&world, 1).await;
    world.reopen().await;
    assert_eq!(state(&world, 1).await, before);
    assert!(world.store.list_webhooks(10).await.unwrap() == [webhook(1)]);
}
