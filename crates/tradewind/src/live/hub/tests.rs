use std::sync::Arc;

use tradewind_delivery::tail::{Interest, Tail};
use tradewind_model::{ConversationId, EntryKind, Sequence, WireTime};

use super::{AGENT_WAITING_MAX, Hub, Topic, Topics, WAITING_WEIGHT_MAX};
use crate::live::update::{UnreadCount, Update, tests::entry};

fn hub() -> Hub {
    let tail = Tail::new(Sequence::START);
    let follower = tail.follow(Interest::NOTHING);
    Hub::new(follower.stand().clone(), follower.stand().clone())
}

/// What the hub wants of the log: entries, and those that change what is unread.
fn wants(hub: &Hub) -> (bool, bool) {
    let listeners = hub.lock();
    let wants = |interest| interest != Interest::NOTHING;
    (wants(listeners.entries), wants(listeners.unread))
}

fn count() -> Update {
    let count = UnreadCount {
        conversation_id: ConversationId::derived("test", "1"),
        unread_message_count: 1,
        timestamp: WireTime(tradewind_model::Timestamp::UNIX_EPOCH),
    };
    Update::of_unread(count, Sequence(1))
}

#[test]
fn while_nobody_listens_nothing_is_wanted() {
    let hub = hub();
    assert_eq!(wants(&hub), (false, false));
    let visitor = hub.listen_to(ConversationId::derived("test", "1"));
    assert_eq!(wants(&hub), (true, false));
    let agent = hub.listen(Topics::from_iter([Topic::UnreadCount]));
    drop(visitor);
    assert_eq!(wants(&hub), (false, true));
    agent.choose(Topics::from_iter([Topic::Events]));
    assert_eq!(wants(&hub), (true, false));
    drop(agent);
    assert_eq!(wants(&hub), (false, false));
}

#[tokio::test]
async fn who_has_no_room_hears_what_waits_and_then_the_end() {
    let hub = hub();
    let topics = Topics::from_iter([Topic::UnreadCount]);
    let (mut slow, mut quick) = (hub.listen(topics), hub.listen(topics));
    for _ in 0..=AGENT_WAITING_MAX {
        hub.publish_unread(count());
        quick.next().await.unwrap();
    }
    for _ in 0..AGENT_WAITING_MAX {
        assert!(slow.next().await.is_some());
    }
    assert!(slow.next().await.is_none());
    hub.publish_unread(count());
    assert!(quick.next().await.is_some());
    assert_eq!(Arc::strong_count(&quick.weight), 2);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too() {
    let hub = hub();
    let topics = Topics::from_iter([Topic::Message]);
    let (mut slow, mut quick) = (hub.listen(topics), hub.listen(topics));
    let text = "x".repeat(WAITING_WEIGHT_MAX / 4);
    for _ in 0..4 {
        hub.publish(&[entry(EntryKind::Received, &text)]);
        quick.next().await.unwrap();
    }
    // A little more than a quarter each.
    for _ in 0..3 {
        assert!(slow.next().await.is_some());
    }
    assert!(slow.next().await.is_none());
    // One that is alone may be as long as it likes.
    let text = "x".repeat(2 * WAITING_WEIGHT_MAX);
    hub.publish(&[entry(EntryKind::Received, &text)]);
    assert!(quick.next().await.is_some());
}
