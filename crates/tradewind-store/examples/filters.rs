//! How long lists and searches of a large store take:
//! `cargo run --release -p tradewind-store --example filters DIRECTORY [CONVERSATIONS]`, which fills the
//! directory unless it is filled. Needs about 1 GiB of disk for a million conversations.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "a tool that tells what it measured"
)]

use std::{
    env,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use load::scattered;
use tokio::task::JoinSet;
use tradewind_model::{
    Actor, Clock as _, Content, ConversationId, Filter, MessageId, OsRandom, Search, Sender,
    SenderType, SystemClock, TagId,
};
use tradewind_store::{Conversations as _, NewMessage, Note, Origin, SqliteStore, Store as _};
use uuid::Uuid;

mod load;

const CONVERSATIONS: u64 = 1_000_000;
const FILL_CALLERS: u64 = 512;
/// Of so many conversations one has a key of metadata, and one in a hundred of those a rare value.
const METADATA_EVERY: u64 = 100;
const TAGGED: u64 = 10;
const PAGE: usize = 20;
const ROUNDS: usize = 200;
/// What takes long is done less often.
const LONG_ROUNDS: usize = 10;

const FIRST_NAMES: [&str; 8] = [
    "Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "Tony",
];
const SYLLABLES: [&str; 16] = [
    "ka", "mi", "ro", "te", "sun", "bel", "har", "vin", "dor", "les", "pa", "gru", "ster", "ne",
    "fo", "wi",
];

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let Some(directory) = arguments.first() else {
        println!("filters DIRECTORY [CONVERSATIONS]");
        return;
    };
    let count = arguments
        .get(1)
        .map_or(CONVERSATIONS, |it| it.parse().unwrap());
    let store = load::open(Path::new(directory));
    if load::head(&store) == 0 {
        fill(&store, count).await;
    }
    index(&store).await;
    measure(&store).await;
    store.close().await;
}

fn tag() -> TagId {
    TagId::from_uuid(Uuid::from_u128(7))
}

/// A name of three syllables, few of which are alike; one in a hundred thousand is a Lovelace.
fn name(n: u64) -> Note {
    let draw = |part: u64, of: usize| {
        let drawn = scattered(n * 7 + part) % u64::try_from(of).unwrap();
        usize::try_from(drawn).unwrap()
    };
    let syllables = [1, 2, 3].map(|part| SYLLABLES[draw(part, SYLLABLES.len())]);
    let last = if n.is_multiple_of(100_000) {
        "Lovelace".to_owned()
    } else {
        syllables.concat()
    };
    Note::Contact {
        first_name: Some(FIRST_NAMES[draw(0, FIRST_NAMES.len())].to_owned()),
        last_name: Some(last),
        avatar_url: None,
    }
}

async fn fill(store: &Arc<SqliteStore>, count: u64) {
    store
        .connect_channel(load::channel(), Actor::server())
        .await
        .unwrap();
    let began = Instant::now();
    load::append(store, FILL_CALLERS, count, |n| n).await;
    println!("{count} conversations in {:.1?}", began.elapsed());
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..FILL_CALLERS {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for n in (caller..count).step_by(FILL_CALLERS.try_into().unwrap()) {
                annotate(&store, n, count).await;
            }
        });
    }
    tasks.join_all().await;
    let rare = load::conversation(count / 2);
    store.append(rare_message(rare)).await.unwrap();
    println!("annotated in {:.1?}", began.elapsed());
}

fn rare_message(conversation_id: ConversationId) -> NewMessage {
    NewMessage {
        id: MessageId::fresh(&SystemClock, &OsRandom::default()),
        conversation_id,
        origin: Origin::Api,
        sender: Sender {
            id: "agent".to_owned(),
            kind: SenderType::AppUser,
        },
        content: Content::text("a zeppelin over the lake"),
        sent_at: SystemClock.now(),
        idempotency: None,
    }
}

async fn annotate(store: &SqliteStore, n: u64, count: u64) {
    let id = load::conversation(n);
    store.note(id, name(n)).await.unwrap();
    if n.is_multiple_of(METADATA_EVERY) {
        let (key, value) = (
            "public.city".to_owned(),
            format!("city {}", n / METADATA_EVERY % 100),
        );
        store.note(id, Note::Set { key, value }).await.unwrap();
    }
    if n.is_multiple_of(count / TAGGED) {
        store.note(id, Note::Tag(tag())).await.unwrap();
    }
    // All but one in a hundred thousand are read in time.
    if !n.is_multiple_of(100_000) && n.is_multiple_of(2) {
        store.note(id, Note::Read).await.unwrap();
    }
}

async fn index(store: &SqliteStore) {
    let began = Instant::now();
    let mut steps: u32 = 0;
    while store.index_messages().await.unwrap() {
        steps += 1;
    }
    println!(
        "indexed {steps} times 2000 messages in {:.1?}",
        began.elapsed()
    );
}

async fn measure(store: &SqliteStore) {
    list(store, "first page, no filter", None, ROUNDS).await;
    let mut cursor = None;
    for _ in 0..499 {
        let page = store.list_conversations(None, cursor, PAGE).await.unwrap();
        cursor = page.next;
    }
    let took = time(ROUNDS, || store.list_conversations(None, cursor, PAGE)).await;
    println!("page 500, no filter: {took}");

    let by_tag = format!("tag_ids:{}", tag());
    for (what, filter) in [
        ("ten by a tag", by_tag.as_str()),
        ("metadata, one value", "metadata.public.city:\"city 77\""),
        (
            "metadata, beginning of values",
            "metadata.public.city:\"city 7\" OR metadata.public.city:city\\ 77*",
        ),
        ("display_name, inside", "display_name:*ovel*"),
        (
            "display_name, a word and its end",
            "display_name:ada AND display_name:*velace",
        ),
        (
            "display_name, frequent and rare",
            "display_name:lovelace AND source:chat_plugin",
        ),
        ("created_at, none", "created_at:<2000-01-01"),
        ("an id", "id:6c7093c7-bcb0-5e97-acf5-045d7d91bc0b"),
    ] {
        list(store, what, Some(filter), ROUNDS).await;
    }
    for (what, filter) in [
        ("unread_count, none", "unread_count:>100"),
        ("unread_count, half", "unread_count:0"),
        ("display_name, too short for the index", "display_name:*zq*"),
        ("display_name, an eighth", "display_name:ada"),
        ("source, all", "source:chat_plugin"),
        ("not a tag, nearly all", "NOT tag_ids:*"),
    ] {
        list(store, what, Some(filter), LONG_ROUNDS).await;
    }
    for (what, text) in [
        ("a rare word", "zeppelin"),
        ("a word of none", "quagga"),
        ("a phrase", "\"over the lake\""),
    ] {
        let search = Search::parse(text).unwrap();
        let took = time(ROUNDS, || {
            store.search_messages(search.clone(), None, None, PAGE)
        });
        println!("search of {what}: {}", took.await);
    }
}

async fn list(store: &SqliteStore, what: &str, filter: Option<&str>, rounds: usize) {
    let filter = filter.map(|filter| Filter::parse(filter).unwrap());
    let page = store.list_conversations(filter.clone(), None, PAGE);
    let page = page.await.unwrap();
    let took = time(rounds, || {
        store.list_conversations(filter.clone(), None, PAGE)
    });
    let (matching, total, took) = (page.matching, page.total, took.await);
    print!("{what} ({matching} of {total}): first page {took}");
    if filter.is_some() && page.next.is_some() {
        let took = time(rounds, || {
            store.list_conversations(filter.clone(), page.next, PAGE)
        });
        print!(", second page {}", took.await);
    }
    println!();
}

async fn time<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    rounds: usize,
    work: impl Fn() -> F,
) -> String {
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        work().await.unwrap();
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let (half, most) = (took[rounds / 2], took[rounds * 99 / 100]);
    format!("p50 {half:.2?}, p99 {most:.2?}")
}
