//! `conversations.*`: who there is to talk with.

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::Deserialize;
use tradewind_model::{ConversationId, Filter};
use tradewind_store::ConversationCursor;

use crate::{
    api::{
        auth::Reader,
        error::ApiError,
        extract::{Json, JsonOrNothing},
        page::{PageMetadata, PageRequest, PageView},
        view::ConversationView,
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/conversations.list", post(list))
        .route("/conversations.info", post(info))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListRequest {
    filters: Option<String>,
    cursor: Option<String>,
    page_size: Option<i64>,
}

impl ListRequest {
    /// The filter; one of blanks is none.
    fn filter(&self) -> Result<Option<Filter>, ApiError> {
        let text = self.filters.as_deref().unwrap_or_default();
        if text.trim().is_empty() {
            return Ok(None);
        }
        let filter = Filter::parse(text);
        filter
            .map(Some)
            .map_err(|error| ApiError::invalid("filters", error.to_string()))
    }
}

#[derive(Deserialize)]
struct InfoRequest {
    conversation_id: ConversationId,
}

/// The one whose last message arrived latest comes first.
async fn list(
    _: Reader,
    State(app): State<App>,
    JsonOrNothing(request): JsonOrNothing<ListRequest>,
) -> Result<Answer<PageView<ConversationView>>, ApiError> {
    let filter = request.filter()?;
    let page = PageRequest::new(request.cursor, request.page_size);
    let cursor = page.cursor::<ConversationCursor>()?;
    let page = app
        .store
        .list_conversations(filter, cursor, page.size(PAGE_SIZE_DEFAULT))
        .await?;
    let metadata = PageMetadata::new(page.previous, page.next, page.total);
    Ok(Answer(PageView {
        data: page.items.iter().map(ConversationView::new).collect(),
        response_metadata: metadata.filtered(page.matching),
    }))
}

async fn info(
    _: Reader,
    State(app): State<App>,
    Json(request): Json<InfoRequest>,
) -> Result<Answer<ConversationView>, ApiError> {
    let conversation = app.store.find_conversation(request.conversation_id).await?;
    let conversation = conversation.ok_or(ApiError::ConversationNotFound)?;
    Ok(Answer(ConversationView::new(&conversation)))
}
