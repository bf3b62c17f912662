//! What a delivery to a webhook is: which entries, which body, which headers.

use std::sync::{Arc, RwLock};

use async_trait::async_trait;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use tradewind_model::{Clock, EntryKind, LogEntry, MessageId, Webhook, WireTime};
use tradewind_store::ConsumerId;
use url::Url;

use crate::{
    attempt::{Consumer, Failure, FailureClass, Outcome},
    sign,
    transport::{Reply, Transport},
};

/// Headers a webhook may set.
pub const HEADERS_MAX: usize = 50;
/// Their names and values together, in bytes.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

const USER_AGENT: &str = concat!("Tradewind/", env!("CARGO_PKG_VERSION"));
const AIRY_SIGNATURE: HeaderName = HeaderName::from_static("x-airy-content-signature");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

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
    AIRY_SIGNATURE,
];

/// The body of an event: exactly these keys in this order.
#[derive(Debug, Serialize)]
struct EventBody<'a> {
    conversation_id: tradewind_model::ConversationId,
    id: MessageId,
    sender: EventSender<'a>,
    source: String,
    sent_at: WireTime,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct EventSender<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

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
    id: ConsumerId,
    target: RwLock<Arc<Target>>,
    transport: Transport,
    clock: Arc<dyn Clock>,
}

/// Where deliveries go now. Replaced as a whole when the webhook is updated.
struct Target {
    url: Url,
    headers: HeaderMap,
    secret: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url.as_str())
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
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        headers.extend(parse_headers(&webhook.headers)?);
        Ok(Self {
            url: webhook.url.parse()?,
            headers,
            secret: webhook.api_secret.to_string(),
        })
    }
}

impl WebhookConsumer {
    pub fn new(
        webhook: &Webhook,
        transport: Transport,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            id: ConsumerId::Webhook(webhook.id),
            target: RwLock::new(Arc::new(Target::new(webhook)?)),
            transport,
            clock,
        })
    }

    /// The next attempt uses the url and headers of `webhook`.
    pub fn update(&self, webhook: &Webhook) -> Result<(), TargetError> {
        let target = Arc::new(Target::new(webhook)?);
        *self
            .target
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = target;
        Ok(())
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(
            &self
                .target
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// Signs and posts; signed afresh each time, so that the timestamp is that of the attempt.
    async fn post(&self, entry: &LogEntry) -> Result<Reply, Failure> {
        let target = self.target();
        let body = render(entry)
            .map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
        let now = self.clock.now();
        let id = entry.message.id.to_string();
        let standard = sign::standard(&target.secret, &id, now.as_second(), &body);
        let mut headers = target.headers.clone();
        for (name, value) in [
            (WEBHOOK_ID, id),
            (WEBHOOK_TIMESTAMP, now.as_second().to_string()),
            (WEBHOOK_SIGNATURE, standard),
            (AIRY_SIGNATURE, sign::airy(&target.secret, &body)),
        ] {
            let value = HeaderValue::try_from(value)
                .map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
            headers.insert(name, value);
        }
        self.transport
            .post(target.url.clone(), headers, body.into(), now)
            .await
    }
}

/// The body of the event. The same entry always gives the same bytes.
fn render(entry: &LogEntry) -> Result<Vec<u8>, serde_json::Error> {
    let message = &entry.message;
    serde_json::to_vec(&EventBody {
        conversation_id: message.conversation_id,
        id: message.id,
        sender: EventSender {
            id: &message.sender.id,
            kind: message.sender.kind.name(),
        },
        source: message.source.event_name(),
        sent_at: WireTime(message.sent_at),
        text: &message.content.text,
    })
}

#[async_trait]
impl Consumer for WebhookConsumer {
    fn id(&self) -> ConsumerId {
        self.id.clone()
    }

    /// Messages in both directions: what a contact wrote, and what a source has taken of ours.
    fn wants(&self, entry: &LogEntry) -> bool {
        matches!(entry.kind, EntryKind::Received | EntryKind::Sent)
    }

    async fn attempt(&self, entry: &LogEntry) -> Outcome {
        let reply = match self.post(entry).await {
            Ok(reply) => reply,
            Err(failure) => return Outcome::Failed(failure),
        };
        let status = Some(reply.status.as_u16());
        if reply.status.is_success() {
            return Outcome::Delivered { status };
        }
        let detail = format!("the endpoint answered {}", reply.status);
        let failure = Failure::new(FailureClass::Status, detail);
        Outcome::Failed(Failure {
            status,
            retry_after: reply.retry_after,
            ..failure
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderError, parse_headers};

    fn check(name: &str, value: &str) -> Result<(), HeaderError> {
        parse_headers(&[(name.to_owned(), value.to_owned())]).map(|_| ())
    }

    #[test]
    fn headers_that_are_ours_or_the_connections_are_refused() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "webhook-id",
            "Webhook-Signature",
            "X-Airy-Content-Signature",
            "Expect",
        ] {
            assert_eq!(
                check(name, "x"),
                Err(HeaderError::Reserved(name.to_owned()))
            );
        }
    }

    #[test]
    fn a_header_cannot_smuggle_another() {
        for value in ["a\r\nb: c", "a\nb", "a\0", "ü"] {
            assert_eq!(
                check("X-Custom", value),
                Err(HeaderError::Value("X-Custom".to_owned()))
            );
        }
        assert!(matches!(check("X Custom", "a"), Err(HeaderError::Name(_))));
        assert!(matches!(check("", "a"), Err(HeaderError::Name(_))));
        let twice = [
            ("X-A".to_owned(), "1".to_owned()),
            ("x-a".to_owned(), "2".to_owned()),
        ];
        assert_eq!(
            parse_headers(&twice),
            Err(HeaderError::Repeated("x-a".to_owned()))
        );
    }

    #[test]
    fn ordinary_headers_pass() {
        check("X-Custom-Header", "custom-code-for-header").unwrap();
        check("Authorization", "Bearer abc").unwrap();
        check("Content-Type", "application/vnd.custom+json").unwrap();
        check("X-Empty", "").unwrap();
    }
}
