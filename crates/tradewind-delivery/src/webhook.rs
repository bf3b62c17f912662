//! What a delivery to a webhook is: which entries, which body, which headers.

#[cfg(test)]
mod tests;

use std::{
    iter,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;
use tradewind_model::{
    Channel, Clock, Content, Conversation, DeliveryState, EntryKind, EventType, LogEntry, Message,
    MessageId, Random, Sender, SenderType, Sequence, Source, Subject, Timestamp, Webhook,
    WebhookId,
};
use tradewind_store::{ConsumerId, Wanted};

use crate::{
    attempt::{Consumer, Failure, FailureClass, Outcome, Report},
    event::{self, Event},
    sign::{self, Key},
    tail::Interest,
    transport::{Endpoint, Exchange, Reply, Transport},
};

/// Headers a webhook may set.
pub const HEADERS_MAX: usize = 50;
/// Their names and values together, in bytes.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

const USER_AGENT: &str = concat!("Tradewind/", env!("CARGO_PKG_VERSION"));

/// Headers that belong to the connection or to us.
const RESERVED: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    sign::AIRY_SIGNATURE,
];

/// Why headers cannot be sent with every delivery. Fits after "headers: ".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("{0:?} is not a header name")]
    Name(String),
    #[error("{0} is set by Tradewind and cannot be set here")]
    Reserved(String),
    #[error("the value of {0} must be visible ASCII characters, spaces and tabs")]
    Value(String),
    #[error("{0} is given more than once")]
    Repeated(String),
    #[error("at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes together")]
    TooMany,
}

/// The headers that every delivery has besides those that sign it. A webhook may set its own instead.
pub fn common_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
        (
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        ),
    ])
}

/// Checks the headers that a webhook sets for its deliveries.
pub fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, HeaderError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(HeaderError::TooMany);
    }
    let mut parsed = HeaderMap::new();
    for (name, value) in headers {
        let header: HeaderName = name.parse().map_err(|_| HeaderError::Name(name.clone()))?;
        if RESERVED.contains(&header) || header.as_str().starts_with("webhook-") {
            return Err(HeaderError::Reserved(name.clone()));
        }
        // Bytes beyond ASCII would be accepted by the type, and read differently by every receiver.
        let value = Some(value)
            .filter(|value| value.is_ascii())
            .and_then(|value| value.parse().ok());
        let mut value: HeaderValue = value.ok_or_else(|| HeaderError::Value(name.clone()))?;
        value.set_sensitive(true);
        if parsed.insert(header, value).is_some() {
            return Err(HeaderError::Repeated(name.clone()));
        }
    }
    Ok(parsed)
}

/// A webhook as a consumer of the log.
#[derive(Debug)]
pub struct WebhookConsumer {
    id: WebhookId,
    target: RwLock<Arc<Target>>,
    /// What the target wants; asked for every entry.
    interest: AtomicU64,
    transport: Transport,
    clock: Arc<dyn Clock>,
    passed_at: Mutex<Option<Instant>>,
}

/// What is sent, and where it goes now. Replaced as a whole when the webhook is updated.
struct Target {
    endpoint: Endpoint,
    headers: HeaderMap,
    key: Key,
    old_key: Option<(Key, Timestamp)>,
    events: Vec<EventType>,
    wanted: Wanted,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.endpoint.url().as_str())
            .finish_non_exhaustive()
    }
}

/// A stored webhook that this program would not have accepted.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("the stored url is wrong")]
    Url(#[from] url::ParseError),
    #[error("the stored headers are wrong")]
    Headers(#[from] HeaderError),
}

impl Target {
    fn new(webhook: &Webhook) -> Result<Self, TargetError> {
        let mut headers = common_headers();
        headers.extend(parse_headers(&webhook.headers)?);
        let old_secret = webhook.old_secret.as_ref();
        Ok(Self {
            endpoint: Endpoint::new(webhook.url.parse()?),
            headers,
            key: Key::new(&webhook.api_secret.to_string()),
            old_key: old_secret.map(|old| (Key::new(&old.secret.to_string()), old.until)),
            events: webhook.events.clone(),
            wanted: event::wanted(webhook),
        })
    }

    /// Those that sign at `now`, the one in force first.
    fn keys(&self, now: Timestamp) -> Vec<&Key> {
        let old = self.old_key.as_ref().filter(|(_, until)| now < *until);
        iter::once(&self.key)
            .chain(old.map(|(key, _)| key))
            .collect()
    }
}

impl WebhookConsumer {
    pub fn new(
        webhook: &Webhook,
        transport: Transport,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TargetError> {
        let target = Target::new(webhook)?;
        Ok(Self {
            id: webhook.id,
            interest: AtomicU64::new(Interest::of(&target.wanted).bits()),
            target: RwLock::new(Arc::new(target)),
            transport,
            clock,
            passed_at: Mutex::default(),
        })
    }

    /// The next attempt uses what `webhook` says.
    pub fn update(&self, webhook: &Webhook) -> Result<(), TargetError> {
        let target = Arc::new(Target::new(webhook)?);
        let interest = Interest::of(&target.wanted);
        self.interest.store(interest.bits(), Ordering::Relaxed);
        *self.target.write().unwrap_or_else(PoisonError::into_inner) = target;
        Ok(())
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends an event about nothing, once, whatever became of others.
    pub async fn test(&self, random: &dyn Random) -> Report {
        let target = self.target();
        let entry = test_entry(&*self.clock, random, &target.wanted);
        self.send_all(&target, &entry).await
    }

    /// Sends each event that the entry is, until one fails.
    async fn send_all(&self, target: &Arc<Target>, entry: &LogEntry) -> Report {
        let events = match event::render(entry, &target.events) {
            Ok(events) => events,
            Err(error) => return internal(error.to_string()),
        };
        let mut last = Report::from(Outcome::Delivered { status: None });
        for event in events {
            last = self.send(target, event).await;
            if matches!(last.outcome, Outcome::Failed(_)) {
                break;
            }
        }
        last
    }

    /// Signs and posts; signed afresh each time, so that the timestamp is that of the attempt.
    async fn send(&self, target: &Arc<Target>, event: Event) -> Report {
        let now = self.clock.now();
        let keys = target.keys(now);
        let mut headers = target.headers.clone();
        let signed =
            sign::add_headers(&mut headers, &keys, &event.id, now.as_second(), &event.body);
        if let Err(error) = signed {
            return internal(error.to_string());
        }
        let Exchange { result, trace } = self
            .transport
            .post(&target.endpoint, headers, event.body.into(), now)
            .await;
        let outcome = match result {
            Err(failure) => Outcome::Failed(failure),
            Ok(reply) => self.judge(target, &reply),
        };
        Report { outcome, trace }
    }

    fn judge(&self, target: &Arc<Target>, reply: &Reply) -> Outcome {
        let status = Some(reply.status.as_u16());
        if reply.status.is_success() {
            let mut passed_at = self
                .passed_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *passed_at = Some(Instant::now());
            return Outcome::Delivered { status };
        }
        let detail = reply.describe();
        // What an endpoint says that is another one meanwhile is not for the webhook as it is now.
        let is_current = Arc::ptr_eq(target, &self.target());
        Outcome::Failed(Failure {
            status,
            retry_after: reply.retry_after,
            gone: reply.status == StatusCode::GONE && is_current,
            ..Failure::new(FailureClass::Status, detail)
        })
    }
}

fn internal(detail: String) -> Report {
    Outcome::Failed(Failure::new(FailureClass::Internal, detail)).into()
}

/// An entry that is in no log, of the first kind that is wanted.
fn test_entry(clock: &dyn Clock, random: &dyn Random, wanted: &Wanted) -> LogEntry {
    let source = Source::named("test");
    let channel = Channel {
        id: Channel::id_of(&source, "test"),
        source: source.clone(),
        source_channel_id: "test".to_owned(),
        name: Some("Test".to_owned()),
        image_url: None,
        token: None,
        connected: true,
    };
    let now = clock.now();
    let message = Message {
        id: MessageId::fresh(clock, random),
        conversation_id: Conversation::id_of(channel.id, "test"),
        channel_id: channel.id,
        source,
        contact_source_id: "test".to_owned(),
        position: 1,
        sender: Sender {
            id: "test".to_owned(),
            kind: SenderType::SourceContact,
        },
        content: Content::text("This is a test by webhooks.test; no contact wrote it."),
        state: DeliveryState::Delivered,
        receipt: None,
        failure_reason: None,
        sent_at: now,
    };
    let first = wanted.kinds.first().copied();
    let kind = first.unwrap_or(EntryKind::Received);
    let subject = match kind {
        EntryKind::ChannelConnected | EntryKind::ChannelDisconnected => Subject::Channel(channel),
        _ => Subject::Message {
            message,
            conversation_created_at: now,
        },
    };
    LogEntry {
        sequence: Sequence::START,
        position: 1,
        kind,
        at: now,
        subject,
    }
}

#[async_trait]
impl Consumer for WebhookConsumer {
    fn id(&self) -> ConsumerId {
        ConsumerId::Webhook(self.id)
    }

    fn webhook(&self) -> Option<WebhookId> {
        Some(self.id)
    }

    fn passed_at(&self) -> Option<Instant> {
        *self
            .passed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn interest(&self) -> Interest {
        Interest::from_bits(self.interest.load(Ordering::Relaxed))
    }

    fn wants(&self, entry: &LogEntry) -> bool {
        self.interest().contains(entry)
    }

    async fn attempt(&self, entry: &LogEntry) -> Report {
        self.send_all(&self.target(), entry).await
    }
}
