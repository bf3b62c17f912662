//! One try to bring one entry to one consumer, and what came of it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;
use tradewind_model::{ConversationId, LogEntry, MessageId, Sequence, Timestamp, WebhookId};
use tradewind_store::{AttemptRecord, ConsumerId, StoreError};

use crate::{tail::Interest, transport::Trace, view::Next};

/// Who entries are brought to.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    fn id(&self) -> ConsumerId;

    /// What kinds of entries it may want: of others it is not told.
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    /// Whether `entry` is for this consumer. The others are passed over.
    fn wants(&self, entry: &LogEntry) -> bool;

    /// Tries to bring `entry`. It must end by itself, within seconds; it can be dropped at any await,
    /// after which the entry is brought again.
    async fn attempt(&self, entry: &LogEntry) -> Report;

    /// The webhook that its attempts are recorded for, if they are.
    fn webhook(&self) -> Option<WebhookId> {
        None
    }

    /// When an attempt at its endpoint last succeeded, of whichever consumer.
    fn passed_at(&self) -> Option<Instant> {
        None
    }

    /// The entry after which the consumer has nothing to do; `None`: there always is.
    fn end(&self) -> Option<Sequence> {
        None
    }
}

/// Who carries replies to sources, as that changes: asked each time deliveries are looked at again.
#[async_trait]
pub trait Repliers: Send + Sync + 'static {
    /// All of them now; the same consumer again as long as nothing of it has changed.
    async fn list(&self) -> Result<Vec<Arc<dyn Consumer>>, StoreError>;
}

/// What came of an attempt, and what it showed on its way.
#[derive(Clone, Debug)]
pub struct Report {
    pub outcome: Outcome,
    pub trace: Trace,
}

impl From<Outcome> for Report {
    /// Of a consumer that is not reached by HTTP.
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            trace: Trace::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The consumer has the entry. `status` is the HTTP status, where there was one.
    Delivered {
        status: Option<u16>,
    },
    Failed(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: FailureClass,
    /// The HTTP status, where one arrived.
    pub status: Option<u16>,
    /// When the consumer asked to be tried again, counted from now.
    pub retry_after: Option<Duration>,
    /// The endpoint asks for nothing to be sent to it any more.
    pub gone: bool,
    /// It speaks of its lane, and not of the endpoint: one account of many has had as much as it may.
    pub lane_only: bool,
    /// For the operator's eyes.
    pub detail: String,
}

impl Failure {
    pub fn new(class: FailureClass, detail: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            retry_after: None,
            gone: false,
            lane_only: false,
            detail: detail.into(),
        }
    }

    /// The endpoint shows that it is given too much.
    pub(crate) fn is_overload(&self) -> bool {
        let status = self
            .status
            .is_some_and(|status| status == 429 || status >= 500);
        status || self.class == FailureClass::Timeout
    }

    /// Whether a status speaks of the event that was sent, and not of the endpoint.
    pub(crate) fn blames_event(status: Option<u16>) -> bool {
        matches!(status, Some(400 | 413 | 414 | 415 | 422 | 431))
    }
}

/// Where on the way an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The name has no address, or could not be looked up in time.
    Dns,
    /// No connection.
    Connect,
    /// No trust: the handshake failed.
    Tls,
    /// The answer was not complete within the deadline.
    Timeout,
    /// An answer, but not 2xx.
    Status,
    /// The address is one that must not be connected to.
    Blocked,
    /// What came is not a whole HTTP response.
    Response,
    /// Tradewind itself could not make the attempt or record its success.
    Internal,
    /// No attempt failed: the conversation is left alone, because our side answers itself in it.
    Loop,
}

impl FailureClass {
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Status,
        Self::Blocked,
        Self::Response,
        Self::Internal,
        Self::Loop,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Blocked => "blocked",
            Self::Response => "response",
            Self::Internal => "internal",
            Self::Loop => "loop",
        }
    }

    /// The class with this name, if there is one.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// An attempt as it is shown to whoever watches deliveries.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub consumer: ConsumerId,
    pub sequence: Sequence,
    /// The message that the entry is about; of a fact about a channel, `None`.
    pub message_id: Option<MessageId>,
    /// The lane of the entry.
    pub conversation_id: ConversationId,
    /// 1 for the first.
    pub number: u32,
    /// When it started.
    pub at: Timestamp,
    pub duration: Duration,
    pub outcome: Outcome,
    pub trace: Trace,
    /// What happens next to the entry.
    pub next: Next,
}

impl Attempt {
    /// As it is kept for the operator.
    pub(crate) fn record(&self, webhook: WebhookId) -> AttemptRecord {
        let trace = &self.trace;
        let (class, status, detail) = match &self.outcome {
            Outcome::Delivered { status } => (AttemptRecord::DELIVERED, *status, ""),
            Outcome::Failed(failure) => (
                failure.class.name(),
                failure.status,
                failure.detail.as_str(),
            ),
        };
        let lane = self.conversation_id.uuid();
        AttemptRecord {
            webhook,
            sequence: self.sequence,
            event_id: self.message_id.map_or(lane, MessageId::uuid),
            conversation_id: self.conversation_id,
            number: self.number,
            is_replay: matches!(self.consumer, ConsumerId::Replay(_)),
            at: self.at,
            class: class.to_owned(),
            status,
            address: trace.address.map(str::to_owned),
            reused: trace.reused,
            dns_us: trace.dns.map(micros),
            connect_us: trace.connect.map(micros),
            tls_us: trace.tls.map(micros),
            first_byte_us: trace.first_byte.map(micros),
            total_us: micros(self.duration),
            detail: detail.to_owned(),
            next: self.next.to_string(),
            response: trace.response.clone(),
        }
    }

    /// A line in the log: failures for whoever looks after the server, successes for whoever debugs it.
    pub(crate) fn log(&self) {
        let Attempt {
            consumer,
            message_id,
            conversation_id,
            number,
            duration,
            outcome,
            ..
        } = self;
        let message_id = message_id.map(tracing::field::display);
        let duration_ms = duration.as_millis();
        match outcome {
            Outcome::Delivered { status } => {
                tracing::debug!(%consumer, message.id = message_id, attempt = number, duration_ms, http.status = status, "delivered");
            }
            Outcome::Failed(Failure {
                class,
                status,
                detail,
                ..
            }) => {
                tracing::info!(%consumer, message.id = message_id, conversation.id = %conversation_id, attempt = number, duration_ms, http.status = status, class = class.name(), detail, "an attempt failed");
            }
        }
    }
}

fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

/// Is shown every attempt when it has ended. Must return at once.
pub type Observer = Arc<dyn Fn(&Attempt) + Send + Sync>;
