//! What a large store costs beside an empty one:
//! `cargo run --release -p tradewind-store --example growth fill DIRECTORY [MESSAGES]`, and then
//! `… growth measure DIRECTORY`, again and again. Needs about 600 bytes of disk a message.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool that tells what it measured"
)]

use std::{
    env,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use load::{Usage, scattered};
use tradewind_model::Actor;
use tradewind_store::{Conversations as _, SqliteStore, Store as _};

mod load;

const MESSAGES: u64 = 10_000_000;
const PER_CONVERSATION: u64 = 10;
/// Conversations that are under way at a time while the store is filled.
const AT_A_TIME: u64 = 1_000;
const FILL_CALLERS: u64 = 512;
const FILL_STEP: u64 = 500_000;

/// Old conversations that go on, and how: by turns in the large store and in the empty one.
const TOUCHED: u64 = 100_000;
const ROUNDS: u64 = 7;
const ROUND_MESSAGES: u64 = 20_000;
const LISTINGS: u64 = 2_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", directory] => fill(Path::new(directory), MESSAGES).await,
        ["fill", directory, messages] => {
            fill(Path::new(directory), messages.parse().unwrap()).await;
        }
        ["measure", directory] => measure(Path::new(directory)).await,
        _ => println!("growth fill DIRECTORY [MESSAGES] | growth measure DIRECTORY"),
    }
}

async fn fill(directory: &Path, messages: u64) {
    let store = load::open(directory);
    store
        .connect_channel(load::channel(), Actor::server())
        .await
        .unwrap();
    let mut done = load::head(&store);
    while done < messages {
        let step = FILL_STEP.min(messages - done);
        let before = Usage::now();
        load::append(&store, FILL_CALLERS, step, move |n| {
            let n = done + n;
            (n / PER_CONVERSATION).saturating_sub(scattered(n) % AT_A_TIME)
        })
        .await;
        done += step;
        println!("{done}: {}", before.cost_of(step));
    }
    store.close().await;
}

async fn measure(directory: &Path) {
    let began = Instant::now();
    let large = load::open(directory);
    println!("opened in {:.1?}", began.elapsed());
    let messages = load::head(&large);
    // Those before the ones that were under way at the end are all there.
    let page = large.list_conversations(None, None, 1).await.unwrap();
    let conversations = page.total - AT_A_TIME;
    println!(
        "{messages} messages in {conversations} conversations: {:.0} bytes a message on disk",
        load::bytes_in(directory) / load::float(messages)
    );
    list(&large, conversations).await;

    let beside = tempfile::Builder::new().tempdir_in(directory).unwrap();
    let small = load::open(beside.path());
    small
        .connect_channel(load::channel(), Actor::server())
        .await
        .unwrap();
    load::append(&small, FILL_CALLERS, TOUCHED, |n| n).await;
    load::forget_resident();
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let touched = move |n| scattered(round * ROUND_MESSAGES + n) % TOUCHED;
        let before = Usage::now();
        load::append(&small, load::CALLERS, ROUND_MESSAGES, touched).await;
        let in_small = before.cost_of(ROUND_MESSAGES);
        let before = Usage::now();
        load::append(&large, load::CALLERS, ROUND_MESSAGES, move |n| {
            scattered(touched(n)) % conversations
        })
        .await;
        let in_large = before.cost_of(ROUND_MESSAGES);
        println!("empty: {in_small}\nlarge: {in_large}");
        rates.push((
            in_large.per_second / in_small.per_second,
            in_large.cpu_us / in_small.cpu_us,
        ));
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "throughput {:.2} and processor {:.2} of the empty store's, in the median",
        median(rates.iter().map(|rates| rates.0).collect()),
        median(rates.iter().map(|rates| rates.1).collect()),
    );
    println!("resident, both stores: {:.1} MiB", load::resident_mib());
    list(&large, conversations).await;
    small.close().await;
    large.close().await;
}

async fn list(store: &Arc<SqliteStore>, conversations: u64) {
    for limit in [20, 100] {
        time(&format!("first {limit} conversations"), |_| async move {
            let page = store.list_conversations(None, None, limit).await.unwrap();
            assert_eq!(page.items.len(), limit);
        })
        .await;
        time(&format!("first {limit} messages"), |n| async move {
            let id = load::conversation(scattered(n) % conversations);
            let page = store.list_messages(id, None, limit).await.unwrap();
            assert!(page.unwrap().total > 0);
        })
        .await;
    }
}

async fn time<F: Future<Output = ()>>(what: &str, list: impl Fn(u64) -> F) {
    let mut took: Vec<Duration> = Vec::new();
    for n in 0..LISTINGS {
        let began = Instant::now();
        list(n).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    println!(
        "{what}: p50 {:.1?}, p99 {:.1?}",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
}
