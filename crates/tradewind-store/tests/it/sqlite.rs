//! What only the `SQLite` backend promises: its directory, its lock, its files, and that what it
//! answered survives the end of the process.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tradewind_model::{Actor, Clock, ManualClock, MessageId, Sequence, SystemClock};
use tradewind_store::{Appended, BackupError, OpenError, SqliteStore, Store, back_up};

use crate::world::{Backend, World, at, channel, from_contact};

/// A database in a directory that is removed when nobody has it any more.
pub(crate) struct Sqlite(
    PathBuf,
    #[expect(dead_code, reason = "it is there while this is")] Option<Arc<TempDir>>,
);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self::at(Arc::new(TempDir::new().unwrap()))
    }

    pub(crate) fn at(directory: Arc<TempDir>) -> Self {
        Self(directory.path().to_owned(), Some(directory))
    }

    pub(crate) fn at_path(path: &Path) -> Self {
        Self(path.to_owned(), None)
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0, clock).unwrap())
    }
}

fn open(directory: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(directory, Arc::new(ManualClock::at(at(0))))
}

fn refusal(directory: &Path) -> String {
    open(directory).unwrap_err().to_string()
}

/// Changes the database past the store.
fn tamper(directory: &Path, sql: &str) {
    let database = rusqlite::Connection::open(directory.join("tradewind.db")).unwrap();
    database.execute_batch(sql).unwrap();
}

async fn create(directory: &Path) {
    open(directory).unwrap().close().await;
}

#[tokio::test]
async fn the_directory_is_created_for_this_user_only() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("a/b");
    create(&directory).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("tradewind.db")), 0o600);
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_the_user_is_told_by_whom() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();

    let message = refusal(directory.path());

    let pid = format!("another tradewind (pid {})", std::process::id());
    assert!(message.starts_with(&pid), "{message}");
    assert!(
        message.contains(&directory.path().display().to_string()),
        "{message}"
    );
    assert!(message.contains("stop it first"), "{message}");
    store.close().await;
    create(directory.path()).await;
}

#[tokio::test]
async fn a_lock_file_that_was_left_over_means_nothing() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("lock"), "4242424242\n").unwrap();
    create(directory.path()).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = TempDir::new().unwrap();
    create(directory.path()).await;
    tamper(
        directory.path(),
        "INSERT INTO migration (number, checksum, applied_at_ms) VALUES (1000, zeroblob(32), 0)",
    );
    let message = refusal(directory.path());
    assert!(message.contains("newer tradewind"), "{message}");
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused() {
    let directory = TempDir::new().unwrap();
    create(directory.path()).await;
    tamper(
        directory.path(),
        "UPDATE migration SET checksum = zeroblob(32)",
    );
    let message = refusal(directory.path());
    assert!(message.contains("migration 1"), "{message}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("tradewind.db");
    std::fs::write(
        &file,
        "this is not a database, and long enough to tell".repeat(100),
    )
    .unwrap();
    let message = refusal(directory.path());
    assert!(message.contains("not a database"), "{message}");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("this is not")
    );
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let message = refusal(&file);
    assert!(
        message.starts_with("cannot create the directory"),
        "{message}"
    );
}

/// `/proc` refuses new files and directories to everybody, also to root, for whom the permissions of
/// an ordinary directory mean nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    for directory in ["/proc/self", "/proc/tradewind"] {
        let message = refusal(Path::new(directory));
        assert!(
            message.starts_with("cannot create the directory /proc/"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_files_hold_what_was_answered_while_the_store_is_open() {
    let directory = Arc::new(TempDir::new().unwrap());
    let world = World::new(Sqlite::at(Arc::clone(&directory))).await;
    let site = world.connect("site").await;
    let message = world.receive(&site, "ada", "hello").await;

    // What a process that died now would leave.
    let copy = TempDir::new().unwrap();
    for file in ["tradewind.db", "tradewind.db-wal"] {
        std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let world = World::new(Sqlite::at(Arc::new(copy))).await;
    assert_eq!(world.messages(message.conversation_id).await, [message]);
}

#[tokio::test]
async fn a_message_costs_at_most_600_bytes_of_disk() {
    const MESSAGES: usize = 4_000;

    let directory = Arc::new(TempDir::new().unwrap());
    let world = World::new(Sqlite::at(Arc::clone(&directory))).await;
    let site = world.connect("site").await;
    let size = || {
        directory
            .path()
            .join("tradewind.db")
            .metadata()
            .unwrap()
            .len()
    };
    let text = "x".repeat(100);
    let messages = (0..MESSAGES)
        .map(|n| {
            let contact = format!("1f0c6a52-98a1-4c57-b1f5-{:012}", n / 10);
            let mut new = world.incoming(&site, &contact, &text);
            // As ids of sources are: spread evenly, which fills an index worst.
            new.id = MessageId::derived("site", &n.to_string());
            new
        })
        .collect();
    world.append_at_once(messages).await;
    world.store.close().await;

    let each = size() / u64::try_from(MESSAGES).unwrap();
    assert!(each <= 600, "{each} bytes a message");
}

/// Tells a process of this binary that it is the one to be killed, and where its data is.
const VICTIM: &str = "TRADEWIND_TEST_VICTIM_DIRECTORY";
/// Messages a victim must have answered before it is killed.
const ANSWERED: usize = 300;

/// Not a test of its own: the next one starts it. Appends, and says what was answered, until killed.
#[tokio::test]
async fn victim() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the test knows itself as the victim"
    )]
    let directory = std::env::var_os(VICTIM);
    let Some(directory) = directory else {
        return;
    };
    let store = Arc::new(SqliteStore::open(Path::new(&directory), Arc::new(SystemClock)).unwrap());
    let site = store
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let (store, site) = (Arc::clone(&store), site.clone());
        tasks.spawn(async move {
            let contact = format!("contact-{task}");
            let life = format!("{} {contact} ", std::process::id());
            for n in 0_u64.. {
                let id = MessageId::derived(&life, &n.to_string());
                let new = from_contact(id, at(0), &site, &contact, "hello");
                match store.append(new).await.unwrap() {
                    Appended::Stored(message) => println!("answered {}", message.id),
                    other => panic!("not stored: {other:?}"),
                }
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let directory = Arc::new(TempDir::new().unwrap());
    let mut answered = HashSet::new();
    for _ in 0..3 {
        answered.extend(life_of_a_victim(directory.path()));

        let world = World::new(Sqlite::at(Arc::clone(&directory))).await;
        let mut stored = HashSet::new();
        let mut positions: HashMap<_, u64> = HashMap::new();
        let mut cursor = Sequence::START;
        loop {
            let page = world.read(cursor, 10_000).await;
            for entry in &page.entries {
                let position = positions.entry(entry.lane()).or_default();
                *position += 1;
                assert_eq!(entry.position, *position);
                if let Some(message) = entry.message() {
                    assert_eq!(message.position, *position);
                    stored.insert(message.id);
                }
            }
            cursor = page.read_to;
            if !page.more {
                break;
            }
        }
        let lost: Vec<_> = answered.difference(&stored).collect();
        assert_eq!(lost, Vec::<&MessageId>::new());
        world.store.close().await;
    }
}

/// Starts a victim, kills it in the middle of its work, and returns what it had answered.
fn life_of_a_victim(directory: &Path) -> Vec<MessageId> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::victim", "--nocapture"])
        .env(VICTIM, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut answered = Vec::new();
    let mut killed = false;
    while let Some(line) = lines.next().transpose().unwrap() {
        if let Some((_, id)) = line.split_once("answered ") {
            // The last line may be cut off.
            answered.extend(id.parse::<MessageId>().ok());
        }
        if answered.len() == ANSWERED && !killed {
            victim.kill().unwrap();
            killed = true;
        }
    }
    assert!(killed, "the victim ended by itself");
    victim.wait().unwrap();
    answered
}

#[tokio::test]
async fn a_copy_that_is_made_while_it_is_written_is_whole() {
    let directory = Arc::new(TempDir::new().unwrap());
    let world = World::new(Sqlite::at(Arc::clone(&directory))).await;
    let channel = world.connect("site").await;
    for number in 0..3_000 {
        world.receive(&channel, "ada", &format!("{number}")).await;
    }
    let copy = TempDir::new().unwrap().path().join("copy");
    let (from, to) = (directory.path().to_owned(), copy.clone());
    let copying = std::thread::spawn(move || {
        let mut told = 0;
        back_up(&from, &to, &mut |_, _| told += 1).unwrap();
    });
    let mut later = 0;
    while !copying.is_finished() || later < 100 {
        world.receive(&channel, "ben", "later").await;
        later += 1;
    }
    copying.join().unwrap();

    let copied = World::new(Sqlite::at_path(&copy)).await;
    let entries = copied.log().await;
    let whole = world.log().await;
    assert!(entries.len() >= 3_000 && entries.len() <= whole.len());
    assert_eq!(
        entries,
        whole[..entries.len()],
        "it is what was there at one moment"
    );
    let refused = back_up(directory.path(), &copy, &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)), "{refused:?}");
    let refused = back_up(&copy.join("nothing"), &copy.join("more"), &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, BackupError::NoStore(_)), "{refused:?}");
}
