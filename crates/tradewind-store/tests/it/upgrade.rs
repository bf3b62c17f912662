//! A database of the first release, opened with this program.
//!
//! It is made from the text of the first migration, which is never edited, and rows as that release
//! wrote them.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tradewind_model::{
    Actor, ConversationId, DeliveryState, EntryKind, Id, ManualClock, Scope, Sequence,
    WebhookStatus,
};
use tradewind_store::{Appended, ConsumerId, SqliteStore, Start, TokenHash};
use uuid::Uuid;

use crate::{
    lane::every_part_agrees_with_the_whole,
    sqlite::Sqlite,
    world::{World, at, channel, kinds, said, sequences, taken, webhook_id},
};

const FIRST: &str = include_str!("../../migrations/sqlite/0001_init.sql");

/// A database as the first release left it, not yet written to.
fn first_release(directory: &Path) -> Connection {
    let database = Connection::open(directory.join("tradewind.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE migration (
                 number INTEGER PRIMARY KEY,
                 checksum BLOB NOT NULL,
                 applied_at_ms INTEGER NOT NULL
             ) STRICT;",
        )
        .unwrap();
    database.execute_batch(FIRST).unwrap();
    let checksum: [u8; 32] = Sha256::digest(FIRST).into();
    database
        .execute("INSERT INTO migration VALUES (1, ?1, 0)", [checksum])
        .unwrap();
    database
}

/// Rows of every table: two messages of ada with three entries, the first two swept away; a webhook
/// that holds her lane, and one that was unsubscribed.
fn fill(database: &Connection) {
    let site = channel("site");
    let ms = at(0).as_millisecond();
    database
        .execute(
            "INSERT INTO channel VALUES (1, ?1, 'chat_plugin', 'site', ?2, NULL, 'secret', TRUE)",
            params![site.id.uuid(), site.name],
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO conversation VALUES (1, ?1, 1, 'ada', NULL, NULL, NULL, ?2, 2, 5, 1, 2)",
            params![ada().uuid(), ms],
        )
        .unwrap();
    for (row, kind, text) in [(1_u32, 0, "hello"), (2, 2, "hi")] {
        database
            .execute(
                "INSERT INTO message VALUES
                     (?1, ?2, 1, ?1, ?3, 'ada', json_object('text', ?4), 1, NULL, ?5, ?5, 5)",
                params![row, Uuid::from_u128(row.into()), kind, text, ms],
            )
            .unwrap();
    }
    database
        .execute_batch(&format!(
            "INSERT INTO log VALUES (1, 1, 1, 0, 1, {ms}), (2, 1, 2, 1, 2, {ms}),
                 (3, 1, 3, 0, 1, {ms}), (4, 1, 4, 1, 2, {ms}), (5, 1, 5, 2, 2, {ms});
             DELETE FROM log WHERE sequence <= 2;
             INSERT INTO consumer VALUES (1, 'webhook:{}', 3, 5), (2, 'webhook:{}', 2, 1),
                 (3, 'source:chat_plugin', 1, 4);
             INSERT INTO held_lane VALUES (1, 1, 4, 6, {ms}, 'timeout');
             INSERT INTO secret VALUES ('session', x'{}');
             UPDATE counter SET conversations = 1, swept_message_row = 0, checks = 9;",
            webhook_id(1),
            webhook_id(2),
            "07".repeat(32),
        ))
        .unwrap();
    for (number, subscribed) in [(1_u32, true), (2, false)] {
        database
            .execute(
                "INSERT INTO webhook VALUES (?1, ?2, ?1, 'https://example.org/', ?3, ?4, ?5)",
                params![
                    number,
                    webhook_id(number.into()).uuid(),
                    r#"[["x-a","1"]]"#,
                    subscribed,
                    Uuid::from_u128(u128::from(number) << 64),
                ],
            )
            .unwrap();
    }
    database
        .execute(
            "INSERT INTO token VALUES (?1, ?2, 'bot', 1, NULL)",
            params![[9_u8; 32], Uuid::from_u128(9)],
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO idempotency VALUES ('agent', 'k', ?1, 2, ?2)",
            params![[1_u8; 32], ms],
        )
        .unwrap();
}

fn ada() -> ConversationId {
    tradewind_model::Conversation::id_of(channel("site").id, "ada")
}

/// A world on a database of the first release, after `make` wrote to it.
async fn upgraded(make: impl FnOnce(&Connection)) -> World {
    let directory = TempDir::new().unwrap();
    let database = first_release(directory.path());
    make(&database);
    database.close().unwrap();
    World::new(Sqlite::at(Arc::new(directory))).await
}

#[tokio::test]
async fn every_entry_and_message_is_kept() {
    let mut world = upgraded(fill).await;
    for _ in 0..2 {
        let log = world.whole_log().await;
        assert_eq!(sequences(&log), [3, 4, 5]);
        let expected = [
            (EntryKind::Received, 3),
            (EntryKind::SendRequested, 4),
            (EntryKind::Sent, 5),
        ];
        assert_eq!(kinds(&log), expected);
        assert!(log.iter().all(|entry| entry.at == at(0)));
        assert_eq!(said(&log[0]).content.text, "hello");
        assert_eq!(world.lane(ada()).await, log);
        let messages = world.messages(ada()).await;
        assert_eq!((messages.len(), &messages[1]), (2, said(&log[2])));
        assert_eq!(messages[1].state, DeliveryState::Delivered);
        // It was kept open, and nothing used it.
        assert_eq!(world.find(ada()).await.channel.token, None);
        world.reopen().await;
    }
}

#[tokio::test]
async fn every_webhook_and_held_lane_is_kept() {
    let world = upgraded(fill).await;
    let listed = world.store.list_webhooks(10).await.unwrap();
    let ids: Vec<_> = listed
        .iter()
        .map(|(webhook, generation)| (webhook.id, webhook.status, *generation))
        .collect();
    let expected = [
        (webhook_id(1), WebhookStatus::Subscribed, 3),
        (webhook_id(2), WebhookStatus::Unsubscribed, 2),
    ];
    assert_eq!(ids, expected);
    let first = &listed[0].0;
    assert_eq!(first.headers, [("x-a".to_owned(), "1".to_owned())]);
    assert_eq!(first.api_secret, Uuid::from_u128(1 << 64));
    assert!(first.old_secret.is_none() && first.name.is_none() && !first.paused);
    assert!(first.events.is_empty() && first.senders.is_empty());
    assert_eq!(first.ended_because, None);

    let id = ConsumerId::Webhook(webhook_id(1));
    let state = world.store.open_consumer(&id, Start::Head).await.unwrap();
    assert_eq!((state.generation, state.cursor), (3, Sequence(5)));
    assert_eq!(state.backed_off_since, None);
    assert_eq!(state.held.len(), 1);
    let lane = &state.held[0];
    assert_eq!((lane.conversation_id, lane.first), (ada(), Sequence(4)));
    assert_eq!((lane.attempts, lane.due_at), (6, at(0)));
    assert_eq!((lane.error.as_str(), lane.status), ("timeout", None));
}

#[tokio::test]
async fn tokens_secrets_and_keys_are_kept() {
    let world = upgraded(fill).await;
    let token = world.store.find_token(TokenHash([9; 32])).await.unwrap();
    let token = token.unwrap();
    assert_eq!(
        (token.id, token.scope),
        (Id::from_uuid(Uuid::from_u128(9)), Scope::Agent)
    );
    let secret = world.store.secret("session", [1; 32]).await.unwrap();
    assert_eq!(secret, [7; 32]);
    let mut again = world.outgoing(ada(), "hi");
    again.idempotency = Some(crate::world::key("agent", "k", 1));
    match world.store.append(again).await.unwrap() {
        Appended::Repeated(message) => assert_eq!(message.id.uuid(), Uuid::from_u128(2)),
        other => panic!("not repeated: {other:?}"),
    }
}

#[tokio::test]
async fn the_log_goes_on_where_it_was() {
    let world = upgraded(fill).await;
    assert_eq!(*world.store.head().borrow(), Sequence(5));
    let message = world.receive(&channel("site"), "ada", "again").await;
    assert_eq!(message.position, 3);
    let id = channel("site").id;
    world
        .store
        .disconnect_channel(id, Actor::server())
        .await
        .unwrap();
    let log = world.whole_log().await;
    assert_eq!(sequences(&log), [3, 4, 5, 6, 7]);
    assert_eq!(
        kinds(&log)[3..],
        [
            (EntryKind::Received, 6),
            // The first that is known about it.
            (EntryKind::ChannelDisconnected, 1)
        ]
    );
}

#[tokio::test]
async fn an_empty_log_goes_on_where_it_was() {
    let world = upgraded(|database| {
        fill(database);
        database
            .execute_batch("DELETE FROM held_lane; DELETE FROM log")
            .unwrap();
    })
    .await;
    assert_eq!(*world.store.head().borrow(), Sequence(5));
    world.receive(&channel("site"), "ada", "again").await;
    assert_eq!(sequences(&world.whole_log().await), [6]);
}

#[tokio::test]
async fn a_log_that_was_never_written_to_begins() {
    let mut world = upgraded(|_| ()).await;
    assert_eq!(*world.store.head().borrow(), Sequence::START);
    world.connect("site").await;
    world.reopen().await;
    assert_eq!(sequences(&world.whole_log().await), [1]);
}

/// An upgrade that is cut off leaves the old database; the next start does it.
#[tokio::test]
async fn an_upgrade_that_fails_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let database = first_release(directory.path());
    fill(&database);
    // In the way of the last statements of the migration.
    database
        .execute_batch("CREATE TABLE replay (x INTEGER)")
        .unwrap();
    let clock = Arc::new(ManualClock::at(at(0)));
    SqliteStore::open(directory.path(), clock).unwrap_err();
    database.execute_batch("DROP TABLE replay").unwrap();
    database.close().unwrap();

    let world = World::new(Sqlite::at(Arc::new(directory))).await;

    assert_eq!(sequences(&world.whole_log().await), [3, 4, 5]);
    let id = ConsumerId::Webhook(webhook_id(1));
    assert_eq!(world.open_consumer(&id).await.held.len(), 1);
}

/// What was stored before has no links; what comes after leads back to it.
#[tokio::test]
async fn an_old_conversation_goes_on() {
    let mut world = upgraded(|database| {
        fill(database);
        // More of hers than one step finds, whose rows are not the sequences of their entries.
        let ms = at(0).as_millisecond();
        database
            .execute_batch(&format!(
                "WITH RECURSIVE n (n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM n WHERE n < 40)
                 INSERT INTO message
                 SELECT n, randomblob(16), 1, n, 0, 'ada', json_object('text', CAST(n AS TEXT)), 1, NULL,
                     {ms}, {ms}, n + 3 FROM n;
                 INSERT INTO log SELECT row + 3, 1, row + 3, 0, row, {ms}
                 FROM message WHERE row >= 3;
                 UPDATE conversation SET message_count = 40, entry_count = 43, last_message_row = 40;"
            ))
            .unwrap();
    }).await;
    for n in 0..40 {
        world.receive(&channel("site"), "ada", "again").await;
        world.receive(&channel("site"), "ben", "between").await;
        if n % 3 == 0 {
            let sent = world.send(ada(), "hi").await;
            world.store.settle(sent.id, taken()).await.unwrap();
        }
    }
    for _ in 0..2 {
        every_part_agrees_with_the_whole(&world, ada()).await;
        world.reopen().await;
    }
}

/// A database of the second schema, with a fact about a channel and an event that was set aside.
#[tokio::test]
async fn facts_and_set_aside_events_are_kept() {
    const SECOND: &str = include_str!("../../migrations/sqlite/0002_delivery.sql");

    let mut world = upgraded(|database| {
        fill(database);
        database.execute_batch(SECOND).unwrap();
        let checksum: [u8; 32] = Sha256::digest(SECOND).into();
        database
            .execute("INSERT INTO migration VALUES (2, ?1, 0)", [checksum])
            .unwrap();
        let ms = at(0).as_millisecond();
        database
            .execute_batch(&format!(
                "INSERT INTO log VALUES (6, -1, 1, 4, NULL, {ms});
                 UPDATE channel SET entry_count = 1;
                 INSERT INTO set_aside VALUES (1, 3, 1, 9, {ms}, 'timeout', NULL, {ms});"
            ))
            .unwrap();
    })
    .await;
    for _ in 0..2 {
        let log = world.whole_log().await;
        assert_eq!(sequences(&log), [3, 4, 5, 6]);
        assert_eq!(kinds(&log)[3], (EntryKind::ChannelConnected, 1));
        let of_channel = ConversationId::from_uuid(channel("site").id.uuid());
        assert_eq!(sequences(&world.lane(of_channel).await), [6]);
        every_part_agrees_with_the_whole(&world, ada()).await;
        let page = world.store.list_set_aside(webhook_id(1), None, 10);
        let items = page.await.unwrap().items;
        assert_eq!((items.len(), &items[0].entry), (1, &*log[0]));
        world.reopen().await;
    }
    let site = channel("site").id;
    world
        .store
        .disconnect_channel(site, Actor::server())
        .await
        .unwrap();
    let last = world.whole_log().await.pop().unwrap();
    assert_eq!(
        (last.sequence, last.position, last.kind),
        (Sequence(7), 2, EntryKind::ChannelDisconnected)
    );
}
