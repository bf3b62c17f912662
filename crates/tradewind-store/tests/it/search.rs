//! Searching messages for words.

use tradewind_model::{Channel, ConversationId, Search};
use tradewind_store::{Found, Settlement};
use uuid::Uuid;

use crate::{
    retention::{ALL, of, sweep},
    world::{World, texts},
};

conformance![
    words_beginnings_and_phrases_are_found,
    the_newest_message_comes_first_on_as_many_pages_as_it_takes,
    what_was_stored_before_the_call_is_found,
    a_search_in_one_conversation_finds_no_other,
    an_unknown_conversation_is_not_found,
    letters_of_all_alphabets_are_found,
    what_was_swept_is_not_found,
    what_was_indexed_is_found_after_a_restart,
    the_index_is_made_in_bounded_steps,
    a_found_message_is_told_as_it_is_now,
    a_word_without_end_is_found,
];

async fn search(world: &World, text: &str) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = page(world, text, None, before, 3).await.unwrap();
        found.extend(page.messages.into_iter().map(|it| it.content.text));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

async fn page(
    world: &World,
    text: &str,
    conversation: Option<ConversationId>,
    before: Option<u64>,
    limit: usize,
) -> Option<Found> {
    let search = Search::parse(text).unwrap();
    let searching = world
        .store
        .search_messages(search, conversation, before, limit);
    searching.await.unwrap()
}

async fn say(world: &World, contact: &str, said: &[&str]) -> Channel {
    let site = world.connect("site").await;
    for text in said {
        world.receive(&site, contact, text).await;
    }
    site
}

async fn words_beginnings_and_phrases_are_found(world: World) {
    let said = [
        "Where is my order?",
        "My ORDER is late",
        "is it my fault",
        "orders, my friend",
    ];
    say(&world, "ada", &said).await;
    for (text, expected) in [
        ("order", &["My ORDER is late", "Where is my order?"][..]),
        ("order late", &["My ORDER is late"]),
        ("\"my order\"", &["My ORDER is late", "Where is my order?"]),
        ("\"order my\"", &[]),
        (
            "order*",
            &[
                "orders, my friend",
                "My ORDER is late",
                "Where is my order?",
            ],
        ),
        ("rder", &[]),
        ("is-my*", &["Where is my order?"]),
        ("nothing", &[]),
    ] {
        assert_eq!(search(&world, text).await, expected, "{text}");
    }
}

async fn the_newest_message_comes_first_on_as_many_pages_as_it_takes(world: World) {
    let site = world.connect("site").await;
    let mut expected = Vec::new();
    for n in 0..450_u32 {
        let contact = (n % 7).to_string();
        // Of every message the words are there, the phrase is in every third.
        let text = if n % 3 == 0 {
            format!("big fish {n}")
        } else {
            format!("fish big {n}")
        };
        if n % 3 == 0 {
            expected.push(text.clone());
        }
        world.receive(&site, &contact, &text).await;
    }
    expected.reverse();
    assert_eq!(search(&world, "\"big fish\"").await, expected);
    assert_eq!(search(&world, "fish").await.len(), 450);
    let first = page(&world, "\"big fish\"", None, None, 2).await.unwrap();
    world.receive(&site, "0", "big fish at last").await;
    let second = page(&world, "\"big fish\"", None, first.next, 2)
        .await
        .unwrap();
    assert_eq!(texts(&second.messages), expected[2..4]);
}

async fn what_was_stored_before_the_call_is_found(world: World) {
    let site = world.connect("site").await;
    for n in 0..20 {
        let text = format!("word{n}");
        world.receive(&site, "ada", &text).await;
        assert_eq!(search(&world, &text).await, [text.as_str()]);
    }
    let sent = world.send(of("ada"), "an answer").await;
    assert_eq!(search(&world, "answer").await, [sent.content.text]);
}

async fn a_search_in_one_conversation_finds_no_other(world: World) {
    for n in 0..40 {
        say(&world, "ada", &[&format!("fish {n}"), "meat"]).await;
        say(&world, "bob", &["fish"]).await;
    }
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = page(&world, "fish", Some(of("ada")), before, 3)
            .await
            .unwrap();
        assert!(page.messages.len() <= 3);
        found.extend(page.messages.into_iter().map(|it| it.content.text));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..40).rev().map(|n| format!("fish {n}")).collect();
    assert_eq!(found, expected);
}

async fn an_unknown_conversation_is_not_found(world: World) {
    say(&world, "ada", &["fish"]).await;
    let nobody = ConversationId::from_uuid(Uuid::from_u128(7));
    assert_eq!(page(&world, "fish", Some(nobody), None, 3).await, None);
}

async fn letters_of_all_alphabets_are_found(world: World) {
    let said = [
        "Schöne GRÜSSE",
        "Привет, Мир",
        "日本語 です",
        "o'clock \0 \u{1a}end",
        "🐟fish🐟",
    ];
    say(&world, "ada", &said).await;
    for (text, expected) in [
        ("grüsse", said[0]),
        ("SCHÖNE", said[0]),
        ("мир привет", said[1]),
        ("日本*", said[2]),
        ("o'clock", said[3]),
        ("end", said[3]),
        ("fish", said[4]),
    ] {
        assert_eq!(search(&world, text).await, [expected], "{text}");
    }
}

async fn what_was_swept_is_not_found(world: World) {
    say(&world, "ada", &["old fish", "also an old fish"]).await;
    say(
        &world,
        "bob",
        &["an old fish that stays, as it is the last"],
    )
    .await;
    assert_eq!(search(&world, "fish").await.len(), 3);
    world.advance(500);
    say(&world, "ada", &["new fish"]).await;
    world.advance(900);
    say(&world, "bob", &["newer fish"]).await;
    sweep(&world, &ALL).await;
    for _ in 0..2 {
        assert_eq!(search(&world, "fish").await, ["newer fish", "new fish"]);
        while world.store.index_messages().await.unwrap() {}
    }
}

async fn what_was_indexed_is_found_after_a_restart(mut world: World) {
    say(&world, "ada", &["first fish"]).await;
    assert_eq!(search(&world, "fish").await.len(), 1);
    world.reopen().await;
    say(&world, "ada", &["second fish"]).await;
    assert_eq!(search(&world, "fish").await, ["second fish", "first fish"]);
    world.reopen().await;
    assert_eq!(search(&world, "fish").await, ["second fish", "first fish"]);
}

async fn the_index_is_made_in_bounded_steps(world: World) {
    let site = world.connect("site").await;
    for _ in 0..9 {
        let messages = (0..500).map(|n| world.incoming(&site, &n.to_string(), "fish"));
        world.append_at_once(messages.collect()).await;
    }
    assert!(world.store.index_messages().await.unwrap());
    assert!(world.store.index_messages().await.unwrap());
    assert!(!world.store.index_messages().await.unwrap());
    assert!(!world.store.index_messages().await.unwrap());
    assert_eq!(
        page(&world, "fish", None, None, 1_000)
            .await
            .unwrap()
            .messages
            .len(),
        1_000
    );
}

async fn a_found_message_is_told_as_it_is_now(world: World) {
    say(&world, "ada", &["hello"]).await;
    let sent = world.send(of("ada"), "an answer").await;
    search(&world, "answer").await;
    world.store.settle(sent.id, Settlement::Sent).await.unwrap();
    let found = page(&world, "answer", None, None, 3).await.unwrap();
    let stored = world.messages(of("ada")).await;
    assert_eq!(found.messages, stored[1..]);
}

async fn a_word_without_end_is_found(world: World) {
    let long = "x".repeat(5_000);
    say(&world, "ada", &[&long, "x"]).await;
    assert_eq!(search(&world, &"x".repeat(1_000)).await, [long]);
}
