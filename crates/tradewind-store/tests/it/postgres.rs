//! What only the `PostgreSQL` backend promises, and databases for the suite.
//!
//! Each case has a database of its own on one server, which `scripts/postgres` starts.

use std::{
    ops::Deref,
    path::Path,
    process::Command,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::{task::JoinSet, time::timeout};
use tokio_postgres::{Client, NoTls};
use tradewind_model::{Actor, Clock, ManualClock, MessageId, OsRandom, Sequence, SystemClock};
use tradewind_store::{
    Appended, OpenError, PostgresSettings, PostgresStore, Retention, Store, StoreError, TokenHash,
};
use uuid::Uuid;

use crate::{
    own_source::own_source,
    retention::sweep,
    world::{Backend, World, at, channel, from_contact, sequences, webhook},
};

/// The address of a database in which databases can be made.
static SERVER: LazyLock<String> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let started = Command::new(root.join("scripts/postgres"))
        .arg("start")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "no PostgreSQL for tests: {said}");
    String::from_utf8(started.stdout).unwrap().trim().to_owned()
});

/// That of the tests' nodes.
const LEASE: Duration = Duration::from_secs(5);

/// A database that is removed when nobody has it any more.
pub(crate) struct Database {
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let fresh = MessageId::fresh(&SystemClock, &OsRandom::default());
        let name = format!("test_{}", fresh.uuid().simple());
        run(
            &SERVER,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .await;
        Self { name }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let (server, _) = SERVER.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    /// Where databases can be made, and closed.
    pub(crate) fn server() -> String {
        SERVER.clone()
    }

    pub(crate) fn settings(&self) -> PostgresSettings {
        PostgresSettings {
            url: self.url(),
            connections: 8,
            lease: LEASE,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // Another runtime: this one may be about to end.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(run(&SERVER, &sql));
        });
        let _ = dropping.join();
    }
}

#[async_trait]
impl Backend for Database {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.settings(), clock).await.unwrap())
    }
}

/// Runs statements past the store.
pub(crate) async fn run(url: &str, sql: &str) {
    client(url).await.batch_execute(sql).await.unwrap();
}

/// A connection past the store.
struct Direct {
    client: Client,
    _carrier: JoinSet<()>,
}

impl Deref for Direct {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

async fn client(url: &str) -> Direct {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let mut carrier = JoinSet::new();
    carrier.spawn(async move {
        let _ = connection.await;
    });
    Direct {
        client,
        _carrier: carrier,
    }
}

/// Another node on the same database.
async fn node(database: &Database) -> Arc<dyn Store> {
    database.open(Arc::new(ManualClock::at(at(0)))).await
}

fn message(number: u128) -> tradewind_store::NewMessage {
    let id = MessageId::from_uuid(Uuid::from_u128(number));
    from_contact(
        id,
        at(0),
        &channel("site"),
        &format!("{}", number % 10),
        "hello",
    )
}

async fn refusal(settings: &PostgresSettings) -> String {
    let opening = PostgresStore::open(settings, Arc::new(SystemClock));
    let mut error: &dyn std::error::Error = &opening.await.unwrap_err();
    let mut words = error.to_string();
    while let Some(source) = error.source() {
        words = format!("{words}: {source}");
        error = source;
    }
    words
}

#[tokio::test]
async fn nodes_that_start_at_once_make_one_schema() {
    let database = Arc::new(Database::create().await);
    let mut opening = JoinSet::new();
    for _ in 0..6 {
        let database = Arc::clone(&database);
        opening.spawn(async move { node(&database).await });
    }
    for store in opening.join_all().await {
        store.check_writable().await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_that_commits_late_is_not_skipped() {
    let database = Database::create().await;
    let (first, second) = (node(&database).await, node(&database).await);
    first
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();

    // A node that has its sequence and does not commit yet.
    let late = client(&database.url()).await;
    late.batch_execute("BEGIN").await.unwrap();
    let taken = late.query_one("SELECT take_log(1)", &[]).await.unwrap();
    assert_eq!(taken.get::<_, i64>(0), 2);
    let mut appending = JoinSet::new();
    appending.spawn({
        let second = Arc::clone(&second);
        async move { second.append(message(1)).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;

    // What comes after it is not there before it.
    assert!(appending.try_join_next().is_none());
    let read = first.read_log(Sequence(1), 10, usize::MAX).await.unwrap();
    assert_eq!((read.entries.len(), read.read_to), (0, Sequence(1)));
    late.batch_execute("ROLLBACK").await.unwrap();
    appending.join_all().await;
    let read = first.read_log(Sequence(1), 10, usize::MAX).await.unwrap();
    assert_eq!(sequences(&read.entries), [2]);
}

/// With sequences that are given out without a lock held to the commit this fails.
#[tokio::test]
async fn who_follows_the_log_of_three_nodes_misses_nothing() {
    const EACH: u128 = 400;
    let database = Database::create().await;
    let reader = node(&database).await;
    reader
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    let mut appending = JoinSet::new();
    for writer in 0..3_u128 {
        let store = node(&database).await;
        for part in 0..4 {
            let store = Arc::clone(&store);
            appending.spawn(async move {
                for n in 0..EACH / 4 {
                    let new = message(writer * 1_000_000 + part * 1_000 + n);
                    let appended = store.append(new).await.unwrap();
                    assert!(matches!(appended, Appended::Stored(_)), "{appended:?}");
                }
            });
        }
    }

    let all = usize::try_from(3 * EACH + 1).unwrap();
    let (mut seen, mut after) = (Vec::new(), Sequence::START);
    let mut head = reader.head();
    while seen.len() < all {
        let page = reader.read_log(after, 50, usize::MAX).await.unwrap();
        after = page.read_to;
        seen.extend(sequences(&page.entries));
        if !page.more && seen.len() < all {
            let moved = head.wait_for(|head| *head > after);
            timeout(Duration::from_secs(20), moved)
                .await
                .unwrap()
                .unwrap();
        }
    }

    appending.join_all().await;
    assert!(seen.is_sorted());
    assert_eq!(seen, (1..=u64::try_from(all).unwrap()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_hears_at_once_what_others_write() {
    let database = Database::create().await;
    let (first, second) = (node(&database).await, node(&database).await);
    let mut head = second.head();
    let mut webhooks = second.webhooks_changed();
    webhooks.mark_unchanged();
    // Less than it takes to look.
    let soon = Duration::from_secs(3);

    first
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    first.append(message(1)).await.unwrap();
    let moved = head.wait_for(|head| *head == Sequence(2));
    timeout(soon, moved).await.unwrap().unwrap();

    first.subscribe(webhook(1), Actor::server()).await.unwrap();
    timeout(soon, webhooks.changed()).await.unwrap().unwrap();

    let source = own_source("matrix");
    let name = source.source.clone();
    let created = first.create_source(source, TokenHash([1; 32]), 10, Actor::server());
    created.await.unwrap();
    timeout(soon, webhooks.changed()).await.unwrap().unwrap();
    let deleted = first.delete_source(name, Actor::server());
    assert!(deleted.await.unwrap());
    timeout(soon, webhooks.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_whose_connections_were_ended_goes_on() {
    let database = Database::create().await;
    let store = node(&database).await;
    let mut head = store.head();
    store
        .connect_channel(channel("site"), Actor::server())
        .await
        .unwrap();
    run(
        &database.url(),
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;

    // Each connection is found dead once, at most.
    let mut stored = false;
    for number in 1..=10 {
        match store.append(message(number)).await {
            Ok(_) => stored = true,
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
        }
    }
    assert!(stored);
    // And it listens again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = node(&database).await;
    other.append(message(99)).await.unwrap();
    let newest = *other.head().borrow();
    let moved = head.wait_for(|head| *head >= newest);
    timeout(Duration::from_secs(4), moved)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_write_that_was_given_up_leaves_no_transaction_behind() {
    let database = Database::create().await;
    let settings = PostgresSettings {
        connections: 1,
        lease: LEASE,
        ..database.settings()
    };
    let store = PostgresStore::open(&settings, Arc::new(SystemClock))
        .await
        .unwrap();
    let blocker = client(&database.url()).await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE webhook")
        .await
        .unwrap();
    let subscribing = timeout(
        Duration::from_millis(300),
        store.subscribe(webhook(1), Actor::server()),
    );
    assert!(subscribing.await.is_err());
    blocker.batch_execute("ROLLBACK").await.unwrap();

    // There is one connection only, and it is of use.
    assert_eq!(store.list_webhooks(10).await.unwrap(), []);
    store.subscribe(webhook(1), Actor::server()).await.unwrap();
    assert_eq!(store.list_webhooks(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn swept_parts_of_the_log_are_dropped_as_a_whole() {
    let database = Database::create().await;
    let url = database.url();
    let world = World::new(database).await;
    run(&url, "UPDATE counter SET partition_entries = 100").await;
    let partitions = async || {
        let row = client(&url)
            .await
            .query_one(
                "SELECT COUNT(*) FROM pg_inherits WHERE inhparent = 'log'::REGCLASS",
                &[],
            )
            .await;
        row.unwrap().get::<_, i64>(0)
    };
    let site = world.connect("site").await;
    let messages = (0..550).map(|_| world.incoming(&site, "ada", "hello"));
    world.append_at_once(messages.collect()).await;
    assert_eq!(partitions().await, 6);
    world.advance(1_000);
    world.receive(&site, "ada", "young").await;

    let log = Retention {
        log: Some(SignedDuration::from_secs(100)),
        messages: None,
        idempotency_keys: None,
        attempts: None,
        audit: None,
    };
    assert_eq!(sweep(&world, &log).await.log_entries, 551);

    assert_eq!(partitions().await, 1);
    assert_eq!(world.whole_log().await.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be() {
    let settings = PostgresSettings {
        url: "postgres://tradewind@127.0.0.1:1/none".to_owned(),
        connections: 2,
        lease: LEASE,
    };
    let began = Instant::now();
    let words = refusal(&settings).await;
    assert!(words.contains("Connection refused"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_its_password() {
    let settings = PostgresSettings {
        url: "postgres://me:hunter2@127.0.0.1/x?sslmode=maybe".to_owned(),
        connections: 2,
        lease: LEASE,
    };
    let words = refusal(&settings).await;
    assert!(words.contains("postgres://user:password@host"), "{words}");
    assert!(!words.contains("hunter2") && !format!("{settings:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_session_that_could_lose_what_is_acknowledged_is_refused() {
    let database = Database::create().await;
    let name = database.url().rsplit_once('/').unwrap().1.to_owned();
    run(
        &SERVER,
        &format!("ALTER DATABASE {name} SET synchronous_commit = off"),
    )
    .await;
    let words = refusal(&database.settings()).await;
    assert!(words.contains("synchronous_commit is off"), "{words}");
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused() {
    let database = Database::create().await;
    drop(node(&database).await);
    run(
        &database.url(),
        "INSERT INTO migration VALUES (1000, '', 0)",
    )
    .await;
    let words = refusal(&database.settings()).await;
    assert!(words.contains("newer tradewind"), "{words}");
    run(
        &database.url(),
        "DELETE FROM migration WHERE number = 1000; UPDATE migration SET checksum = ''",
    )
    .await;
    let words = refusal(&database.settings()).await;
    assert!(words.contains("migration 1"), "{words}");
}

#[tokio::test]
async fn the_server_s_certificate_is_verified() {
    let database = Database::create().await;
    let certificate = client(&SERVER)
        .await
        .query_one(
            "SELECT pg_read_file(current_setting('data_directory') || '/server.crt')",
            &[],
        )
        .await
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.get::<_, String>(0)).unwrap();
    let with = |query: &str| PostgresSettings {
        url: format!("{}?{query}", database.url()),
        connections: 2,
        lease: LEASE,
    };

    // Nobody knows who signed it.
    let words = refusal(&with("sslmode=require")).await;
    assert!(words.contains("certificate"), "{words}");
    for mode in ["require", "verify-full"] {
        let query = format!("sslmode={mode}&sslrootcert={}", file.path().display());
        let store = PostgresStore::open(&with(&query), Arc::new(SystemClock))
            .await
            .unwrap();
        store.check_writable().await.unwrap();
        let encrypted = client(&SERVER)
            .await
            .query_one(
                "SELECT COUNT(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                 WHERE s.ssl AND a.datname = $1",
                &[&database.name],
            )
            .await
            .unwrap();
        assert!(encrypted.get::<_, i64>(0) >= 1);
        store.close().await;
    }
    let missing = with("sslmode=require&sslrootcert=/nowhere/at/all");
    let error = PostgresStore::open(&missing, Arc::new(SystemClock))
        .await
        .unwrap_err();
    assert!(matches!(&error, OpenError::Certificates { file, .. } if file == "/nowhere/at/all"));
}
