//! Brings what is new in the log to the hub.
//!
//! It follows the log by the tail that deliveries follow, so that one reader reads it for all. There are two
//! followers: what happened is handed out as it comes, and how many messages are unread is looked up in
//! the store, which takes longer and must not keep messages waiting. While nobody listens neither wants
//! anything, so nothing is read for them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tradewind_delivery::{
    chain::chain,
    tail::{Follower, Interest, Tail},
};
use tradewind_model::{Clock, ConversationId, LogEntry, Sequence, WireTime};
use tradewind_store::{Store, StoreError};

use super::{
    hub::Hub,
    update::{Topic, UnreadCount, Update},
};

/// Entries read at once, and their weight in bytes.
const READ_MAX: usize = 512;
const READ_WEIGHT_MAX: usize = 1 << 20;
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What runs beside the sockets: [`Self::run`].
#[derive(Debug)]
pub(crate) struct Feed {
    hub: Hub,
    entries: Reader,
    unread: Reader,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// A follower of the log, and how far it has come.
#[derive(Debug)]
struct Reader {
    follower: Follower,
    position: Sequence,
    store: Arc<dyn Store>,
}

impl Feed {
    /// A hub, and what feeds it.
    pub(crate) fn new(tail: &Tail, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> (Hub, Self) {
        let reader = || Reader {
            follower: tail.follow(Interest::NOTHING),
            position: *store.head().borrow(),
            store: Arc::clone(&store),
        };
        let (entries, unread) = (reader(), reader());
        let hub = Hub::new(
            entries.follower.stand().clone(),
            unread.follower.stand().clone(),
        );
        let feed = Self {
            hub: hub.clone(),
            entries,
            unread,
            store,
            clock,
        };
        (hub, feed)
    }

    /// Feeds the hub until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self {
            hub,
            mut entries,
            mut unread,
            store,
            clock,
        } = self;
        let tell = async {
            loop {
                hub.publish(&entries.next().await);
            }
        };
        let count = async {
            loop {
                let changed = unread.next().await;
                let mut told = HashSet::new();
                for conversation in changed.iter().map(|entry| entry.lane()) {
                    if told.insert(conversation) && hub.is_heard(Topic::UnreadCount) {
                        tell_unread(&hub, &*store, &*clock, conversation).await;
                    }
                }
            }
        };
        let both = async { tokio::join!(tell, count) };
        let _: Option<((), ())> = stop.run_until_cancelled(both).await;
    }
}

/// Tells how many messages of a conversation are unread now.
async fn tell_unread(hub: &Hub, store: &dyn Store, clock: &dyn Clock, id: ConversationId) {
    // Before looking, so that of two counts the later one is never the older.
    let at = clock.now();
    loop {
        match store.find_conversation(id).await {
            Ok(Some(conversation)) => hub.publish_unread(Update::of_unread(UnreadCount {
                conversation_id: id,
                unread_message_count: conversation.unread_count,
                timestamp: WireTime(at),
            })),
            // Its messages were too old to keep.
            Ok(None) => {}
            Err(error) => {
                pause(&error).await;
                continue;
            }
        }
        return;
    }
}

impl Reader {
    /// The next entries that somebody wants; waits for them.
    async fn next(&mut self) -> Vec<Arc<LogEntry>> {
        loop {
            let part = self.follower.next(self.position, READ_MAX, READ_WEIGHT_MAX);
            let entries = match part {
                Some(part) => {
                    self.position = part.read_to;
                    if part.entries.is_empty() && !part.more {
                        self.follower.news().await;
                    }
                    part.entries
                }
                None => self.read().await,
            };
            if !entries.is_empty() {
                return entries;
            }
        }
    }

    /// Reads what the tail does not reach back to.
    async fn read(&mut self) -> Vec<Arc<LogEntry>> {
        let page = self
            .store
            .read_log(self.position, READ_MAX, READ_WEIGHT_MAX);
        match page.await {
            Ok(page) => {
                if page.read_to <= self.position {
                    // The database has lost what the tail has seen: it is waited for until there is more.
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                self.position = self.position.max(page.read_to);
                page.entries.into_iter().map(Arc::new).collect()
            }
            Err(error) => {
                pause(&error).await;
                Vec::new()
            }
        }
    }
}

async fn pause(error: &StoreError) {
    // That the store is away it tells itself, and not every second.
    if !matches!(error, StoreError::Unavailable(_) | StoreError::Closed) {
        tracing::error!(error = %chain(error), "live updates wait: the store could not be read");
    }
    tokio::time::sleep(STORE_PAUSE).await;
}
