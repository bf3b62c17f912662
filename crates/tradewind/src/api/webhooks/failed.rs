//! `webhooks.failed`: what was set aside.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tradewind_delivery::event;
use tradewind_model::{
    ConversationId, LogEntry, MessageId, Sequence, Webhook, WebhookId, WireTime,
};
use tradewind_store::SetAsideEntry;
use utoipa::ToSchema;

use super::{FindErrors, find};
use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        example,
        extract::JsonOrNothing,
        page::{Cursor, PageMetadata, PageRequest, PageView},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct FailedRequest {
    /// The id that the webhook was subscribed with; the default webhook if left out.
    #[schema(value_type = Option<Uuid>)]
    id: Option<WebhookId>,
    /// A cursor that this list gave; absent or empty for the first page.
    cursor: Option<String>,
    /// Events of a page: 20 if left out or less than 1, and at most 100.
    page_size: Option<i64>,
}

/// An event that was given up on for now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailedView {
    /// Absent when the event is about a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    message_id: Option<MessageId>,
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    #[schema(value_type = String, format = DateTime)]
    set_aside_at: WireTime,
    #[schema(value_type = String, format = DateTime)]
    failing_since: WireTime,
    attempts: u32,
    /// How the last attempt failed.
    class: String,
    /// Of its answer, if there was one.
    #[schema(required)]
    status: Option<u16>,
    /// The event as the webhook gets it; `null` if it does not ask for it any more.
    #[schema(value_type = Option<Object>, required)]
    event: Value,
}

impl Cursor for Sequence {
    fn render(self) -> String {
        format!("s{self}")
    }

    fn parse(text: &str) -> Option<Self> {
        text.strip_prefix('s')?.parse().ok().map(Self)
    }
}

/// Lists what was set aside.
///
/// The newest event comes first. An event stays there until `webhooks.replay` has brought it, or the log
/// forgets it.
#[utoipa::path(
    post,
    path = "/webhooks.failed",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<FailedRequest>), example = json!({"page_size": 20})),
    responses(
        (
            status = 200,
            description = "A page of events.",
            body = PageView<FailedView>,
            example = json!({
                "data": [{
                    "message_id": example::QUESTION,
                    "conversation_id": example::CONVERSATION,
                    "set_aside_at": "2026-11-23T21:42:51.030Z",
                    "failing_since": "2026-11-23T21:32:46.480Z",
                    "attempts": 5,
                    "class": "status",
                    "status": 500,
                    "event": example::event(),
                }],
                "response_metadata": example::single_page(),
            }),
        ),
        FindErrors,
    ),
)]
pub(super) async fn failed(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(request): JsonOrNothing<FailedRequest>,
) -> Result<Answer<PageView<FailedView>>, ApiError> {
    let page = PageRequest::new(request.cursor, request.page_size);
    let (before, limit) = (page.cursor()?, page.size(PAGE_SIZE_DEFAULT));
    let webhook = find(&app, request.id).await?;
    let found = app.store.list_set_aside(webhook.id, before, limit).await?;
    Ok(Answer(PageView {
        data: found
            .items
            .into_iter()
            .map(|item| FailedView::new(item, &webhook))
            .collect(),
        response_metadata: PageMetadata::new(found.previous, found.next, found.total),
    }))
}

impl FailedView {
    fn new(item: SetAsideEntry, webhook: &Webhook) -> Self {
        let SetAsideEntry { entry, record, at } = item;
        Self {
            message_id: entry.message().map(|message| message.id),
            conversation_id: record.conversation_id,
            set_aside_at: WireTime(at),
            failing_since: WireTime(record.failing_since),
            attempts: record.attempts,
            class: record.error,
            status: record.status,
            event: shown(&entry, webhook),
        }
    }
}

/// The event of an entry; of several typed ones, the first. What the webhook does not ask for any more
/// is null.
fn shown(entry: &LogEntry, webhook: &Webhook) -> Value {
    let events = event::render(entry, &webhook.events).unwrap_or_default();
    let first = events.first();
    first
        .and_then(|event| serde_json::from_slice(&event.body).ok())
        .unwrap_or_default()
}
