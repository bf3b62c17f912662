//! A server that has stored much, against one that has stored nothing.

use std::{path::Path, sync::Arc};

use anyhow::ensure;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tradewind_model::{
    Clock as _, Content, Conversation, ConversationId, MessageId, OsRandom, Sender, SenderType,
    SystemClock,
};
use tradewind_store::{Appended, NewMessage, Origin, SqliteStore, Store as _};

use crate::bench::{
    Bench, Report,
    budget::Budget,
    clock,
    figure::{float, median},
    latency::{Latency, Spans},
    load::Visitors,
    note,
    text::Stamp,
    world::{Subject, Work, World, prepare},
};

/// Messages in each conversation.
const EACH: u64 = 10;
/// Messages that are stored at once.
const APPENDS_MAX: usize = 1_024;
/// Conversations that are written to while it is measured.
const CONVERSATIONS: u32 = 10_000;
/// Pages that are asked for.
const PAGES: u32 = 1_000;

/// What was found.
#[derive(Debug, Serialize)]
struct Figures {
    messages: u64,
    conversations: u32,
    bytes_per_message: f64,
    start_up_seconds: f64,
    delivered_per_second: f64,
    delivered_per_second_empty: f64,
    throughput_ratio: f64,
    conversations_list_us: Latency,
    messages_list_us: Latency,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Report> {
    let messages = bench.many(10_000_000);
    let conversations = u32::try_from(messages / EACH)?;
    let directory = TempDir::new_in(&bench.directory)?;
    let data = World::data(Subject::Tradewind, directory.path());
    std::fs::create_dir_all(&data)?;
    let visitors = prepare(&data).await?;
    fill(&data, &visitors, messages, conversations).await?;
    let bytes = size(&data)?;

    let empty = TempDir::new_in(&bench.directory)?;
    let mut empty = World::start(Subject::Tradewind, &bench.program, empty.path()).await?;
    let mut full = World::start(Subject::Tradewind, &bench.program, directory.path()).await?;
    let (mut rates_empty, mut rates_full) = (Vec::new(), Vec::new());
    for number in 1..=bench.runs {
        rates_empty.push(throughput(bench, &mut empty, conversations).await?);
        rates_full.push(throughput(bench, &mut full, conversations).await?);
        note(&format!("run {number} of {}", bench.runs));
    }
    let ratios = rates_full.iter().zip(&rates_empty);
    let ratio = median(ratios.map(|(full, empty)| full / empty).collect());
    let conversations_list_us = ask(&full, "conversations.list", |_| json!({})).await?;
    let messages_list_us = ask(&full, "messages.list", |page| {
        let at = page * (conversations / PAGES).max(1) % conversations;
        json!({ "conversation_id": id(&visitors, at) })
    })
    .await?;
    Ok(report(&Figures {
        messages,
        conversations,
        bytes_per_message: float(bytes) / float(messages),
        start_up_seconds: full.start_up().as_secs_f64(),
        delivered_per_second: median(rates_full),
        delivered_per_second_empty: median(rates_empty),
        throughput_ratio: ratio,
        conversations_list_us,
        messages_list_us,
    }))
}

/// Stores so many messages, conversation by conversation in turn, as the server would.
async fn fill(
    data: &Path,
    visitors: &Visitors,
    messages: u64,
    conversations: u32,
) -> anyhow::Result<()> {
    let store = SqliteStore::open(data, Arc::new(SystemClock))?;
    let random = OsRandom::default();
    let all = (0..messages / u64::from(conversations))
        .flat_map(|round| (0..conversations).map(move |conversation| (round, conversation)));
    let stored = stream::iter(all).map(|(round, conversation)| {
        let message = message(visitors, &random, conversation, round);
        let is_noted = conversation == 0;
        let store = &store;
        async move {
            if is_noted {
                note(&format!(
                    "{} messages are stored",
                    round * u64::from(conversations)
                ));
            }
            let appended = store.append(message).await?;
            ensure!(
                matches!(appended, Appended::Stored(_)),
                "a message was not stored: {appended:?}"
            );
            Ok(())
        }
    });
    let stored = stored.buffer_unordered(APPENDS_MAX);
    stored.try_for_each(|()| std::future::ready(Ok(()))).await?;
    store.close().await;
    Ok(())
}

fn message(visitors: &Visitors, random: &OsRandom, conversation: u32, round: u64) -> NewMessage {
    let session = visitors.session(conversation).id.to_string();
    let mut text = String::new();
    let stamp = Stamp {
        phase: 0,
        conversation,
        number: u32::try_from(round + 1).unwrap_or_default(),
        at: clock::now(),
    };
    stamp.render(visitors.text_bytes, &mut text);
    NewMessage {
        id: MessageId::fresh(&SystemClock, random),
        conversation_id: id(visitors, conversation),
        origin: Origin::Source {
            channel_id: visitors.channel_id,
            contact_source_id: session.clone(),
        },
        sender: Sender {
            id: session,
            kind: SenderType::SourceContact,
        },
        content: Content::text(text),
        sent_at: SystemClock.now(),
        idempotency: None,
    }
}

fn id(visitors: &Visitors, conversation: u32) -> ConversationId {
    let session = visitors.session(conversation).id.to_string();
    Conversation::id_of(visitors.channel_id, &session)
}

/// Bytes of all files below `directory`.
fn size(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

async fn throughput(bench: &Bench, world: &mut World, stored: u32) -> anyhow::Result<f64> {
    let load = |span| Work {
        conversations: CONVERSATIONS.min(stored),
        ..bench.full_load(span)
    };
    world.run(load(bench.warm_up)).await?;
    let phase = world.run(load(bench.span)).await?;
    Ok(float(phase.delivered) / phase.delivering)
}

/// How long the answers of an endpoint take, asked one after the other.
async fn ask(world: &World, verb: &str, body: impl Fn(u32) -> Value) -> anyhow::Result<Latency> {
    let mut spans = Spans::new()?;
    for page in 0..PAGES {
        let body = body(page);
        let started = clock::now();
        world.call(verb, &body).await?;
        spans.add(clock::now() - started);
    }
    Ok(spans.latency())
}

fn report(figures: &Figures) -> Report {
    let Figures {
        messages,
        conversations,
        bytes_per_message,
        start_up_seconds,
        delivered_per_second,
        delivered_per_second_empty,
        throughput_ratio,
        conversations_list_us,
        messages_list_us,
    } = figures;
    let p99 = |latency: &Latency| latency.p99 / 1e3;
    Report {
        figures: Map::from_iter([("tradewind".to_owned(), json!(figures))]),
        budgets: vec![
            Budget::at_least("throughput_when_full", *throughput_ratio, 0.9, "x empty"),
            Budget::at_most("start_up_when_full", *start_up_seconds, 1.0, "s"),
            Budget::at_most(
                "conversations_list_p99",
                p99(conversations_list_us),
                5.0,
                "ms",
            ),
            Budget::at_most("messages_list_p99", p99(messages_list_us), 5.0, "ms"),
            Budget::at_most("disk_per_message", *bytes_per_message, 600.0, "bytes"),
        ],
        rows: super::rows(&[
            ("delivered/s, empty", *delivered_per_second_empty),
            ("delivered/s, full", *delivered_per_second),
        ]),
        foot: format!(
            "Full: {messages} messages in {conversations} conversations. Pages as a client gets them, over HTTP."
        ),
        plots: Vec::new(),
    }
}
