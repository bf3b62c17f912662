use std::{fs, path::Path};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tradewind_model::{ConversationId, Sequence, Timestamp, WebhookId};
use uuid::Uuid;

use super::{
    keeper::{Keeper, Limits},
    read,
};
use crate::{AttemptQuery, AttemptRecord};

const WEBHOOK: WebhookId = WebhookId::from_uuid(Uuid::from_u128(1));

fn attempt(event: u128, response: usize) -> AttemptRecord {
    AttemptRecord {
        webhook: WEBHOOK,
        sequence: Sequence(1),
        event_id: Uuid::from_u128(event),
        conversation_id: ConversationId::from_uuid(Uuid::from_u128(1)),
        number: 1,
        is_replay: false,
        at: now(),
        class: AttemptRecord::DELIVERED.to_owned(),
        status: Some(200),
        address: None,
        reused: true,
        dns_us: None,
        connect_us: None,
        tls_us: None,
        first_byte_us: Some(900),
        total_us: 1_000,
        detail: String::new(),
        next: String::new(),
        response: vec![b'x'; response],
    }
}

fn attempts(events: std::ops::Range<u128>) -> Vec<AttemptRecord> {
    events.map(|event| attempt(event, 0)).collect()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_600_000_000).unwrap()
}

/// Nothing but what a test names is reached.
fn unlimited() -> Limits {
    Limits {
        segment_rows: u64::MAX,
        segment_bytes: u64::MAX,
        segment_age_ms: i64::MAX,
        segments: usize::MAX,
        bytes: u64::MAX,
    }
}

fn open(directory: &Path, limits: Limits) -> Keeper {
    Keeper::open(directory.to_owned(), limits, now())
}

fn write(keeper: &mut Keeper, records: &[AttemptRecord]) {
    assert_eq!(keeper.write(records, now()), 0);
}

/// The events that are listed, the newest first.
fn events(keeper: &Keeper) -> Vec<u128> {
    let query = AttemptQuery {
        webhook: WEBHOOK,
        conversation: None,
        event_id: None,
        failed: None,
        before: None,
        limit: 1_000,
    };
    let page = read::list(&keeper.places(), &query, |place, why| {
        panic!("{place:?}: {why}")
    });
    page.items
        .iter()
        .map(|item| item.event_id.as_u128())
        .collect()
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| name(entry.unwrap()))
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_takes_as_many_rows_as_it_may_and_no_more() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        segment_rows: 10,
        ..unlimited()
    };
    let mut keeper = open(directory.path(), limits);
    write(&mut keeper, &attempts(0..7));
    write(&mut keeper, &attempts(7..34));
    let rows = |place: &super::Place| -> i64 {
        place
            .reader()
            .unwrap()
            .query_row("SELECT COUNT(*) FROM attempt", [], |row| row.get(0))
            .unwrap()
    };
    let places = keeper.places();
    assert_eq!(places.iter().map(rows).collect::<Vec<_>>(), [4, 10, 10, 10]);
    assert_eq!(events(&keeper), (0..34).rev().collect::<Vec<_>>());
}

#[test]
fn a_file_of_long_answers_is_full_sooner() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        segment_bytes: 100_000,
        ..unlimited()
    };
    let mut keeper = open(directory.path(), limits);
    for event in 0..400 {
        write(&mut keeper, &[attempt(event, 1_000)]);
    }
    assert!((7..=9).contains(&keeper.places().len()), "{keeper:?}");
    assert_eq!(events(&keeper).len(), 400);
}

#[test]
fn the_oldest_files_go_when_there_are_too_many() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        segment_rows: 10,
        segments: 3,
        ..unlimited()
    };
    let mut keeper = open(directory.path(), limits);
    write(&mut keeper, &attempts(0..55));
    assert_eq!(events(&keeper), (30..55).rev().collect::<Vec<_>>());
    keeper.close();
    let left: Vec<_> = (4..=6).map(|n| format!("{n:010}.db")).collect();
    assert_eq!(names(directory.path()), left);
    // Also when there may be fewer than there were.
    let fewer = Limits {
        segments: 2,
        ..limits
    };
    let keeper = open(directory.path(), fewer);
    assert_eq!(events(&keeper), (40..55).rev().collect::<Vec<_>>());
}

#[test]
fn the_oldest_files_go_when_they_are_too_large() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        segment_rows: 50,
        bytes: 400_000,
        ..unlimited()
    };
    let mut keeper = open(directory.path(), limits);
    for event in 0..1_000 {
        write(&mut keeper, &[attempt(event, 1_000)]);
    }
    let left = events(&keeper);
    assert!((200..=400).contains(&left.len()), "{}", left.len());
    assert_eq!(left.first(), Some(&999));
    keeper.close();
    let size = |name: &String| directory.path().join(name).metadata().unwrap().len();
    let total: u64 = names(directory.path()).iter().map(size).sum();
    // The file that is written comes on top.
    assert!(total < 500_000, "{total}");
}

#[test]
fn a_full_file_is_one_file_and_has_its_indexes() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        segment_rows: 10,
        ..unlimited()
    };
    let mut keeper = open(directory.path(), limits);
    write(&mut keeper, &attempts(0..11));
    let expected = [
        "0000000001.db",
        "0000000002.db",
        "0000000002.db-shm",
        "0000000002.db-wal",
    ];
    assert_eq!(names(directory.path()), expected);
    let full = keeper.places()[1].reader().unwrap();
    let plan = |condition: &str| -> String {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT row FROM attempt a
             WHERE a.webhook = 1 AND a.row < 9 AND {condition} ORDER BY a.row DESC LIMIT 5"
        );
        full.query_row(&sql, [], |row| row.get(3)).unwrap()
    };
    for (condition, index) in [
        ("substr(a.event_id, 1, 8) = x'00'", "attempt_event"),
        (
            "substr(a.conversation_id, 1, 8) = x'00'",
            "attempt_conversation",
        ),
        ("a.class <> 0", "attempt_failed"),
    ] {
        let plan = plan(condition);
        assert!(plan.contains(index), "{plan}");
    }
}

#[test]
fn a_file_that_was_not_finished_is_finished_by_the_next_start() {
    let directory = TempDir::new().unwrap();
    let limits = Limits {
        segment_rows: 10,
        ..unlimited()
    };
    let mut keeper = open(directory.path(), limits);
    write(&mut keeper, &attempts(0..10));
    keeper.close();
    fs::write(directory.path().join("0000000002.new"), "cut off").unwrap();

    let mut keeper = open(directory.path(), limits);

    let indexes: i64 = keeper.places()[0]
        .reader()
        .unwrap()
        .query_row(
            "SELECT COUNT(*) FROM sqlite_schema WHERE name LIKE 'attempt_%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(indexes, 3);
    write(&mut keeper, &attempts(10..12));
    assert_eq!(events(&keeper), (0..12).rev().collect::<Vec<_>>());
}

#[test]
fn what_a_full_disk_refuses_is_counted_and_the_rest_goes_on() {
    let directory = TempDir::new().unwrap();
    let mut keeper = open(directory.path(), unlimited());
    write(&mut keeper, &attempts(0..5));
    let active = keeper.writing().unwrap().connection();
    active.pragma_update(None, "max_page_count", 12).unwrap();
    let too_much: Vec<_> = (100..200).map(|event| attempt(event, 1_000)).collect();

    assert_eq!(keeper.write(&too_much, now()), 100);

    // The next finds the file as it was, and the limit gone, as it is the connection's.
    write(&mut keeper, &attempts(5..7));
    assert_eq!(events(&keeper), [6, 5, 4, 3, 2, 1, 0]);
    write(&mut keeper, &too_much);
    assert_eq!(events(&keeper).len(), 7 + 100);
    assert_eq!(keeper.places().len(), 1);
}

#[test]
fn a_file_of_a_later_format_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let mut keeper = open(directory.path(), unlimited());
    write(&mut keeper, &attempts(0..5));
    let path = keeper.places()[0].path.clone();
    keeper.close();
    let later = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    later.pragma_update(None, "user_version", 1_000).unwrap();
    later.close().unwrap();

    let mut keeper = open(directory.path(), unlimited());

    assert_eq!(events(&keeper), []);
    write(&mut keeper, &attempts(5..6));
    assert_eq!(events(&keeper), [5]);
    assert!(path.with_extension("damaged").exists());
    assert_eq!(names(directory.path())[1], "0000000002.db");
}
