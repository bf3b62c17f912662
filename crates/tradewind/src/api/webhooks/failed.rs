//! `webhooks.failed`: what was set aside.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tradewind_delivery::event;
use tradewind_model::{
    ConversationId, LogEntry, MessageId, Sequence, Webhook, WebhookId, WireTime,
};
use tradewind_store::SetAsideEntry;

use super::find;
use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        extract::JsonOrNothing,
        page::{Cursor, PageMetadata, PageRequest, PageView},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

#[derive(Debug, Deserialize)]
pub(super) struct FailedRequest {
    id: Option<WebhookId>,
    cursor: Option<String>,
    page_size: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct FailedView {
    /// Absent when the event is about a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    conversation_id: ConversationId,
    set_aside_at: WireTime,
    failing_since: WireTime,
    attempts: u32,
    /// How the last attempt failed.
    class: String,
    status: Option<u16>,
    /// The event as the webhook gets it.
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

/// The newest event first.
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
