//! Moving a store from one backend to the other.

use std::{path::Path, sync::Arc};

use tempfile::TempDir;
use tradewind_model::{
    Actor, Channel, Clock, Conversation, LogEntry, ManualClock, Message, MessageId, Scope, Token,
    TokenId, Webhook,
};
use tradewind_store::{
    Address, Appended, ConsumerId, ConsumerState, Created, Moved, NewReceipt, OpenError, OwnSource,
    Place, PostgresStore, ReceiptKind, ReceiptOf, Replay, ReplayRange, SetAsideEntry, Settlement,
    SqliteStore, Start, Store, TokenHash, TransferError, transfer,
};
use uuid::Uuid;

use crate::{
    own_source::own_source,
    postgres::Database,
    replay::replay_id,
    retention::{LOG, sweep},
    set_aside::{aside, set_aside},
    sqlite::Sqlite,
    world::{
        Backend as _, World, at, from_contact, held, key, nth, progress, source_consumer, webhook,
        webhook_id,
    },
};

/// All that a store says when it is asked.
#[derive(Debug, PartialEq)]
struct Content {
    log: Vec<Arc<LogEntry>>,
    conversations: Vec<Conversation>,
    messages: Vec<Vec<Message>>,
    lanes: Vec<Vec<Arc<LogEntry>>>,
    channels: Vec<Channel>,
    webhooks: Vec<(Webhook, u64)>,
    consumers: Vec<ConsumerState>,
    set_aside: Vec<SetAsideEntry>,
    replays: Vec<Replay>,
    token: Option<Token>,
    sources: Vec<OwnSource>,
    source: Option<OwnSource>,
    secret: [u8; 32],
}

const HASH: TokenHash = TokenHash([7; 32]);

async fn content(world: &World) -> Content {
    let store = &world.store;
    let conversations = store
        .list_conversations(None, None, 1_000)
        .await
        .unwrap()
        .items;
    let (mut messages, mut lanes) = (Vec::new(), Vec::new());
    for conversation in &conversations {
        messages.push(world.messages(conversation.id).await);
        lanes.push(world.lane(conversation.id).await);
    }
    let mut consumers = Vec::new();
    let all = [
        source_consumer(),
        ConsumerId::Webhook(webhook_id(1)),
        ConsumerId::Replay(replay_id(1)),
    ];
    for id in all {
        let mut state = store.open_consumer(&id, Start::Head).await.unwrap();
        state.held.sort_by_key(|lane| lane.first);
        consumers.push(state);
    }
    Content {
        log: world.whole_log().await,
        conversations,
        messages,
        lanes,
        channels: store.list_channels(100).await.unwrap(),
        webhooks: store.list_webhooks(100).await.unwrap(),
        consumers,
        set_aside: store
            .list_set_aside(webhook_id(1), None, 100)
            .await
            .unwrap()
            .items,
        replays: store.list_replays(100).await.unwrap(),
        token: store.find_token(HASH).await.unwrap(),
        sources: store.list_sources(100).await.unwrap(),
        source: store.find_source(HASH).await.unwrap(),
        secret: store.secret("chat", [0; 32]).await.unwrap(),
    }
}

/// A store with something in every table, texts that `PostgreSQL` has no room for, and a log whose
/// beginning is swept.
async fn fill(world: &World) {
    let store = &world.store;
    let channel = world.connect("site").await;
    world.receive(&channel, "old", "swept").await;
    world.advance(10_000);
    sweep(world, &LOG).await;
    store.subscribe(webhook(1), Actor::server()).await.unwrap();
    let mut lanes = Vec::new();
    for number in 0..2_500 {
        let contact = format!("contact {}", number % 7);
        let message = world
            .receive(&channel, &contact, "null \0 and \u{1a} and 🦊")
            .await;
        lanes.push(message.conversation_id);
    }
    for number in 0_u8..3 {
        let mut answer = world.outgoing(lanes[0], "answer");
        answer.idempotency = Some(key("bot", &format!("key {number}"), number));
        world.stored(answer).await;
    }
    let last = world.send(lanes[1], "settled").await;
    let named = Settlement::Sent {
        source_message_id: Some("source's \0 id".to_owned()),
    };
    assert!(store.settle(last.id, named).await.unwrap());
    let receipt = NewReceipt {
        channel_id: channel.id,
        of: ReceiptOf::SourceIds(vec!["source's \0 id".to_owned()]),
        kind: ReceiptKind::Delivered,
    };
    assert_eq!(store.take_receipt(receipt).await.unwrap(), 1);
    let fax = store.create_source(own_source("fax"), HASH, 100, Actor::server());
    assert_eq!(fax.await.unwrap(), Created::Done);
    let head = *store.head().borrow();
    let id = ConsumerId::Webhook(webhook_id(1));
    let generation = world.open_consumer(&id).await.generation;
    let mut moved = progress(&id, generation, nth(100));
    moved.held = vec![held(lanes[2], nth(40)), held(lanes[3], nth(50))];
    moved.backed_off_since = Some(at(5));
    assert!(store.save_progress(moved).await.unwrap());
    set_aside(world, &id, vec![aside(lanes[4], nth(60))]).await;
    let source = source_consumer();
    let generation = world.open_consumer(&source).await.generation;
    assert!(
        store
            .save_progress(progress(&source, generation, head))
            .await
            .unwrap()
    );
    store
        .start_replay(replay_id(1), webhook_id(1), ReplayRange::default())
        .await
        .unwrap()
        .unwrap();
    let token = Token {
        id: TokenId::from_uuid(Uuid::from_u128(1)),
        name: "bot".to_owned(),
        scope: Scope::Admin,
        expires_at: Some(at(1_000_000)),
        created_at: at(0),
        user_id: None,
    };
    store
        .put_token(token, HASH, 100, Actor::server())
        .await
        .unwrap();
    store.secret("chat", [9; 32]).await.unwrap();
}

fn directory(path: &Path) -> Place {
    Place::Directory(path.to_owned())
}

fn postgres(database: &Database) -> Place {
    Place::Postgres(Address(database.url()))
}

async fn moved(from: &Place, to: &Place) -> Result<Moved, TransferError> {
    transfer(from, to, at(0), &mut |_| {}).await
}

/// An embedded store that is full and closed, and what it holds.
async fn source(path: &Arc<TempDir>) -> (World, Content) {
    let world = World::new(Sqlite::at(Arc::clone(path))).await;
    fill(&world).await;
    let before = content(&world).await;
    world.store.close().await;
    (world, before)
}

#[tokio::test]
async fn all_that_is_stored_moves_there_and_back() {
    let (first, last) = (
        Arc::new(TempDir::new().unwrap()),
        Arc::new(TempDir::new().unwrap()),
    );
    let database = Database::create().await;
    let (_, before) = source(&first).await;
    let mut seen = Vec::new();
    let mut tell = |step: tradewind_store::Step| seen.push((step.table, step.compares));
    let (from, to) = (directory(first.path()), postgres(&database));
    let there = transfer(&from, &to, at(0), &mut tell);
    let Moved { rows, repeats } = there.await.unwrap();
    assert_eq!(repeats, 0);
    assert!(rows > 5_000, "{rows}");
    assert!(seen.contains(&("message", false)) && seen.contains(&("message", true)));

    let address = postgres(&database);
    let world = World::new(database).await;
    assert_eq!(content(&world).await, before);
    goes_on(&world, &before).await;
    let after = content(&world).await;
    world.store.close().await;

    moved(&address, &directory(last.path())).await.unwrap();
    let back = World::new(Sqlite::at(Arc::clone(&last))).await;
    assert_eq!(content(&back).await, after);
    goes_on(&back, &after).await;
}

/// What is written next comes after what was.
async fn goes_on(world: &World, before: &Content) {
    let head = before.log.last().unwrap().sequence;
    let channel = world.connect(&format!("site {head}")).await;
    let somebody_new = format!("new {head}");
    for contact in ["contact 0", &somebody_new] {
        let id = MessageId::derived(contact, &head.to_string());
        let (now, channel) = (world.clock.now(), &before.channels[0]);
        let fresh = from_contact(id, now, channel, contact, "more");
        world.stored(fresh).await;
    }
    let again = before.messages.iter().flatten().next().unwrap();
    let mut repeated = world.outgoing(again.conversation_id, "again");
    repeated.id = again.id;
    let repeated = world.store.append(repeated).await.unwrap();
    assert!(matches!(repeated, Appended::Repeated(_)), "{repeated:?}");
    let entries = world.read(head, 100).await.entries;
    let receipt = NewReceipt {
        channel_id: before.channels[0].id,
        of: ReceiptOf::SourceIds(vec!["source's \0 id".to_owned()]),
        kind: ReceiptKind::Delivered,
    };
    // It has it.
    assert_eq!(world.store.take_receipt(receipt).await.unwrap(), 0);
    let sequences: Vec<_> = entries.iter().map(|entry| entry.sequence.0).collect();
    assert_eq!(sequences, [head.0 + 1, head.0 + 2, head.0 + 3]);
    assert!(
        world
            .store
            .list_channels(10)
            .await
            .unwrap()
            .contains(&channel)
    );
    let listed = world
        .store
        .list_conversations(None, None, 10)
        .await
        .unwrap();
    let before = u64::try_from(before.conversations.len()).unwrap();
    assert_eq!(listed.total, before + 1);
}

async fn assert_unfinished(database: &Database) {
    let settings = database.settings();
    let opened = PostgresStore::open(&settings, Arc::new(ManualClock::at(at(0)))).await;
    assert!(matches!(opened, Err(OpenError::Unfinished)), "{opened:?}");
}

#[tokio::test]
async fn a_move_that_was_interrupted_goes_on() {
    let path = Arc::new(TempDir::new().unwrap());
    let (_, before) = source(&path).await;
    let database = Database::create().await;
    let from = directory(path.path());
    for (table, row) in [("message", 1_000), ("log", 2_000), ("log", 0)] {
        let (from, to) = (from.clone(), postgres(&database));
        let compares = row == 0;
        let attempt = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut tell = |step: tradewind_store::Step| {
                    let is_there = step.table == table && step.done >= row;
                    assert!(!is_there || step.compares != compares, "cut off");
                };
                transfer(&from, &to, at(0), &mut tell).await
            })
        });
        assert!(attempt.join().is_err());
        assert_unfinished(&database).await;
    }
    let other = Arc::new(TempDir::new().unwrap());
    let (mut another, _) = source(&other).await;
    another.reopen().await;
    another.connect("another site").await;
    another.store.close().await;
    let refused = moved(&directory(other.path()), &postgres(&database)).await;
    assert!(
        matches!(refused, Err(TransferError::OtherSource)),
        "{refused:?}"
    );

    moved(&from, &postgres(&database)).await.unwrap();
    let world = World::new(database).await;
    assert_eq!(content(&world).await, before);
}

#[tokio::test]
async fn nothing_is_moved_from_or_to_where_it_would_be_lost() {
    let (path, empty) = (Arc::new(TempDir::new().unwrap()), TempDir::new().unwrap());
    source(&path).await;
    let database = Database::create().await;
    let (from, to) = (directory(path.path()), postgres(&database));

    let refused = moved(&directory(&empty.path().join("nothing")), &to).await;
    assert!(
        matches!(refused, Err(TransferError::NoSource(_))),
        "{refused:?}"
    );

    // One that has no tables yet, which stays so.
    let refused = moved(&to, &directory(&empty.path().join("new"))).await;
    assert!(
        matches!(
            &refused,
            Err(TransferError::Open {
                source: OpenError::NotCurrent,
                ..
            })
        ),
        "{refused:?}"
    );

    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(at(0)));
    let served = SqliteStore::open(path.path(), clock).unwrap();
    let refused = moved(&from, &to).await;
    assert!(
        matches!(refused, Err(TransferError::Open { .. })),
        "{refused:?}"
    );
    served.close().await;
    drop(served);

    moved(&from, &to).await.unwrap();
    let refused = moved(&from, &to).await;
    assert!(
        matches!(refused, Err(TransferError::NotEmpty { .. })),
        "{refused:?}"
    );

    let node = database.open(Arc::new(ManualClock::at(at(0)))).await;
    let mut holding = node.join();
    let has_some = |holding: &tradewind_store::Holding| !holding.holder.shards.is_empty();
    holding.wait_for(has_some).await.unwrap();
    let refused = moved(&to, &directory(empty.path())).await;
    assert!(matches!(refused, Err(TransferError::InUse)), "{refused:?}");
}

#[tokio::test]
async fn a_copy_that_differs_is_no_store() {
    let path = Arc::new(TempDir::new().unwrap());
    source(&path).await;
    let database = Database::create().await;
    let url = database.url();
    let from = directory(path.path());
    let to = postgres(&database);
    // Somebody writes to the target in the middle.
    let sql = "UPDATE message SET content = '{\"text\":\"other\"}' WHERE row = 500";
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let tamper = std::thread::spawn(move || {
        receiver.recv().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(crate::postgres::run(&url, sql));
    });
    let mut tamper = Some(tamper);
    let mut tell = |step: tradewind_store::Step| {
        if step.table == "secret"
            && let Some(tamper) = tamper.take()
        {
            sender.send(()).unwrap();
            tamper.join().unwrap();
        }
    };
    let refused = transfer(&from, &to, at(0), &mut tell).await;
    let Err(TransferError::Differs { table, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(table, "message");
    assert_unfinished(&database).await;
}
