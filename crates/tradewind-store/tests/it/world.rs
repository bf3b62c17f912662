//! A store with a clock of its own, and short words for what every case needs.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::task::JoinSet;
use tradewind_model::{
    Actor, Channel, Clock, Content, Conversation, ConversationId, EntryKind, LogEntry, ManualClock,
    Message, MessageId, SeededRandom, Sender, SenderType, Sequence, Source, Timestamp, Webhook,
    WebhookId, WebhookStatus,
};
use tradewind_store::{
    Appended, ConsumerId, ConsumerState, HeldLane, Holder, Idempotency, LogPage, NewMessage,
    Origin, Progress, Settlement, Start, Store,
};
use uuid::Uuid;

/// More than any page of a test weighs.
pub(crate) const WEIGHTLESS: usize = usize::MAX;

/// Opens the same data again and again.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store>;
}

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    backend: Box<dyn Backend>,
    random: SeededRandom,
}

impl World {
    pub(crate) async fn new(backend: impl Backend + 'static) -> Self {
        let clock = Arc::new(ManualClock::at(at(0)));
        Self {
            store: backend.open(clock.clone()).await,
            clock,
            backend: Box::new(backend),
            random: SeededRandom::new(1),
        }
    }

    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = self.backend.open(self.clock.clone()).await;
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn fresh_id(&self) -> MessageId {
        MessageId::fresh(&*self.clock, &self.random)
    }

    pub(crate) async fn connect(&self, name: &str) -> Channel {
        self.store
            .connect_channel(channel(name), Actor::server())
            .await
            .unwrap()
    }

    /// A message that `contact` writes on `channel`.
    pub(crate) fn incoming(&self, channel: &Channel, contact: &str, text: &str) -> NewMessage {
        from_contact(self.fresh_id(), self.clock.now(), channel, contact, text)
    }

    /// A message that the API sends to a conversation.
    pub(crate) fn outgoing(&self, conversation: ConversationId, text: &str) -> NewMessage {
        NewMessage {
            id: self.fresh_id(),
            conversation_id: conversation,
            origin: Origin::Api,
            sender: Sender {
                id: "token-1".to_owned(),
                kind: SenderType::AppUser,
            },
            content: Content::text(text),
            sent_at: self.clock.now(),
            idempotency: None,
        }
    }

    pub(crate) async fn receive(&self, channel: &Channel, contact: &str, text: &str) -> Message {
        self.stored(self.incoming(channel, contact, text)).await
    }

    pub(crate) async fn send(&self, conversation: ConversationId, text: &str) -> Message {
        self.stored(self.outgoing(conversation, text)).await
    }

    pub(crate) async fn stored(&self, new: NewMessage) -> Message {
        match self.store.append(new).await.unwrap() {
            Appended::Stored(message) => message,
            other => panic!("not stored: {other:?}"),
        }
    }

    /// Appends all at once, from as many tasks; their answers in the order they came.
    pub(crate) async fn append_at_once(&self, messages: Vec<NewMessage>) -> Vec<Appended> {
        let mut tasks = JoinSet::new();
        for new in messages {
            let store = Arc::clone(&self.store);
            tasks.spawn(async move { store.append(new).await.unwrap() });
        }
        tasks.join_all().await
    }

    /// The entries about messages.
    pub(crate) async fn log(&self) -> Vec<Arc<LogEntry>> {
        let mut entries = self.whole_log().await;
        entries.retain(|entry| entry.message().is_some());
        entries
    }

    /// All entries, those about channels included.
    pub(crate) async fn whole_log(&self) -> Vec<Arc<LogEntry>> {
        self.read(Sequence::START, 10_000).await.entries
    }

    pub(crate) async fn read(&self, after: Sequence, limit: usize) -> LogPage {
        self.store.read_log(after, limit, WEIGHTLESS).await.unwrap()
    }

    /// The whole lane of a conversation.
    pub(crate) async fn lane(&self, id: ConversationId) -> Vec<Arc<LogEntry>> {
        let end = Sequence(u64::MAX);
        let lane = self
            .store
            .read_lane(id, Sequence::START, end, 10_000, WEIGHTLESS);
        lane.await.unwrap().entries
    }

    pub(crate) async fn find(&self, id: ConversationId) -> Conversation {
        self.store.find_conversation(id).await.unwrap().unwrap()
    }

    /// All messages of a conversation that are there, up to a page.
    pub(crate) async fn messages(&self, id: ConversationId) -> Vec<Message> {
        let page = self.store.list_messages(id, None, 1_000).await.unwrap();
        page.unwrap().items
    }

    pub(crate) async fn open_consumer(&self, id: &ConsumerId) -> ConsumerState {
        self.store
            .open_consumer(id, Start::Beginning)
            .await
            .unwrap()
    }
}

/// The start of all tests, and `seconds` more.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_600_000_000 + seconds).unwrap()
}

pub(crate) fn channel(name: &str) -> Channel {
    let source = Source::parse("chat_plugin").unwrap();
    Channel {
        id: Channel::id_of(&source, name),
        source,
        source_channel_id: name.to_owned(),
        name: Some(format!("The {name}")),
        image_url: Some("https://example.org/a.png".to_owned()),
        token: Some("secret".to_owned()),
        connected: true,
    }
}

/// A message that `contact` writes on `channel`.
pub(crate) fn from_contact(
    id: MessageId,
    sent_at: Timestamp,
    channel: &Channel,
    contact: &str,
    text: &str,
) -> NewMessage {
    NewMessage {
        id,
        conversation_id: Conversation::id_of(channel.id, contact),
        origin: Origin::Source {
            channel_id: channel.id,
            contact_source_id: contact.to_owned(),
        },
        sender: Sender {
            id: contact.to_owned(),
            kind: SenderType::SourceContact,
        },
        content: Content::text(text),
        sent_at,
        idempotency: None,
    }
}

pub(crate) fn source_consumer() -> ConsumerId {
    ConsumerId::Source(Source::parse("chat_plugin").unwrap())
}

pub(crate) fn webhook_id(number: u128) -> WebhookId {
    WebhookId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn webhook(number: u128) -> Webhook {
    Webhook {
        id: webhook_id(number),
        url: "https://example.org/hook".to_owned(),
        headers: vec![
            ("x-b".to_owned(), "1".to_owned()),
            ("x-a".to_owned(), "\"2\" ü".to_owned()),
            ("x-b".to_owned(), "3".to_owned()),
        ],
        status: WebhookStatus::Subscribed,
        api_secret: Uuid::from_u128(number << 64),
        old_secret: None,
        name: None,
        events: vec![],
        senders: vec![],
        paused: false,
        ended_because: None,
    }
}

/// The sequence of the `n`th message's entry, where one channel was connected before the first.
pub(crate) fn nth(n: u64) -> Sequence {
    Sequence(n + 1)
}

/// The message that an entry is about.
pub(crate) fn said(entry: &LogEntry) -> &Message {
    entry.message().unwrap()
}

pub(crate) fn held(conversation_id: ConversationId, first: Sequence) -> HeldLane {
    HeldLane {
        conversation_id,
        first,
        attempts: 3,
        failing_since: at(20),
        due_at: at(60),
        error: "timeout".to_owned(),
        status: Some(503),
    }
}

/// Progress that only moves the cursor.
pub(crate) fn progress(consumer: &ConsumerId, generation: u64, cursor: Sequence) -> Progress {
    Progress {
        consumer: consumer.clone(),
        generation,
        holder: Holder::ALONE,
        cursor,
        backed_off_since: None,
        held: vec![],
        released: vec![],
        set_aside: vec![],
        redelivered: vec![],
    }
}

pub(crate) fn key(scope: &str, key: &str, request: u8) -> Idempotency {
    Idempotency {
        scope: scope.to_owned(),
        key: key.to_owned(),
        request_hash: [request; 32],
    }
}

pub(crate) fn texts(messages: &[Message]) -> Vec<&str> {
    let text = |message| {
        let message: &Message = message;
        message.content.text.as_str()
    };
    messages.iter().map(text).collect()
}

pub(crate) fn sequences(entries: &[impl Borrow<LogEntry>]) -> Vec<u64> {
    entries
        .iter()
        .map(Borrow::borrow)
        .map(|entry: &LogEntry| entry.sequence.0)
        .collect()
}

/// The kind and the position of each entry.
pub(crate) fn kinds(entries: &[impl Borrow<LogEntry>]) -> Vec<(EntryKind, u64)> {
    entries
        .iter()
        .map(Borrow::borrow)
        .map(|entry: &LogEntry| (entry.kind, entry.position))
        .collect()
}

/// That its source took a message and did not say what it calls it.
pub(crate) fn taken() -> Settlement {
    Settlement::Sent {
        source_message_id: None,
    }
}
