//! Messages by many callers at once, and what they cost. Linux, for what it reads of the process.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tradewind_model::{
    Channel, Clock as _, Content, Conversation, ConversationId, MessageId, OsRandom, Sender,
    SenderType, Source, SystemClock,
};
use tradewind_store::{Appended, NewMessage, Origin, SqliteStore, Store};

/// As many as a busy server has.
pub(crate) const CALLERS: u64 = 64;
const TEXT_BYTES: usize = 300;

/// What the process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    cpu_seconds: f64,
    bytes_written: f64,
}

/// What was used between two points, for each of `count` things.
pub(crate) struct Cost {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) bytes_written: f64,
}

impl Usage {
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            cpu_seconds: processor_time(),
            bytes_written: field("/proc/self/io", "wchar:"),
        }
    }

    pub(crate) fn cost_of(self, count: u64) -> Cost {
        let (now, count) = (Self::now(), float(count));
        Cost {
            per_second: count / now.at.duration_since(self.at).as_secs_f64(),
            cpu_us: (now.cpu_seconds - self.cpu_seconds) / count * 1e6,
            bytes_written: (now.bytes_written - self.bytes_written) / count,
        }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            per_second,
            cpu_us,
            bytes_written,
        } = self;
        write!(
            f,
            "{per_second:.0}/s, {cpu_us:.2} µs of processor and {bytes_written:.0} bytes written each"
        )
    }
}

pub(crate) fn open(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path, Arc::new(SystemClock)).unwrap())
}

/// Entries of the log so far, of which one is about the channel and all others are messages.
pub(crate) fn head(store: &SqliteStore) -> u64 {
    store.head().borrow().0.saturating_sub(1)
}

pub(crate) fn channel() -> Channel {
    let source = Source::parse("chat_plugin").unwrap();
    Channel {
        id: Channel::id_of(&source, "site"),
        source,
        source_channel_id: "site".to_owned(),
        name: Some("Site".to_owned()),
        image_url: None,
        token: None,
        connected: true,
    }
}

pub(crate) fn contact(n: u64) -> String {
    format!("00000000-0000-7000-8000-{n:012x}")
}

pub(crate) fn conversation(n: u64) -> ConversationId {
    Conversation::id_of(channel().id, &contact(n))
}

/// `count` messages from so many `callers` at once; message n goes to conversation `to(n)`.
pub(crate) async fn append<F>(store: &Arc<SqliteStore>, callers: u64, count: u64, to: F)
where
    F: Fn(u64) -> u64 + Clone + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (store, next, to) = (Arc::clone(store), Arc::clone(&next), to.clone());
        tasks.spawn(async move {
            let (channel, random) = (channel(), OsRandom::default());
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    break;
                }
                let appended = store
                    .append(message(&channel, &random, to(n)))
                    .await
                    .unwrap();
                assert!(matches!(appended, Appended::Stored(_)), "{appended:?}");
            }
        });
    }
    tasks.join_all().await;
}

fn message(channel: &Channel, random: &OsRandom, to: u64) -> NewMessage {
    let contact = contact(to);
    NewMessage {
        id: MessageId::fresh(&SystemClock, random),
        conversation_id: Conversation::id_of(channel.id, &contact),
        sender: Sender {
            id: contact.clone(),
            kind: SenderType::SourceContact,
        },
        origin: Origin::Source {
            channel_id: channel.id,
            contact_source_id: contact,
        },
        content: Content::text("x".repeat(TEXT_BYTES)),
        sent_at: SystemClock.now(),
        idempotency: None,
    }
}

/// A number that looks random and is always the same for `n`.
pub(crate) fn scattered(n: u64) -> u64 {
    let mut bits = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Bytes of all files in a directory.
pub(crate) fn bytes_in(directory: &Path) -> f64 {
    let files = fs::read_dir(directory).unwrap();
    let entries = files.map(|file| file.unwrap().metadata().unwrap());
    float(
        entries
            .filter(fs::Metadata::is_file)
            .map(|file| file.len())
            .sum(),
    )
}

/// Resident memory of this process, its most so far, in MiB.
pub(crate) fn resident_mib() -> f64 {
    field("/proc/self/status", "VmHWM:") / 1024.0
}

/// Forgets the most resident so far.
pub(crate) fn forget_resident() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

pub(crate) fn float(number: u64) -> f64 {
    Duration::from_micros(number).as_secs_f64() * 1e6
}

fn field(file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

/// Seconds of processor time that this process has used.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
