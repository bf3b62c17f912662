//! `settle`: a message leaves `pending` once.

use std::sync::Arc;

use tokio::task::JoinSet;
use tradewind_model::{DeliveryState, EntryKind, Message, MessageId};
use tradewind_store::Settlement;
use uuid::Uuid;

use crate::world::{World, kinds, said, taken};

conformance![
    a_message_its_source_took_is_delivered,
    a_message_its_source_refused_has_failed,
    a_message_is_settled_once,
    one_of_many_concurrent_settlements_counts,
    a_message_of_a_source_has_nothing_to_settle,
    a_message_nobody_stored_cannot_be_settled,
    what_is_settled_stays_so_after_a_restart,
];

async fn pending(world: &World) -> Message {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    world.send(ada, "hi").await
}

fn refused() -> Settlement {
    Settlement::Failed {
        reason: "the account is blocked".to_owned(),
    }
}

async fn a_message_its_source_took_is_delivered(world: World) {
    let message = pending(&world).await;

    assert!(world.store.settle(message.id, taken()).await.unwrap());

    let messages = world.messages(message.conversation_id).await;
    assert_eq!(messages[1].state, DeliveryState::Delivered);
    let lane = world.lane(message.conversation_id).await;
    let expected = [
        (EntryKind::Received, 1),
        (EntryKind::SendRequested, 2),
        (EntryKind::Sent, 3),
    ];
    assert_eq!(kinds(&lane), expected);
    assert_eq!(said(&lane[2]), &messages[1]);
}

async fn a_message_its_source_refused_has_failed(world: World) {
    let message = pending(&world).await;

    assert!(world.store.settle(message.id, refused()).await.unwrap());

    let conversation = world.find(message.conversation_id).await;
    assert_eq!(conversation.last_message.state, DeliveryState::Failed);
    let lane = world.lane(message.conversation_id).await;
    assert_eq!(kinds(&lane)[2], (EntryKind::SendFailed, 3));
}

async fn a_message_is_settled_once(world: World) {
    let message = pending(&world).await;
    world.store.settle(message.id, taken()).await.unwrap();

    assert!(!world.store.settle(message.id, refused()).await.unwrap());
    assert!(!world.store.settle(message.id, taken()).await.unwrap());

    let messages = world.messages(message.conversation_id).await;
    assert_eq!(messages[1].state, DeliveryState::Delivered);
    assert_eq!(world.log().await.len(), 3);
}

async fn one_of_many_concurrent_settlements_counts(world: World) {
    let message = pending(&world).await;
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&world.store);
        let settlement = if n % 2 == 0 { taken() } else { refused() };
        tasks.spawn(async move { store.settle(message.id, settlement).await.unwrap() });
    }

    let answers = tasks.join_all().await;

    assert_eq!(answers.iter().filter(|counted| **counted).count(), 1);
    assert_eq!(world.log().await.len(), 3);
}

async fn a_message_of_a_source_has_nothing_to_settle(world: World) {
    let message = pending(&world).await;
    let received = world.messages(message.conversation_id).await[0].id;
    assert!(!world.store.settle(received, refused()).await.unwrap());
    assert_eq!(world.log().await.len(), 2);
}

async fn a_message_nobody_stored_cannot_be_settled(world: World) {
    let nothing = MessageId::from_uuid(Uuid::from_u128(7));
    assert!(!world.store.settle(nothing, taken()).await.unwrap());
}

async fn what_is_settled_stays_so_after_a_restart(mut world: World) {
    let message = pending(&world).await;
    world.store.settle(message.id, refused()).await.unwrap();
    let log = world.log().await;

    world.reopen().await;

    assert_eq!(world.log().await, log);
    assert!(!world.store.settle(message.id, taken()).await.unwrap());
}
