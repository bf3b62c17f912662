//! `webhooks.attempts` and `webhooks.test`: what was tried, and how it went.

use std::{sync::Arc, time::Duration};

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use tradewind_delivery::{
    attempt::{Outcome, Report},
    webhook::WebhookConsumer,
};
use tradewind_model::{ConversationId, MessageId, WebhookId, WireTime};
use tradewind_store::{AttemptCursor, AttemptQuery, AttemptRecord};
use uuid::Uuid;

use super::{WebhookRequest, find, waiting};
use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        extract::JsonOrNothing,
        page::{Cursor, NextCursor, PageRequest},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

#[derive(Debug, Deserialize)]
pub(super) struct AttemptsRequest {
    id: Option<WebhookId>,
    conversation_id: Option<ConversationId>,
    message_id: Option<MessageId>,
    /// Only those that failed, or only those that did not.
    failed: Option<bool>,
    cursor: Option<String>,
    page_size: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct AttemptList {
    data: Vec<AttemptView>,
    response_metadata: NextCursor,
    /// Why what was asked for is not delivered, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<String>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    /// Of the message; of the channel, when the event is about one.
    message_id: Uuid,
    conversation_id: ConversationId,
    attempt: u32,
    replay: bool,
    at: WireTime,
    result: ResultView,
    /// What happens next, in words; empty when it was delivered.
    next: String,
}

/// How one attempt went.
#[derive(Debug, Serialize)]
struct ResultView {
    /// `delivered`, or the class of the failure.
    class: String,
    status: Option<u16>,
    /// A failure in words.
    detail: String,
    address: Option<String>,
    reused_connection: bool,
    timing_ms: TimingView,
    /// The beginning of the response's body.
    response: String,
}

/// Phases that did not happen are null.
#[derive(Debug, Serialize)]
struct TimingView {
    dns: Option<f64>,
    connect: Option<f64>,
    tls: Option<f64>,
    first_byte: Option<f64>,
    total: f64,
}

impl Cursor for AttemptCursor {
    fn render(self) -> String {
        format!("t{}.{}", self.segment, self.row)
    }

    fn parse(text: &str) -> Option<Self> {
        let (segment, row) = text.strip_prefix('t')?.split_once('.')?;
        Some(Self {
            segment: segment.parse().ok()?,
            row: row.parse().ok()?,
        })
    }
}

/// The newest first.
pub(super) async fn attempts(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(request): JsonOrNothing<AttemptsRequest>,
) -> Result<Answer<AttemptList>, ApiError> {
    let page = PageRequest::new(request.cursor, request.page_size);
    let before = page.cursor()?;
    let webhook = find(&app, request.id).await?;
    let query = AttemptQuery {
        webhook: webhook.id,
        conversation: request.conversation_id,
        event_id: request.message_id.map(MessageId::uuid),
        failed: request.failed,
        before,
        limit: page.size(PAGE_SIZE_DEFAULT),
    };
    let found = app.store.list_attempts(query).await?;
    let waiting = match (request.message_id, request.conversation_id) {
        (Some(message), _) => waiting::of_message(&app, &webhook, message).await?,
        (None, Some(conversation)) => waiting::of_lane(&app, &webhook, conversation).await?,
        (None, None) => waiting::of_webhook(&webhook),
    };
    Ok(Answer(AttemptList {
        data: found.items.into_iter().map(AttemptView::new).collect(),
        response_metadata: NextCursor::new(found.next),
        waiting,
    }))
}

impl AttemptView {
    fn new(record: AttemptRecord) -> Self {
        let ms = |us: u32| f64::from(us) / 1_000.0;
        Self {
            message_id: record.event_id,
            conversation_id: record.conversation_id,
            attempt: record.number,
            replay: record.is_replay,
            at: WireTime(record.at),
            result: ResultView {
                class: record.class,
                status: record.status,
                detail: record.detail,
                address: record.address,
                reused_connection: record.reused,
                timing_ms: TimingView {
                    dns: record.dns_us.map(ms),
                    connect: record.connect_us.map(ms),
                    tls: record.tls_us.map(ms),
                    first_byte: record.first_byte_us.map(ms),
                    total: ms(record.total_us),
                },
                response: String::from_utf8_lossy(&record.response).into_owned(),
            },
            next: record.next,
        }
    }
}

impl ResultView {
    fn of(report: &Report) -> Self {
        let ms = |took: Duration| took.as_secs_f64() * 1_000.0;
        let trace = &report.trace;
        let (class, status, detail) = match &report.outcome {
            Outcome::Delivered { status } => ("delivered", *status, String::new()),
            Outcome::Failed(failure) => {
                (failure.class.name(), failure.status, failure.detail.clone())
            }
        };
        Self {
            class: class.to_owned(),
            status,
            detail,
            address: trace.address.map(str::to_owned),
            reused_connection: trace.reused,
            timing_ms: TimingView {
                dns: trace.dns.map(ms),
                connect: trace.connect.map(ms),
                tls: trace.tls.map(ms),
                first_byte: trace.first_byte.map(ms),
                total: ms(trace.total),
            },
            response: String::from_utf8_lossy(&trace.response).into_owned(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct TestView {
    delivered: bool,
    result: ResultView,
}

/// Sends one event about nothing, now, and answers with what came of it. Nothing else is affected, and
/// a webhook that is paused or unsubscribed can be tested too.
pub(super) async fn test(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(WebhookRequest { id }): JsonOrNothing<WebhookRequest>,
) -> Result<Answer<TestView>, ApiError> {
    let webhook = find(&app, id).await?;
    let consumer = WebhookConsumer::new(&webhook, app.transport.clone(), Arc::clone(&app.clock))
        .map_err(|error| ApiError::invalid("url", error.to_string()))?;
    let report = consumer.test(&*app.random).await;
    Ok(Answer(TestView {
        delivered: matches!(report.outcome, Outcome::Delivered { .. }),
        result: ResultView::of(&report),
    }))
}
