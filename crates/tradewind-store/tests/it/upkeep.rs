//! Whether the store takes writes, and its end.

use std::sync::Arc;

use tokio::task::JoinSet;
use tradewind_model::{Actor, Id, MessageId, Scope, Sequence, Token};
use tradewind_store::{Appended, Start, StoreError, TokenHash};
use uuid::Uuid;

use crate::world::{WEIGHTLESS, World, channel, source_consumer, taken, webhook_id};

conformance![
    a_store_says_that_it_takes_writes,
    a_closed_store_refuses_every_verb,
    writes_that_wait_are_finished_before_the_store_closes,
    a_store_can_be_closed_by_many_and_twice,
];

async fn a_store_says_that_it_takes_writes(mut world: World) {
    world.store.check_writable().await.unwrap();
    world.store.check_writable().await.unwrap();
    world.reopen().await;
    world.store.check_writable().await.unwrap();
}

async fn a_closed_store_refuses_every_verb(world: World) {
    let site = world.connect("site").await;
    let message = world.receive(&site, "ada", "hello").await;
    // It is in memory from here on.
    let token = Token {
        id: Id::from_uuid(Uuid::from_u128(1)),
        name: "bot".to_owned(),
        scope: Scope::Agent,
        expires_at: None,
        created_at: crate::world::at(0),
        user_id: None,
    };
    let hash = TokenHash([1; 32]);
    world
        .store
        .put_token(token, hash, 100, Actor::server())
        .await
        .unwrap();
    world.store.find_token(hash).await.unwrap();
    world.store.close().await;

    let (store, id) = (&world.store, message.conversation_id);
    let nobody = MessageId::from_uuid(Uuid::from_u128(7));
    let start = Sequence::START;
    let refused = [
        store
            .append(world.incoming(&site, "ada", "late"))
            .await
            .err(),
        store.settle(nobody, taken()).await.err(),
        store.read_log(start, 10, WEIGHTLESS).await.err(),
        store
            .read_lane(id, start, start, 10, WEIGHTLESS)
            .await
            .err(),
        store
            .open_consumer(&source_consumer(), Start::Head)
            .await
            .err(),
        store.list_conversations(None, None, 10).await.err(),
        store.find_conversation(id).await.err(),
        store.list_messages(id, None, 10).await.err(),
        store
            .connect_channel(channel("late"), Actor::server())
            .await
            .err(),
        store
            .disconnect_channel(site.id, Actor::server())
            .await
            .err(),
        store.list_channels(10).await.err(),
        store
            .unsubscribe(webhook_id(1), Actor::server())
            .await
            .err(),
        store.list_webhooks(10).await.err(),
        store.has_tokens().await.err(),
        store.find_token(TokenHash([1; 32])).await.err(),
        store.secret("late", [0; 32]).await.err(),
        store.check_writable().await.err(),
    ];
    for (verb, error) in refused.iter().enumerate() {
        assert!(
            matches!(error, Some(StoreError::Closed)),
            "{verb}: {error:?}"
        );
    }
}

async fn writes_that_wait_are_finished_before_the_store_closes(mut world: World) {
    let site = world.connect("site").await;
    let mut tasks = JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&world.store);
        let new = world.incoming(&site, "ada", "hello");
        tasks.spawn(async move { store.append(new).await });
    }
    // Lets every task hand over its write.
    tokio::task::yield_now().await;
    world.store.close().await;

    let mut stored = 0;
    for answer in tasks.join_all().await {
        match answer {
            Ok(Appended::Stored(_)) => stored += 1,
            Ok(other) => panic!("not stored: {other:?}"),
            Err(error) => assert!(matches!(error, StoreError::Closed), "{error:?}"),
        }
    }

    world.reopen().await;
    assert_eq!(world.log().await.len(), stored);
    assert!(stored > 0);
}

async fn a_store_can_be_closed_by_many_and_twice(mut world: World) {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&world.store);
        tasks.spawn(async move { store.close().await });
    }
    tasks.join_all().await;
    world.reopen().await;
    world.connect("site").await;
}
