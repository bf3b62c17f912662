//! The store in a `PostgreSQL` database, which any number of nodes share.
//!
//! The verbs are functions over a connection, as for `SQLite`, one module a table or two; this file only
//! gives each its connection and, where it needs one, its transaction. [`append`] groups what is written.

#[macro_use]
mod verbs;

mod accounts;
mod append;
mod attempts;
mod audit;
mod channel;
mod connect;
mod consumer;
mod conversation;
mod conversations;
mod filter;
mod head;
mod hosts;
mod lease;
mod listen;
mod listing;
mod log;
mod migrate;
mod note;
mod receipt;
mod replay;
mod row;
mod search;
mod set_aside;
mod sources;
mod sweep;
mod token;
mod user;
mod webhook;

use std::{fmt, sync::Arc};

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
    page::{Room, cutoff_ms},
    transfer,
};
use append::Writer;
use attempts::Attempts;
pub(crate) use connect::Connection;
use connect::{Address, LONG_MAX, Pool, VERB_MAX, within};
use lease::Leases;
use listen::{Listener, Signals};
pub(crate) use migrate::{is_current, migrate};
pub(crate) use row::{text, unescaped as read_escaped};

pub use connect::PostgresSettings;

/// The store in a `PostgreSQL` database.
pub struct PostgresStore {
    pool: Pool,
    writer: Writer,
    attempts: Attempts,
    leases: Leases,
    listener: Listener,
    signals: Signals,
    clock: Arc<dyn Clock>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date. Nodes that start at once take turns.
    pub async fn open(
        settings: &PostgresSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let address = Address::parse(&settings.url)?;
        let pool = Pool::new(&address, settings.connections)?;
        let db = pool.get().await?;
        migrate(&db, clock.now()).await?;
        transfer::refuse_unfinished(&db).await?;
        let signals = Signals::of(&db).await;
        let signals = db.release(signals)?;
        Ok(Self {
            writer: Writer::start(pool.clone(), Arc::clone(&clock), signals.head.clone()),
            attempts: Attempts::start(pool.clone(), Arc::clone(&clock)),
            leases: Leases::start(&address, settings.lease, signals.clone())?,
            listener: Listener::start(address, signals.clone()).await?,
            pool,
            signals,
            clock,
        })
    }

    /// Tells here at once what the server tells other nodes.
    async fn log_changed(&self) -> Result<(), StoreError> {
        self.signals.head.advance(on!(self, db => log::head(&db))?);
        Ok(())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, message: NewMessage) -> Result<Appended, StoreError> {
        self.writer.append(message).await
    }

    async fn settle(&self, message: MessageId, settlement: Settlement) -> Result<bool, StoreError> {
        self.writer.settle(message, settlement).await
    }

    async fn take_receipt(&self, receipt: NewReceipt) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let moved = on!(self, db => receipt::take_receipt(&db, now, &receipt))?;
        if moved > 0 {
            self.log_changed().await?;
        }
        Ok(moved)
    }

    async fn has_sent(
        &self,
        channel: ChannelId,
        source_message_id: String,
    ) -> Result<bool, StoreError> {
        on!(self, db => receipt::has_sent(&db, channel, &source_message_id))
    }

    async fn read_log(
        &self,
        after: Sequence,
        limit: usize,
        weight_max: usize,
    ) -> Result<LogPage, StoreError> {
        on!(self, db => log::read_log(&db, after, Room::new(limit, weight_max)))
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
        on!(self, db => log::read_lane(&db, conversation, &(from..=to), room))
    }

    async fn find_entries(&self, message: MessageId) -> Result<Vec<LogEntry>, StoreError> {
        on!(self, db => log::find_entries(&db, message))
    }

    fn head(&self) -> watch::Receiver<Sequence> {
        self.signals.head.subscribe()
    }

    fn join(&self) -> watch::Receiver<Holding> {
        self.leases.join()
    }

    fn gave_up(&self, kept: Shards) {
        self.leases.gave_up(kept);
    }

    async fn open_consumer(
        &self,
        consumer: &ConsumerId,
        start: Start,
    ) -> Result<ConsumerState, StoreError> {
        if let ConsumerId::Source(_) = consumer {
            on!(self, db => consumer::create_consumer(&db, consumer, start))?;
        }
        let holder = self.leases.holder()?;
        within_transaction!(self, db => consumer::open_consumer(&db, consumer, holder))
    }

    async fn find_standing(
        &self,
        consumer: &ConsumerId,
        lane: Option<ConversationId>,
    ) -> Result<Option<Standing>, StoreError> {
        on!(self, db => consumer::find_standing(&db, consumer, lane))
    }

    async fn save_progress(&self, progress: Progress) -> Result<bool, StoreError> {
        let now = self.clock.now();
        within_transaction!(self, db => consumer::save_progress(&db, now, &progress))
    }

    async fn connect_channel(&self, channel: Channel, by: Actor) -> Result<Channel, StoreError> {
        let now = self.clock.now();
        let connected = on!(self, db => channel::connect_channel(&db, now, &channel, &by))?;
        self.log_changed().await?;
        Ok(connected)
    }

    async fn disconnect_channel(
        &self,
        id: ChannelId,
        by: Actor,
    ) -> Result<Disconnected, StoreError> {
        let now = self.clock.now();
        let disconnected = on!(self, db => channel::disconnect_channel(&db, now, id, &by))?;
        self.log_changed().await?;
        Ok(disconnected)
    }

    async fn find_channel(&self, id: ChannelId) -> Result<Option<Channel>, StoreError> {
        on!(self, db => channel::find_channel(&db, id))
    }

    async fn list_channels(&self, limit: usize) -> Result<Vec<Channel>, StoreError> {
        on!(self, db => channel::list_channels(&db, limit))
    }

    async fn subscribe(&self, webhook: Webhook, by: Actor) -> Result<Webhook, StoreError> {
        let now = self.clock.now();
        change!(self, db => webhook::subscribe(&db, now, &webhook, &by))
    }

    async fn unsubscribe(&self, id: WebhookId, by: Actor) -> Result<Option<Webhook>, StoreError> {
        let now = self.clock.now();
        change!(self, db => webhook::unsubscribe(&db, now, id, &by))
    }

    async fn end_subscription(
        &self,
        id: WebhookId,
        generation: u64,
        because: String,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let ended = (id, Some(generation), Some(because.as_str()));
        change!(self, db => webhook::end(&db, now, ended, &Actor::server()))
    }

    async fn rotate_secret(
        &self,
        id: WebhookId,
        fresh: Uuid,
        overlap_until: Timestamp,
        by: Actor,
    ) -> Result<Option<Webhook>, StoreError> {
        let now = self.clock.now();
        change!(self, db => webhook::rotate_secret(&db, now, id, (fresh, overlap_until), &by))
    }

    async fn find_webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        on!(self, db => webhook::find_webhook(&db, id))
    }

    async fn list_webhooks(&self, limit: usize) -> Result<Vec<(Webhook, u64)>, StoreError> {
        on!(self, db => webhook::list_webhooks(&db, limit))
    }

    async fn list_set_aside(
        &self,
        webhook: WebhookId,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Page<SetAsideEntry, Sequence>, StoreError> {
        on!(self, db => set_aside::list_set_aside(&db, webhook, before, limit))
    }

    async fn count_replay(
        &self,
        webhook: WebhookId,
        range: ReplayRange,
        wanted: Wanted,
    ) -> Result<u64, StoreError> {
        on!(self, LONG_MAX, db => replay::count_replay(&db, webhook, &range, &wanted))
    }

    async fn start_replay(
        &self,
        id: ReplayId,
        webhook: WebhookId,
        range: ReplayRange,
    ) -> Result<Option<Replay>, StoreError> {
        let now = self.clock.now();
        change!(self, db => replay::start_replay(&db, now, id, webhook, &range))
    }

    async fn list_replays(&self, limit: usize) -> Result<Vec<Replay>, StoreError> {
        on!(self, db => replay::list_replays(&db, limit))
    }

    async fn set_aside_by(
        &self,
        webhook: WebhookId,
        at: Timestamp,
    ) -> Result<Vec<Sequence>, StoreError> {
        on!(self, db => set_aside::set_aside_by(&db, webhook, at))
    }

    async fn end_replay(&self, id: ReplayId) -> Result<(), StoreError> {
        change!(self, db => replay::end_replay(&db, id))
    }

    fn webhooks_changed(&self) -> watch::Receiver<u64> {
        self.signals.webhooks_changed.subscribe()
    }

    fn record_attempt(&self, record: AttemptRecord) {
        self.attempts.record(record);
    }

    async fn list_attempts(&self, query: AttemptQuery) -> Result<AttemptPage, StoreError> {
        self.attempts.flush().await?;
        on!(self, db => attempts::list(&db, &query))
    }

    fn attempts_dropped(&self) -> u64 {
        self.attempts.dropped()
    }

    async fn sweep(&self, retention: &Retention) -> Result<Swept, StoreError> {
        let now = self.clock.now();
        let mut swept = Swept::default();
        // Each by itself: who appends must not wait for all that another holds.
        if let Some(kept) = retention.log {
            let cutoff_ms = cutoff_ms(now, kept);
            within_transaction!(self, LONG_MAX, db => sweep::sweep_log(&db, cutoff_ms, &mut swept))?;
        }
        if let Some(kept) = retention.messages {
            let cutoff_ms = cutoff_ms(now, kept);
            on!(self, db => sweep::sweep_messages(&db, cutoff_ms, &mut swept))?;
            on!(self, db => sweep::sweep_conversations(&db, &mut swept))?;
        }
        if let Some(kept) = retention.idempotency_keys {
            let cutoff_ms = cutoff_ms(now, kept);
            on!(self, db => sweep::sweep_keys(&db, cutoff_ms, &mut swept))?;
        }
        if let Some(kept) = retention.audit {
            let cutoff_ms = cutoff_ms(now, kept);
            on!(self, db => sweep::sweep_audit(&db, cutoff_ms, &mut swept))?;
        }
        on!(self, db => token::sweep_tokens(&db, now))?;
        on!(self, db => user::sweep_invitations(&db, now))?;
        if swept.log_entries > 0 {
            // Somebody may read there: then the next sweep does it.
            let dropped = within_transaction!(self, db => sweep::drop_partitions(&db));
            if let Err(error) = dropped {
                tracing::debug!(error = %error, "swept parts of the log are still there");
            }
        }
        if let Some(kept) = retention.attempts {
            self.attempts.flush().await?;
            let cutoff_ms = cutoff_ms(now, kept);
            swept.attempt_segments =
                within_transaction!(self, db => attempts::drop_before(&db, cutoff_ms))?;
        }
        Ok(swept)
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        on!(self, db => log::check_writable(&db))
    }

    async fn close(&self) {
        self.leases.leave().await;
        self.listener.close().await;
        self.writer.close().await;
        self.attempts.close().await;
        self.pool.close();
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
