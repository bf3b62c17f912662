//! Webhooks: what subscribing keeps and what it starts anew.

use tradewind_model::{
    Actor, Conversation, EventType, OldSecret, SenderType, Webhook, WebhookStatus,
};
use tradewind_store::{ConsumerId, ConsumerState, Start};
use uuid::Uuid;

use crate::world::{World, at, held, nth, progress, webhook, webhook_id};

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
    all_that_is_said_of_a_webhook_is_kept,
    a_webhook_has_a_generation_in_the_list,
    a_secret_that_was_rotated_leaves_the_old_one_for_a_while,
    a_rotated_secret_survives_every_subscribe,
    the_secret_of_nobody_is_not_rotated,
    a_subscription_ends_in_its_generation_only,
    why_a_subscription_ended_is_forgotten_with_the_next,
    a_webhook_subscribed_again_is_not_backed_off,
];

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
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    let site = world.connect("site").await;
    let ada = Conversation::id_of(site.id, "ada");
    world.receive(&site, "ada", "1").await;
    world.receive(&site, "ada", "2").await;
    let id = ConsumerId::Webhook(webhook_id(1));
    let mut holding = progress(&id, state(world, 1).await.generation, nth(2));
    holding.held = vec![held(ada, nth(2))];
    assert!(world.store.save_progress(holding).await.unwrap());
}

async fn a_webhook_is_kept_as_it_was_subscribed(world: World) {
    let kept = world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert!(kept == webhook(1), "{kept:?}");
    let found = world.store.find_webhook(kept.id).await.unwrap();
    assert!(found == Some(webhook(1)), "{found:?}");
}

async fn a_new_webhook_starts_at_the_newest_entry(world: World) {
    let site = world.connect("site").await;
    world.receive(&site, "ada", "before").await;
    let head = *world.store.head().borrow();

    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();

    let state = state(&world, 1).await;
    assert_eq!((state.cursor, state.held), (head, vec![]));
}

async fn an_updated_webhook_keeps_its_secret_and_its_place(world: World) {
    with_a_held_lane(&world).await;
    let before = state(&world, 1).await;

    let kept = world
        .store
        .subscribe(moved(1), Actor::server())
        .await
        .unwrap();

    assert_eq!(kept.api_secret, webhook(1).api_secret);
    assert_eq!((kept.url, kept.headers), (moved(1).url, vec![]));
    assert_eq!(state(&world, 1).await, before);
}

async fn an_unsubscribed_webhook_forgets_what_waits(world: World) {
    with_a_held_lane(&world).await;
    let before = state(&world, 1).await;

    let kept = world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
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
        nth(2),
    );
    assert!(!world.store.save_progress(late).await.unwrap());
}

async fn a_webhook_subscribed_again_starts_at_the_newest_entry(world: World) {
    with_a_held_lane(&world).await;
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    let unsubscribed = state(&world, 1).await;
    let site = world.connect("site").await;
    world.receive(&site, "ada", "while it was away").await;

    let kept = world
        .store
        .subscribe(moved(1), Actor::server())
        .await
        .unwrap();

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
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    let id = ConsumerId::Webhook(webhook_id(1));
    let mut holding = progress(&id, state(&world, 1).await.generation, nth(2));
    let ada = world.log().await[0].lane();
    holding.held = vec![held(ada, nth(2))];
    assert!(world.store.save_progress(holding).await.unwrap());

    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();

    assert_eq!(state(&world, 1).await.held, []);
}

async fn a_webhook_unsubscribed_twice_is_unsubscribed(world: World) {
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    let first = world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    let second = world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    assert!(first == second, "{second:?}");
}

async fn a_webhook_nobody_subscribed_is_not_found(world: World) {
    let nobody = webhook_id(7);
    assert!(world.store.find_webhook(nobody).await.unwrap().is_none());
    assert!(
        world
            .store
            .unsubscribe(nobody, Actor::server())
            .await
            .unwrap()
            .is_none()
    );
}

async fn webhooks_are_listed_oldest_first(world: World) {
    for number in [3, 1, 2] {
        world
            .store
            .subscribe(webhook(number), Actor::server())
            .await
            .unwrap();
    }
    world
        .store
        .unsubscribe(webhook_id(3), Actor::server())
        .await
        .unwrap();
    world
        .store
        .subscribe(moved(3), Actor::server())
        .await
        .unwrap();
    let ids = |webhooks: Vec<(Webhook, u64)>| -> Vec<_> {
        webhooks.iter().map(|(webhook, _)| webhook.id).collect()
    };
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
            "move" => drop(
                world
                    .store
                    .subscribe(moved(1), Actor::server())
                    .await
                    .unwrap(),
            ),
            "unsubscribe" => drop(
                world
                    .store
                    .unsubscribe(webhook_id(1), Actor::server())
                    .await
                    .unwrap(),
            ),
            _ => drop(
                world
                    .store
                    .subscribe(webhook(1), Actor::server())
                    .await
                    .unwrap(),
            ),
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
    let listed = world.store.list_webhooks(10).await.unwrap();
    assert!(listed == [(webhook(1), before.generation)], "{listed:?}");
}

/// What an operator can say about a webhook, all of it.
fn wordy(number: u128) -> Webhook {
    Webhook {
        name: Some("CRM \"ü\"".to_owned()),
        events: vec![EventType::ChannelUpdated, EventType::MessageCreated],
        senders: vec![SenderType::AppUser, SenderType::SourceContact],
        paused: true,
        ..webhook(number)
    }
}

async fn all_that_is_said_of_a_webhook_is_kept(mut world: World) {
    let kept = world
        .store
        .subscribe(wordy(1), Actor::server())
        .await
        .unwrap();
    assert!(kept == wordy(1), "{kept:?}");
    let everything = Webhook {
        events: EventType::ALL.to_vec(),
        senders: SenderType::ALL.to_vec(),
        ..wordy(2)
    };
    world
        .store
        .subscribe(everything.clone(), Actor::server())
        .await
        .unwrap();
    world.reopen().await;
    let listed = world.store.list_webhooks(10).await.unwrap();
    assert!(listed == [(wordy(1), 1), (everything, 1)], "{listed:?}");
    // An update replaces all of it.
    let kept = world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert!(kept == webhook(1), "{kept:?}");
}

async fn a_webhook_has_a_generation_in_the_list(world: World) {
    with_a_held_lane(&world).await;
    world
        .store
        .subscribe(moved(1), Actor::server())
        .await
        .unwrap();
    for _ in 0..2 {
        let listed = world.store.list_webhooks(10).await.unwrap();
        assert_eq!(listed[0].1, state(&world, 1).await.generation);
        world
            .store
            .unsubscribe(webhook_id(1), Actor::server())
            .await
            .unwrap();
    }
}

async fn rotate(world: &World, number: u128, secret: u128, until: i64) -> Option<Webhook> {
    let secret = Uuid::from_u128(secret);
    let rotating =
        world
            .store
            .rotate_secret(webhook_id(number), secret, at(until), Actor::server());
    rotating.await.unwrap()
}

async fn a_secret_that_was_rotated_leaves_the_old_one_for_a_while(mut world: World) {
    with_a_held_lane(&world).await;
    world
        .store
        .subscribe(webhook(2), Actor::server())
        .await
        .unwrap();
    let before = state(&world, 1).await;
    let mut changed = world.store.webhooks_changed();
    changed.mark_unchanged();

    let rotated = rotate(&world, 1, 77, 3_600).await.unwrap();

    let old = |secret, until| {
        Some(OldSecret {
            secret,
            until: at(until),
        })
    };
    let expected = Webhook {
        api_secret: Uuid::from_u128(77),
        old_secret: old(webhook(1).api_secret, 3_600),
        ..webhook(1)
    };
    assert!(rotated == expected, "{rotated:?}");
    assert!(changed.has_changed().unwrap());
    assert_eq!(state(&world, 1).await, before);

    // The next rotation knows one old secret, the last.
    let again = rotate(&world, 1, 78, 7_200).await.unwrap();
    assert_eq!(again.api_secret, Uuid::from_u128(78));
    assert!(again.old_secret == old(Uuid::from_u128(77), 7_200));
    world.reopen().await;
    let listed = world.store.list_webhooks(10).await.unwrap();
    assert!(listed[0].0 == again && listed[1].0 == webhook(2));
}

async fn a_rotated_secret_survives_every_subscribe(world: World) {
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    let rotated = rotate(&world, 1, 77, 3_600).await.unwrap();
    let secrets = |webhook: &Webhook| {
        let old = webhook.old_secret.map(|old| (old.secret, old.until));
        (webhook.api_secret, old)
    };
    let updated = world
        .store
        .subscribe(moved(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(secrets(&updated), secrets(&rotated));
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    let again = world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(secrets(&again), secrets(&rotated));
}

async fn the_secret_of_nobody_is_not_rotated(world: World) {
    let mut changed = world.store.webhooks_changed();
    changed.mark_unchanged();
    assert!(rotate(&world, 7, 77, 0).await.is_none());
    assert!(!changed.has_changed().unwrap());
}

async fn end(world: &World, generation: u64, because: &str) {
    let ending = world
        .store
        .end_subscription(webhook_id(1), generation, because.to_owned());
    ending.await.unwrap();
}

async fn a_subscription_ends_in_its_generation_only(world: World) {
    with_a_held_lane(&world).await;
    let before = state(&world, 1).await;
    let mut changed = world.store.webhooks_changed();
    changed.mark_unchanged();

    for generation in [before.generation - 1, before.generation + 1, u64::MAX] {
        end(&world, generation, "another one's answer").await;
    }
    let found = world.store.find_webhook(webhook_id(1)).await.unwrap();
    assert!(found == Some(webhook(1)), "{found:?}");
    assert_eq!(state(&world, 1).await, before);
    assert!(!changed.has_changed().unwrap());

    end(&world, before.generation, "the endpoint answered 410 Gone").await;

    let found = world.store.find_webhook(webhook_id(1)).await.unwrap();
    let expected = Webhook {
        status: WebhookStatus::Unsubscribed,
        ended_because: Some("the endpoint answered 410 Gone".to_owned()),
        ..webhook(1)
    };
    assert!(found == Some(expected), "{found:?}");
    let after = state(&world, 1).await;
    assert!(after.generation > before.generation);
    assert_eq!(after.held, []);
    assert!(changed.has_changed().unwrap());
}

async fn why_a_subscription_ended_is_forgotten_with_the_next(mut world: World) {
    with_a_held_lane(&world).await;
    let generation = state(&world, 1).await.generation;
    end(&world, generation, "410").await;
    world.reopen().await;
    let because = |webhook: Option<Webhook>| webhook.unwrap().ended_because;
    // Whoever unsubscribes now comes too late to be why.
    let unsubscribed = world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(because(unsubscribed), Some("410".to_owned()));

    let again = world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(again.ended_because, None);
    // What the old subscription's driver still hears does not end the new one.
    end(&world, generation, "410").await;
    let found = world.store.find_webhook(webhook_id(1)).await.unwrap();
    assert_eq!(found.unwrap().status, WebhookStatus::Subscribed);
    let left = world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(because(left), None);
}

async fn a_webhook_subscribed_again_is_not_backed_off(mut world: World) {
    with_a_held_lane(&world).await;
    let id = ConsumerId::Webhook(webhook_id(1));
    let generation = state(&world, 1).await.generation;
    let mut failing = progress(&id, generation, nth(2));
    failing.backed_off_since = Some(at(17));
    assert!(world.store.save_progress(failing).await.unwrap());
    world.reopen().await;
    assert_eq!(state(&world, 1).await.backed_off_since, Some(at(17)));

    // An update leaves its place.
    world
        .store
        .subscribe(moved(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(state(&world, 1).await.backed_off_since, Some(at(17)));
    world
        .store
        .unsubscribe(webhook_id(1), Actor::server())
        .await
        .unwrap();
    world
        .store
        .subscribe(webhook(1), Actor::server())
        .await
        .unwrap();
    assert_eq!(state(&world, 1).await.backed_off_since, None);
}
