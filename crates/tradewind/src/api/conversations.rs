//! `conversations.*`: who there is to talk with.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::Deserialize;
use tradewind_model::{ConversationId, Filter, TagId};
use tradewind_store::{ConversationCursor, NOTES_MAX, Note, Noted};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::{Agent, Reader},
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing, check_line},
        openapi::{self, problem::errors},
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

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("conversations", "Who there is to talk with.")
        .routes(routes!(list))
        .routes(routes!(info))
        .routes(routes!(read))
        .routes(routes!(tag))
        .routes(routes!(untag))
        .routes(routes!(update_contact))
}

errors!(InfoErrors: ConversationNotFound);
errors!(NoteErrors: ConversationNotFound, TooManyNotes { max: NOTES_MAX });

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct ListRequest {
    /// Which of them, such as `display_name:*Lovelace AND unread_count:[1 TO *]`; the docs have the language.
    filters: Option<String>,
    /// A cursor that this list gave; absent or empty for the first page.
    cursor: Option<String>,
    /// Conversations of a page: 20 if left out or less than 1, and at most 100.
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

#[derive(Deserialize, ToSchema)]
struct InfoRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
}

#[derive(Deserialize, ToSchema)]
struct TagRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    /// Whether there is such a tag is not asked.
    #[schema(value_type = Uuid)]
    tag_id: TagId,
}

/// What is left out is not known any more.
#[derive(Deserialize, ToSchema)]
struct ContactRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    /// Both names in one, instead of them: the first word is the first name.
    display_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    /// A picture of the contact.
    avatar_url: Option<String>,
}

/// Lists the conversations.
///
/// The one whose last message arrived latest comes first; the next page is of older ones.
#[utoipa::path(
    post,
    path = "/conversations.list",
    security(("token" = ["read"])),
    request_body(content = inline(Option<ListRequest>), example = json!({
        "filters": "source:chat_plugin AND unread_count:[1 TO *]",
        "page_size": 20,
    })),
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

/// Marks a conversation as read.
///
/// Nothing in it is unread any more.
#[utoipa::path(
    post,
    path = "/conversations.read",
    security(("token" = ["agent"])),
    request_body(content = inline(InfoRequest), example = json!({
        "conversation_id": example::CONVERSATION,
    })),
    responses(
        (status = 202, description = "It is read.", body = EmptyObject, example = json!({})),
        InfoErrors,
    ),
)]
async fn read(_: Agent, State(app): State<App>, Json(request): Json<InfoRequest>) -> Noting {
    note(&app, request.conversation_id, Note::Read).await
}

/// Puts a tag on a conversation.
///
/// One that is on it already is no error.
#[utoipa::path(
    post,
    path = "/conversations.tag",
    security(("token" = ["agent"])),
    request_body(content = inline(TagRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "tag_id": example::TAG,
    })),
    responses(
        (status = 202, description = "It is on it.", body = EmptyObject, example = json!({})),
        NoteErrors,
    ),
)]
async fn tag(_: Agent, State(app): State<App>, Json(request): Json<TagRequest>) -> Noting {
    note(&app, request.conversation_id, Note::Tag(request.tag_id)).await
}

/// Takes a tag off a conversation.
///
/// One that is not on it is no error.
#[utoipa::path(
    post,
    path = "/conversations.untag",
    security(("token" = ["agent"])),
    request_body(content = inline(TagRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "tag_id": example::TAG,
    })),
    responses(
        (status = 202, description = "It is off.", body = EmptyObject, example = json!({})),
        InfoErrors,
    ),
)]
async fn untag(_: Agent, State(app): State<App>, Json(request): Json<TagRequest>) -> Noting {
    note(&app, request.conversation_id, Note::Untag(request.tag_id)).await
}

/// Says what a contact is called and looks like.
///
/// What is left out is not known any more.
#[utoipa::path(
    post,
    path = "/conversations.update-contact",
    security(("token" = ["agent"])),
    request_body(content = inline(ContactRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "avatar_url": "https://example.com/ada.png",
    })),
    responses(
        (status = 202, description = "It is known.", body = EmptyObject, example = json!({})),
        InfoErrors,
    ),
)]
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
    if let Some(text) = &text {
        check_line(field, text, 0..=bytes_max)?;
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
