//! The store in one `SQLite` database, in a directory of its own.
//!
//! Embedded and for one process. All writes go through one thread that commits them in groups
//! ([`writer`]); reads have a few connections of their own ([`readers`]). The verbs are plain
//! functions over a connection, one module a table or two; this file only sends them to the right
//! side.

/// Runs statements on a connection that only reads.
macro_rules! read {
    ($store:expr, $db:ident => $work:expr) => {
        $store.readers.read(move |$db| $work).await
    };
}

/// Runs statements that write, at a time of the store's clock.
macro_rules! write {
    ($store:expr, ($batch:ident, $now:ident) => $work:expr) => {{
        let clock = Arc::clone(&$store.clock);
        $store
            .writer
            .write(move |$batch| {
                let $now = clock.now();
                $work
            })
            .await
    }};
}

mod accounts;
mod append;
mod attempts;
mod audit;
mod backup;
mod channel;
mod consumer;
mod conversation;
mod conversations;
mod fault;
mod filter;
mod lane;
mod listing;
mod log;
mod migrate;
mod note;
mod open;
mod readers;
mod receipt;
mod recent;
mod replay;
mod row;
mod search;
mod set_aside;
mod sources;
mod sweep;
mod token;
mod user;
mod wal;
mod webhook;
mod writer;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;
use tradewind_model::{
    Actor, Channel, ChannelId, Clock, ConversationId, LogEntry, MessageId, ReplayId, Sequence,
    Shards, Timestamp, Webhook, WebhookId,
};
use uuid::Uuid;

use crate::{
    Appended, AttemptPage, AttemptQuery, AttemptRecord, ConsumerId, ConsumerState, Disconnected,
    Holding, LogPage, NewMessage, NewReceipt, OpenError, Page, Progress, Replay, ReplayRange,
    Retention, SetAsideEntry, Settlement, Standing, Start, Store, StoreError, Swept, Wanted,
    page::{Room, cutoff_ms, row_limit},
    transfer,
};
use attempts::Attempts;
pub use backup::{BackupError, back_up};
use fault::Faults;
pub(crate) use migrate::{is_current, migrate};
pub(crate) use open::Directory;
use readers::Readers;
use search::Words;
use writer::{PACE, Writer};

/// The store in one `SQLite` database.
#[derive(Debug)]
pub struct SqliteStore {
    /// Before the writer, which is the last to leave the directory.
    attempts: Attempts,
    writer: Writer,
    readers: Readers,
    words: Words,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens the database in the directory `path`, creating both if they are missing, and brings its
    /// schema up to date. The directory is locked against other processes until the store is closed, or
    /// has been dropped and the last of its writes is done.
    ///
    /// Blocks: it reads and writes files.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let directory = Directory::lock(path)?;
        let mut connection = directory.writer()?;
        migrate(&mut connection, clock.now())?;
        transfer::refuse_unfinished_directory(&connection)?;
        let head = log::head(&connection)?;
        let checkpointer = directory.writer()?;
        let attempts = Attempts::start(path.to_owned(), Arc::clone(&clock));
        let faults = Arc::new(Faults::default());
        Ok(Self {
            attempts: attempts.map_err(OpenError::Thread)?,
            readers: Readers::open(&directory, Arc::clone(&faults))?,
            writer: Writer::start(connection, checkpointer, directory, head, faults, PACE)
                .map_err(OpenError::Thread)?,
            words: Words::beside(path),
            clock,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, message: NewMessage) -> Result<Appended, StoreError> {
        write!(self, (batch, now) => append::append(batch, now, &message))
    }

    async fn settle(&self, message: MessageId, settlement: Settlement) -> Result<bool, StoreError> {
        write!(self, (batch, now) => append::settle(batch, now, message, &settlement))
    }

    async fn take_receipt(&self, receipt: NewReceipt) -> Result<u64, StoreError> {
        write!(self, (batch, now) => receipt::take_receipt(batch, now, &receipt))
    }

    async fn has_sent(
        &self,
        channel: ChannelId,
        source_message_id: String,
    ) -> Result<bool, StoreError> {
        read!(self, db => receipt::has_sent(db, channel, source_message_id.clone()))
    }

    async fn read_log(
        &self,
        after: Sequence,
        limit: usize,
        weight_max: usize,
    ) -> Result<LogPage, StoreError> {
        let room = Room::new(limit, weight_max);
        if let Some(page) = self.writer.signals().recent.read(after, room) {
            return Ok(page);
        }
        read!(self, db => log::read_log(db, after, room))
    }

    async fn read_lane(
        &self,
        conversation: ConversationId,
        from: Sequence,
        to: Sequence,
        limit: usize,
        weight_max: usize,
    ) -> Result<LogPage, StoreError> {
        let room = Room::new(limit, weight_max);
        read!(self, db => log::read_lane(db, conversation, &(from..=to), room))
    }

    async fn find_entries(&self, message: MessageId) -> Result<Vec<LogEntry>, StoreError> {
        read!(self, db => log::find_entries(db, message))
    }

    fn head(&self) -> watch::Receiver<Sequence> {
        self.writer.signals().head.subscribe()
    }

    fn join(&self) -> watch::Receiver<Holding> {
        Holding::alone()
    }

    fn gave_up(&self, _kept: Shards) {}

    async fn open_consumer(
        &self,
        consumer: &ConsumerId,
        start: Start,
    ) -> Result<ConsumerState, StoreError> {
        if let ConsumerId::Source(_) = consumer {
            let id = consumer.clone();
            self.writer
                .write(move |batch| consumer::create_consumer(batch, &id, start))
                .await?;
        }
        let id = consumer.clone();
        read!(self, db => consumer::find_consumer(db, &id)?.ok_or(StoreError::NotFound))
    }

    async fn find_standing(
        &self,
        consumer: &ConsumerId,
        lane: Option<ConversationId>,
    ) -> Result<Option<Standing>, StoreError> {
        let id = consumer.clone();
        read!(self, db => consumer::find_standing(db, &id, lane))
    }

    async fn save_progress(&self, progress: Progress) -> Result<bool, StoreError> {
        write!(self, (batch, now) => consumer::save_progress(batch, now, &progress))
    }

    async fn connect_channel(&self, channel: Channel, by: Actor) -> Result<Channel, StoreError> {
        write!(self, (batch, now) => channel::connect_channel(batch, now, &channel, &by))
    }

    async fn disconnect_channel(
        &self,
        id: ChannelId,
        by: Actor,
    ) -> Result<Disconnected, StoreError> {
        write!(self, (batch, now) => channel::disconnect_channel(batch, now, id, &by))
    }

    async fn find_channel(&self, id: ChannelId) -> Result<Option<Channel>, StoreError> {
        read!(self, db => channel::find_channel(db, id))
    }

    async fn list_channels(&self, limit: usize) -> Result<Vec<Channel>, StoreError> {
        read!(self, db => channel::list_channels(db, row_limit(limit)))
    }

    async fn subscribe(&self, webhook: Webhook, by: Actor) -> Result<Webhook, StoreError> {
        write!(self, (batch, now) => webhook::subscribe(batch, now, &webhook, &by))
    }

    async fn unsubscribe(&self, id: WebhookId, by: Actor) -> Result<Option<Webhook>, StoreError> {
        write!(self, (batch, now) => webhook::unsubscribe(batch, now, id, &by))
    }

    async fn end_subscription(
        &self,
        id: WebhookId,
        generation: u64,
        because: String,
    ) -> Result<(), StoreError> {
        write!(self, (batch, now) => {
            webhook::end_subscription(batch, now, id, (generation, &because))
        })
    }

    async fn rotate_secret(
        &self,
        id: WebhookId,
        fresh: Uuid,
        overlap_until: Timestamp,
        by: Actor,
    ) -> Result<Option<Webhook>, StoreError> {
        write!(self, (batch, now) => {
            webhook::rotate_secret(batch, now, id, (fresh, overlap_until), &by)
        })
    }

    async fn find_webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        read!(self, db => webhook::find_webhook(db, id))
    }

    async fn list_webhooks(&self, limit: usize) -> Result<Vec<(Webhook, u64)>, StoreError> {
        read!(self, db => webhook::list_webhooks(db, row_limit(limit)))
    }

    async fn list_set_aside(
        &self,
        webhook: WebhookId,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Page<SetAsideEntry, Sequence>, StoreError> {
        read!(self, db => set_aside::list_set_aside(db, webhook, before, limit))
    }

    async fn count_replay(
        &self,
        webhook: WebhookId,
        range: ReplayRange,
        wanted: Wanted,
    ) -> Result<u64, StoreError> {
        read!(self, db => replay::count_replay(db, webhook, &range, &wanted))
    }

    async fn start_replay(
        &self,
        id: ReplayId,
        webhook: WebhookId,
        range: ReplayRange,
    ) -> Result<Option<Replay>, StoreError> {
        write!(self, (batch, now) => replay::start_replay(batch, now, id, webhook, &range))
    }

    async fn list_replays(&self, limit: usize) -> Result<Vec<Replay>, StoreError> {
        read!(self, db => replay::list_replays(db, row_limit(limit)))
    }

    async fn set_aside_by(
        &self,
        webhook: WebhookId,
        at: Timestamp,
    ) -> Result<Vec<Sequence>, StoreError> {
        read!(self, db => set_aside::set_aside_by(db, webhook, at))
    }

    async fn end_replay(&self, id: ReplayId) -> Result<(), StoreError> {
        self.writer
            .write(move |batch| replay::end_replay(batch, id))
            .await
    }

    fn webhooks_changed(&self) -> watch::Receiver<u64> {
        self.writer.signals().webhooks_changed.subscribe()
    }

    fn record_attempt(&self, record: AttemptRecord) {
        self.attempts.record(record);
    }

    async fn list_attempts(&self, query: AttemptQuery) -> Result<AttemptPage, StoreError> {
        self.attempts.list(query).await
    }

    fn attempts_dropped(&self) -> u64 {
        self.attempts.dropped()
    }

    async fn sweep(&self, retention: &Retention) -> Result<Swept, StoreError> {
        let (now, retention) = (self.clock.now(), *retention);
        let sweeping = self.writer.write(move |batch| {
            let swept = sweep::sweep(batch, now, &retention)?;
            if swept.log_entries > 0 {
                batch.swept();
            }
            Ok(swept)
        });
        let mut swept = sweeping.await?;
        if let Some(kept) = retention.attempts {
            let cutoff_ms = cutoff_ms(now, kept);
            swept.attempt_segments = self.attempts.drop_before(cutoff_ms).await?;
        }
        Ok(swept)
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.writer
            .write(|batch| {
                batch
                    .prepare_cached("-- check_writable\n UPDATE counter SET checks = checks + 1")?
                    .execute([])?;
                Ok(())
            })
            .await
    }

    async fn close(&self) {
        // Readers first, so that the writer is the last to leave and can empty the write-ahead log.
        self.words.close().await;
        self.readers.close().await;
        self.writer.signals().tokens.close();
        self.writer.signals().recent.close();
        self.attempts.close().await;
        self.writer.close().await;
    }
}
