//! `take_receipt`: what a source tells of messages only moves them forward.

use std::fmt::Write as _;

use tradewind_model::{
    Channel, ConversationId, DeliveryState, EntryKind, Message, Random as _, Receipt, SeededRandom,
    SenderType,
};
use tradewind_store::{NewReceipt, ReceiptKind, ReceiptOf, Settlement};

use crate::world::{World, at, kinds, said, taken};

conformance![
    a_receipt_moves_a_message_and_says_so,
    a_receipt_of_a_message_that_waits_says_first_that_it_was_sent,
    a_failure_counts_until_the_contact_had_the_message,
    who_still_has_an_entry_does_not_keep_others_from_its_receipt,
    what_is_late_or_repeated_changes_nothing,
    messages_are_found_by_what_their_source_calls_them,
    a_source_id_too_long_to_keep_is_not_kept,
    what_a_channel_has_sent_is_known_by_what_its_source_calls_it,
    only_messages_of_ours_in_that_channel_have_receipts,
    all_that_was_sent_until_a_time_is_read,
    the_newest_messages_are_looked_at,
    receipts_in_any_order_come_to_the_same,
    receipts_stay_after_a_restart,
];

fn failed(reason: &str) -> ReceiptKind {
    ReceiptKind::Failed {
        reason: reason.to_owned(),
    }
}

async fn take(world: &World, channel: &Channel, of: ReceiptOf, kind: ReceiptKind) -> u64 {
    let receipt = NewReceipt {
        channel_id: channel.id,
        of,
        kind,
    };
    world.store.take_receipt(receipt).await.unwrap()
}

async fn take_one(world: &World, channel: &Channel, message: &Message, kind: ReceiptKind) -> bool {
    let moved = take(world, channel, ReceiptOf::Message(message.id), kind).await;
    assert!(moved <= 1);
    moved == 1
}

async fn started(world: &World) -> (Channel, ConversationId) {
    let site = world.connect("site").await;
    let ada = world.receive(&site, "ada", "hello").await.conversation_id;
    (site, ada)
}

/// The state and the receipt of a conversation's messages, without those of others.
async fn ours(
    world: &World,
    conversation: ConversationId,
) -> Vec<(DeliveryState, Option<Receipt>)> {
    let mut messages = world.messages(conversation).await;
    messages.retain(|message| message.sender.kind == SenderType::AppUser);
    let told = |message: &Message| (message.state, message.receipt);
    messages.iter().map(told).collect()
}

/// The kinds of a lane's entries from the `skipped`th on, whose positions have no gap.
async fn told(world: &World, conversation: ConversationId, skipped: usize) -> Vec<EntryKind> {
    let entries = world.lane(conversation).await;
    for (place, entry) in (1..).zip(&entries) {
        assert_eq!(entry.position, place);
    }
    let kinds = kinds(&entries);
    kinds[skipped..].iter().map(|(kind, _)| *kind).collect()
}

async fn a_receipt_moves_a_message_and_says_so(world: World) {
    let (site, ada) = started(&world).await;
    let message = world.send(ada, "hi").await;
    world.store.settle(message.id, taken()).await.unwrap();

    assert!(take_one(&world, &site, &message, ReceiptKind::Delivered).await);
    assert!(take_one(&world, &site, &message, ReceiptKind::Read).await);

    let read = (DeliveryState::Delivered, Some(Receipt::Read));
    assert_eq!(ours(&world, ada).await, [read]);
    let expected = [EntryKind::ReceiptDelivered, EntryKind::ReceiptRead];
    assert_eq!(told(&world, ada, 3).await, expected);
    // Each way to read it shows the same.
    let lane = world.lane(ada).await;
    let log = world.log().await;
    assert_eq!(lane, log);
    assert_eq!(said(&log[1]).receipt, Some(Receipt::Read));
    let found = world.store.find_entries(message.id).await.unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(
        world.find(ada).await.last_message.receipt,
        Some(Receipt::Read)
    );
}

async fn a_receipt_of_a_message_that_waits_says_first_that_it_was_sent(world: World) {
    let (site, ada) = started(&world).await;
    let mut skipped = 1;
    for (kind, receipt, said) in [
        (ReceiptKind::Sent, None, None),
        (
            ReceiptKind::Delivered,
            Some(Receipt::Delivered),
            Some(EntryKind::ReceiptDelivered),
        ),
        (
            ReceiptKind::Read,
            Some(Receipt::Read),
            Some(EntryKind::ReceiptRead),
        ),
    ] {
        let message = world.send(ada, "hi").await;
        assert!(take_one(&world, &site, &message, kind).await);
        let delivered = (DeliveryState::Delivered, receipt);
        assert_eq!(ours(&world, ada).await.last(), Some(&delivered));
        let expected: Vec<_> = [EntryKind::SendRequested, EntryKind::Sent]
            .into_iter()
            .chain(said)
            .collect();
        assert_eq!(told(&world, ada, skipped).await, expected);
        skipped += expected.len();
        assert!(!world.store.settle(message.id, taken()).await.unwrap());
    }
}

async fn a_failure_counts_until_the_contact_had_the_message(world: World) {
    let (site, ada) = started(&world).await;
    let waiting = world.send(ada, "1").await;
    let sent = world.send(ada, "2").await;
    let delivered = world.send(ada, "3").await;
    world.store.settle(sent.id, taken()).await.unwrap();
    assert!(take_one(&world, &site, &delivered, ReceiptKind::Delivered).await);

    assert!(take_one(&world, &site, &waiting, failed("blocked")).await);
    assert!(take_one(&world, &site, &sent, failed("blocked")).await);
    assert!(!take_one(&world, &site, &delivered, failed("blocked")).await);

    let expected = [
        (DeliveryState::Failed, None),
        (DeliveryState::Failed, None),
        (DeliveryState::Delivered, Some(Receipt::Delivered)),
    ];
    assert_eq!(ours(&world, ada).await, expected);
    let failures = [EntryKind::SendFailed, EntryKind::SendFailed];
    assert_eq!(told(&world, ada, 7).await, failures);
    for kind in [ReceiptKind::Sent, ReceiptKind::Read, failed("again")] {
        assert!(!take_one(&world, &site, &sent, kind).await);
    }
    assert_eq!(ours(&world, ada).await, expected);
}

async fn who_still_has_an_entry_does_not_keep_others_from_its_receipt(world: World) {
    let (site, ada) = started(&world).await;
    let sent = world.send(ada, "hi").await;
    world.store.settle(sent.id, taken()).await.unwrap();
    let read_before = world.lane(ada).await;
    let log_before = world.log().await;
    assert!(take_one(&world, &site, &sent, ReceiptKind::Read).await);

    for (before, now) in [
        (read_before, world.lane(ada).await),
        (log_before, world.log().await),
    ] {
        assert_eq!(said(&before[1]).receipt, None);
        let receipts = now[1..].iter().map(|entry| said(entry).receipt);
        assert!(receipts.eq([Some(Receipt::Read); 3]));
    }
}

async fn what_is_late_or_repeated_changes_nothing(world: World) {
    let (site, ada) = started(&world).await;
    let message = world.send(ada, "hi").await;
    assert!(take_one(&world, &site, &message, ReceiptKind::Read).await);
    let log = world.log().await;

    for kind in [
        ReceiptKind::Read,
        ReceiptKind::Delivered,
        ReceiptKind::Sent,
        failed("late"),
    ] {
        assert!(!take_one(&world, &site, &message, kind).await);
    }

    assert_eq!(world.log().await, log);
}

async fn messages_are_found_by_what_their_source_calls_them(world: World) {
    let (site, ada) = started(&world).await;
    let mut messages = Vec::new();
    for name in ["m1", "m2", "null \0"] {
        let message = world.send(ada, name).await;
        let settlement = Settlement::Sent {
            source_message_id: Some(name.to_owned()),
        };
        assert!(world.store.settle(message.id, settlement).await.unwrap());
        messages.push(message);
    }
    let ids = |ids: &[&str]| ReceiptOf::SourceIds(ids.iter().map(|id| (*id).to_owned()).collect());

    let found = ids(&["m2", "unknown", "null \0", "m2"]);
    assert_eq!(take(&world, &site, found, ReceiptKind::Delivered).await, 2);
    assert_eq!(take(&world, &site, ids(&[]), ReceiptKind::Read).await, 0);
    assert_eq!(take(&world, &site, ids(&[""]), ReceiptKind::Read).await, 0);

    let sent = (DeliveryState::Delivered, None);
    let delivered = (DeliveryState::Delivered, Some(Receipt::Delivered));
    assert_eq!(ours(&world, ada).await, [sent, delivered, delivered]);

    // Another channel may call another message so.
    let shop = world.connect("shop").await;
    let bob = world.receive(&shop, "bob", "hello").await.conversation_id;
    let other = world.send(bob, "hi").await;
    let settlement = Settlement::Sent {
        source_message_id: Some("m1".to_owned()),
    };
    world.store.settle(other.id, settlement).await.unwrap();
    assert_eq!(
        take(&world, &site, ids(&["m1"]), ReceiptKind::Read).await,
        1
    );
    assert_eq!(ours(&world, bob).await, [sent]);
    assert_eq!(
        take(&world, &shop, ids(&["m1"]), ReceiptKind::Read).await,
        1
    );
}

async fn a_source_id_too_long_to_keep_is_not_kept(world: World) {
    let (site, ada) = started(&world).await;
    // Not the same again and again, which an index would compress.
    let random = SeededRandom::new(5);
    let mut long = String::new();
    while long.len() < 5_000 {
        write!(long, "{:x}", random.bits()).unwrap();
    }
    let message = world.send(ada, "hi").await;
    let settlement = Settlement::Sent {
        source_message_id: Some(long.clone()),
    };
    assert!(world.store.settle(message.id, settlement).await.unwrap());
    let of = ReceiptOf::SourceIds(vec![long]);
    assert_eq!(take(&world, &site, of, ReceiptKind::Read).await, 0);
}

async fn only_messages_of_ours_in_that_channel_have_receipts(world: World) {
    let (site, ada) = started(&world).await;
    let shop = world.connect("shop").await;
    let theirs = world.messages(ada).await.remove(0);
    let message = world.send(ada, "hi").await;
    let log = world.log().await;

    assert!(!take_one(&world, &site, &theirs, ReceiptKind::Read).await);
    assert!(!take_one(&world, &shop, &message, ReceiptKind::Read).await);
    let mut unknown = message.clone();
    unknown.id = world.fresh_id();
    assert!(!take_one(&world, &site, &unknown, ReceiptKind::Read).await);
    for (channel, contact) in [(&shop, "ada"), (&site, "bob")] {
        let until = ReceiptOf::Until {
            contact: contact.to_owned(),
            at: at(1_000),
        };
        assert_eq!(take(&world, channel, until, ReceiptKind::Read).await, 0);
    }

    assert_eq!(world.log().await, log);
}

async fn all_that_was_sent_until_a_time_is_read(world: World) {
    let (site, ada) = started(&world).await;
    let until = |seconds| ReceiptOf::Until {
        contact: "ada".to_owned(),
        at: at(seconds),
    };
    let mut messages = Vec::new();
    for text in ["1", "2", "3", "4"] {
        world.advance(10);
        messages.push(world.send(ada, text).await);
        world.receive(&site, "ada", "I see").await;
    }
    // The second waits to be sent until the end, however much the contact has read by then.
    for sent in [0, 2, 3] {
        let settled = world.store.settle(messages[sent].id, taken());
        assert!(settled.await.unwrap());
    }
    assert!(take_one(&world, &site, &messages[0], ReceiptKind::Delivered).await);

    // Written at 10, 20, 30 and 40 seconds.
    assert_eq!(
        take(&world, &site, until(5), ReceiptKind::Delivered).await,
        0
    );
    assert_eq!(take(&world, &site, until(30), ReceiptKind::Read).await, 2);
    assert_eq!(take(&world, &site, until(30), ReceiptKind::Read).await, 0);

    let read = (DeliveryState::Delivered, Some(Receipt::Read));
    let expected = [
        read,
        (DeliveryState::Pending, None),
        read,
        (DeliveryState::Delivered, None),
    ];
    assert_eq!(ours(&world, ada).await, expected);
    let newest = [EntryKind::ReceiptRead, EntryKind::ReceiptRead];
    assert_eq!(told(&world, ada, 13).await, newest);

    assert_eq!(
        take(&world, &site, until(99), ReceiptKind::Delivered).await,
        1
    );
    // From the newest on, up to one that has it.
    assert_eq!(
        take(&world, &site, until(99), ReceiptKind::Delivered).await,
        0
    );
    assert_eq!(take(&world, &site, until(99), ReceiptKind::Read).await, 1);
}

async fn the_newest_messages_are_looked_at(world: World) {
    let (site, ada) = started(&world).await;
    for _ in 0..130 {
        let message = world.send(ada, "hi").await;
        world.store.settle(message.id, taken()).await.unwrap();
    }
    let until = ReceiptOf::Until {
        contact: "ada".to_owned(),
        at: at(0),
    };
    assert_eq!(
        take(&world, &site, until, ReceiptKind::Delivered).await,
        100
    );
    let messages = ours(&world, ada).await;
    let untold = |message: &&(_, Option<Receipt>)| message.1.is_none();
    assert_eq!(messages.iter().take_while(untold).count(), 30);
    let entries = told(&world, ada, 261).await;
    assert_eq!(entries.len(), 100);
}

/// What a message should be, as the rule is told: the largest that was said counts.
#[derive(Clone, Copy, Default)]
struct Expected {
    way: usize,
    failed: bool,
}

impl Expected {
    fn take(&mut self, kind: usize) {
        if kind == 4 {
            self.failed |= self.way <= 1;
        } else if !self.failed {
            self.way = self.way.max(kind);
        }
    }

    fn state(self) -> (DeliveryState, Option<Receipt>) {
        match self.way {
            _ if self.failed => (DeliveryState::Failed, None),
            0 => (DeliveryState::Pending, None),
            1 => (DeliveryState::Delivered, None),
            2 => (DeliveryState::Delivered, Some(Receipt::Delivered)),
            _ => (DeliveryState::Delivered, Some(Receipt::Read)),
        }
    }
}

async fn receipts_in_any_order_come_to_the_same(world: World) {
    let (site, ada) = started(&world).await;
    let random = SeededRandom::new(7);
    let below = |limit: usize| usize::try_from(random.bits() >> 100).unwrap() % limit;
    let mut expected = [Expected::default(); 24];
    let mut messages = Vec::new();
    for _ in &expected {
        messages.push(world.send(ada, "hi").await);
    }
    let mut moves = 0;
    for _ in 0..200 {
        let of = below(messages.len());
        // A failure is rare, so that there is something to move.
        let kind = match below(12) {
            0 => 4,
            n => 1 + n % 3,
        };
        let told = match kind {
            1 => ReceiptKind::Sent,
            2 => ReceiptKind::Delivered,
            3 => ReceiptKind::Read,
            _ => failed("blocked"),
        };
        let before = expected[of].state();
        expected[of].take(kind);
        let moved = take_one(&world, &site, &messages[of], told).await;
        assert_eq!(moved, expected[of].state() != before);
        moves += usize::from(moved);
    }
    assert!(moves > 30, "{moves}");
    let states: Vec<_> = expected.iter().map(|message| message.state()).collect();
    assert_eq!(ours(&world, ada).await, states);
    // Entries say the same, in order and without a gap.
    told(&world, ada, 0).await;
    for (message, expected) in messages.iter().zip(expected) {
        let entries = world.store.find_entries(message.id).await.unwrap();
        let last = entries.last().unwrap();
        assert_eq!(last.kind.delivery_state(), Some(expected.state().0));
        assert_eq!(said(last).receipt, expected.state().1);
        let sent = entries.iter().filter(|entry| entry.kind == EntryKind::Sent);
        assert!(sent.count() <= 1);
    }
    let log = world.whole_log().await;
    let sequences = log
        .windows(2)
        .all(|two| two[0].sequence.next() == two[1].sequence);
    assert!(sequences);
}

async fn receipts_stay_after_a_restart(mut world: World) {
    let (site, ada) = started(&world).await;
    let message = world.send(ada, "hi").await;
    take_one(&world, &site, &message, ReceiptKind::Delivered).await;
    let log = world.log().await;

    world.reopen().await;

    assert_eq!(world.log().await, log);
    assert!(!take_one(&world, &site, &message, ReceiptKind::Delivered).await);
    assert!(take_one(&world, &site, &message, ReceiptKind::Read).await);
}

async fn what_a_channel_has_sent_is_known_by_what_its_source_calls_it(world: World) {
    let (site, ada) = started(&world).await;
    let other = world.connect("other").await;
    let message = world.send(ada, "hi").await;
    let known = async |channel: &Channel, id: &str| {
        let known = world.store.has_sent(channel.id, id.to_owned());
        known.await.unwrap()
    };
    assert!(!known(&site, "mid-1").await);
    let settlement = Settlement::Sent {
        source_message_id: Some("mid-1".to_owned()),
    };
    world.store.settle(message.id, settlement).await.unwrap();
    assert!(known(&site, "mid-1").await);
    assert!(!known(&site, "mid-2").await && !known(&other, "mid-1").await);
}
