//! `tags.*`: marks that people put on conversations.

use axum::{Json as Answer, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use tradewind_model::{Tag, TagColor, TagId};

use crate::{
    api::{
        auth::{Agent, Reader},
        error::ApiError,
        extract::{Json, JsonOrNothing},
        view::{EmptyObject, EmptyRequest},
    },
    app::App,
};

/// Tags of an installation.
const TAGS_MAX: u64 = 1_000;
/// Longest name of a tag, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/tags.create", post(create))
        .route("/tags.update", post(update))
        .route("/tags.delete", post(delete))
        .route("/tags.list", post(list))
}

#[derive(Deserialize)]
struct CreateRequest {
    name: String,
    color: String,
}

#[derive(Deserialize)]
struct UpdateRequest {
    id: TagId,
    name: Option<String>,
    color: Option<String>,
}

#[derive(Deserialize)]
struct DeleteRequest {
    id: TagId,
}

#[derive(Serialize)]
struct Created {
    id: TagId,
}

#[derive(Serialize)]
struct TagList {
    data: Vec<TagView>,
}

#[derive(Serialize)]
struct TagView {
    id: TagId,
    name: String,
    color: &'static str,
}

async fn create(
    _: Agent,
    State(app): State<App>,
    Json(request): Json<CreateRequest>,
) -> Result<(StatusCode, Answer<Created>), ApiError> {
    let tag = Tag {
        id: TagId::fresh(&*app.clock, &*app.random),
        name: name(&request.name)?,
        color: color(&request.color)?,
    };
    let id = tag.id;
    if !app.store.create_tag(tag, TAGS_MAX).await? {
        return Err(ApiError::TooManyTags { max: TAGS_MAX });
    }
    Ok((StatusCode::CREATED, Answer(Created { id })))
}

/// What is left out stays.
async fn update(
    _: Agent,
    State(app): State<App>,
    Json(request): Json<UpdateRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    let name = request.name.as_deref().map(name).transpose()?;
    let color = request.color.as_deref().map(color).transpose()?;
    if !app.store.update_tag(request.id, name, color).await? {
        return Err(ApiError::TagNotFound);
    }
    Ok(Answer(EmptyObject))
}

/// Conversations keep the tag's id.
async fn delete(
    _: Agent,
    State(app): State<App>,
    Json(request): Json<DeleteRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    if !app.store.delete_tag(request.id).await? {
        return Err(ApiError::TagNotFound);
    }
    Ok(Answer(EmptyObject))
}

async fn list(
    _: Reader,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<TagList>, ApiError> {
    let limit = usize::try_from(TAGS_MAX).unwrap_or(usize::MAX);
    let tags = app.store.list_tags(limit).await?.into_iter();
    let view = |tag: Tag| TagView {
        id: tag.id,
        name: tag.name,
        color: tag.color.listed_name(),
    };
    Ok(Answer(TagList {
        data: tags.map(view).collect(),
    }))
}

fn name(text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let why = format!("must be 1 to {NAME_BYTES_MAX} bytes long");
        return Err(ApiError::invalid("name", why));
    }
    Ok(name.to_owned())
}

/// As requests name colours, or as the list shows them.
fn color(text: &str) -> Result<TagColor, ApiError> {
    let known = TagColor::ALL
        .into_iter()
        .find(|color| [color.name(), color.listed_name()].contains(&text));
    known.ok_or_else(|| {
        let names = TagColor::ALL.map(TagColor::name).join(", ");
        ApiError::invalid("color", format!("must be one of {names}"))
    })
}
