//! How nodes on one database divide the deliveries: each serves some of the shards, and each shard is
//! served by one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};
use tradewind_model::{Actor, ConversationId, MessageId, Sequence, Shards, SystemClock, WebhookId};
use tradewind_store::{
    ConsumerId, Holder, Holding, Progress, ReplayRange, Start, Store, StoreError,
};
use uuid::Uuid;

use crate::{
    postgres::{Database, run},
    replay::replay_id,
    world::{
        Backend as _, at, channel, from_contact, held, progress, source_consumer, webhook,
        webhook_id,
    },
};

/// A node that serves whatever it is given.
struct Node {
    store: Arc<dyn Store>,
    holding: watch::Receiver<Holding>,
}

impl Node {
    async fn join(database: &Database) -> Self {
        let store = database.open(Arc::new(SystemClock)).await;
        let holding = store.join();
        Self { store, holding }
    }

    fn holder(&self) -> Holder {
        self.holding.borrow().holder
    }

    /// Waits until it has this many shards; serves no others from then on.
    async fn has(&mut self, count: u32) -> Holder {
        let is_there = |holding: &Holding| {
            self.store.gave_up(holding.holder.shards);
            holding.holder.shards.count() == count
        };
        let waiting = timeout(Duration::from_secs(20), self.holding.wait_for(is_there)).await;
        waiting.unwrap().unwrap().holder
    }
}

/// Waits until each has its count, all giving up what they are asked for.
async fn settle<const N: usize>(nodes: &mut [Node; N], counts: [u32; N]) -> [Holder; N] {
    let waiting = nodes
        .iter_mut()
        .zip(counts)
        .map(|(node, count)| node.has(count));
    futures_util::future::join_all(waiting)
        .await
        .try_into()
        .unwrap()
}

fn overlap(one: Holder, other: Holder) -> bool {
    one.shards.bits() & other.shards.bits() != 0
}

/// A lane in this shard.
fn lane(shard: usize, number: u128) -> ConversationId {
    ConversationId::from_uuid(Uuid::from_u128(
        number << 16 | u128::try_from(shard).unwrap(),
    ))
}

fn of(holder: Holder, cursor: u64, base: &Progress) -> Progress {
    Progress {
        holder,
        cursor: Sequence(cursor),
        ..base.clone()
    }
}

#[tokio::test]
async fn shards_are_spread_evenly_over_the_nodes_that_are_there() {
    let database = Database::create().await;
    let mut first = Node::join(&database).await;
    assert_eq!(first.has(64).await.shards, Shards::ALL);

    let mut two = [first, Node::join(&database).await];
    let [one, other] = settle(&mut two, [32, 32]).await;
    assert!(!overlap(one, other), "{one:?} {other:?}");

    let [first, second] = two;
    let mut three = [first, second, Node::join(&database).await];
    let waiting = three.iter_mut().map(|node| async {
        let fair = |holding: &Holding| {
            node.store.gave_up(holding.holder.shards);
            matches!(holding.holder.shards.count(), 21 | 22)
        };
        node.holding.wait_for(fair).await.unwrap().holder
    });
    let waiting = futures_util::future::join_all(waiting);
    let held = timeout(Duration::from_secs(20), waiting).await.unwrap();
    let all = held.iter().fold(Shards::NONE, |all, it| all.or(it.shards));
    assert_eq!(all, Shards::ALL);
    assert_eq!(held.iter().map(|it| it.shards.count()).sum::<u32>(), 64);
}

#[tokio::test]
async fn a_shard_is_not_another_s_before_it_is_given_up() {
    let database = Database::create().await;
    let mut first = Node::join(&database).await;
    first.has(64).await;
    let mut second = Node::join(&database).await;
    // Asked for half of them, the first goes on with all.
    let asked = |holding: &Holding| holding.holder.shards.count() == 32;
    first.holding.wait_for(asked).await.unwrap();
    let has_some = |holding: &Holding| !holding.holder.shards.is_empty();
    let waiting = timeout(Duration::from_secs(3), second.holding.wait_for(has_some));
    assert!(waiting.await.is_err(), "it was given what is still served");

    first.store.gave_up(first.holder().shards);
    second.has(32).await;
}

#[tokio::test]
async fn who_leaves_is_replaced_at_once() {
    let database = Database::create().await;
    let mut nodes = [Node::join(&database).await, Node::join(&database).await];
    settle(&mut nodes, [32, 32]).await;
    let [leaving, mut staying] = nodes;
    let began = Instant::now();
    leaving.store.close().await;
    staying.has(64).await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn who_dies_is_replaced_when_its_lease_has_run_out() {
    let database = Database::create().await;
    let mut nodes = [Node::join(&database).await, Node::join(&database).await];
    let [_, before] = settle(&mut nodes, [32, 32]).await;
    let [dying, mut staying] = nodes;
    drop(dying);
    let began = Instant::now();
    let after = staying.has(64).await;
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(3),
        "{took:?}: it may still serve"
    );
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(after.term > before.term);
}

#[tokio::test]
async fn who_cannot_renew_its_lease_serves_nothing_until_it_can() {
    let database = Database::create().await;
    let mut node = Node::join(&database).await;
    node.has(64).await;
    let lease = node.holding.borrow().lease.clone();
    assert!(lease.is_valid());
    let name = database.url().rsplit_once('/').unwrap().1.to_owned();
    let began = Instant::now();
    run(
        &Database::server(),
        &format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ),
    )
    .await;
    node.has(0).await;
    assert!(!lease.is_valid());
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    let id = source_consumer();
    let opening = node.store.open_consumer(&id, Start::Head);
    let refused = opening.await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");

    run(
        &Database::server(),
        &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
    )
    .await;
    node.has(64).await;
    assert!(node.holding.borrow().lease.is_valid());
}

#[tokio::test]
async fn what_a_node_saves_is_refused_once_another_has_opened_its_shards() {
    let database = Database::create().await;
    let mut first = Node::join(&database).await;
    let before = first.has(64).await;
    let id = source_consumer();
    let opened = first
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(opened.share.holder, before);
    let base = progress(&id, opened.generation, Sequence(0));
    assert!(
        first
            .store
            .save_progress(of(before, 1, &base))
            .await
            .unwrap()
    );

    let mut two = [first, Node::join(&database).await];
    let [kept, taken] = settle(&mut two, [32, 32]).await;
    let [first, second] = two;
    // Nobody has opened them yet, so who had them may still say what it did.
    assert!(
        first
            .store
            .save_progress(of(before, 2, &base))
            .await
            .unwrap()
    );
    let state = second
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap();
    assert_eq!((state.cursor, state.share.holder), (Sequence(2), taken));

    assert!(
        !first
            .store
            .save_progress(of(before, 3, &base))
            .await
            .unwrap()
    );
    // What it kept is still its own.
    assert!(first.store.save_progress(of(kept, 4, &base)).await.unwrap());
    assert!(
        second
            .store
            .save_progress(of(taken, 9, &base))
            .await
            .unwrap()
    );
    let mine = first
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap();
    let theirs = second
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap();
    assert_eq!((mine.cursor, theirs.cursor), (Sequence(4), Sequence(9)));
}

#[tokio::test]
async fn who_takes_over_knows_where_each_shard_stands() {
    let database = Database::create().await;
    let mut two = [Node::join(&database).await, Node::join(&database).await];
    let holders = settle(&mut two, [32, 32]).await;
    let id = source_consumer();
    two[0]
        .store
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    let mut lanes = Vec::new();
    for (number, (node, holder)) in (1..).zip(two.iter().zip(holders)) {
        let shard = holder.shards.iter().next().unwrap();
        let conversation = lane(shard, number);
        let mut message = from_contact(
            MessageId::from_uuid(Uuid::from_u128(number)),
            at(0),
            &channel("site"),
            "ada",
            "hello",
        );
        message.conversation_id = conversation;
        node.store.append(message).await.unwrap();
        let state = node
            .store
            .open_consumer(&id, Start::Beginning)
            .await
            .unwrap();
        let mut saved = of(
            holder,
            number.try_into().unwrap(),
            &progress(&id, state.generation, Sequence(0)),
        );
        saved.held = vec![held(conversation, Sequence(number.try_into().unwrap()))];
        assert!(node.store.save_progress(saved).await.unwrap());
        let state = node
            .store
            .open_consumer(&id, Start::Beginning)
            .await
            .unwrap();
        assert_eq!(state.held.len(), 1, "of its own shards only");
        assert_eq!(state.share.ahead(conversation), None);
        lanes.push(conversation);
    }
    let [leaving, mut staying] = two;
    leaving.store.close().await;
    let all = staying.has(64).await;

    let state = staying
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(state.share.holder, all);
    assert_eq!((state.cursor, state.held.len()), (Sequence(1), 2));
    let ahead = |lane| state.share.ahead(lane);
    assert_eq!(ahead(lanes[0]), Some(Sequence(1)));
    assert_eq!(ahead(lanes[1]), Some(Sequence(2)));
    assert_eq!(state.share.farthest(), Some(Sequence(2)));
}

#[tokio::test]
async fn a_replay_ends_once_all_nodes_are_done_with_it() {
    let database = Database::create().await;
    let mut two = [Node::join(&database).await, Node::join(&database).await];
    let holders = settle(&mut two, [32, 32]).await;
    let store = Arc::clone(&two[0].store);
    store
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    let message = from_contact(
        MessageId::from_uuid(Uuid::from_u128(1)),
        at(0),
        &channel("site"),
        "ada",
        "hello",
    );
    store.append(message).await.unwrap();
    store.subscribe(webhook(1), Actor::server()).await.unwrap();
    let webhook: WebhookId = webhook_id(1);
    let replay = store
        .start_replay(replay_id(1), webhook, ReplayRange::default())
        .await
        .unwrap()
        .unwrap();
    let id = ConsumerId::Replay(replay.id);
    for (is_last, (node, holder)) in [false, true].into_iter().zip(two.iter().zip(holders)) {
        let state = node
            .store
            .open_consumer(&id, Start::Beginning)
            .await
            .unwrap();
        let done = of(
            holder,
            replay.to.0,
            &progress(&id, state.generation, Sequence(0)),
        );
        assert!(node.store.save_progress(done).await.unwrap());
        node.store.end_replay(replay.id).await.unwrap();
        let left = store.list_replays(10).await.unwrap();
        assert_eq!(left.is_empty(), is_last);
    }
}
