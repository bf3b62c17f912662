//! Brings what is new in the log to the hub.
//!
//! It follows the log by the tail that deliveries follow, so that one reader reads it for all. There are two
//! followers: what happened is handed out as it comes, and how many messages are unread is looked up in
//! the store, which takes longer and must not keep messages waiting. While nobody listens neither wants
//! anything, so nothing is read for them.

use std::{collections::HashMap, sync::Arc, time::Duration};

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
                // Of several changes of a conversation, the last one.
                let entries = unread.next().await.into_iter();
                let changed: HashMap<_, _> = entries
                    .map(|entry| (entry.lane(), entry.sequence))
                    .collect();
                for (conversation, sequence) in changed {
                    if !hub.is_heard(Topic::UnreadCount) {
                        break;
                    }
                    if let Some(count) = count_unread(&*store, &*clock, conversation).await {
                        hub.publish_unread(Update::of_unread(count, sequence));
                    }
                }
            }
        };
        let both = async { tokio::join!(tell, count) };
        let _: Option<((), ())> = stop.run_until_cancelled(both).await;
    }
}

/// How many messages of a conversation are unread now. `None`: they were too old to keep.
async fn count_unread(
    store: &dyn Store,
    clock: &dyn Clock,
    conversation: ConversationId,
) -> Option<UnreadCount> {
    loop {
        // Before looking, so that of two counts the later one is never the older.
        let at = clock.now();
        match store.find_conversation(conversation).await {
            Ok(found) => {
                return found.map(|found| UnreadCount {
                    conversation_id: conversation,
                    unread_message_count: found.unread_count,
                    timestamp: WireTime(at),
                });
            }
            Err(error) => pause(&error).await,
        }
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
                page.entries
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tradewind_delivery::tail::{Interest, Tail};
    use tradewind_model::{Actor, Channel, Sequence, Source, SystemClock};
    use tradewind_store::{SqliteStore, Store};

    use super::Reader;

    #[tokio::test]
    async fn what_the_tail_does_not_reach_back_to_is_read_from_the_store() {
        let directory = tempfile::TempDir::new().unwrap();
        let store = SqliteStore::open(directory.path(), Arc::new(SystemClock)).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let source = Source::parse("chat_plugin").unwrap();
        for number in 0..3 {
            let name = format!("shop {number}");
            let channel = Channel {
                id: Channel::id_of(&source, &name),
                source: source.clone(),
                source_channel_id: name,
                name: None,
                image_url: None,
                token: None,
                connected: true,
            };
            let connected = store.connect_channel(channel, Actor::server()).await;
            connected.unwrap();
        }
        let head = *store.head().borrow();
        let mut reader = Reader {
            follower: Tail::new(head).follow(Interest::ALL),
            position: Sequence::START,
            store,
        };
        let entries = reader.next().await;
        let sequences: Vec<_> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, [1, 2, 3].map(Sequence));
        assert_eq!(reader.position, head);
    }
}
