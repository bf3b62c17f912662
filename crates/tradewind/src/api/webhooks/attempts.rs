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
use utoipa::ToSchema;
use uuid::Uuid;

use super::{FindErrors, WebhookRequest, find, waiting};
use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        example,
        extract::JsonOrNothing,
        openapi::problem::errors,
        page::{Cursor, NextCursor, PageRequest},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

errors!(AttemptsErrors: WebhookNotFound, MessageNotFound);

/// All that is given has to hold.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct AttemptsRequest {
    /// The id that the webhook was subscribed with; the default webhook if left out.
    #[schema(value_type = Option<Uuid>)]
    id: Option<WebhookId>,
    /// Only of this conversation.
    #[schema(value_type = Option<Uuid>)]
    conversation_id: Option<ConversationId>,
    /// Only of this message's events.
    #[schema(value_type = Option<Uuid>)]
    message_id: Option<MessageId>,
    /// Only those that failed, or only those that did not.
    failed: Option<bool>,
    /// A cursor that this list gave; absent or empty for the first page.
    cursor: Option<String>,
    /// Attempts of a page: 20 if left out or less than 1, and at most 100.
    page_size: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttemptList {
    data: Vec<AttemptView>,
    response_metadata: NextCursor,
    /// Why what was asked for is not delivered, if it is not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<String>,
}

/// One attempt to bring an event.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptView {
    /// Of the message; of the channel, when the event is about one.
    message_id: Uuid,
    /// Of the conversation; of the channel, when the event is about one.
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    /// Its number: 1 for the first.
    attempt: u32,
    /// Whether it is part of a replay.
    replay: bool,
    #[schema(value_type = String, format = DateTime)]
    at: WireTime,
    result: ResultView,
    /// What happens next, in words; empty when it was delivered.
    next: String,
}

/// How one attempt went.
#[derive(Debug, Serialize, ToSchema)]
struct ResultView {
    /// `delivered`, or the class of the failure: `dns`, `connect`, `tls`, `timeout`, `status`, `blocked`,
    /// `response` or `internal`.
    class: String,
    /// Of the answer, if there was one.
    #[schema(required)]
    status: Option<u16>,
    /// A failure in words.
    detail: String,
    /// The kind of the address, such as `public`.
    #[schema(required)]
    address: Option<String>,
    reused_connection: bool,
    timing_ms: TimingView,
    /// The first KiB of the body of the answer.
    response: String,
}

/// Milliseconds. Phases that did not happen are null.
#[derive(Debug, Serialize, ToSchema)]
struct TimingView {
    #[schema(required)]
    dns: Option<f64>,
    #[schema(required)]
    connect: Option<f64>,
    #[schema(required)]
    tls: Option<f64>,
    #[schema(required)]
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

/// Lists what was tried, and how it went.
///
/// The newest attempt comes first. They are kept for 7 days, or what the settings say.
#[utoipa::path(
    post,
    path = "/webhooks.attempts",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<AttemptsRequest>), example = json!({"failed": true})),
    responses(
        (
            status = 200,
            description = "A page of attempts.",
            body = AttemptList,
            example = json!({
                "data": [{
                    "message_id": example::QUESTION,
                    "conversation_id": example::CONVERSATION,
                    "attempt": 1,
                    "replay": false,
                    "at": example::ASKED_AT,
                    "result": example::failure(),
                    "next": "attempt 2 is due at 2026-11-23T21:32:47.512Z",
                }],
                "response_metadata": {"next_cursor": null},
            }),
        ),
        AttemptsErrors,
    ),
)]
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

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestView {
    delivered: bool,
    result: ResultView,
}

/// Sends one event about nothing, now, and says what came of it.
///
/// Nothing else is affected, and a webhook that is paused or unsubscribed can be tested too.
#[utoipa::path(
    post,
    path = "/webhooks.test",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<WebhookRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "How it went, also if it failed.",
            body = TestView,
            example = json!({"delivered": false, "result": example::failure()}),
        ),
        FindErrors,
    ),
)]
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
