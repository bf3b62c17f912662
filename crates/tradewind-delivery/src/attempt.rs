//! One try to bring one entry to one consumer, and what came of it.

use std::time::Duration;

use async_trait::async_trait;
use tradewind_model::{ConversationId, LogEntry, MessageId};
use tradewind_store::ConsumerId;

/// Who entries are brought to.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    fn id(&self) -> ConsumerId;

    /// Whether `entry` is for this consumer. The others are passed over.
    fn wants(&self, entry: &LogEntry) -> bool;

    /// Tries to bring `entry`. It must end by itself, within seconds; it can be dropped at any await,
    /// after which the entry is brought again.
    async fn attempt(&self, entry: &LogEntry) -> Outcome;
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
    /// For the operator's eyes.
    pub detail: String,
}

impl Failure {
    pub fn new(class: FailureClass, detail: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            retry_after: None,
            detail: detail.into(),
        }
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
}

impl FailureClass {
    pub const ALL: [Self; 8] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Status,
        Self::Blocked,
        Self::Response,
        Self::Internal,
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
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    /// 1 for the first.
    pub number: u32,
    pub duration: Duration,
    pub outcome: Outcome,
}

impl Attempt {
    /// A line in the log: failures for whoever looks after the server, successes for whoever debugs it.
    pub(crate) fn log(&self) {
        let Attempt {
            consumer,
            message_id,
            conversation_id,
            number,
            duration,
            outcome,
        } = self;
        let duration_ms = duration.as_millis();
        match outcome {
            Outcome::Delivered { status } => {
                tracing::debug!(%consumer, message.id = %message_id, attempt = number, duration_ms, http.status = status, "delivered");
            }
            Outcome::Failed(Failure {
                class,
                status,
                detail,
                ..
            }) => {
                tracing::info!(%consumer, message.id = %message_id, conversation.id = %conversation_id, attempt = number, duration_ms, http.status = status, class = class.name(), detail, "an attempt failed");
            }
        }
    }
}

/// Is shown every attempt when it has ended. Must return at once.
pub type Observer = std::sync::Arc<dyn Fn(&Attempt) + Send + Sync>;
