//! Retention: what a sweep removes, and what it must leave.

use jiff::SignedDuration;
use tradewind_model::{Conversation, ConversationId, Sequence};
use tradewind_store::{Appended, ConsumerId, MessageCursor, Note, Noted, Retention, Start, Swept};

use crate::world::{World, channel, key, nth, said, sequences, source_consumer, taken, texts};

conformance![
    a_sweep_without_retention_removes_nothing,
    entries_go_when_they_are_old_and_not_before,
    a_sequence_is_not_used_again_after_everything_was_swept,
    positions_go_on_after_everything_was_swept,
    a_consumer_begins_at_the_oldest_entry_left,
    a_sweep_is_bounded_and_says_that_there_is_more,
    messages_go_when_they_are_old_and_the_log_has_lost_them,
    a_conversation_goes_with_its_last_message,
    a_message_that_was_left_as_the_last_goes_with_the_next,
    a_message_the_log_still_speaks_of_stays,
    messages_never_have_a_gap,
    a_note_on_an_old_conversation_holds_up_nobody,
    a_message_settled_late_waits_for_its_entry,
    a_message_that_was_left_and_settled_late_waits_for_its_entry,
    the_pages_of_a_swept_conversation_start_at_what_is_left,
    idempotency_keys_go_when_they_are_old,
    a_key_whose_message_was_swept_is_a_new_key,
    what_was_swept_stays_so_after_a_restart,
];

async fn a_note_on_an_old_conversation_holds_up_nobody(world: World) {
    say(&world, "ada", &["1", "2"], 0).await;
    say(&world, "grace", &["1", "2"], 2_000).await;
    say(&world, "linus", &["new"], 0).await;
    let read = world.store.note(of("ada"), Note::Read).await.unwrap();
    assert_eq!(read, Noted::Done);

    let swept = sweep(&world, &ALL).await;

    let gone = world.store.find_conversation(of("grace")).await.unwrap();
    assert_eq!((swept.messages, gone), (3, None));
    // What the note is about stays until the log has lost it.
    let page = world.store.list_messages(of("ada"), None, 10).await;
    assert_eq!(texts(&page.unwrap().unwrap().items), ["2"]);
    world.advance(200);
    say(&world, "linus", &["newer"], 0).await;
    sweep(&world, &ALL).await;
    let gone = world.store.find_conversation(of("ada")).await.unwrap();
    assert_eq!(gone, None);
}

/// Keeps only the log short.
pub(crate) const LOG: Retention = Retention {
    log: Some(SignedDuration::from_secs(100)),
    messages: None,
    idempotency_keys: None,
    attempts: None,
    audit: None,
};

pub(crate) const ALL: Retention = Retention {
    log: Some(SignedDuration::from_secs(100)),
    messages: Some(SignedDuration::from_secs(1_000)),
    idempotency_keys: Some(SignedDuration::from_secs(100)),
    attempts: None,
    audit: None,
};

pub(crate) async fn sweep(world: &World, retention: &Retention) -> Swept {
    let swept = world.store.sweep(retention).await.unwrap();
    assert!(!swept.more, "{swept:?}");
    swept
}

/// Messages of `contact`, `seconds` apart. The first of all connects the channel, which is an entry too.
pub(crate) async fn say(world: &World, contact: &str, text: &[&str], seconds: u64) {
    let site = world.connect("site").await;
    for text in text {
        world.receive(&site, contact, text).await;
        world.advance(seconds);
    }
}

/// The conversation of `contact`.
pub(crate) fn of(contact: &str) -> ConversationId {
    Conversation::id_of(channel("site").id, contact)
}

async fn a_sweep_without_retention_removes_nothing(world: World) {
    say(&world, "ada", &["1", "2"], 1_000_000).await;
    let nothing = Retention {
        log: None,
        messages: None,
        idempotency_keys: None,
        attempts: None,
        audit: None,
    };
    assert_eq!(sweep(&world, &nothing).await, Swept::default());
    assert_eq!(world.log().await.len(), 2);
}

async fn entries_go_when_they_are_old_and_not_before(world: World) {
    say(&world, "ada", &["0", "40", "80"], 40).await;
    // It is 120 now: only the first is more than 100 old.
    let swept = sweep(&world, &LOG).await;
    assert_eq!((swept.log_entries, swept.messages), (1 + 1, 0));
    assert_eq!(
        sequences(&world.whole_log().await),
        [2, 3].map(|n| nth(n).0)
    );

    world.advance(20);
    assert_eq!(sweep(&world, &LOG).await, Swept::default());
    world.advance(1);
    assert_eq!(sweep(&world, &LOG).await.log_entries, 1);
}

async fn a_sequence_is_not_used_again_after_everything_was_swept(mut world: World) {
    say(&world, "ada", &["1", "2", "3"], 1_000).await;
    assert_eq!(sweep(&world, &LOG).await.log_entries, 1 + 3);
    assert_eq!(world.whole_log().await, []);

    world.reopen().await;

    assert_eq!(*world.store.head().borrow(), nth(3));
    let page = world.read(Sequence::START, 10).await;
    assert_eq!((page.entries, page.read_to), (vec![], nth(3)));
    say(&world, "ada", &["4"], 0).await;
    assert_eq!(sequences(&world.whole_log().await), [nth(4).0]);
    assert_eq!(*world.store.head().borrow(), nth(4));
}

async fn positions_go_on_after_everything_was_swept(mut world: World) {
    say(&world, "ada", &["1", "2", "3"], 10_000).await;
    let ada = of("ada");
    sweep(&world, &ALL).await;
    world.reopen().await;

    say(&world, "ada", &["4"], 0).await;

    let lane = world.lane(ada).await;
    assert_eq!((lane[0].position, said(&lane[0]).position), (4, 4));
}

async fn a_consumer_begins_at_the_oldest_entry_left(world: World) {
    say(&world, "ada", &["0", "40", "80"], 40).await;
    sweep(&world, &LOG).await;
    assert_eq!(world.open_consumer(&source_consumer()).await.cursor, nth(1));

    world.advance(1_000);
    sweep(&world, &LOG).await;
    let shop = ConsumerId::Source(tradewind_model::Source::parse("shop").unwrap());
    let state = world
        .store
        .open_consumer(&shop, Start::Beginning)
        .await
        .unwrap();
    assert_eq!(state.cursor, nth(3));
}

async fn a_sweep_is_bounded_and_says_that_there_is_more(world: World) {
    const MESSAGES: usize = 12_000;
    const BOUND: u64 = 5_000;

    let site = world.connect("site").await;
    let messages: Vec<_> = (0..MESSAGES)
        .map(|n| {
            let mut new = world.incoming(&site, &(n % 10).to_string(), "hello");
            new.idempotency = Some(key("agent", &n.to_string(), 1));
            new
        })
        .collect();
    world.append_at_once(messages).await;
    world.advance(10_000);

    let mut total = Swept::default();
    loop {
        let swept = world.store.sweep(&ALL).await.unwrap();
        assert!(swept.log_entries <= BOUND && swept.messages <= BOUND);
        assert!(swept.idempotency_keys <= BOUND);
        total.log_entries += swept.log_entries;
        total.messages += swept.messages;
        total.idempotency_keys += swept.idempotency_keys;
        if !swept.more {
            break;
        }
    }

    assert_eq!(
        (total.log_entries, total.idempotency_keys),
        (1 + 12_000, 12_000)
    );
    assert_eq!(total.messages, 12_000 - 1);
}

async fn messages_go_when_they_are_old_and_the_log_has_lost_them(world: World) {
    say(&world, "ada", &["0", "400", "800"], 400).await;
    let ada = of("ada");
    // It is 1,200 now: the first message is more than 1,000 old, the log has lost all.
    let swept = sweep(&world, &ALL).await;
    assert_eq!((swept.log_entries, swept.messages), (1 + 3, 1));
    assert_eq!(texts(&world.messages(ada).await), ["400", "800"]);
}

async fn a_conversation_goes_with_its_last_message(world: World) {
    say(&world, "ada", &["1", "2"], 1).await;
    say(&world, "ben", &["only"], 10_000).await;

    let swept = sweep(&world, &ALL).await;
    assert_eq!((swept.messages, swept.more), (2, false));

    assert_eq!(
        world.store.find_conversation(of("ada")).await.unwrap(),
        None
    );
    // The newest message of all stays, however old it is.
    assert_eq!(texts(&world.messages(of("ben")).await), ["only"]);
    let page = world
        .store
        .list_conversations(None, None, 10)
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.total), (1, 1));

    say(&world, "ada", &["again"], 0).await;
    assert_eq!(world.find(of("ada")).await.last_message.position, 1);
}

async fn a_message_that_was_left_as_the_last_goes_with_the_next(world: World) {
    say(&world, "ada", &["1"], 10_000).await;
    let ada = of("ada");
    assert_eq!(sweep(&world, &ALL).await.messages, 0);
    say(&world, "ada", &["2"], 10_000).await;

    assert_eq!(sweep(&world, &ALL).await.messages, 1);

    assert_eq!(texts(&world.messages(ada).await), ["2"]);
}

async fn a_message_the_log_still_speaks_of_stays(world: World) {
    say(&world, "ada", &["1", "2", "3"], 10_000).await;
    let ada = of("ada");
    let messages_only = Retention { log: None, ..ALL };
    assert_eq!(sweep(&world, &messages_only).await.messages, 0);
    assert_eq!(world.messages(ada).await.len(), 3);
    assert_eq!(world.log().await.len(), 3);
}

async fn messages_never_have_a_gap(world: World) {
    let site = world.connect("site").await;
    let ada = Conversation::id_of(site.id, "ada");
    for n in 0..40_u64 {
        world
            .receive(&site, ["ada", "ben"][usize::from(n % 7 == 6)], "hello")
            .await;
        if n % 3 == 0 {
            let sent = world.send(ada, "hi").await;
            if n % 2 == 0 {
                world.advance(90 * (n % 13));
                world.store.settle(sent.id, taken()).await.unwrap();
            }
        }
        world.advance(n * 11 % 97);
        sweep(&world, &ALL).await;

        let page = world.store.list_messages(ada, None, 1_000).await.unwrap();
        let Some(page) = page else { continue };
        let positions: Vec<u64> = page.items.iter().map(|it| it.position).collect();
        assert!(
            positions.windows(2).all(|two| two[0] + 1 == two[1]),
            "{positions:?}"
        );
        assert_eq!(page.total, u64::try_from(positions.len()).unwrap());
        let in_log = world.lane(ada).await;
        let known = |id| page.items.iter().any(|message| message.id == id);
        assert!(in_log.iter().all(|entry| known(said(entry).id)));
    }
}

async fn a_message_settled_late_waits_for_its_entry(world: World) {
    say(&world, "ada", &["1"], 0).await;
    let ada = of("ada");
    let sent = world.send(ada, "2").await;
    say(&world, "ada", &["3"], 10_000).await;
    world.store.settle(sent.id, taken()).await.unwrap();

    // Its newest entry is young: the message stays, and so does what comes after it.
    assert_eq!(sweep(&world, &ALL).await.messages, 1);
    assert_eq!(texts(&world.messages(ada).await), ["2", "3"]);
    assert_eq!(said(&world.log().await[0]).id, sent.id);

    world.advance(101);
    assert_eq!(sweep(&world, &ALL).await.messages, 1);
    assert_eq!(texts(&world.messages(ada).await), ["3"]);
}

async fn a_message_that_was_left_and_settled_late_waits_for_its_entry(world: World) {
    say(&world, "ada", &["1"], 0).await;
    let ada = of("ada");
    let sent = world.send(ada, "2").await;
    world.advance(10_000);
    assert_eq!(sweep(&world, &ALL).await.messages, 1);
    say(&world, "ada", &["3"], 10_000).await;
    world.store.settle(sent.id, taken()).await.unwrap();

    assert_eq!(sweep(&world, &ALL).await.messages, 0);
    assert_eq!(texts(&world.messages(ada).await), ["2", "3"]);
    assert_eq!(said(&world.log().await[0]).id, sent.id);

    world.advance(101);
    assert_eq!(sweep(&world, &ALL).await.messages, 1);
    assert_eq!(texts(&world.messages(ada).await), ["3"]);
}

async fn the_pages_of_a_swept_conversation_start_at_what_is_left(world: World) {
    say(&world, "ada", &["1", "2", "3", "4", "5"], 300).await;
    let ada = of("ada");
    // It is 1,500 now: those of 0 and 300 go.
    assert_eq!(sweep(&world, &ALL).await.messages, 2);

    let list = |cursor| world.store.list_messages(ada, cursor, 2);
    let first = list(None).await.unwrap().unwrap();
    assert_eq!(texts(&first.items), ["3", "4"]);
    assert_eq!(first.items[0].position, 3);
    assert_eq!((first.previous, first.total), (None, 3));
    let gone = list(Some(MessageCursor::From(1))).await.unwrap().unwrap();
    assert_eq!(gone.previous, None);
    let newest = list(Some(MessageCursor::Newest)).await.unwrap().unwrap();
    assert_eq!(texts(&newest.items), ["4", "5"]);
    let before = list(newest.previous).await.unwrap().unwrap();
    assert_eq!((texts(&before.items), before.previous), (vec!["3"], None));
}

async fn idempotency_keys_go_when_they_are_old(world: World) {
    say(&world, "ada", &["hello"], 0).await;
    let ada = of("ada");
    let mut first = world.outgoing(ada, "hi");
    first.idempotency = Some(key("agent", "k", 1));
    world.stored(first).await;
    let mut again = world.outgoing(ada, "another");
    again.idempotency = Some(key("agent", "k", 2));

    world.advance(100);
    assert_eq!(sweep(&world, &ALL).await.idempotency_keys, 0);
    let answer = world.store.append(again.clone()).await.unwrap();
    assert_eq!(answer, Appended::KeyReused);

    world.advance(1);
    assert_eq!(sweep(&world, &ALL).await.idempotency_keys, 1);
    world.stored(again).await;
}

async fn a_key_whose_message_was_swept_is_a_new_key(world: World) {
    say(&world, "ada", &["hello"], 0).await;
    let ada = of("ada");
    let mut new = world.outgoing(ada, "hi");
    new.idempotency = Some(key("agent", "k", 1));
    world.stored(new.clone()).await;
    say(&world, "ada", &["later"], 10_000).await;
    let long_keys = Retention {
        idempotency_keys: None,
        ..ALL
    };
    assert_eq!(sweep(&world, &long_keys).await.messages, 2);

    world.stored(new.clone()).await;

    let answer = world.store.append(new).await.unwrap();
    assert!(matches!(answer, Appended::Repeated(_)), "{answer:?}");
}

async fn what_was_swept_stays_so_after_a_restart(mut world: World) {
    say(&world, "ada", &["1", "2", "3"], 10_000).await;
    let ada = of("ada");
    sweep(&world, &ALL).await;
    world.reopen().await;
    assert_eq!(sweep(&world, &ALL).await, Swept::default());
    assert_eq!(texts(&world.messages(ada).await), ["3"]);
}
