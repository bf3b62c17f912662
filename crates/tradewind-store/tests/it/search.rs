//! Searching messages for words.

use tradewind_model::{Channel, ConversationId, Search};
use tradewind_store::Found;
use uuid::Uuid;

use crate::{
    retention::{ALL, of, sweep},
    world::{World, taken, texts},
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
    // Large ones are fewer at once.
    for n in 0..40 {
        let text = format!("whale {}", "x ".repeat(150_000));
        world.receive(&site, &n.to_string(), &text).await;
    }
    assert!(world.store.index_messages().await.unwrap());
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
    world.store.settle(sent.id, taken()).await.unwrap();
    let found = page(&world, "answer", None, None, 3).await.unwrap();
    let stored = world.messages(of("ada")).await;
    assert_eq!(found.messages, stored[1..]);
}

async fn a_word_without_end_is_found(world: World) {
    let long = "x".repeat(5_000);
    say(&world, "ada", &[&long, "x"]).await;
    assert_eq!(search(&world, &"x".repeat(1_000)).await, [long]);
}

/// What only the index in a file of its own has to bear.
mod of_a_file {
    use std::{fs, path::Path, sync::Arc};

    use tempfile::TempDir;
    use tradewind_store::back_up;

    use super::{say, search};
    use crate::{sqlite::Sqlite, world::World};

    async fn spoiled(spoil: impl FnOnce(&Path)) {
        let directory = Arc::new(TempDir::new().unwrap());
        let mut world = World::new(Sqlite::at(Arc::clone(&directory))).await;
        say(&world, "ada", &["one fish", "two fish"]).await;
        assert_eq!(search(&world, "fish").await.len(), 2);
        world.store.close().await;
        spoil(&directory.path().join("search.db"));
        world.reopen().await;
        say(&world, "ada", &["three fish"]).await;
        let found = search(&world, "fish").await;
        assert_eq!(found, ["three fish", "two fish", "one fish"]);
    }

    #[tokio::test]
    async fn an_index_that_is_missing_is_made() {
        spoiled(|file| fs::remove_file(file).unwrap()).await;
    }

    #[tokio::test]
    async fn an_index_that_is_no_database_is_made_anew() {
        spoiled(|file| fs::write(file, "nonsense".repeat(1_000)).unwrap()).await;
    }

    #[tokio::test]
    async fn an_index_that_is_damaged_is_made_anew() {
        spoiled(|file| {
            let mut bytes = fs::read(file).unwrap();
            let kept = bytes.len() / 8;
            bytes[kept..].fill(0xaa);
            fs::write(file, bytes).unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn an_index_of_another_version_is_made_anew() {
        spoiled(|file| {
            let db = rusqlite::Connection::open(file).unwrap();
            db.execute_batch("DROP TABLE mark; PRAGMA user_version = 99")
                .unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn an_index_of_messages_that_a_restore_took_back_is_made_anew() {
        let directory = Arc::new(TempDir::new().unwrap());
        let mut world = World::new(Sqlite::at(Arc::clone(&directory))).await;
        say(&world, "ada", &["one fish"]).await;
        let copy = directory.path().join("copy");
        back_up(directory.path(), &copy, &mut |_, _| {}).unwrap();
        say(&world, "ada", &["two fish", "three fish"]).await;
        assert_eq!(search(&world, "fish").await.len(), 3);
        world.store.close().await;
        for file in ["tradewind.db", "tradewind.db-wal", "tradewind.db-shm"] {
            let _ = fs::remove_file(directory.path().join(file));
        }
        fs::copy(
            copy.join("tradewind.db"),
            directory.path().join("tradewind.db"),
        )
        .unwrap();
        world.reopen().await;
        say(&world, "ada", &["other meat", "other meat", "another fish"]).await;
        assert_eq!(search(&world, "fish").await, ["another fish", "one fish"]);
    }
}
