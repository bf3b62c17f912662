//! `append`: what it stores, in which order, and what it refuses.

use std::{collections::BTreeMap, slice};

use tradewind_model::{
    Actor, ConversationId, DeliveryState, EntryKind, Sender, SenderType, Timestamp,
};
use tradewind_store::{Appended, NewMessage, StoreError};
use uuid::Uuid;

use crate::world::{World, at, channel, kinds, said, taken};

/// Callers that append at the same time.
const CALLERS: usize = 64;

conformance![
    a_message_of_a_source_is_stored_as_it_was_brought,
    a_message_of_the_api_waits_for_its_source,
    a_message_an_operator_wrote_at_the_source_is_delivered_and_read,
    the_first_message_makes_the_conversation,
    messages_and_entries_of_a_conversation_are_numbered_without_a_gap,
    positions_have_no_gap_under_concurrent_callers,
    a_message_that_comes_twice_is_stored_once,
    a_message_that_comes_many_times_at_once_is_stored_once,
    a_repeated_message_is_answered_in_its_present_state,
    a_repeat_is_recognised_after_a_restart,
    the_api_cannot_start_a_conversation,
    a_message_for_a_channel_nobody_connected_is_refused,
    a_message_on_a_disconnected_channel_is_refused,
    a_refused_message_leaves_nothing,
    a_conversation_cannot_change_its_channel,
    a_message_is_whatever_text_it_is,
    a_call_that_is_given_up_leaves_the_store_whole,
    sent_at_is_kept_in_whole_milliseconds,
];

async fn a_message_of_a_source_is_stored_as_it_was_brought(world: World) {
    let site = world.connect("site").await;
    let new = world.incoming(&site, "ada", "hello");

    let message = world.stored(new.clone()).await;

    assert_eq!(message.id, new.id);
    assert_eq!(message.conversation_id, new.conversation_id);
    assert_eq!(
        (message.channel_id, &message.source),
        (site.id, &site.source)
    );
    assert_eq!(message.contact_source_id, "ada");
    assert_eq!(message.position, 1);
    assert_eq!(
        (&message.sender, &message.content),
        (&new.sender, &new.content)
    );
    assert_eq!(message.state, DeliveryState::Delivered);
    assert_eq!(message.sent_at, at(0));
    assert_eq!(
        world.messages(message.conversation_id).await,
        slice::from_ref(&message)
    );
    let log = world.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].kind, log[0].position), (EntryKind::Received, 1));
    assert_eq!(said(&log[0]), &message);
}

async fn a_message_of_the_api_waits_for_its_source(world: World) {
    let site = world.connect("site").await;
    let received = world.receive(&site, "ada", "hello").await;

    let sent = world.send(received.conversation_id, "hi").await;

    assert_eq!(sent.state, DeliveryState::Pending);
    assert_eq!(sent.contact_source_id, "ada");
    assert_eq!(sent.sender.kind, SenderType::AppUser);
    let log = world.log().await;
    assert_eq!(
        (log[1].kind, said(&log[1])),
        (EntryKind::SendRequested, &sent)
    );
}

async fn a_message_an_operator_wrote_at_the_source_is_delivered_and_read(world: World) {
    let site = world.connect("site").await;
    let mut new = world.incoming(&site, "ada", "we are closed");
    new.sender = Sender {
        id: "page".to_owned(),
        kind: SenderType::SourceUser,
    };

    let message = world.stored(new).await;

    assert_eq!(message.state, DeliveryState::Delivered);
    assert_eq!(message.sender.kind, SenderType::SourceUser);
    assert_eq!(world.find(message.conversation_id).await.unread_count, 0);
}

async fn the_first_message_makes_the_conversation(world: World) {
    let site = world.connect("site").await;
    let first = world.receive(&site, "ada", "hello").await;
    world.advance(1);
    let second = world.receive(&site, "ada", "anyone?").await;

    let conversation = world.find(first.conversation_id).await;

    assert_eq!(conversation.id, first.conversation_id);
    assert_eq!(conversation.channel, site);
    assert_eq!(conversation.contact.source_id, "ada");
    assert_eq!(conversation.created_at, at(0));
    assert_eq!(conversation.last_message, second);
    assert_eq!(conversation.unread_count, 2);
}

async fn messages_and_entries_of_a_conversation_are_numbered_without_a_gap(world: World) {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "1").await.conversation_id;
    world.receive(&site, "ben", "other").await;
    let reply = world.send(ada, "2").await;
    world.store.settle(reply.id, taken()).await.unwrap();
    let third = world.receive(&site, "ada", "3").await;

    assert_eq!(third.position, 3);
    let positions: Vec<_> = world
        .lane(ada)
        .await
        .iter()
        .map(|entry| entry.position)
        .collect();
    assert_eq!(positions, [1, 2, 3, 4]);
}

async fn positions_have_no_gap_under_concurrent_callers(world: World) {
    let site = world.connect("site").await;
    let messages: Vec<NewMessage> = (0..CALLERS * 8)
        .map(|n| world.incoming(&site, &format!("contact-{}", n % 5), "hello"))
        .collect();

    let answers = world.append_at_once(messages).await;

    let mut positions: BTreeMap<ConversationId, Vec<u64>> = BTreeMap::new();
    for answer in &answers {
        let Appended::Stored(message) = answer else {
            panic!("not stored: {answer:?}");
        };
        positions
            .entry(message.conversation_id)
            .or_default()
            .push(message.position);
    }
    assert_eq!(positions.len(), 5);
    for (id, mut found) in positions {
        found.sort_unstable();
        let expected: Vec<u64> = (1..).take(found.len()).collect();
        assert_eq!(found, expected, "{id}");
        let lane: Vec<_> = world
            .lane(id)
            .await
            .iter()
            .map(|entry| entry.position)
            .collect();
        assert_eq!(lane, expected, "{id}");
    }
}

async fn a_message_that_comes_twice_is_stored_once(world: World) {
    let site = world.connect("site").await;
    let new = world.incoming(&site, "ada", "hello");
    let first = world.stored(new.clone()).await;
    let mut again = new;
    again.content.text.push_str(", but the first one counts");

    let answer = world.store.append(again).await.unwrap();

    assert_eq!(answer, Appended::Repeated(first.clone()));
    assert_eq!(world.log().await.len(), 1);
    assert_eq!(world.find(first.conversation_id).await.unread_count, 1);
    assert_eq!(world.messages(first.conversation_id).await, [first]);
}

async fn a_message_that_comes_many_times_at_once_is_stored_once(world: World) {
    let site = world.connect("site").await;
    let new = world.incoming(&site, "ada", "hello");

    let answers = world.append_at_once(vec![new; CALLERS]).await;

    let is_stored = |answer: &&Appended| matches!(answer, Appended::Stored(_));
    assert_eq!(answers.iter().filter(is_stored).count(), 1);
    assert_eq!(world.log().await.len(), 1);
}

async fn a_repeated_message_is_answered_in_its_present_state(world: World) {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    let new = world.outgoing(ada, "hi");
    let sent = world.stored(new.clone()).await;
    world.store.settle(sent.id, taken()).await.unwrap();

    match world.store.append(new).await.unwrap() {
        Appended::Repeated(message) => assert_eq!(message.state, DeliveryState::Delivered),
        other => panic!("not repeated: {other:?}"),
    }
}

async fn a_repeat_is_recognised_after_a_restart(mut world: World) {
    let site = world.connect("site").await;
    let new = world.incoming(&site, "ada", "hello");
    let first = world.stored(new.clone()).await;

    world.reopen().await;

    assert_eq!(
        world.store.append(new).await.unwrap(),
        Appended::Repeated(first)
    );
}

async fn the_api_cannot_start_a_conversation(world: World) {
    let nowhere = ConversationId::from_uuid(Uuid::from_u128(7));
    let answer = world
        .store
        .append(world.outgoing(nowhere, "hi"))
        .await
        .unwrap();
    assert_eq!(answer, Appended::ConversationNotFound);
}

async fn a_message_for_a_channel_nobody_connected_is_refused(world: World) {
    let new = world.incoming(&channel("nowhere"), "ada", "hello");
    assert_eq!(
        world.store.append(new).await.unwrap(),
        Appended::ChannelNotFound
    );
}

async fn a_message_on_a_disconnected_channel_is_refused(world: World) {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    world
        .store
        .disconnect_channel(site.id, Actor::server())
        .await
        .unwrap();

    let messages = [
        world.incoming(&site, "ada", "an old contact"),
        world.incoming(&site, "ben", "a new contact"),
        world.outgoing(ada, "a reply"),
    ];
    for new in messages {
        let answer = world.store.append(new).await.unwrap();
        assert_eq!(answer, Appended::ChannelDisconnected);
    }
}

async fn a_refused_message_leaves_nothing(world: World) {
    let new = world.incoming(&channel("site"), "ada", "too early");
    world.store.append(new.clone()).await.unwrap();
    let site = world.connect("site").await;

    assert_eq!(
        kinds(&world.whole_log().await),
        [(EntryKind::ChannelConnected, 1)]
    );
    assert_eq!(
        world
            .store
            .list_conversations(None, None, 10)
            .await
            .unwrap()
            .total,
        0
    );
    assert!(
        world
            .store
            .find_conversation(new.conversation_id)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(world.receive(&site, "ada", "hello").await.position, 1);
}

async fn a_conversation_cannot_change_its_channel(world: World) {
    let site = world.connect("site").await;
    let shop = world.connect("shop").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    let mut moved = world.incoming(&shop, "ada", "moved");
    moved.conversation_id = ada;

    let error = world.store.append(moved).await.unwrap_err();

    assert!(matches!(error, StoreError::Broken(_)), "{error:?}");
    assert_eq!(world.log().await.len(), 1);
}

async fn a_message_is_whatever_text_it_is(mut world: World) {
    let site = world.connect("site").await;
    let texts = [
        "",
        "'; DROP TABLE message; --",
        "a\0b",
        "🦀 \u{202e}",
        "\"\\\n",
        "%_",
    ];
    for text in texts {
        world.receive(&site, text, text).await;
    }
    world.reopen().await;
    for entry in world.log().await {
        let message = said(&entry);
        assert_eq!(message.content.text, message.contact_source_id);
        assert!(texts.contains(&message.content.text.as_str()));
    }
    assert_eq!(world.log().await.len(), texts.len());
}

async fn a_call_that_is_given_up_leaves_the_store_whole(world: World) {
    let site = world.connect("site").await;
    for _ in 0..CALLERS {
        let new = world.incoming(&site, "ada", "hello");
        let appending = world.store.append(new);
        // Polled once, which hands the write over, and dropped.
        tokio::select! {
            biased;
            _ = appending => (),
            () = std::future::ready(()) => (),
        }
    }

    let last = world.receive(&site, "ada", "still here").await;

    let positions: Vec<_> = world
        .log()
        .await
        .iter()
        .map(|entry| entry.position)
        .collect();
    assert_eq!(positions, (1..=last.position).collect::<Vec<_>>());
    assert_eq!(
        world.messages(last.conversation_id).await.len(),
        positions.len()
    );
}

async fn sent_at_is_kept_in_whole_milliseconds(world: World) {
    let site = world.connect("site").await;
    let mut new = world.incoming(&site, "ada", "hello");
    new.sent_at = Timestamp::new(1_600_000_000, 123_456_789).unwrap();

    let message = world.stored(new).await;

    assert_eq!(
        message.sent_at,
        Timestamp::new(1_600_000_000, 123_000_000).unwrap()
    );
    assert_eq!(world.messages(message.conversation_id).await, [message]);
}
