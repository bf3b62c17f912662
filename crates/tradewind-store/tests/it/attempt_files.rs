//! The files of attempts: that trouble with them stays theirs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;
use tempfile::TempDir;
use tradewind_store::AttemptQuery;

use crate::{
    attempt::{OF_FIRST, all, delivered, events},
    sqlite::Sqlite,
    world::World,
};

const DAY: u64 = 24 * 60 * 60;

/// A world, and where its attempts are.
async fn world() -> (World, PathBuf, Arc<TempDir>) {
    let directory = Arc::new(TempDir::new().unwrap());
    let attempts = directory.path().join("attempts");
    (
        World::new(Sqlite::at(Arc::clone(&directory))).await,
        attempts,
        directory,
    )
}

/// One attempt a day, so that each has a file of its own: 1 in the first, 2 in the second …
async fn days(world: &World, count: u128) {
    for event in 1..=count {
        world.store.record_attempt(delivered(event));
        all(world).await;
        world.advance(DAY);
    }
}

/// The file of a day.
fn file(attempts: &Path, day: usize) -> PathBuf {
    attempts.join(format!("{day:010}.db"))
}

fn spoil(path: &Path) {
    // As large as it was, so that nothing tells but what is in it.
    let size = path.metadata().unwrap().len();
    fs::write(path, vec![b'?'; usize::try_from(size).unwrap()]).unwrap();
}

#[tokio::test]
async fn the_directory_of_attempts_is_made_for_this_user_only() {
    let (world, attempts, _directory) = world().await;
    assert_eq!(all(&world).await, []);
    assert!(!attempts.exists());
    world.store.record_attempt(delivered(1));
    assert_eq!(events(&all(&world).await), [1]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = attempts.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert!(file(&attempts, 1).exists());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_by_the_next_start() {
    for damaged in 1..=3 {
        let (mut world, attempts, _directory) = world().await;
        days(&world, 3).await;
        world.store.close().await;
        spoil(&file(&attempts, damaged));

        world.reopen().await;
        world.store.record_attempt(delivered(4));

        let mut expected = vec![4, 3, 2, 1];
        expected.retain(|event| *event != u128::try_from(damaged).unwrap());
        assert_eq!(events(&all(&world).await), expected);
        assert!(!file(&attempts, damaged).exists());
        let aside = file(&attempts, damaged).with_extension("damaged");
        assert_eq!(fs::read(&aside).unwrap()[0], b'?');
        assert_eq!(world.store.attempts_dropped(), 0);
        world.connect("site").await;
        // And it is not looked at again.
        world.reopen().await;
        assert_eq!(events(&all(&world).await), expected);
        assert!(aside.exists());
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_while_it_is_there_is_passed_over() {
    let (world, attempts, _directory) = world().await;
    days(&world, 3).await;
    spoil(&file(&attempts, 2));
    assert_eq!(events(&all(&world).await), [3, 1]);
    world.store.record_attempt(delivered(4));
    assert_eq!(events(&all(&world).await), [4, 3, 1]);
    assert!(file(&attempts, 2).with_extension("damaged").exists());
}

#[tokio::test]
async fn a_file_with_a_row_that_makes_no_sense_is_passed_over() {
    let (world, attempts, _directory) = world().await;
    days(&world, 3).await;
    let database = Connection::open(file(&attempts, 2)).unwrap();
    database
        .execute_batch("UPDATE attempt SET conversation_id = x'00'")
        .unwrap();
    database.close().unwrap();
    assert_eq!(events(&all(&world).await), [3, 1]);
}

#[tokio::test]
async fn files_that_were_removed_are_not_missed() {
    let (world, attempts, _directory) = world().await;
    days(&world, 3).await;
    fs::remove_file(file(&attempts, 1)).unwrap();
    assert_eq!(events(&all(&world).await), [3, 2]);
    world.store.record_attempt(delivered(4));
    assert_eq!(events(&all(&world).await), [4, 3, 2]);
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_alone() {
    let (mut world, attempts, _directory) = world().await;
    days(&world, 2).await;
    for name in ["notes.txt", "x.db", "12.db.bak"] {
        fs::write(attempts.join(name), "mine").unwrap();
    }
    world.reopen().await;
    assert_eq!(events(&all(&world).await), [2, 1]);
    for name in ["notes.txt", "x.db", "12.db.bak"] {
        assert_eq!(fs::read_to_string(attempts.join(name)).unwrap(), "mine");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_costs_the_records_only() {
    let directory = Arc::new(TempDir::new().unwrap());
    let attempts = directory.path().join("attempts");
    fs::write(&attempts, "in the way").unwrap();
    let world = World::new(Sqlite::at(Arc::clone(&directory))).await;

    for event in 1..=3 {
        world.store.record_attempt(delivered(event));
    }
    let site = world.connect("site").await;
    world.receive(&site, "ada", "hello").await;
    assert_eq!(all(&world).await, []);
    assert_eq!(world.store.attempts_dropped(), 3);

    // Once the way is free, it goes on.
    fs::remove_file(&attempts).unwrap();
    world.store.record_attempt(delivered(4));
    assert_eq!(events(&all(&world).await), [4]);
    assert_eq!(world.store.attempts_dropped(), 3);
}

/// A world on a copy of what is there now, as a process that died would leave it.
async fn copied(attempts: &Path) -> World {
    let copy = TempDir::new().unwrap();
    let to = copy.path().join("attempts");
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(attempts).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    World::new(Sqlite::at(Arc::new(copy))).await
}

#[tokio::test]
async fn the_files_hold_what_was_listed_while_the_store_is_open() {
    let (world, attempts, _directory) = world().await;
    for event in 1..=3 {
        world.store.record_attempt(delivered(event));
    }
    assert_eq!(events(&all(&world).await), [3, 2, 1]);

    let world = copied(&attempts).await;

    world.store.record_attempt(delivered(4));
    assert_eq!(events(&all(&world).await), [4, 3, 2, 1]);
}

#[tokio::test]
async fn a_store_that_is_dropped_keeps_what_was_recorded() {
    let (world, attempts, _directory) = world().await;
    for event in 1..=3 {
        world.store.record_attempt(delivered(event));
    }
    drop(world);
    assert_eq!(events(&all(&copied(&attempts).await).await), [3, 2, 1]);
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_dropped_and_counted() {
    const RECORDED: u64 = 60_000;

    let (world, attempts, _directory) = world().await;
    world.store.record_attempt(delivered(0));
    all(&world).await;
    // Nothing can be written meanwhile, and nobody waits for that.
    let mut other = Connection::open(file(&attempts, 1)).unwrap();
    let tx = other
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .unwrap();
    for event in 1..=u128::from(RECORDED) {
        world.store.record_attempt(delivered(event));
    }
    tx.rollback().unwrap();

    let mut query = OF_FIRST();
    let mut kept = 0;
    loop {
        let page = world.store.list_attempts(query.clone()).await.unwrap();
        kept += u64::try_from(page.items.len()).unwrap();
        assert!(kept <= 1 + RECORDED);
        if page.next.is_none() {
            break;
        }
        query = AttemptQuery {
            before: page.next,
            ..query
        };
    }
    let dropped = world.store.attempts_dropped();
    assert_eq!(kept + dropped, 1 + RECORDED);
    assert!(dropped > RECORDED / 4, "{dropped}");
    assert!(kept > 8_000, "{kept}");
}

#[tokio::test]
async fn an_attempt_that_succeeded_costs_at_most_120_bytes_of_disk() {
    const ATTEMPTS: u64 = 8_000;

    let (world, attempts, _directory) = world().await;
    for event in 0..ATTEMPTS {
        let mut attempt = delivered(u128::from(event));
        // Spread evenly, which fills an index worst.
        attempt.event_id = tradewind_model::MessageId::derived("site", &event.to_string()).uuid();
        attempt.first_byte_us = Some(900_000);
        attempt.address = Some("public".to_owned());
        attempt.reused = true;
        world.store.record_attempt(attempt);
    }
    all_written(&world).await;
    // The next day has a file of its own, and the first is finished with its indexes.
    world.advance(DAY);
    world.store.record_attempt(delivered(0));
    all_written(&world).await;
    let empty = 40_000;
    let size = file(&attempts, 1).metadata().unwrap().len() - empty;
    assert_eq!(world.store.attempts_dropped(), 0);
    assert!(size / ATTEMPTS <= 120, "{} bytes each", size / ATTEMPTS);
}

async fn all_written(world: &World) {
    world.store.list_attempts(OF_FIRST()).await.unwrap();
}
