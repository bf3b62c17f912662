//! Prints what happens to each message, one line a step.

use std::sync::Arc;

use tokio::sync::mpsc;
use tradewind_delivery::attempt::{Attempt, Observer, Outcome};
use tradewind_model::{EntryKind, LogEntry, SenderType, WireTime};
use tradewind_store::{ConsumerId, Store};

use crate::{cli::output, server::Server};

/// Attempts that may wait to be printed; more are left out.
const WAITING_MAX: usize = 1_024;
const READ_MAX: usize = 100;
const READ_WEIGHT_MAX: usize = 1 << 20;
/// Characters of a text that are shown.
const TEXT_MAX: usize = 60;

/// An observer of attempts, and where they come out.
pub(super) fn observer() -> (Observer, mpsc::Receiver<Attempt>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let observer: Observer = Arc::new(move |attempt| {
        let _ = sender.try_send(attempt.clone());
    });
    (observer, receiver)
}

/// Prints the steps until the server stops.
pub(super) fn print(server: &Server, mut attempts: mpsc::Receiver<Attempt>) {
    let tasks = server.tasks().clone();
    let store = Arc::clone(server.store());
    server.tasks().spawn(async move {
        let mut head = store.head();
        let mut position = *head.borrow_and_update();
        loop {
            tokio::select! {
                biased;
                () = tasks.stopping() => return,
                Ok(()) = head.changed() => position = print_log(&*store, position).await,
                Some(attempt) = attempts.recv() => print_attempt(&attempt),
            }
        }
    });
}

async fn print_log(
    store: &dyn Store,
    mut position: tradewind_model::Sequence,
) -> tradewind_model::Sequence {
    while let Ok(page) = store.read_log(position, READ_MAX, READ_WEIGHT_MAX).await {
        page.entries.iter().for_each(|entry| print_entry(entry));
        position = page.read_to;
        if !page.more {
            break;
        }
    }
    position
}

fn print_entry(entry: &LogEntry) {
    let Some(message) = entry.message() else {
        return;
    };
    let step = match (entry.kind, message.sender.kind) {
        (EntryKind::Received, SenderType::SourceContact) => "message in",
        (EntryKind::Received, _) => "message seen",
        (EntryKind::SendRequested, _) => "reply in",
        (EntryKind::Sent, _) => "reply delivered",
        (EntryKind::SendFailed, _) => "reply failed",
        (EntryKind::ReceiptDelivered, _) => "reply arrived",
        (EntryKind::ReceiptRead, _) => "reply read",
        (
            EntryKind::ChannelConnected
            | EntryKind::ChannelDisconnected
            | EntryKind::ConversationChanged,
            _,
        ) => return,
    };
    let text: String = message.content.text.chars().take(TEXT_MAX).collect();
    let at = WireTime(message.sent_at);
    output::say(&format!(
        "{at}  {step:<16} {}  {text:?}",
        short(&message.id.to_string())
    ));
}

fn print_attempt(attempt: &Attempt) {
    if !matches!(attempt.consumer, ConsumerId::Webhook(_)) {
        return;
    }
    let result = match &attempt.outcome {
        Outcome::Delivered { status } => {
            status.map_or_else(String::new, |status| status.to_string())
        }
        Outcome::Failed(failure) => failure.detail.clone(),
    };
    let ms = attempt.duration.as_secs_f64() * 1_000.0;
    let id = attempt
        .message_id
        .map_or_else(String::new, |id| id.to_string());
    output::say(&format!(
        "{:26}{:<16} {}  {result} in {ms:.1} ms",
        "",
        "event out",
        short(&id)
    ));
}

/// The end of an id: enough to tell the messages of a demo apart.
fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}
