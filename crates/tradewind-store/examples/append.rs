//! What a message costs, on its way in and out again:
//! `cargo run --release -p tradewind-store --example append [MESSAGES [CONVERSATIONS [READS]]]`.
//!
//! Instructions of each: the difference of two runs of other length under `valgrind --tool=callgrind`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "a tool that tells what it measured, with a part of what its tools can do"
)]

use std::env;

use tradewind_model::{Actor, Sequence};
use tradewind_store::Store as _;

mod load;

/// What a consumer reads at once.
const READ_ENTRIES: usize = 512;
const READ_WEIGHT: usize = 4 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let messages = arguments.next().unwrap_or(200_000);
    let conversations = arguments.next().unwrap_or(1_000);
    let reads = arguments.next().unwrap_or(1);
    let directory = tempfile::Builder::new().tempdir_in("target").unwrap();
    let store = load::open(directory.path());
    store
        .connect_channel(load::channel(), Actor::server())
        .await
        .unwrap();

    let before = load::Usage::now();
    load::append(&store, load::CALLERS, conversations, |n| n).await;
    println!("conversations: {}", before.cost_of(conversations));
    let before = load::Usage::now();
    load::append(&store, load::CALLERS, messages, move |n| {
        load::scattered(n) % conversations
    })
    .await;
    println!("appended: {}", before.cost_of(messages));

    let before = load::Usage::now();
    let mut read = 0;
    for _ in 0..reads {
        let mut after = Sequence::START;
        loop {
            let page = store.read_log(after, READ_ENTRIES, READ_WEIGHT);
            let page = page.await.unwrap();
            read += u64::try_from(page.entries.len()).unwrap();
            after = page.read_to;
            if !page.more {
                break;
            }
        }
    }
    if read > 0 {
        println!("read: {}", before.cost_of(read));
    }
    println!("resident: {:.1} MiB", load::resident_mib());
    store.close().await;
    println!(
        "on disk: {:.0} bytes a message",
        load::bytes_in(directory.path()) / load::float(messages + conversations)
    );
}
