//! What goes through the door: arguments and answers of the verbs of [`crate::Store`].

use std::{fmt, sync::Arc};

use jiff::SignedDuration;
use tradewind_model::{
    ChannelId, Content, Conversation, ConversationId, EntryKind, LogEntry, Message, MessageId,
    ReplayId, Sender, SenderType, Sequence, Source, Timestamp, WebhookId,
};

use crate::{Holder, Share};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or read-only, a sync failed, the database is away: nothing was written, and
    /// the same call may succeed later.
    #[error("the store cannot be reached or written now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store is closed")]
    Closed,
    /// What a verb says must exist does not.
    #[error("not found")]
    NotFound,
    /// What is stored is not what this program wrote, or a mistake in this program.
    #[error("the store failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// SHA-256 of a token's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub origin: Origin,
    pub sender: Sender,
    pub content: Content,
    pub sent_at: Timestamp,
    pub idempotency: Option<Idempotency>,
}

/// Who brings a message, which decides its state and the kind of its entry.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A source: the message is delivered already, its entry is `Received`.
    Source {
        channel_id: ChannelId,
        /// The contact's id at the source.
        contact_source_id: String,
    },
    /// `messages.send`: the message is pending, its entry is `SendRequested`.
    Api,
}

/// Makes a repeated request harmless.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Whose key it is: keys of different callers never meet.
    pub scope: String,
    pub key: String,
    /// SHA-256 of what the key was sent with.
    pub request_hash: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored(Message),
    /// It was stored before: the message of that time, in its present state.
    Repeated(Message),
    /// The idempotency key was used for another request.
    KeyReused,
    ConversationNotFound,
    ChannelNotFound,
    ChannelDisconnected,
}

/// What a source tells of messages that it took before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReceipt {
    pub channel_id: ChannelId,
    pub of: ReceiptOf,
    pub kind: ReceiptKind,
}

/// Which messages a receipt is about: of its channel, and our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptOf {
    Message(MessageId),
    /// Those that the source calls so, of which it should have one each. At most 100 are looked for.
    SourceIds(Vec<String>),
    /// All that were written in the conversation with this contact until then, and that the source has, among
    /// its newest 100 messages: from the newest on, up to one of ours that has the receipt. Those before that
    /// have it as well; one that still waits to be sent is not meant.
    Until {
        contact: String,
        at: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    /// The source has them.
    Sent,
    Delivered,
    Read,
    /// The source could not bring them to the contact after all.
    Failed {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    Sent {
        /// What the source calls it, for receipts. One of more than 512 bytes is not kept.
        source_message_id: Option<String>,
    },
    Failed {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// Shared with who else reads them.
    pub entries: Vec<Arc<LogEntry>>,
    /// Everything up to here was looked at; the next read goes on after it.
    pub read_to: Sequence,
    /// Whether the read stopped at its limits, so that there may be more right away.
    pub more: bool,
}

/// Who reads the log on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConsumerId {
    Webhook(WebhookId),
    /// Carries replies to a source.
    Source(Source),
    /// Brings a range of the log to a webhook once more.
    Replay(ReplayId),
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(id) => write!(f, "webhook:{id}"),
            Self::Source(source) => write!(f, "source:{source}"),
            Self::Replay(id) => write!(f, "replay:{id}"),
        }
    }
}

/// Where a new consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Before the first entry that is still there.
    Beginning,
    /// After the newest entry.
    Head,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// Grows with every restart of the consumer from a new place.
    pub generation: u64,
    /// Every entry at or below it is dealt with, or its lane is held.
    pub cursor: Sequence,
    /// Since when its endpoint is backed off as a whole.
    pub backed_off_since: Option<Timestamp>,
    pub held: Vec<HeldLane>,
    pub share: Share,
}

/// Where a consumer stands as it was saved last, by whichever node serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where the lane's shard stands that was asked for, or else the one that is farthest behind.
    pub cursor: Sequence,
    /// Lanes that are held, of all shards.
    pub held_lanes: u64,
    /// The lane that was asked for, if it is held.
    pub held: Option<HeldLane>,
}

/// A lane that waits. One row, however many entries wait behind the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLane {
    pub conversation_id: ConversationId,
    /// The first entry of the lane that is not dealt with: all before it in the lane are.
    pub first: Sequence,
    /// Attempts of `first` that failed, and since when.
    pub attempts: u32,
    pub failing_since: Timestamp,
    /// When `first` is tried again.
    pub due_at: Timestamp,
    /// The class of the last failure, such as `timeout`; empty when there was none.
    pub error: String,
    /// The HTTP status of the last failure, where one arrived.
    pub status: Option<u16>,
}

/// An entry that a consumer has given up on for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    pub sequence: Sequence,
    /// Its lane.
    pub conversation_id: ConversationId,
    /// Attempts that failed, since when, and how the last one did.
    pub attempts: u32,
    pub failing_since: Timestamp,
    pub error: String,
    pub status: Option<u16>,
}

/// An entry that is set aside, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsideEntry {
    pub entry: LogEntry,
    pub record: SetAside,
    /// When it was set aside.
    pub at: Timestamp,
}

/// A part of what a webhook was or would be sent. All that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayRange {
    /// Messages sent at or after this.
    pub since: Option<Timestamp>,
    /// Messages sent before this.
    pub until: Option<Timestamp>,
    pub conversation: Option<ConversationId>,
    pub message: Option<MessageId>,
    /// Only what is set aside.
    pub failed: bool,
}

impl ReplayRange {
    /// Whether `entry` is in the range, as far as the entry itself tells.
    pub fn contains(&self, entry: &LogEntry) -> bool {
        // What was noted about a conversation is about no message.
        let message = entry.message().filter(|_| entry.sender().is_some());
        let at = message.map_or(entry.at, |message| message.sent_at);
        let message = message.map(|message| message.id);
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.conversation.is_none_or(|lane| entry.lane() == lane)
            && self.message.is_none_or(|id| message == Some(id))
    }
}

/// Which entries a webhook wants, as far as their kind and their sender tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub kinds: Vec<EntryKind>,
    /// None: everybody's. Entries about channels and changes of conversations have no sender.
    pub senders: Vec<SenderType>,
}

impl Wanted {
    pub fn contains(&self, entry: &LogEntry) -> bool {
        let sender = entry.sender();
        self.kinds.contains(&entry.kind)
            && (self.senders.is_empty()
                || sender.is_none_or(|sender| self.senders.contains(&sender)))
    }
}

/// A range of the log that is brought to a webhook once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub id: ReplayId,
    pub webhook: WebhookId,
    pub range: ReplayRange,
    /// The last entry it goes up to: the newest one when it was asked for.
    pub to: Sequence,
    pub created_at: Timestamp,
}

/// What changed in a consumer's state since it was last saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub consumer: ConsumerId,
    pub generation: u64,
    /// Who says so: that of the state that was opened.
    pub holder: Holder,
    pub cursor: Sequence,
    pub backed_off_since: Option<Timestamp>,
    /// Lanes that are held now; a row of the same lane is replaced.
    pub held: Vec<HeldLane>,
    /// Lanes that are no longer held.
    pub released: Vec<ConversationId>,
    /// Entries given up on; those of a replay are its webhook's.
    pub set_aside: Vec<SetAside>,
    /// Entries that a replay delivered: they are set aside no more.
    pub redelivered: Vec<Sequence>,
}

/// A page of a list, and where to go on from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    pub items: Vec<T>,
    /// The page before this one, if there is any.
    pub previous: Option<C>,
    /// The page after this one, if there is any.
    pub next: Option<C>,
    /// Items in the whole list.
    pub total: u64,
}

pub type MessagePage = Page<Message, MessageCursor>;

/// A page of the list of conversations, or of those that match a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationPage {
    pub items: Vec<Conversation>,
    /// The page before this one, if there is any.
    pub previous: Option<ConversationCursor>,
    /// Where it goes on, until all have been shown. The page there may be empty.
    pub next: Option<ConversationCursor>,
    /// All conversations.
    pub total: u64,
    /// Those that match the filter, as they were counted for the first page.
    pub matching: u64,
}

/// A place in the list of conversations. The numbers are rows of messages, which grow as they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversationCursor {
    /// The page of those that were not shown yet: they are below this, or have moved up since that message
    /// was the newest.
    Next {
        below: u64,
        seen: u64,
        /// Matches of the filter, if there is one.
        matching: Option<u64>,
    },
    /// The page of those just more recent than this.
    After { above: u64, matching: Option<u64> },
}

/// A page of what a search found, the newest message first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub messages: Vec<Message>,
    /// Where it goes on: below the message with this row. The page there may be empty.
    pub next: Option<u64>,
}

/// A place in the messages of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCursor {
    /// The page that starts with the message at this position.
    From(u64),
    /// The page that ends just before the message at this position.
    Before(u64),
    /// The last page.
    Newest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnected {
    Done,
    Already,
    NotFound,
}

/// How long rows are kept. `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Entries of the log, counted from when they were appended.
    pub log: Option<SignedDuration>,
    /// Messages, counted from when they were stored. Never shorter than `log`.
    pub messages: Option<SignedDuration>,
    /// Idempotency keys.
    pub idempotency_keys: Option<SignedDuration>,
    /// The record of attempts, which is bounded by its size, too.
    pub attempts: Option<SignedDuration>,
    /// Who changed what.
    pub audit: Option<SignedDuration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub log_entries: u64,
    pub messages: u64,
    pub idempotency_keys: u64,
    /// Of the record of attempts.
    pub attempt_segments: u64,
    /// Removed entries that a subscribed consumer had not dealt with: they were lost to retention.
    pub undelivered: u64,
    /// Whether there is more to remove.
    pub more: bool,
}
