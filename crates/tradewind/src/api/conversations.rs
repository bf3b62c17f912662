//! `conversations.*`: who there is to talk with.

use axum::{Json as Answer, Router, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use tradewind_model::{ConversationId, TagId};
use tradewind_store::{ConversationCursor, NOTES_MAX, Note, Noted};

use crate::{
    api::{
        auth::{Agent, Reader},
        error::ApiError,
        extract::{Json, JsonOrNothing},
        page::{PageMetadata, PageRequest, PageView},
        view::{ConversationView, EmptyObject},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;
/// Longest name of a contact, and longest address of a picture, in bytes.
const NAME_BYTES_MAX: usize = 200;
const URL_BYTES_MAX: usize = 2_048;

/// What an endpoint that notes something answers.
type Noting = Result<(StatusCode, Answer<EmptyObject>), ApiError>;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/conversations.list", post(list))
        .route("/conversations.info", post(info))
        .route("/conversations.read", post(read))
        .route("/conversations.tag", post(tag))
        .route("/conversations.untag", post(untag))
        .route("/conversations.update-contact", post(update_contact))
}

#[derive(Deserialize)]
struct InfoRequest {
    conversation_id: ConversationId,
}

#[derive(Deserialize)]
struct TagRequest {
    conversation_id: ConversationId,
    tag_id: TagId,
}

#[derive(Deserialize)]
struct ContactRequest {
    conversation_id: ConversationId,
    display_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    avatar_url: Option<String>,
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

/// Nothing in it is unread any more.
async fn read(_: Agent, State(app): State<App>, Json(request): Json<InfoRequest>) -> Noting {
    note(&app, request.conversation_id, Note::Read).await
}

/// A tag that is on it already is no error.
async fn tag(_: Agent, State(app): State<App>, Json(request): Json<TagRequest>) -> Noting {
    note(&app, request.conversation_id, Note::Tag(request.tag_id)).await
}

/// A tag that is not on it is no error.
async fn untag(_: Agent, State(app): State<App>, Json(request): Json<TagRequest>) -> Noting {
    note(&app, request.conversation_id, Note::Untag(request.tag_id)).await
}

/// What is left out is not known any more.
async fn update_contact(
    _: Agent,
    State(app): State<App>,
    Json(request): Json<ContactRequest>,
) -> Noting {
    let (first, last) = match request.display_name {
        Some(name) => match name.trim().split_once(' ') {
            Some((first, last)) => (Some(first.to_owned()), Some(last.to_owned())),
            None => (Some(name), None),
        },
        None => (request.first_name, request.last_name),
    };
    let about = Note::Contact {
        first_name: known("first_name", first, NAME_BYTES_MAX)?,
        last_name: known("last_name", last, NAME_BYTES_MAX)?,
        avatar_url: known("avatar_url", request.avatar_url, URL_BYTES_MAX)?,
    };
    note(&app, request.conversation_id, about).await
}

/// A text that is not empty and not too long.
fn known(field: &str, text: Option<String>, bytes_max: usize) -> Result<Option<String>, ApiError> {
    let text = text.map(|text| text.trim().to_owned());
    let text = text.filter(|text| !text.is_empty());
    if text
        .as_ref()
        .is_some_and(|text| text.len() > bytes_max || text.contains(char::is_control))
    {
        let why = format!("must be at most {bytes_max} bytes, without control characters");
        return Err(ApiError::invalid(field, why));
    }
    Ok(text)
}

async fn note(app: &App, id: ConversationId, note: Note) -> Noting {
    noted(app.store.note(id, note).await?)?;
    Ok((StatusCode::ACCEPTED, Answer(EmptyObject)))
}

/// Why a note was not taken.
pub(crate) fn noted(noted: Noted) -> Result<(), ApiError> {
    match noted {
        Noted::Done => Ok(()),
        Noted::NotFound => Err(ApiError::ConversationNotFound),
        Noted::Full => Err(ApiError::TooManyNotes { max: NOTES_MAX }),
    }
}
