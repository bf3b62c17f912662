//! What the record of attempts costs:
//! `cargo run --release -p tradewind-store --example attempts`, on Linux, for its processor time.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool that tells what it measured"
)]

use std::{fs, sync::Arc, time::Duration, time::Instant};

use tradewind_model::{Clock as _, ConversationId, MessageId, Sequence, SystemClock, WebhookId};
use tradewind_store::{AttemptQuery, AttemptRecord, SqliteStore, Store};
use uuid::Uuid;

const ATTEMPTS: u32 = 1_000_000;
/// Attempts in each millisecond: as fast as two cores deliver, and more.
const AT_ONCE: u32 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let directory = tempfile::TempDir::new().unwrap();
    let store = SqliteStore::open(directory.path(), Arc::new(SystemClock)).unwrap();
    let (cpu, began) = (processor_time(), Instant::now());
    // With any argument it tells what its own part costs.
    let is_idle = std::env::args().len() > 1;
    for n in 0..ATTEMPTS {
        let record = attempt(n);
        if !is_idle {
            store.record_attempt(record);
        }
        if n % AT_ONCE == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let query = |event: Option<u32>| AttemptQuery {
        webhook: Webhook::ID,
        conversation: None,
        event_id: event.map(event_id),
        failed: None,
        before: None,
        limit: 100,
    };
    store.list_attempts(query(None)).await.unwrap();
    let per_attempt = (processor_time() - cpu) / f64::from(ATTEMPTS);
    println!("{ATTEMPTS} attempts in {:.1?}", began.elapsed());
    println!(
        "processor time of each, pauses included: {:.2} µs",
        per_attempt * 1e6
    );
    println!("dropped: {}", store.attempts_dropped());
    for event in [0, ATTEMPTS / 2, ATTEMPTS - 1] {
        let began = Instant::now();
        let page = store.list_attempts(query(Some(event))).await.unwrap();
        println!(
            "event {event}: {} found in {:.1?}",
            page.items.len(),
            began.elapsed()
        );
    }
    let mut failed = query(None);
    failed.failed = Some(true);
    let began = Instant::now();
    let page = store.list_attempts(failed).await.unwrap();
    println!(
        "failed: {} found in {:.1?}",
        page.items.len(),
        began.elapsed()
    );
    store.close().await;
    let files = fs::read_dir(directory.path().join("attempts")).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    println!("on disk, of each: {} bytes", bytes / u64::from(ATTEMPTS));
}

struct Webhook;

impl Webhook {
    const ID: WebhookId = WebhookId::from_uuid(Uuid::from_u128(1));
}

fn event_id(n: u32) -> Uuid {
    MessageId::derived("site", &n.to_string()).uuid()
}

fn attempt(n: u32) -> AttemptRecord {
    AttemptRecord {
        webhook: Webhook::ID,
        sequence: Sequence(n.into()),
        event_id: event_id(n),
        conversation_id: ConversationId::derived("site", &(n / 10).to_string()),
        number: 1,
        is_replay: false,
        at: SystemClock.now(),
        class: AttemptRecord::DELIVERED.to_owned(),
        status: Some(200),
        address: Some("public".to_owned()),
        reused: true,
        dns_us: None,
        connect_us: None,
        tls_us: None,
        first_byte_us: Some(1_900),
        total_us: 2_000,
        detail: String::new(),
        next: String::new(),
        response: Vec::new(),
    }
}

/// Seconds of processor time that this process has used.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
