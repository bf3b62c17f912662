//! `conversations.*`: who there is to talk with.

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use tradewind_model::ConversationId;
use tradewind_store::ConversationCursor;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::Reader,
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing},
        openapi::{self, problem::errors},
        page::{PageMetadata, PageRequest, PageView},
        view::ConversationView,
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("conversations", "Who there is to talk with.")
        .routes(routes!(list))
        .routes(routes!(info))
}

errors!(InfoErrors: ConversationNotFound);

#[derive(Deserialize, ToSchema)]
struct InfoRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
}

/// Lists the conversations.
///
/// The one whose last message arrived latest comes first; the next page is of older ones.
#[utoipa::path(
    post,
    path = "/conversations.list",
    security(("token" = ["read"])),
    request_body(content = inline(Option<PageRequest>), example = json!({"page_size": 20})),
    responses((
        status = 200,
        description = "A page of conversations.",
        body = PageView<ConversationView>,
        example = json!({
            "data": [example::conversation()],
            "response_metadata": {
                "previous_cursor": null,
                "next_cursor": null,
                "filtered_total": 1,
                "total": 1,
            },
        }),
    )),
)]
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

/// Shows a conversation.
#[utoipa::path(
    post,
    path = "/conversations.info",
    security(("token" = ["read"])),
    request_body(content = inline(InfoRequest), example = json!({
        "conversation_id": example::CONVERSATION,
    })),
    responses(
        (
            status = 200,
            description = "The conversation.",
            body = ConversationView,
            example = json!(example::conversation()),
        ),
        InfoErrors,
    ),
)]
async fn info(
    _: Reader,
    State(app): State<App>,
    Json(request): Json<InfoRequest>,
) -> Result<Answer<ConversationView>, ApiError> {
    let conversation = app.store.find_conversation(request.conversation_id).await?;
    let conversation = conversation.ok_or(ApiError::ConversationNotFound)?;
    Ok(Answer(ConversationView::new(&conversation)))
}
