//! Follows the log and hands what concerns a conversation to whoever listens to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tradewind_model::{ConversationId, EntryKind, LogEntry, Sequence};
use tradewind_store::{Store, StoreError};

/// Messages that may wait for one socket. One that is further behind is closed.
const WAITING_MAX: usize = 64;
/// Entries read at once, and their weight in bytes.
const READ_MAX: usize = 512;
const READ_WEIGHT_MAX: usize = 4 << 20;
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Who listens to which conversation. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub(Arc<Mutex<Listeners>>);

#[derive(Debug, Default)]
struct Listeners {
    next: u64,
    of: HashMap<ConversationId, HashMap<u64, mpsc::Sender<Arc<LogEntry>>>>,
}

/// What a listener hears. Ends when the listener fell behind. Dropping it stops listening.
#[derive(Debug)]
pub(crate) struct Listening {
    hub: Hub,
    conversation: ConversationId,
    number: u64,
    entries: mpsc::Receiver<Arc<LogEntry>>,
}

impl Listening {
    /// The next entry; `None` when this listener fell behind. Cancel safety: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Arc<LogEntry>> {
        self.entries.recv().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.hub.lock();
        if let Some(of) = listeners.of.get_mut(&self.conversation) {
            of.remove(&self.number);
            if of.is_empty() {
                listeners.of.remove(&self.conversation);
            }
        }
    }
}

impl Hub {
    /// Hears every message of `conversation` that is delivered from now on, in either direction.
    pub(crate) fn listen(&self, conversation: ConversationId) -> Listening {
        let (sender, entries) = mpsc::channel(WAITING_MAX);
        let mut listeners = self.lock();
        let number = listeners.next;
        listeners.next += 1;
        listeners
            .of
            .entry(conversation)
            .or_default()
            .insert(number, sender);
        drop(listeners);
        Listening {
            hub: self.clone(),
            conversation,
            number,
            entries,
        }
    }

    /// Follows the log until `stop`. While nobody listens, nothing is read.
    pub(crate) async fn run(self, store: Arc<dyn Store>, stop: CancellationToken) {
        let follow = async {
            let mut head = store.head();
            let mut position = *head.borrow();
            loop {
                let newest = *head.borrow_and_update();
                // Whoever starts to listen after this look hears what comes after `newest`.
                if self.is_silent() {
                    position = newest;
                }
                while position < newest {
                    position = self.hand_out(&*store, position).await;
                }
                if head.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = stop.run_until_cancelled(follow).await;
    }

    /// Hands out the next entries, and gives the position after them.
    async fn hand_out(&self, store: &dyn Store, position: Sequence) -> Sequence {
        match store.read_log(position, READ_MAX, READ_WEIGHT_MAX).await {
            Ok(page) => {
                self.publish(page.entries);
                page.read_to
            }
            Err(error) => {
                // That the store is away it tells itself, and not every second.
                if !matches!(error, StoreError::Unavailable(_) | StoreError::Closed) {
                    tracing::error!(%error, "live updates wait: the log could not be read");
                }
                tokio::time::sleep(STORE_PAUSE).await;
                position
            }
        }
    }

    fn publish(&self, entries: Vec<LogEntry>) {
        let mut listeners = self.lock();
        for entry in entries {
            let conversation = entry.lane();
            let delivered = matches!(entry.kind, EntryKind::Received | EntryKind::Sent);
            let Some(of) = listeners.of.get_mut(&conversation).filter(|_| delivered) else {
                continue;
            };
            let entry = Arc::new(entry);
            of.retain(|_, sender| sender.try_send(Arc::clone(&entry)).is_ok());
        }
    }

    fn is_silent(&self) -> bool {
        self.lock().of.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
