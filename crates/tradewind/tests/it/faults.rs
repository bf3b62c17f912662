//! A disk that fails: what cannot be stored is refused and never seen again, what was accepted is
//! delivered, and everything goes on by itself once the disk works.
//!
//! The faults are made by a library of our own between the server and the system (`tests/faults`).

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    SOON,
    receiver::{Delivery, Receiver, Reply},
    server::{Answer, Server},
    until_some,
    visitor::Visitor,
};

const NO_SPACE: u32 = 28;
const READ_ONLY: u32 = 30;
const IO_ERROR: u32 = 5;

const PAGE_BYTES: u64 = 4_096;
/// Signs what a provider posts.
const PARTNER_KEY: &str = "0123456789abcdef";

/// A server on a disk that can be made to fail, and one conversation on it.
struct Bench {
    server: Server,
    receiver: Receiver,
    /// Whether the receiver takes what comes.
    taking: Arc<AtomicBool>,
    visitor: Visitor,
    conversation: String,
    /// Texts that the server acknowledged, in that order, and those that it refused.
    accepted: Vec<String>,
    refused: Vec<String>,
    /// Added to each text, to make it long.
    padding: String,
    _shim: TempDir,
}

/// Compiles the library that makes the disk fail.
fn shim() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let library = directory.path().join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(compiler.unwrap().success());
    (directory, library)
}

impl Bench {
    async fn start() -> Self {
        let (directory, library) = shim();
        let server = Server::start_with(move |command| {
            let command = command.env("LD_PRELOAD", &library);
            let command = command.env("TRADEWIND_GOOGLE__PARTNER_KEY", PARTNER_KEY);
            command.args(["--webhook-allow", "127.0.0.0/8"])
        });
        let server = server.await;
        let taking = Arc::new(AtomicBool::new(true));
        let takes = Arc::clone(&taking);
        let receiver = Receiver::scripted(move |_, _| {
            Reply::status(if takes.load(Ordering::Relaxed) {
                200
            } else {
                500
            })
        });
        let receiver = receiver.await;
        server.subscribe(&receiver.url()).await;
        let (visitor, conversation) = server.converse("hello").await;
        Self {
            server,
            receiver,
            taking,
            visitor,
            conversation,
            accepted: vec!["hello".to_owned()],
            refused: Vec::new(),
            padding: String::new(),
            _shim: directory,
        }
    }

    /// From now on the disk fails like this.
    fn break_disk(&self, faults: &str) {
        let next = self.faults().with_extension("next");
        fs::write(&next, faults).unwrap();
        fs::rename(next, self.faults()).unwrap();
    }

    fn mend_disk(&self) {
        fs::remove_file(self.faults()).unwrap();
    }

    fn faults(&self) -> PathBuf {
        self.server.data.with_file_name("faults")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.server.data.join(name)
    }

    /// The visitor writes; whether it was accepted.
    async fn write(&mut self, text: &str) -> bool {
        let text = format!("{text}{}", self.padding);
        let answer = self.visitor.try_write(&self.server, &text).await;
        self.note(text, &answer.unwrap())
    }

    /// Long messages, many of them at once.
    async fn write_much(&self, count: usize) {
        for number in (0..count).step_by(20) {
            let texts = (number..count.min(number + 20)).map(|_| "x".repeat(60_000));
            let texts: Vec<_> = texts.collect();
            let writes = texts
                .iter()
                .map(|text| self.visitor.try_write(&self.server, text));
            for answer in join_all(writes).await {
                answer.unwrap().ok();
            }
        }
    }

    /// An answer by the API; whether it was accepted.
    async fn reply(&mut self, text: &str) -> bool {
        let text = format!("{text}{}", self.padding);
        let body = json!({"conversation_id": self.conversation, "message": {"text": text}});
        let answer = self.server.call("messages.send", body).await;
        self.note(text, &answer)
    }

    fn note(&mut self, text: String, answer: &Answer) -> bool {
        let accepted = answer.status == StatusCode::OK;
        if accepted {
            self.accepted.push(text);
        } else {
            assert_unavailable(answer);
            self.refused.push(text);
        }
        accepted
    }

    /// Writes both ways until both are refused. A disk that is nearly full takes a few short ones.
    async fn write_until_refused(&mut self) {
        for number in 0.. {
            assert!(number < 100, "everything was accepted");
            let written = self.write(&format!("refused? {number}")).await;
            let replied = self.reply(&format!("refused? reply {number}")).await;
            if !written && !replied && self.health().await == StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
        }
    }

    async fn health(&self) -> StatusCode {
        self.server.get("health").await.status
    }

    async fn until_well(&self) {
        let started = std::time::Instant::now();
        while self.health().await != StatusCode::OK {
            assert!(started.elapsed() < 2 * SOON, "it is not well again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Texts of the conversation as the API lists them.
    async fn stored(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut cursor = json!(null);
        loop {
            let body =
                json!({"conversation_id": self.conversation, "page_size": 100, "cursor": cursor});
            let page = self.server.call("messages.list", body).await.ok();
            let messages = page["data"].as_array().unwrap();
            let text =
                |message: &serde_json::Value| message["content"]["text"].as_str().map(String::from);
            texts.extend(messages.iter().map(|message| text(message).unwrap()));
            cursor = page["response_metadata"]["next_cursor"].clone();
            if cursor.is_null() {
                return texts;
            }
        }
    }

    /// All that was accepted and nothing else is stored, in order, and all of it arrives.
    async fn assert_nothing_lost_or_half_written(&self) {
        assert_eq!(self.stored().await, self.accepted);
        self.until_arrived().await;
        let delivered = self.delivered();
        let came_back: Vec<_> = self
            .refused
            .iter()
            .filter(|text| delivered.contains(text))
            .collect();
        assert!(
            came_back.is_empty(),
            "delivered although refused: {came_back:?}"
        );
    }

    async fn until_arrived(&self) {
        let missing = || {
            let delivered = self.delivered();
            self.accepted
                .iter()
                .filter(|text| !delivered.contains(text))
                .count()
        };
        let describe = || format!("{} of {} did not arrive", missing(), self.accepted.len());
        until_some(
            Duration::from_secs(20),
            || (missing() == 0).then_some(()),
            describe,
        )
        .await;
    }

    fn delivered(&self) -> Vec<String> {
        self.receiver
            .deliveries()
            .iter()
            .map(Delivery::text)
            .collect()
    }

    async fn kill_and_start_again(&mut self) {
        self.server.kill().await;
        let _ = fs::remove_file(self.faults());
        self.server.start_again().await;
    }

    /// Two messages wait behind an endpoint that fails.
    async fn let_events_wait(&mut self) {
        self.until_arrived().await;
        self.taking.store(false, Ordering::Relaxed);
        let before = self.receiver.deliveries().len();
        assert!(self.write("waits 1").await && self.write("waits 2").await);
        self.receiver.wait_for(before + 1, SOON).await;
    }

    /// Lines of the log with this in them.
    fn logged(&self, what: &str) -> usize {
        self.server
            .log()
            .lines()
            .filter(|line| line.contains(what))
            .count()
    }
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.text
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["code"], "unavailable");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!(wait > 0);
}

/// The whole story of a fault that goes away.
async fn survives(faults: impl FnOnce(&mut Bench) -> String, told: &str) {
    let mut bench = Bench::start().await;
    bench.let_events_wait().await;
    let faults = faults(&mut bench);
    bench.break_disk(&faults);
    bench.write_until_refused().await;

    // What was accepted is delivered although nothing can be written.
    bench.taking.store(true, Ordering::Relaxed);
    bench.assert_nothing_lost_or_half_written().await;
    assert!(!bench.write("refused still").await);
    let told = format!(
        "the store cannot write; all that would be written is refused until it can error={told}"
    );
    assert_eq!(bench.logged(&told), 1, "{}", bench.server.log());
    assert_eq!(bench.logged("ERROR"), 1, "{}", bench.server.log());

    bench.mend_disk();
    bench.until_well().await;
    assert!(bench.write("after").await && bench.reply("after, too").await);
    bench.assert_nothing_lost_or_half_written().await;
    bench.kill_and_start_again().await;
    assert!(bench.write("after the start").await);
    bench.assert_nothing_lost_or_half_written().await;
}

/// The server dies while the disk fails, and starts when it works again.
async fn leaves_nothing_behind(faults: impl FnOnce(&mut Bench) -> String) {
    let mut bench = Bench::start().await;
    bench.let_events_wait().await;
    let faults = faults(&mut bench);
    bench.break_disk(&faults);
    bench.write_until_refused().await;
    bench.taking.store(true, Ordering::Relaxed);
    // The last that is written before the end must be what was refused.
    assert!(!bench.write("refused at last").await);
    bench.kill_and_start_again().await;
    bench.assert_nothing_lost_or_half_written().await;
    assert!(bench.write("after").await && bench.reply("after, too").await);
    bench.assert_nothing_lost_or_half_written().await;
}

/// The disk has room for this much more of the write-ahead log: the middle of a long message.
fn full_disk(bench: &mut Bench) -> String {
    bench.padding = format!(" {}", "x".repeat(20_000));
    let length = fs::metadata(bench.file("tradewind.db-wal")).unwrap().len();
    format!("write tradewind.db-wal limit {}", length + 2 * PAGE_BYTES)
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    survives(full_disk, "the disk is full").await;
}

#[tokio::test]
async fn a_message_that_does_not_fit_on_the_disk_leaves_nothing() {
    leaves_nothing_behind(full_disk).await;
}

#[tokio::test]
async fn a_disk_without_any_room_refuses_until_there_is_room() {
    survives(|_| format!("write * fail {NO_SPACE}"), "the disk is full").await;
}

#[tokio::test]
async fn a_disk_that_became_read_only_refuses_until_it_can_be_written() {
    let faults = format!("write * fail {READ_ONLY}\ntruncate * fail {READ_ONLY}");
    survives(|_| faults, "the disk cannot be written").await;
}

#[tokio::test]
async fn a_disk_that_does_not_sync_refuses_until_it_does() {
    survives(
        |_| format!("sync * fail {IO_ERROR}"),
        "the disk did not sync",
    )
    .await;
}

/// The whole transaction is in the file then, and only its sync failed.
#[tokio::test]
async fn what_was_refused_for_a_failed_sync_does_not_come_back_after_a_crash() {
    leaves_nothing_behind(|_| format!("sync * fail {IO_ERROR}")).await;
}

#[tokio::test]
async fn a_write_that_is_torn_is_refused() {
    survives(
        |_| format!("write * torn {IO_ERROR}"),
        "the disk cannot be written",
    )
    .await;
}

#[tokio::test]
async fn a_torn_write_leaves_nothing_behind() {
    leaves_nothing_behind(|_| format!("write * torn {IO_ERROR}")).await;
}

/// A failed sync, and then a disk that takes nothing at all: not even what would rule out the refused
/// write. That is made good without being asked, as soon as the disk works.
#[tokio::test]
async fn what_was_refused_is_ruled_out_as_soon_as_the_disk_works() {
    let mut bench = Bench::start().await;
    bench.until_arrived().await;
    let log = bench.file("tradewind.db-wal");
    let written_at = || fs::metadata(&log).unwrap().modified().unwrap();
    // Progress is saved too, a little later; after that, nothing is written without being asked.
    let is_quiet = || (written_at().elapsed().unwrap() > Duration::from_secs(1)).then_some(());
    until_some(SOON, is_quiet, || "it is never quiet".to_owned()).await;
    bench.break_disk(&format!("sync * die {IO_ERROR}"));
    assert!(!bench.write("refused").await);
    let broken_at = written_at();
    bench.mend_disk();
    let is_written = || (written_at() > broken_at).then_some(());
    until_some(SOON, is_written, || "nothing was written".to_owned()).await;
    bench.kill_and_start_again().await;
    bench.assert_nothing_lost_or_half_written().await;
}

#[tokio::test]
async fn a_slow_disk_is_slow_and_refuses_nothing() {
    let mut bench = Bench::start().await;
    bench.break_disk("sync * slow 200");
    let texts: Vec<_> = (0..20).map(|number| format!("slow {number}")).collect();
    let writes = texts
        .iter()
        .map(|text| bench.visitor.try_write(&bench.server, text));
    for answer in join_all(writes).await {
        answer.unwrap().ok();
    }
    assert_eq!(bench.health().await, StatusCode::OK);
    // They were written at once, so in any order.
    bench.accepted = bench.stored().await;
    assert_eq!(bench.accepted.len(), 21);
    bench.until_arrived().await;
}

/// The log takes writes, but nothing can be brought from it into the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_fails_is_told_and_made_good() {
    let mut bench = Bench::start().await;
    let database = bench.file("tradewind.db");
    let length = || fs::metadata(&database).unwrap().len();
    let small = length();
    bench.break_disk(&format!("write tradewind.db fail {NO_SPACE}"));
    // More than 48 MiB.
    bench.write_much(1_000).await;
    assert_eq!(bench.logged("cannot be brought into the database"), 1);
    assert!(length() - small < 4 << 20, "{} bytes", length());
    assert_eq!(bench.health().await, StatusCode::OK);

    bench.mend_disk();
    let mut writes = 0;
    while length() < 16 << 20 {
        assert!(writes < 100, "no checkpoint was made");
        writes += 1;
        bench.write_much(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bench.accepted = bench.stored().await;
    assert_eq!(bench.accepted.len(), 1_001 + writes);
    bench.until_arrived().await;
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_is_told_and_read_again() {
    let mut bench = Bench::start().await;
    bench.until_arrived().await;
    // Nothing is in memory after a start.
    bench.kill_and_start_again().await;
    bench.break_disk(&format!("read * fail {IO_ERROR}"));
    let list = json!({"conversation_id": bench.conversation});
    let answer = bench.server.call("messages.list", list).await;
    assert_unavailable(&answer);
    assert_eq!(
        bench.logged("the store cannot read"),
        1,
        "{}",
        bench.server.log()
    );

    bench.mend_disk();
    bench.until_well().await;
    assert!(bench.write("after").await);
    bench.assert_nothing_lost_or_half_written().await;
}

/// Stops in order, so that everything is in the database, and damages what is not at its beginning.
async fn damage(bench: &mut Bench, while_it_runs: bool) {
    bench.padding = "x".repeat(3_000);
    for number in 0..100 {
        assert!(bench.write(&format!("{number} ")).await);
    }
    bench.until_arrived().await;
    bench.server.terminate().await;
    bench.server.ended(SOON).await;
    if while_it_runs {
        bench.server.start_again().await;
    }
    let database = OpenOptions::new()
        .write(true)
        .open(bench.file("tradewind.db"));
    flip_pages(&database.unwrap());
    if !while_it_runs {
        bench.server.start_again().await;
    }
}

/// The heads of the pages in the second half make no sense any more.
fn flip_pages(database: &File) {
    let pages = database.metadata().unwrap().len() / PAGE_BYTES;
    for page in pages / 2..pages {
        database
            .write_all_at(&[0xA5; 64], page * PAGE_BYTES)
            .unwrap();
    }
}

/// Nothing is accepted, and the operator is told why and what to do.
async fn is_refused_for_damage(mut bench: Bench) {
    assert!(!bench.write("refused").await && !bench.reply("refused").await);
    assert_eq!(bench.health().await, StatusCode::SERVICE_UNAVAILABLE);
    let told =
        "the database is damaged or cannot be read: if that lasts, stop the server and restore";
    assert!(
        (1..=2).contains(&bench.logged(told)),
        "{}",
        bench.server.log()
    );
}

async fn is_met_by_a_list(bench: &Bench) {
    let list = json!({"conversation_id": bench.conversation, "page_size": 100});
    assert_unavailable(&bench.server.call("messages.list", list).await);
}

#[tokio::test]
async fn a_damaged_page_that_is_read_is_told_and_nothing_is_taken_any_more() {
    let mut bench = Bench::start().await;
    damage(&mut bench, false).await;
    is_met_by_a_list(&bench).await;
    is_refused_for_damage(bench).await;
}

#[tokio::test]
async fn a_page_that_is_damaged_while_the_server_runs_is_met_by_a_write_too() {
    let mut bench = Bench::start().await;
    damage(&mut bench, true).await;
    assert!(!bench.write("refused").await);
    is_met_by_a_list(&bench).await;
    is_refused_for_damage(bench).await;
}

#[tokio::test]
async fn a_damaged_log_is_read_up_to_its_last_good_record() {
    let mut bench = Bench::start().await;
    let length = |bench: &Bench| bench.file("tradewind.db-wal").metadata().unwrap().len();
    assert!(bench.write("the first").await);
    let begin = length(&bench);
    for number in 0..20 {
        assert!(bench.write(&number.to_string()).await);
    }
    bench.server.kill().await;
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .open(bench.file("tradewind.db-wal"))
        .unwrap();
    let middle = begin.midpoint(length(&bench));
    let mut byte = [0];
    log.read_exact_at(&mut byte, middle).unwrap();
    log.write_all_at(&[!byte[0]], middle).unwrap();

    bench.server.start_again().await;

    let stored = bench.stored().await;
    assert!(
        !stored.is_empty() && stored.len() < bench.accepted.len(),
        "{stored:?}"
    );
    assert_eq!(stored, bench.accepted[..stored.len()]);
    assert_eq!(bench.health().await, StatusCode::OK);
    assert!(bench.write("on it goes").await);
}

#[tokio::test]
async fn a_post_of_a_provider_is_refused_while_nothing_can_be_stored() {
    let bench = Bench::start().await;
    let server = &bench.server;
    let channel = json!({"source": "google", "source_channel_id": "2222"});
    server.call("channels.connect", channel).await.ok();
    let body = json!({
        "agent": "brands/1111/agents/2222",
        "conversationId": "3333",
        "message": {"messageId": "4444", "text": "by a provider"},
        "sendTime": "2026-11-26T12:00:00Z",
    })
    .to_string();
    let signature = tradewind_stand_in::google::signature(PARTNER_KEY, body.as_bytes());
    let headers = [("x-goog-signature", signature.as_str())];
    let post = async || {
        let posted = server.request(reqwest::Method::POST, "google", &headers, body.clone());
        posted.await.unwrap()
    };
    bench.break_disk(&format!("write * fail {NO_SPACE}"));
    let refused = post().await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "5");
    bench.mend_disk();
    until_accepted(post).await;
    let heard = bench.receiver.wait_for(2, SOON).await;
    assert_eq!(heard[1].text(), "by a provider");
    assert_eq!(post().await.status, StatusCode::OK);
    let list = server.call("conversations.list", json!({})).await.ok();
    assert_eq!(list["response_metadata"]["total"], 2);
}

/// Posts until it is taken, as a provider does.
async fn until_accepted(post: impl AsyncFn() -> Answer) {
    let started = std::time::Instant::now();
    loop {
        let answer = post().await;
        if answer.status == StatusCode::OK {
            return;
        }
        assert!(started.elapsed() < SOON, "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
