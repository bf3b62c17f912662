//! `metadata.*`: what the API's users note about a conversation, by key.

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use tradewind_model::ConversationId;
use tradewind_store::Note;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::Agent,
        conversations::{NoteErrors, noted},
        error::ApiError,
        example,
        extract::{Json, check_line},
        openapi,
        view::EmptyObject,
    },
    app::App,
};

/// What keys begin with where they are shown and filtered by: who may see them is whoever sees the
/// conversation.
const PREFIX: &str = "public.";
/// Longest key and value, in bytes.
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 4_096;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace(
        "metadata",
        "What the API's users note about a conversation, by key.",
    )
    .routes(routes!(set))
    .routes(routes!(remove))
}

#[derive(Deserialize, ToSchema)]
struct SetRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    /// At most 256 bytes. The contact shows it, and filters know it, as `public.` and this.
    key: String,
    /// At most 4,096 bytes.
    value: String,
}

#[derive(Deserialize, ToSchema)]
struct RemoveRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    key: String,
}

/// Notes a value under a key.
///
/// A key that is there takes the new value.
#[utoipa::path(
    post,
    path = "/metadata.set",
    security(("token" = ["agent"])),
    request_body(content = inline(SetRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "key": "city",
        "value": "Oslo",
    })),
    responses(
        (
            status = 200,
            description = "It is noted.",
            body = EmptyObject,
            example = json!({}),
        ),
        NoteErrors,
    ),
)]
async fn set(
    _: Agent,
    State(app): State<App>,
    Json(request): Json<SetRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    let value = request.value;
    if value.len() > VALUE_BYTES_MAX {
        let why = format!("must be at most {VALUE_BYTES_MAX} bytes long");
        return Err(ApiError::invalid("value", why));
    }
    let key = key(&request.key)?;
    let note = Note::Set { key, value };
    noted(app.store.note(request.conversation_id, note).await?)?;
    Ok(Answer(EmptyObject))
}

/// Forgets a key.
///
/// A key that is not there is no error.
#[utoipa::path(
    post,
    path = "/metadata.remove",
    security(("token" = ["agent"])),
    request_body(content = inline(RemoveRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "key": "city",
    })),
    responses(
        (
            status = 200,
            description = "It is forgotten.",
            body = EmptyObject,
            example = json!({}),
        ),
        NoteErrors,
    ),
)]
async fn remove(
    _: Agent,
    State(app): State<App>,
    Json(request): Json<RemoveRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    let key = key(&request.key)?;
    let note = Note::Remove { key };
    noted(app.store.note(request.conversation_id, note).await?)?;
    Ok(Answer(EmptyObject))
}

/// The key as it is kept.
fn key(text: &str) -> Result<String, ApiError> {
    check_line("key", text, 1..=KEY_BYTES_MAX)?;
    Ok(format!("{PREFIX}{text}"))
}
