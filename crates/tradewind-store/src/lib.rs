//! The one door to durable state.
//!
//! [`Store`] is the seam: its verbs are the domain's, its promises are written on each verb, and one
//! suite of tests holds them for every backend. `SQLite` stands behind it today; a second backend adds
//! a module beside `sqlite` and a line in the suite.
//!
//! Three promises hold for every verb that writes. What it answered is durable: synced to disk before
//! the call returns. It is atomic: a crash leaves all of it or none. And it is visible: a read that
//! starts after the answer sees it.
//!
//! What never lives here: the API's JSON, and any decision about delivery.

mod accounts;
mod attempt;
mod coded;
mod columns;
mod conversations;
pub mod crash;
mod filter;
mod migrations;
mod open;
mod page;
mod postgres;
mod range;
mod receipt;
mod search;
mod share;
mod sources;
mod sqlite;
mod transfer;
mod types;
mod walk;

use async_trait::async_trait;
use tokio::sync::watch;
use tradewind_model::{
    Actor, Channel, ChannelId, ConversationId, LogEntry, MessageId, ReplayId, Sequence, Shards,
    Timestamp, Webhook, WebhookId,
};
use uuid::Uuid;

pub use accounts::{
    Accepted, Accounts, Admitted, AuditPage, Credentials, NewUser, Removed, UserKey,
};
pub use attempt::{AttemptCursor, AttemptPage, AttemptQuery, AttemptRecord};
pub use conversations::{Conversations, NOTES_MAX, Note, Noted};
pub use open::OpenError;
pub use postgres::{PostgresSettings, PostgresStore};
pub use share::{Holder, Holding, Lease, Share};
pub use sources::{Created, OwnSource, OwnSources};
pub use sqlite::{BackupError, SqliteStore, back_up};
pub use transfer::{Address, Moved, Place, Step, TransferError, transfer};
pub use types::{
    Appended, ConsumerId, ConsumerState, ConversationCursor, ConversationPage, Disconnected, Found,
    HeldLane, Idempotency, LogPage, MessageCursor, MessagePage, NewMessage, NewReceipt, Origin,
    Page, Progress, ReceiptKind, ReceiptOf, Replay, ReplayRange, Retention, SetAside,
    SetAsideEntry, Settlement, Standing, Start, StoreError, Swept, TokenHash, Wanted,
};

/// The log, channels and webhooks, and where each consumer stands; the rest of the state is behind
/// [`Accounts`], [`Conversations`] and [`OwnSources`].
#[async_trait]
pub trait Store:
    Accounts + Conversations + OwnSources + Send + Sync + std::fmt::Debug + 'static
{
    // --- the log -------------------------------------------------------------------------------

    /// Stores a message, updates its conversation and appends its entry to the log, at once.
    ///
    /// The conversation is created by its first message if a source brought it ([`Origin::Source`]);
    /// the API can only write to one that exists. A message with the id of a stored one, or with an
    /// idempotency key that was used for the same request, changes nothing: [`Appended::Repeated`].
    /// A message that [`Self::sweep`] removed is forgotten with its key.
    async fn append(&self, message: NewMessage) -> Result<Appended, StoreError>;

    /// Records what became of a message that its source was asked to take, and appends the entry that
    /// says so ([`tradewind_model::EntryKind::Sent`] or `SendFailed`). Only a pending message changes: the second call of
    /// two answers `false` and appends nothing. `false` too when there is no such message.
    async fn settle(&self, message: MessageId, settlement: Settlement) -> Result<bool, StoreError>;

    /// Records what a source tells of messages that it took, and appends the entries that say so; how many
    /// messages it moved on. A message only moves forward, from pending over delivered
    /// ([`tradewind_model::EntryKind::Sent`]) and its receipts to read; what comes late or twice changes
    /// nothing. It fails for good from pending, or from delivered without a receipt.
    async fn take_receipt(&self, receipt: NewReceipt) -> Result<u64, StoreError>;

    /// Whether the source of this channel calls a message of ours so, of those that it was recorded to have
    /// taken: what it tells of it as another's is an echo.
    async fn has_sent(
        &self,
        channel: ChannelId,
        source_message_id: String,
    ) -> Result<bool, StoreError>;

    /// Entries after `after` in log order, at most `limit` (1 to 10,000) and about `weight_max` bytes
    /// of [`tradewind_model::LogEntry::weight`], but at least one if there is one.
    ///
    /// Never skips an entry because its transaction commits later than one with a larger sequence.
    async fn read_log(
        &self,
        after: Sequence,
        limit: usize,
        weight_max: usize,
    ) -> Result<LogPage, StoreError>;

    /// Entries of one lane, which is a conversation or a channel, from `from` on (inclusive) up to and including `to`, in log order,
    /// bounded as in [`Self::read_log`].
    async fn read_lane(
        &self,
        conversation: ConversationId,
        from: Sequence,
        to: Sequence,
        limit: usize,
        weight_max: usize,
    ) -> Result<LogPage, StoreError>;

    /// The entries about a message, in log order; not those about changes of its conversation.
    async fn find_entries(&self, message: MessageId) -> Result<Vec<LogEntry>, StoreError>;

    /// The sequence of the newest entry, as it moves. A hint that wakes readers: the truth is what
    /// [`Self::read_log`] returns.
    fn head(&self) -> watch::Receiver<Sequence>;

    // --- consumers -----------------------------------------------------------------------------

    /// Takes part in the deliveries, and tells which shards of them are this node's, as that changes:
    /// other nodes come, go and die. Where there is one node it has all, for ever.
    ///
    /// Shards that are no longer in a new holding are still kept from others until
    /// [`Self::gave_up`] says that they are not delivered here any more. A holding is empty once it could
    /// not be renewed in time; its [`Lease`] says so at that moment already.
    fn join(&self) -> watch::Receiver<Holding>;

    /// Nothing is delivered here any more but what `kept` says: others may have the rest.
    fn gave_up(&self, kept: Shards);

    /// Where the part of a consumer stands that is this node's, creating the consumer at `start` if it is
    /// new. Whoever held one of its shards before can save nothing more. A webhook's consumer is made and
    /// moved by [`Self::subscribe`], a replay's by [`Self::start_replay`], and must exist:
    /// [`StoreError::NotFound`] otherwise. [`StoreError::Unavailable`] when the node holds nothing.
    async fn open_consumer(
        &self,
        consumer: &ConsumerId,
        start: Start,
    ) -> Result<ConsumerState, StoreError>;

    /// Where a consumer stands, for who only looks; with a lane: where that stands.
    async fn find_standing(
        &self,
        consumer: &ConsumerId,
        lane: Option<ConversationId>,
    ) -> Result<Option<Standing>, StoreError>;

    /// Moves a consumer's cursor, writes and releases held lanes, and sets entries aside, at once. `false`, and nothing is
    /// written, when `progress.generation` is not the consumer's, as it was restarted meanwhile, or when
    /// another node has opened one of the holder's shards. The cursor never moves back.
    async fn save_progress(&self, progress: Progress) -> Result<bool, StoreError>;

    // --- channels ------------------------------------------------------------------------------

    /// Connects a channel. One that is connected stays as it is, but for a new token, and is returned; one that
    /// was disconnected takes the new name, picture and token.
    async fn connect_channel(&self, channel: Channel, by: Actor) -> Result<Channel, StoreError>;

    /// Disconnects a channel and erases its token; its conversations stay.
    async fn disconnect_channel(
        &self,
        id: ChannelId,
        by: Actor,
    ) -> Result<Disconnected, StoreError>;

    async fn find_channel(&self, id: ChannelId) -> Result<Option<Channel>, StoreError>;

    /// The connected channels, in the order in which each was first connected. Bounded by `limit`.
    async fn list_channels(&self, limit: usize) -> Result<Vec<Channel>, StoreError>;

    // --- webhooks ------------------------------------------------------------------------------

    /// Creates a webhook, or replaces what the one with this id says but for its secrets, which stay.
    /// Subscribing one that is new or was unsubscribed starts it at the newest entry of the log, with no
    /// held lanes and a new generation; updating a subscribed one leaves its place. Returns it as stored.
    async fn subscribe(&self, webhook: Webhook, by: Actor) -> Result<Webhook, StoreError>;

    /// Unsubscribes, forgets the held lanes and the replays, and starts a new generation, so that nothing
    /// that waits is sent. `None`: there is no such webhook.
    async fn unsubscribe(&self, id: WebhookId, by: Actor) -> Result<Option<Webhook>, StoreError>;

    /// The same because the endpoint said so, in this generation of the webhook; in another one nothing
    /// changes. `because` is for the operator.
    async fn end_subscription(
        &self,
        id: WebhookId,
        generation: u64,
        because: String,
    ) -> Result<(), StoreError>;

    /// Makes `fresh` the webhook's secret; the one before signs too until `overlap_until`. `None`: there
    /// is no such webhook.
    async fn rotate_secret(
        &self,
        id: WebhookId,
        fresh: Uuid,
        overlap_until: Timestamp,
        by: Actor,
    ) -> Result<Option<Webhook>, StoreError>;

    async fn find_webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError>;

    /// All webhooks, the oldest first, each with its generation. Bounded by `limit`.
    async fn list_webhooks(&self, limit: usize) -> Result<Vec<(Webhook, u64)>, StoreError>;

    /// What a webhook has set aside, the newest entry first, before `before`.
    async fn list_set_aside(
        &self,
        webhook: WebhookId,
        before: Option<Sequence>,
        limit: usize,
    ) -> Result<Page<SetAsideEntry, Sequence>, StoreError>;

    // --- replays -------------------------------------------------------------------------------

    /// How many entries a replay of `range` would bring to a webhook that wants these.
    async fn count_replay(
        &self,
        webhook: WebhookId,
        range: ReplayRange,
        wanted: Wanted,
    ) -> Result<u64, StoreError>;

    /// Makes a replay of a webhook and the consumer that does it. It ends with its webhook's
    /// subscription. `None`: there is no such webhook, or it is not subscribed.
    async fn start_replay(
        &self,
        id: ReplayId,
        webhook: WebhookId,
        range: ReplayRange,
    ) -> Result<Option<Replay>, StoreError>;

    /// Replays that are not finished, the oldest first. Bounded by `limit`.
    async fn list_replays(&self, limit: usize) -> Result<Vec<Replay>, StoreError>;

    /// Entries that the webhook had set aside by then, of at most a million.
    async fn set_aside_by(
        &self,
        webhook: WebhookId,
        at: Timestamp,
    ) -> Result<Vec<Sequence>, StoreError>;

    /// Forgets a replay and its consumer, if it has come to its end in all shards: its cursors are there,
    /// and no lane is held.
    async fn end_replay(&self, id: ReplayId) -> Result<(), StoreError>;

    /// Counts changes of webhooks, replays and sources: a hint for whoever runs their deliveries.
    fn webhooks_changed(&self) -> watch::Receiver<u64>;

    // --- attempts ------------------------------------------------------------------------------

    /// Keeps a record of an attempt, for as long as [`Retention::attempts`] says.
    ///
    /// Unlike every other verb it promises little, so that deliveries never wait for it: it does not
    /// block and does not fail, and what it was given may be lost to a crash. What does not fit its
    /// queue, or cannot be written, is dropped and counted.
    fn record_attempt(&self, record: AttemptRecord);

    /// What was recorded before the call, the newest first. A part of the record that is damaged is
    /// passed over.
    async fn list_attempts(&self, query: AttemptQuery) -> Result<AttemptPage, StoreError>;

    /// Records of attempts that were dropped since the store was opened.
    fn attempts_dropped(&self) -> u64;

    // --- upkeep --------------------------------------------------------------------------------

    /// Removes a bounded number of rows that are older than `retention` keeps, and the record of attempts
    /// by whole segments whose attempts are all that old. Entries of the log
    /// that a subscribed consumer has not dealt with are removed too once they are that old, and
    /// counted in [`Swept::undelivered`], but for a replay's; lanes held at one of them go on with their next entry that is
    /// left. A conversation goes with its last message, and a message stays as long as the log has an
    /// entry about it; the newest message of all stays. Call again while [`Swept::more`].
    async fn sweep(&self, retention: &Retention) -> Result<Swept, StoreError>;

    /// Writes and syncs one small row, so that whoever asks knows whether the store accepts writes.
    async fn check_writable(&self) -> Result<(), StoreError>;

    /// Finishes the writes that wait and closes the files. Later calls fail with
    /// [`StoreError::Closed`].
    async fn close(&self);
}
