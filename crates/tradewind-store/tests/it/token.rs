//! Tokens and the installation's secrets.

use std::sync::Arc;

use tokio::task::JoinSet;
use tradewind_model::{Actor, Scope, Token, TokenId};
use tradewind_store::TokenHash;
use uuid::Uuid;

use crate::world::{World, at};

conformance![
    a_token_is_found_by_its_hash_only,
    a_token_of_every_scope_is_kept,
    a_token_stored_again_takes_the_new_name_scope_and_expiry,
    a_token_that_was_found_before_it_changed_is_found_changed,
    a_store_knows_whether_it_ever_had_a_token,
    tokens_survive_a_restart,
    a_secret_is_made_once,
    callers_who_ask_at_once_get_the_same_secret,
    secrets_have_names,
    secrets_survive_a_restart,
];

fn token(scope: Scope) -> Token {
    Token {
        id: TokenId::from_uuid(Uuid::from_u128(1)),
        name: "Ada's".to_owned(),
        scope,
        expires_at: Some(at(60)),
        created_at: at(0),
        user_id: None,
    }
}

const HASH: TokenHash = TokenHash([1; 32]);

async fn a_token_is_found_by_its_hash_only(world: World) {
    world
        .store
        .put_token(token(Scope::Agent), HASH, 100, Actor::server())
        .await
        .unwrap();
    let found = world.store.find_token(HASH).await.unwrap();
    assert_eq!(found, Some(token(Scope::Agent)));
    let other = world.store.find_token(TokenHash([2; 32])).await.unwrap();
    assert_eq!(other, None);
}

async fn a_token_of_every_scope_is_kept(world: World) {
    for (number, scope) in (0..).zip(Scope::ALL) {
        let hash = TokenHash([number; 32]);
        let token = |scope| Token {
            id: TokenId::from_uuid(Uuid::from_u128(number.into())),
            ..token(scope)
        };
        world
            .store
            .put_token(token(scope), hash, 100, Actor::server())
            .await
            .unwrap();
        let found = world.store.find_token(hash).await.unwrap();
        assert_eq!(found, Some(token(scope)));
    }
}

async fn a_token_that_was_found_before_it_changed_is_found_changed(world: World) {
    for scope in [Scope::Read, Scope::Agent, Scope::Admin] {
        world
            .store
            .put_token(token(scope), HASH, 100, Actor::server())
            .await
            .unwrap();
        for _ in 0..2 {
            let found = world.store.find_token(HASH).await.unwrap();
            assert_eq!(found, Some(token(scope)));
        }
    }
}

async fn a_token_stored_again_takes_the_new_name_scope_and_expiry(world: World) {
    world
        .store
        .put_token(token(Scope::Read), HASH, 100, Actor::server())
        .await
        .unwrap();
    let changed = Token {
        name: "Ben's".to_owned(),
        scope: Scope::Admin,
        expires_at: None,
        ..token(Scope::Read)
    };
    world
        .store
        .put_token(changed.clone(), HASH, 100, Actor::server())
        .await
        .unwrap();
    assert_eq!(world.store.find_token(HASH).await.unwrap(), Some(changed));
}

async fn a_store_knows_whether_it_ever_had_a_token(world: World) {
    assert!(!world.store.has_tokens().await.unwrap());
    world
        .store
        .put_token(token(Scope::Read), HASH, 100, Actor::server())
        .await
        .unwrap();
    assert!(world.store.has_tokens().await.unwrap());
}

async fn tokens_survive_a_restart(mut world: World) {
    world
        .store
        .put_token(token(Scope::Read), HASH, 100, Actor::server())
        .await
        .unwrap();
    world.reopen().await;
    let found = world.store.find_token(HASH).await.unwrap();
    assert_eq!(found, Some(token(Scope::Read)));
}

async fn a_secret_is_made_once(world: World) {
    assert_eq!(
        world.store.secret("sessions", [1; 32]).await.unwrap(),
        [1; 32]
    );
    assert_eq!(
        world.store.secret("sessions", [2; 32]).await.unwrap(),
        [1; 32]
    );
}

async fn callers_who_ask_at_once_get_the_same_secret(world: World) {
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let store = Arc::clone(&world.store);
        tasks.spawn(async move { store.secret("sessions", [n; 32]).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|secret| *secret == answers[0]));
}

async fn secrets_have_names(world: World) {
    assert_eq!(world.store.secret("a", [1; 32]).await.unwrap(), [1; 32]);
    assert_eq!(world.store.secret("b", [2; 32]).await.unwrap(), [2; 32]);
}

async fn secrets_survive_a_restart(mut world: World) {
    world.store.secret("a", [1; 32]).await.unwrap();
    world.reopen().await;
    assert_eq!(world.store.secret("a", [2; 32]).await.unwrap(), [1; 32]);
}
