//! The writer alone: what happens to the neighbours of a write that fails.

use std::{
    future::Future as _,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tradewind_model::{Channel, EntryKind, LogEntry, Sequence, Source, Subject, Timestamp};

use super::{Batch, Directory, PACE, Writer};
use crate::StoreError;

fn writer() -> (Writer, TempDir) {
    writer_at(PACE)
}

fn writer_at(pace: Duration) -> (Writer, TempDir) {
    let home = TempDir::new().unwrap();
    let directory = Directory::lock(home.path()).unwrap();
    let connection = directory.writer().unwrap();
    connection
        .execute_batch("CREATE TABLE fact (number INTEGER NOT NULL UNIQUE, text TEXT) STRICT")
        .unwrap();
    let checkpointer = directory.writer().unwrap();
    let faults = Arc::default();
    let head = Sequence::START;
    let writer = Writer::start(connection, checkpointer, directory, head, faults, pace).unwrap();
    (writer, home)
}

fn insert(batch: &Batch<'_>, number: i64) -> Result<i64, StoreError> {
    batch.execute("INSERT INTO fact (number) VALUES (?1)", [number])?;
    batch.appended(entry(number));
    Ok(number)
}

/// Something in the log; what it is about does not matter here.
fn entry(number: i64) -> LogEntry {
    let source = Source::parse("test").unwrap();
    LogEntry {
        sequence: Sequence(number.unsigned_abs()),
        position: 1,
        kind: EntryKind::ChannelConnected,
        at: Timestamp::UNIX_EPOCH,
        subject: Subject::Channel(Channel {
            id: Channel::id_of(&source, "test"),
            source,
            source_channel_id: "test".to_owned(),
            name: None,
            image_url: None,
            token: None,
            connected: true,
        }),
    }
}

async fn facts(writer: &Writer) -> Vec<i64> {
    let read = |batch: &Batch<'_>| {
        let mut statement = batch.prepare("SELECT number FROM fact ORDER BY number")?;
        let numbers = statement.query_map([], |row| row.get(0))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    };
    writer.write(read).await.unwrap()
}

/// Keeps the thread busy until the sender is dropped, so that the writes after it form one batch.
fn gate() -> (
    mpsc::Sender<()>,
    impl Fn(&Batch<'_>) -> Result<(), StoreError>,
) {
    let (open, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let wait = move |_: &Batch<'_>| {
        let _ = gate.lock().unwrap().recv();
        Ok(())
    };
    (open, wait)
}

/// Hands a write over without waiting for its outcome.
macro_rules! hand_over {
    ($writing:ident) => {
        let mut $writing = pin!($writing);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(
            $writing.as_mut().poll(&mut context),
            Poll::Pending
        ));
    };
}

#[tokio::test]
async fn a_bad_write_fails_alone() {
    let (writer, _home) = writer();
    let (open, wait) = gate();
    let (blocking, first) = (writer.write(wait), writer.write(|batch| insert(batch, 1)));
    let twice = writer.write(|batch| insert(batch, 1));
    let refused = writer.write(|_| Err::<(), _>(StoreError::NotFound));
    let panicking = writer.write(|_| -> Result<(), StoreError> { panic!("a mistake") });
    let last = writer.write(|batch| insert(batch, 2));
    hand_over!(blocking);
    hand_over!(first);
    hand_over!(twice);
    hand_over!(refused);
    hand_over!(panicking);
    hand_over!(last);
    drop(open);

    blocking.await.unwrap();
    assert_eq!(first.await.unwrap(), 1);
    assert!(matches!(twice.await.unwrap_err(), StoreError::Broken(_)));
    assert!(matches!(refused.await.unwrap_err(), StoreError::NotFound));
    assert!(matches!(
        panicking.await.unwrap_err(),
        StoreError::Broken(_)
    ));
    assert_eq!(last.await.unwrap(), 2);
    assert_eq!(facts(&writer).await, [1, 2]);
    assert_eq!(*writer.signals().head.borrow(), Sequence(2));
}

#[tokio::test]
async fn writes_that_wait_share_one_transaction() {
    let (writer, _home) = writer();
    let (open, wait) = gate();
    let runs = Arc::new(AtomicU32::new(0));
    // Each says whether it sees what the one before it wrote and nobody has committed yet.
    let write = |number: i64| {
        let runs = Arc::clone(&runs);
        move |batch: &Batch<'_>| {
            runs.fetch_add(1, Ordering::Relaxed);
            insert(batch, number)?;
            Ok(batch.is_autocommit())
        }
    };
    let (blocking, first, second) = (
        writer.write(wait),
        writer.write(write(1)),
        writer.write(write(2)),
    );
    let refused = writer.write(|_| Err::<(), _>(StoreError::NotFound));
    hand_over!(blocking);
    hand_over!(first);
    hand_over!(second);
    hand_over!(refused);
    drop(open);

    blocking.await.unwrap();
    assert!(!first.await.unwrap());
    assert!(!second.await.unwrap());
    refused.await.unwrap_err();
    // Once together with the one that failed, and once alone.
    assert_eq!(runs.load(Ordering::Relaxed), 4);
    assert_eq!(facts(&writer).await, [1, 2]);
}

#[tokio::test]
async fn a_write_whose_caller_went_away_still_happens() {
    let (writer, _home) = writer();
    let (open, wait) = gate();
    let blocking = writer.write(wait);
    hand_over!(blocking);
    {
        let forgotten = writer.write(|batch| insert(batch, 1));
        hand_over!(forgotten);
    }
    drop(open);
    blocking.await.unwrap();
    assert_eq!(facts(&writer).await, [1]);
}

#[tokio::test]
async fn a_full_disk_is_temporary_and_leaves_nothing() {
    let (writer, _home) = writer();
    let limit = |pages: i64| {
        move |batch: &Batch<'_>| {
            let set = format!("PRAGMA max_page_count = {pages}");
            Ok(batch.query_row(&set, [], |row| row.get::<_, i64>(0))?)
        }
    };
    let fill = |batch: &Batch<'_>| {
        insert(batch, 7)?;
        batch.execute("UPDATE fact SET text = hex(zeroblob(100000))", [])?;
        Ok(())
    };
    writer.write(limit(1)).await.unwrap();

    let error = writer.write(fill).await.unwrap_err();

    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_eq!(facts(&writer).await, Vec::<i64>::new());
    assert_eq!(*writer.signals().head.borrow(), Sequence::START);
    writer.write(limit(1_000)).await.unwrap();
    writer.write(fill).await.unwrap();
    assert_eq!(facts(&writer).await, [7]);
}

#[tokio::test]
async fn a_full_disk_refuses_all_that_wait_without_trying_each() {
    let (writer, _home) = writer();
    let (open, wait) = gate();
    let (entered, is_entered) = mpsc::channel();
    let wait = move |batch: &Batch<'_>| {
        entered.send(()).unwrap();
        wait(batch)
    };
    let runs = Arc::new(AtomicU32::new(0));
    let counted = |number: i64| {
        let runs = Arc::clone(&runs);
        move |batch: &Batch<'_>| {
            runs.fetch_add(1, Ordering::Relaxed);
            insert(batch, number)
        }
    };
    let fill = |batch: &Batch<'_>| {
        batch.query_row("PRAGMA max_page_count = 1", [], |_| Ok(()))?;
        insert(batch, 2)?;
        batch.execute("UPDATE fact SET text = hex(zeroblob(100000))", [])?;
        Ok(())
    };
    let (blocking, first) = (writer.write(wait), writer.write(counted(1)));
    let (full, last) = (writer.write(fill), writer.write(counted(3)));
    hand_over!(blocking);
    // What comes now forms one batch, without the one that is under way.
    is_entered.recv().unwrap();
    hand_over!(first);
    hand_over!(full);
    hand_over!(last);
    drop(open);

    blocking.await.unwrap();
    for error in [first.await.unwrap_err(), last.await.unwrap_err()] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    full.await.unwrap_err();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(facts(&writer).await, Vec::<i64>::new());
}

/// Whoever reads an old state of the database, such as a backup that hangs, keeps the log from being
/// emptied.
#[tokio::test]
async fn a_log_that_cannot_be_emptied_is_bounded() {
    let (writer, home) = writer();
    let impatient = |batch: &Batch<'_>| {
        Ok(batch.query_row("PRAGMA busy_timeout = 10", [], |row| row.get::<_, i64>(0))?)
    };
    writer.write(impatient).await.unwrap();
    let reader = rusqlite::Connection::open(home.path().join("tradewind.db")).unwrap();
    reader
        .execute_batch("BEGIN; SELECT COUNT(*) FROM fact")
        .unwrap();
    let grow = |batch: &Batch<'_>| {
        let sql =
            "INSERT INTO fact (number, text) SELECT COUNT(*), hex(zeroblob(500000)) FROM fact";
        Ok(batch.execute(sql, [])?)
    };
    let log = || {
        let log = home.path().join("tradewind.db-wal");
        std::fs::metadata(log).unwrap().len()
    };

    let mut writes = 0;
    let refusal = loop {
        match writer.write(grow).await {
            Ok(_) => writes += 1,
            Err(error) => break error,
        }
        assert!(writes < 100, "it grows without a limit");
    };

    assert!(matches!(refusal, StoreError::Unavailable(_)), "{refusal:?}");
    assert!(log() < 24 << 20, "{} bytes", log());
    reader.execute_batch("COMMIT").unwrap();
    let started = Instant::now();
    while writer.write(grow).await.is_err() {
        assert!(started.elapsed().as_secs() < 10, "it does not go on");
        tokio::task::yield_now().await;
    }
    assert!(log() < 4 << 20, "{} bytes", log());
    assert_eq!(facts(&writer).await.len(), writes + 1);
}

#[tokio::test]
async fn a_writer_that_is_dropped_finishes_what_waits() {
    let (writer, home) = writer();
    let (open, wait) = gate();
    {
        let (blocking, last) = (writer.write(wait), writer.write(|batch| insert(batch, 1)));
        hand_over!(blocking);
        hand_over!(last);
    }
    let mut ended = writer.ended.clone();
    drop(writer);
    drop(open);
    while ended.changed().await.is_ok() {}

    let connection = rusqlite::Connection::open(home.path().join("tradewind.db")).unwrap();
    let count = connection.query_row("SELECT COUNT(*) FROM fact", [], |row| row.get(0));
    assert_eq!(count, Ok(1));
    // The lock is free again.
    Directory::lock(home.path()).unwrap();
}

/// No test can cut the power; this one sees that the settings against it are in force.
#[tokio::test]
async fn commits_are_synced() {
    let (writer, _home) = writer();
    let settings = |batch: &Batch<'_>| {
        let read = |name| batch.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let mode = batch.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok((mode, read("synchronous")?, read("foreign_keys")?))
    };
    let (full, on) = (2, 1);
    let expected = ("wal".to_owned(), full, on);
    assert_eq!(writer.write(settings).await.unwrap(), expected);
}

#[tokio::test]
async fn what_comes_soon_after_a_commit_waits_and_shares_the_next() {
    let (writer, _home) = writer_at(Duration::from_secs(2));
    // The first of all waits for nothing.
    let started = Instant::now();
    writer.write(|batch| insert(batch, 1)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));

    let is_first = |number| {
        writer.write(move |batch| {
            let is_first = batch.newest().is_none();
            insert(batch, number)?;
            Ok(is_first)
        })
    };
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        is_first(3).await
    };
    let (soon, late) = tokio::join!(is_first(2), late);
    assert!(soon.unwrap());
    assert!(!late.unwrap(), "it had a commit of its own");
    assert!(started.elapsed() >= Duration::from_secs(2));
}
