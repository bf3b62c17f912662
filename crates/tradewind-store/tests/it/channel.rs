//! Channels: connected, disconnected, connected again.

use tradewind_model::{Actor, Channel};
use tradewind_store::Disconnected;

use crate::world::{World, channel};

conformance![
    a_channel_is_kept_as_it_was_connected,
    a_channel_may_have_little_to_say,
    a_connected_channel_stays_as_it_is_but_for_its_token,
    a_disconnected_channel_loses_its_token_and_leaves_the_list,
    a_disconnected_channel_takes_what_it_is_connected_with,
    the_conversations_of_a_disconnected_channel_stay,
    channels_are_listed_in_the_order_they_were_connected,
    a_channel_nobody_connected_is_not_found,
    channels_survive_a_restart,
];

/// The same account, with everything else different.
fn renamed(name: &str) -> Channel {
    Channel {
        name: Some("Another name".to_owned()),
        image_url: None,
        token: Some("another secret".to_owned()),
        ..channel(name)
    }
}

async fn a_channel_is_kept_as_it_was_connected(world: World) {
    let site = world
        .store
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    assert_eq!(site, channel("site"));
    assert_eq!(
        world.store.find_channel(site.id).await.unwrap(),
        Some(site.clone())
    );
    assert_eq!(world.store.list_channels(10).await.unwrap(), [site]);
}

async fn a_channel_may_have_little_to_say(world: World) {
    let bare = Channel {
        name: None,
        image_url: None,
        token: None,
        ..channel("site")
    };
    let kept = world
        .store
        .connect_channel(bare.clone(), Actor::server())
        .await
        .unwrap();
    assert_eq!(kept, bare);
}

async fn a_connected_channel_stays_as_it_is_but_for_its_token(world: World) {
    world.connect("site").await;
    let kept = world
        .store
        .connect_channel(renamed("site"), Actor::server())
        .await
        .unwrap();
    let with_new_token = Channel {
        token: renamed("site").token,
        ..channel("site")
    };
    assert_eq!(kept, with_new_token);
    let without = Channel {
        token: None,
        ..renamed("site")
    };
    let connected = world.store.connect_channel(without, Actor::server());
    assert_eq!(connected.await.unwrap(), with_new_token);
    assert_eq!(
        world.store.list_channels(10).await.unwrap(),
        [with_new_token]
    );
}

async fn a_disconnected_channel_loses_its_token_and_leaves_the_list(world: World) {
    let site = world.connect("site").await;

    let answer = world
        .store
        .disconnect_channel(site.id, Actor::server())
        .await
        .unwrap();

    assert_eq!(answer, Disconnected::Done);
    let expected = Channel {
        token: None,
        connected: false,
        ..site.clone()
    };
    assert_eq!(
        world.store.find_channel(site.id).await.unwrap(),
        Some(expected)
    );
    assert_eq!(world.store.list_channels(10).await.unwrap(), []);
    let again = world
        .store
        .disconnect_channel(site.id, Actor::server())
        .await
        .unwrap();
    assert_eq!(again, Disconnected::Already);
}

async fn a_disconnected_channel_takes_what_it_is_connected_with(world: World) {
    let site = world.connect("site").await;
    world
        .store
        .disconnect_channel(site.id, Actor::server())
        .await
        .unwrap();

    let kept = world
        .store
        .connect_channel(renamed("site"), Actor::server())
        .await
        .unwrap();

    assert_eq!(kept, renamed("site"));
    assert_eq!(world.store.find_channel(site.id).await.unwrap(), Some(kept));
    world.receive(&site, "ada", "open again").await;
}

async fn the_conversations_of_a_disconnected_channel_stay(world: World) {
    let site = world.connect("site").await;
    let message = world.receive(&site, "ada", "hello").await;
    world
        .store
        .disconnect_channel(site.id, Actor::server())
        .await
        .unwrap();

    let conversation = world.find(message.conversation_id).await;

    assert!(!conversation.channel.connected);
    assert_eq!(world.messages(conversation.id).await, [message]);
    let page = world
        .store
        .list_conversations(None, None, 10)
        .await
        .unwrap();
    assert_eq!(page.items, [conversation]);
}

async fn channels_are_listed_in_the_order_they_were_connected(world: World) {
    for name in ["c", "a", "b", "d"] {
        world.connect(name).await;
    }
    world
        .store
        .disconnect_channel(channel("a").id, Actor::server())
        .await
        .unwrap();
    let names = |channels: Vec<Channel>| -> Vec<String> {
        channels
            .into_iter()
            .map(|it| it.source_channel_id)
            .collect()
    };
    assert_eq!(
        names(world.store.list_channels(10).await.unwrap()),
        ["c", "b", "d"]
    );
    assert_eq!(
        names(world.store.list_channels(2).await.unwrap()),
        ["c", "b"]
    );
}

async fn a_channel_nobody_connected_is_not_found(world: World) {
    let nowhere = channel("nowhere").id;
    assert_eq!(world.store.find_channel(nowhere).await.unwrap(), None);
    let answer = world
        .store
        .disconnect_channel(nowhere, Actor::server())
        .await
        .unwrap();
    assert_eq!(answer, Disconnected::NotFound);
}

async fn channels_survive_a_restart(mut world: World) {
    let site = world.connect("site").await;
    let shop = world.connect("shop").await;
    world
        .store
        .disconnect_channel(shop.id, Actor::server())
        .await
        .unwrap();
    world.reopen().await;
    assert_eq!(world.store.list_channels(10).await.unwrap(), [site]);
}
