//! Idempotency keys: a request that is sent twice sends one message.

use tradewind_model::{Actor, ConversationId};
use tradewind_store::Appended;

use crate::world::{World, key};

conformance![
    a_key_used_twice_for_the_same_request_stores_one_message,
    a_key_used_for_another_request_is_refused,
    keys_of_different_callers_do_not_meet,
    one_of_many_concurrent_requests_with_a_key_stores,
    a_key_is_remembered_after_a_restart,
    a_refused_message_does_not_use_up_its_key,
];

async fn conversation(world: &World) -> ConversationId {
    let site = world.connect("site").await;
    world.receive(&site, "ada", "hello").await.conversation_id
}

async fn a_key_used_twice_for_the_same_request_stores_one_message(world: World) {
    let ada = conversation(&world).await;
    let mut first = world.outgoing(ada, "hi");
    first.idempotency = Some(key("agent", "k", 1));
    let mut second = world.outgoing(ada, "hi");
    second.idempotency = Some(key("agent", "k", 1));

    let stored = world.stored(first).await;

    assert_eq!(
        world.store.append(second).await.unwrap(),
        Appended::Repeated(stored)
    );
    assert_eq!(world.log().await.len(), 2);
}

async fn a_key_used_for_another_request_is_refused(world: World) {
    let ada = conversation(&world).await;
    let mut first = world.outgoing(ada, "hi");
    first.idempotency = Some(key("agent", "k", 1));
    let mut second = world.outgoing(ada, "something else");
    second.idempotency = Some(key("agent", "k", 2));
    world.stored(first).await;

    assert_eq!(
        world.store.append(second).await.unwrap(),
        Appended::KeyReused
    );
    assert_eq!(world.log().await.len(), 2);
}

async fn keys_of_different_callers_do_not_meet(world: World) {
    let ada = conversation(&world).await;
    for (scope, name) in [("agent", "k"), ("bot", "k"), ("agent", "j"), ("agentk", "")] {
        let mut new = world.outgoing(ada, "hi");
        new.idempotency = Some(key(scope, name, 1));
        world.stored(new).await;
    }
    assert_eq!(world.log().await.len(), 5);
}

async fn one_of_many_concurrent_requests_with_a_key_stores(world: World) {
    let ada = conversation(&world).await;
    let requests = (0..64)
        .map(|n| {
            let mut new = world.outgoing(ada, "hi");
            new.idempotency = Some(key("agent", "k", n % 2));
            new
        })
        .collect();

    let answers = world.append_at_once(requests).await;

    let count = |wanted: fn(&Appended) -> bool| answers.iter().filter(|it| wanted(it)).count();
    assert_eq!(count(|it| matches!(it, Appended::Stored(_))), 1);
    assert_eq!(count(|it| matches!(it, Appended::Repeated(_))), 31);
    assert_eq!(count(|it| *it == Appended::KeyReused), 32);
    assert_eq!(world.log().await.len(), 2);
}

async fn a_key_is_remembered_after_a_restart(mut world: World) {
    let ada = conversation(&world).await;
    let mut new = world.outgoing(ada, "hi");
    new.idempotency = Some(key("agent", "k", 1));
    let stored = world.stored(new.clone()).await;

    world.reopen().await;
    new.id = world.fresh_id();

    assert_eq!(
        world.store.append(new).await.unwrap(),
        Appended::Repeated(stored)
    );
}

async fn a_refused_message_does_not_use_up_its_key(world: World) {
    let ada = conversation(&world).await;
    let channel = world.find(ada).await.channel;
    let mut new = world.outgoing(ada, "hi");
    new.idempotency = Some(key("agent", "k", 1));
    world
        .store
        .disconnect_channel(channel.id, Actor::server())
        .await
        .unwrap();
    assert_eq!(
        world.store.append(new.clone()).await.unwrap(),
        Appended::ChannelDisconnected
    );

    world
        .store
        .connect_channel(channel, Actor::server())
        .await
        .unwrap();

    world.stored(new).await;
}
