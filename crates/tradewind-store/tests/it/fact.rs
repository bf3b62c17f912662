//! Facts about channels in the log: a lane of their own beside the conversations'.

use tradewind_model::{
    Actor, Channel, ChannelId, ConversationId, EntryKind, LogEntry, Sequence, Subject,
};

use crate::{
    retention::{LOG, sweep},
    world::{World, at, channel, held, kinds, progress, sequences, source_consumer},
};

conformance![
    connecting_and_disconnecting_are_entries,
    a_call_that_changes_nothing_is_no_entry,
    the_facts_of_each_channel_are_numbered_without_a_gap,
    an_entry_says_what_the_channel_became,
    facts_stand_in_the_log_between_messages,
    the_lane_of_a_channel_is_read_by_its_id,
    the_lane_of_a_channel_can_be_held,
    the_lanes_of_a_channel_and_its_conversation_are_two,
    facts_are_numbered_on_after_they_were_swept,
    facts_survive_a_restart,
];

/// The lane of the facts about a channel.
fn lane_of(channel: ChannelId) -> ConversationId {
    ConversationId::from_uuid(channel.uuid())
}

fn about(entry: &LogEntry) -> &Channel {
    match &entry.subject {
        Subject::Channel(channel) => channel,
        Subject::Message { message, .. } => panic!("about a message: {message:?}"),
    }
}

async fn disconnect(world: &World, name: &str) {
    let id = channel(name).id;
    world
        .store
        .disconnect_channel(id, Actor::server())
        .await
        .unwrap();
}

async fn connecting_and_disconnecting_are_entries(world: World) {
    world.connect("site").await;
    world.advance(5);
    disconnect(&world, "site").await;
    world.connect("site").await;

    let log = world.whole_log().await;

    let expected = [
        (EntryKind::ChannelConnected, 1),
        (EntryKind::ChannelDisconnected, 2),
        (EntryKind::ChannelConnected, 3),
    ];
    assert_eq!(kinds(&log), expected);
    assert_eq!(sequences(&log), [1, 2, 3]);
    assert_eq!((log[0].at, log[1].at), (at(0), at(5)));
    assert_eq!(*world.store.head().borrow(), Sequence(3));
}

async fn a_call_that_changes_nothing_is_no_entry(world: World) {
    world.connect("site").await;
    world.connect("site").await;
    disconnect(&world, "site").await;

    disconnect(&world, "site").await;
    disconnect(&world, "nowhere").await;

    assert_eq!(world.whole_log().await.len(), 2);
    assert!(*world.store.head().borrow() <= Sequence(2));
}

async fn the_facts_of_each_channel_are_numbered_without_a_gap(world: World) {
    for _ in 0..3 {
        for name in ["site", "shop"] {
            world.connect(name).await;
            disconnect(&world, name).await;
        }
    }
    for name in ["site", "shop"] {
        let lane = world.lane(lane_of(channel(name).id)).await;
        let positions: Vec<u64> = lane.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [1, 2, 3, 4, 5, 6], "{name}");
    }
}

async fn an_entry_says_what_the_channel_became(world: World) {
    let site = world.connect("site").await;
    disconnect(&world, "site").await;

    let log = world.whole_log().await;

    // The token is the store's business.
    let connected = Channel {
        token: None,
        ..site
    };
    let disconnected = Channel {
        connected: false,
        ..connected.clone()
    };
    assert_eq!(about(&log[0]), &connected);
    assert_eq!(about(&log[1]), &disconnected);
    assert!(log.iter().all(|entry| entry.message().is_none()));
}

async fn facts_stand_in_the_log_between_messages(world: World) {
    let site = world.connect("site").await;
    world.receive(&site, "ada", "1").await;
    world.connect("shop").await;
    world.receive(&site, "ada", "2").await;
    disconnect(&world, "site").await;

    let expected = [
        (EntryKind::ChannelConnected, 1),
        (EntryKind::Received, 1),
        (EntryKind::ChannelConnected, 1),
        (EntryKind::Received, 2),
        (EntryKind::ChannelDisconnected, 2),
    ];
    assert_eq!(kinds(&world.whole_log().await), expected);
}

async fn the_lane_of_a_channel_is_read_by_its_id(world: World) {
    let site = world.connect("site").await;
    world.connect("shop").await;
    world.receive(&site, "ada", "hello").await;
    disconnect(&world, "site").await;
    let log = world.whole_log().await;

    let lane = world.lane(lane_of(site.id)).await;

    assert_eq!(lane, [log[0].clone(), log[3].clone()]);
    assert!(lane.iter().all(|entry| entry.lane() == lane_of(site.id)));
    let later = world
        .store
        .read_lane(lane_of(site.id), Sequence(2), Sequence(3), 10, usize::MAX)
        .await
        .unwrap();
    assert_eq!((later.entries, later.read_to), (vec![], Sequence(3)));
}

async fn the_lane_of_a_channel_can_be_held(mut world: World) {
    let site = world.connect("site").await;
    let shop = world.connect("shop").await;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    let mut holding = progress(&id, generation, Sequence(2));
    holding.held = vec![
        held(lane_of(shop.id), Sequence(2)),
        held(lane_of(site.id), Sequence(1)),
    ];
    assert!(world.store.save_progress(holding.clone()).await.unwrap());
    world.reopen().await;
    let mut found = world.open_consumer(&id).await.held;
    found.sort_by_key(|lane| std::cmp::Reverse(lane.first));
    assert_eq!(found, holding.held);

    let mut releasing = progress(&id, generation, Sequence(2));
    releasing.released = vec![lane_of(shop.id)];
    assert!(world.store.save_progress(releasing).await.unwrap());

    assert_eq!(world.open_consumer(&id).await.held, holding.held[1..]);
}

/// The first conversation and the first channel of a store have the same small numbers inside.
async fn the_lanes_of_a_channel_and_its_conversation_are_two(world: World) {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    let id = source_consumer();
    let generation = world.open_consumer(&id).await.generation;
    let mut holding = progress(&id, generation, Sequence(2));
    holding.held = vec![held(ada, Sequence(2)), held(lane_of(site.id), Sequence(1))];
    assert!(world.store.save_progress(holding).await.unwrap());
    assert_eq!(world.open_consumer(&id).await.held.len(), 2);

    let mut releasing = progress(&id, generation, Sequence(2));
    releasing.released = vec![ada];
    assert!(world.store.save_progress(releasing).await.unwrap());

    let left = world.open_consumer(&id).await.held;
    assert_eq!(left, [held(lane_of(site.id), Sequence(1))]);
    assert_eq!(sequences(&world.lane(ada).await), [2]);
    assert_eq!(sequences(&world.lane(lane_of(site.id)).await), [1]);
}

async fn facts_are_numbered_on_after_they_were_swept(world: World) {
    world.connect("site").await;
    world.advance(1_000);
    assert_eq!(sweep(&world, &LOG).await.log_entries, 1);

    disconnect(&world, "site").await;

    let lane = world.lane(lane_of(channel("site").id)).await;
    assert_eq!(kinds(&lane), [(EntryKind::ChannelDisconnected, 2)]);
    assert_eq!(sequences(&lane), [2]);
}

async fn facts_survive_a_restart(mut world: World) {
    world.connect("site").await;
    disconnect(&world, "site").await;
    let log = world.whole_log().await;
    world.reopen().await;
    assert_eq!(world.whole_log().await, log);
    world.connect("site").await;
    assert_eq!(world.whole_log().await[2].position, 3);
}
