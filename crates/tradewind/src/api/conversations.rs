//! `conversations.*`: who there is to talk with.

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::Deserialize;
use tradewind_model::ConversationId;
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

#[derive(Deserialize)]
struct InfoRequest {
    conversation_id: ConversationId,
}

/// The one whose last message arrived latest comes first.
async fn list(
    _: Reader,
    State(app): State<App>,
    JsonOrNothing(page): JsonOrNothing<PageRequest>,
) -> Result<Answer<PageView<ConversationView>>, ApiError> {
    let cursor = page.cursor::<ConversationCursor>()?;
    let page = app
        .store
        .list_conversations(cursor, page.size(PAGE_SIZE_DEFAULT))
        .await?;
    let metadata = PageMetadata::new(page.previous, page.next, page.total);
    Ok(Answer(PageView {
        data: page.items.iter().map(ConversationView::new).collect(),
        response_metadata: metadata.filtered(page.total),
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
