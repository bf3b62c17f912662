//! Sources that somebody else connects.

use tradewind_model::{Actor, Channel, EntryKind, Source};
use tradewind_store::{Created, OwnSource, Settlement, Start, TokenHash};

use crate::world::{World, at, from_contact, progress};

conformance![
    a_source_is_found_by_its_token,
    a_name_is_taken_once,
    there_are_only_so_many,
    a_source_that_goes_takes_its_channels_along,
    a_source_that_comes_back_begins_anew,
    changes_are_told_and_on_record,
];

const MAX: u64 = 3;

pub(crate) fn own_source(name: &str) -> OwnSource {
    OwnSource {
        source: Source::parse(name).unwrap(),
        name: Some(format!("The \0 {name}")),
        image_url: None,
        action_url: Some("https://example.org/actions".to_owned()),
        sealed_token: "v1:c2VhbGVk".to_owned(),
        created_at: at(1),
    }
}

async fn create(world: &World, name: &str, token: u8) -> Created {
    let hash = TokenHash([token; 32]);
    let created = world
        .store
        .create_source(own_source(name), hash, MAX, Actor::server());
    created.await.unwrap()
}

async fn delete(world: &World, name: &str) -> bool {
    let name = Source::parse(name).unwrap();
    let deleted = world.store.delete_source(name, Actor::server());
    deleted.await.unwrap()
}

async fn names(world: &World) -> Vec<String> {
    let sources = world.store.list_sources(100).await.unwrap();
    let name = |source: &OwnSource| source.source.name().to_owned();
    sources.iter().map(name).collect()
}

async fn connect(world: &World, source: &str, id: &str) -> Channel {
    let source = Source::parse(source).unwrap();
    let channel = Channel {
        id: Channel::id_of(&source, id),
        source,
        source_channel_id: id.to_owned(),
        name: None,
        image_url: None,
        token: Some("sealed".to_owned()),
        connected: true,
    };
    let connected = world.store.connect_channel(channel, Actor::server());
    connected.await.unwrap()
}

async fn a_source_is_found_by_its_token(mut world: World) {
    assert_eq!(create(&world, "matrix", 1).await, Created::Done);
    assert_eq!(create(&world, "fax", 2).await, Created::Done);
    world.reopen().await;

    let found = world.store.find_source(TokenHash([1; 32])).await.unwrap();
    assert_eq!(found, Some(own_source("matrix")));
    let found = world.store.find_source(TokenHash([3; 32])).await.unwrap();
    assert_eq!(found, None);
    assert_eq!(names(&world).await, ["fax", "matrix"]);
    assert_eq!(world.store.list_sources(1).await.unwrap().len(), 1);
}

async fn a_name_is_taken_once(world: World) {
    assert_eq!(create(&world, "matrix", 1).await, Created::Done);
    assert_eq!(create(&world, "matrix", 2).await, Created::NameTaken);
    let found = world.store.find_source(TokenHash([2; 32])).await.unwrap();
    assert_eq!(found, None);
    assert!(delete(&world, "matrix").await);
    assert_eq!(create(&world, "matrix", 2).await, Created::Done);
}

async fn there_are_only_so_many(world: World) {
    for (token, name) in (1..).zip(["a", "b", "c"]) {
        assert_eq!(create(&world, name, token).await, Created::Done);
    }
    assert_eq!(create(&world, "d", 9).await, Created::Full);
    assert_eq!(create(&world, "a", 9).await, Created::NameTaken);
    assert!(delete(&world, "b").await);
    assert_eq!(create(&world, "d", 9).await, Created::Done);
}

async fn a_source_that_goes_takes_its_channels_along(world: World) {
    create(&world, "matrix", 1).await;
    create(&world, "fax", 2).await;
    let one = connect(&world, "matrix", "one").await;
    let two = connect(&world, "matrix", "two").await;
    let fax = connect(&world, "fax", "one").await;

    assert!(delete(&world, "matrix").await);
    assert!(!delete(&world, "matrix").await);

    assert_eq!(world.store.list_channels(10).await.unwrap(), [fax]);
    let gone = world.store.find_channel(one.id).await.unwrap().unwrap();
    assert!(!gone.connected && gone.token.is_none());
    assert_eq!(names(&world).await, ["fax"]);
    let found = world.store.find_source(TokenHash([1; 32])).await.unwrap();
    assert_eq!(found, None);
    let log = world.whole_log().await;
    let told = log[3..]
        .iter()
        .map(|entry| (entry.kind, entry.lane().uuid()));
    let ended = EntryKind::ChannelDisconnected;
    let expected = [(ended, one.id.uuid()), (ended, two.id.uuid())];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let head = *world.store.head().borrow();
    assert_eq!(log.last().unwrap().sequence, head);
}

async fn a_source_that_comes_back_begins_anew(world: World) {
    world.connect("site").await;
    create(&world, "matrix", 1).await;
    let channel = connect(&world, "matrix", "one").await;
    let new = from_contact(world.fresh_id(), at(0), &channel, "ada", "hello");
    let ada = world.stored(new).await.conversation_id;
    let id = tradewind_store::ConsumerId::Source(channel.source.clone());
    let state = world.open_consumer(&id).await;
    // Not with what was there before it.
    assert!(state.cursor > tradewind_model::Sequence::START);
    let message = world.send(ada, "hi").await;
    let head = *world.store.head().borrow();
    let mut held = progress(&id, state.generation, head);
    held.held = vec![crate::world::held(ada, head)];
    assert!(world.store.save_progress(held.clone()).await.unwrap());

    assert!(delete(&world, "matrix").await);

    assert_eq!(world.store.find_standing(&id, None).await.unwrap(), None);
    assert!(!world.store.save_progress(held).await.unwrap());
    create(&world, "matrix", 2).await;
    let state = world
        .store
        .open_consumer(&id, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(state.held, []);
    assert_eq!(state.cursor, *world.store.head().borrow());
    let settlement = Settlement::Failed {
        reason: "late".to_owned(),
    };
    assert!(world.store.settle(message.id, settlement).await.unwrap());
}

async fn changes_are_told_and_on_record(world: World) {
    let mut changes = world.store.webhooks_changed();
    changes.mark_unchanged();
    create(&world, "matrix", 1).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    create(&world, "matrix", 2).await;
    assert!(!changes.has_changed().unwrap());
    connect(&world, "matrix", "one").await;
    delete(&world, "matrix").await;
    assert!(changes.has_changed().unwrap());

    let audit = world.store.list_audit(None, 10).await.unwrap().items;
    let told: Vec<_> = audit
        .iter()
        .map(|entry| (entry.action.as_str(), entry.detail.as_str()))
        .collect();
    let expected = [
        ("source.deleted", ""),
        ("channel.disconnected", "matrix one"),
        ("channel.connected", "matrix one"),
        ("source.created", "https://example.org/actions"),
    ];
    assert_eq!(told, expected);
    assert!(audit.iter().all(|entry| !entry.subject.is_empty()));
}
