//! `metadata.*`: what the API's users note about a conversation, by key.

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::Deserialize;
use tradewind_model::ConversationId;
use tradewind_store::Note;

use crate::{
    api::{auth::Agent, conversations::noted, error::ApiError, extract::Json, view::EmptyObject},
    app::App,
};

/// What keys begin with where they are shown and filtered by: who may see them is whoever sees the
/// conversation.
const PREFIX: &str = "public.";
/// Longest key and value, in bytes.
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 4_096;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/metadata.set", post(set))
        .route("/metadata.remove", post(remove))
}

#[derive(Deserialize)]
struct SetRequest {
    conversation_id: ConversationId,
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct RemoveRequest {
    conversation_id: ConversationId,
    key: String,
}

/// A key that is there takes the new value.
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

/// A key that is not there is no error.
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
    if text.is_empty() || text.len() > KEY_BYTES_MAX || text.contains(char::is_control) {
        let why = format!("must be 1 to {KEY_BYTES_MAX} bytes, without control characters");
        return Err(ApiError::invalid("key", why));
    }
    Ok(format!("{PREFIX}{text}"))
}
