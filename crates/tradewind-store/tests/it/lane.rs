//! Parts of a long conversation, wherever they begin and end.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tradewind_model::{ConversationId, LogEntry, MessageId, Sequence};
use tradewind_store::{MessageCursor, Retention};

use crate::world::{WEIGHTLESS, World, taken};

conformance! {
    a_part_of_a_long_conversation_is_that_part_of_the_whole,
    what_the_sweep_leaves_is_still_one_whole,
    a_late_settlement_is_in_its_place_in_the_lane,
}

async fn a_part_of_a_long_conversation_is_that_part_of_the_whole(world: World) {
    let ada = fill(&world, 70).await;
    every_part_agrees_with_the_whole(&world, ada).await;
}

async fn what_the_sweep_leaves_is_still_one_whole(world: World) {
    let ada = fill(&world, 70).await;
    world.advance(100);
    let _ = fill(&world, 1).await;
    // By the log first, then by messages, which stay as long as the log has them.
    for (log, messages) in [(Some(50), None), (Some(50), Some(50))] {
        let kept = |seconds: Option<i64>| seconds.map(SignedDuration::from_secs);
        let retention = Retention {
            log: kept(log),
            messages: kept(messages),
            idempotency_keys: None,
            attempts: None,
            audit: None,
        };
        while world.store.sweep(&retention).await.unwrap().more {}
        every_part_agrees_with_the_whole(&world, ada).await;
    }
    let left = world.messages(ada).await;
    assert!(left[0].position > 70, "{}", left[0].position);
    let _ = fill(&world, 40).await;
    every_part_agrees_with_the_whole(&world, ada).await;
}

async fn a_late_settlement_is_in_its_place_in_the_lane(world: World) {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    let early = world.send(ada, "hi").await;
    for _ in 0..50 {
        world.receive(&site, "ada", "still there?").await;
    }
    settle(&world, early.id).await;
    for _ in 0..50 {
        world.receive(&site, "ada", "thanks").await;
    }
    every_part_agrees_with_the_whole(&world, ada).await;
}

/// So many messages of ada, every third answered, beside those of another.
async fn fill(world: &World, count: u64) -> ConversationId {
    let site = world.connect("site").await;
    let mut pending = None;
    let mut ada = None;
    for n in 0..count {
        let message = world.receive(&site, "ada", "hello").await;
        world.receive(&site, "ben", "hello").await;
        ada = Some(message.conversation_id);
        if n % 3 == 0 {
            let sent = world.send(message.conversation_id, "hi").await;
            if let Some(earlier) = pending.replace(sent.id) {
                settle(world, earlier).await;
            }
        }
        world.clock.advance(Duration::from_millis(1));
    }
    if let Some(id) = pending {
        settle(world, id).await;
    }
    ada.unwrap()
}

async fn settle(world: &World, id: MessageId) {
    assert!(world.store.settle(id, taken()).await.unwrap());
}

/// The lane from every sequence on, and up to it, and messages from every position on, are what the
/// log and the first position say; and each message finds its entries.
pub(crate) async fn every_part_agrees_with_the_whole(world: &World, id: ConversationId) {
    let log = world.whole_log().await;
    let whole: Vec<Arc<LogEntry>> = log.into_iter().filter(|e| e.lane() == id).collect();
    let head = world.store.head().borrow().0;
    let middle = Sequence(head / 2);
    for place in (0..=head + 1).map(Sequence) {
        for (from, to, limit) in [
            (place, Sequence(u64::MAX), 10_000),
            (place, middle, 10_000),
            (Sequence::START, place, 10_000),
            (place, Sequence(u64::MAX), 3),
        ] {
            let page = world
                .store
                .read_lane(id, from, to, limit, WEIGHTLESS)
                .await
                .unwrap();
            let of_lane = whole
                .iter()
                .filter(|e| e.sequence >= from && e.sequence <= to);
            let expected: Vec<_> = of_lane.clone().take(limit).cloned().collect();
            assert_eq!(page.entries, expected, "from {from} to {to}");
            assert_eq!(page.more, of_lane.count() > limit, "from {from} to {to}");
        }
    }
    let messages = world.messages(id).await;
    let first = messages[0].position;
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(message.position, first + u64::try_from(n).unwrap());
        let cursor = Some(MessageCursor::From(message.position));
        let page = world.store.list_messages(id, cursor, 5).await.unwrap();
        let page = page.unwrap();
        assert_eq!(page.items, messages[n..messages.len().min(n + 5)]);
        assert_eq!(page.total, u64::try_from(messages.len()).unwrap());
        let of_message = |e: &&Arc<LogEntry>| e.message().is_some_and(|m| m.id == message.id);
        let expected: Vec<_> = whole.iter().filter(of_message).map(|e| &**e).collect();
        let found = world.store.find_entries(message.id).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }
}
