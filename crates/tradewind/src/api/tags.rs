//! `tags.*`: marks that people put on conversations.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tradewind_model::{Tag, TagColor, TagId};
use utoipa::{ToSchema, openapi::ObjectBuilder};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::{Agent, Reader},
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing},
        openapi::{self, one_of, problem::errors},
        view::{EmptyObject, EmptyRequest},
    },
    app::App,
};

/// Tags of an installation.
const TAGS_MAX: u64 = 1_000;
/// Longest name of a tag, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("tags", "Marks that people put on conversations.")
        .routes(routes!(create))
        .routes(routes!(update))
        .routes(routes!(delete))
        .routes(routes!(list))
}

errors!(CreateErrors: TooManyTags { max: TAGS_MAX });
errors!(TagErrors: TagNotFound);

#[derive(Deserialize, ToSchema)]
struct CreateRequest {
    /// At most 200 bytes.
    name: String,
    #[schema(schema_with = colors)]
    color: String,
}

#[derive(Deserialize, ToSchema)]
struct UpdateRequest {
    #[schema(value_type = Uuid)]
    id: TagId,
    name: Option<String>,
    #[schema(schema_with = colors, required = false)]
    color: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct DeleteRequest {
    #[schema(value_type = Uuid)]
    id: TagId,
}

#[derive(Serialize, ToSchema)]
struct Created {
    #[schema(value_type = Uuid)]
    id: TagId,
}

#[derive(Serialize, ToSchema)]
struct TagList {
    data: Vec<TagView>,
}

#[derive(Serialize, ToSchema)]
struct TagView {
    #[schema(value_type = Uuid)]
    id: TagId,
    name: String,
    /// As clients of Airy Core know colours.
    #[schema(schema_with = listed_colors)]
    color: &'static str,
}

/// Makes a tag.
#[utoipa::path(
    post,
    path = "/tags.create",
    security(("token" = ["agent"])),
    request_body(content = inline(CreateRequest), example = json!({
        "name": "urgent",
        "color": "tag-red",
    })),
    responses(
        (
            status = 201,
            description = "It is made.",
            body = Created,
            example = json!({"id": example::TAG}),
        ),
        CreateErrors,
    ),
)]
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

/// Renames or recolours a tag.
///
/// What is left out stays.
#[utoipa::path(
    post,
    path = "/tags.update",
    security(("token" = ["agent"])),
    request_body(content = inline(UpdateRequest), example = json!({
        "id": example::TAG,
        "name": "very urgent",
    })),
    responses(
        (
            status = 200,
            description = "It is changed.",
            body = EmptyObject,
            example = json!({}),
        ),
        TagErrors,
    ),
)]
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

/// Deletes a tag.
///
/// Conversations keep its id.
#[utoipa::path(
    post,
    path = "/tags.delete",
    security(("token" = ["agent"])),
    request_body(content = inline(DeleteRequest), example = json!({"id": example::TAG})),
    responses(
        (
            status = 200,
            description = "It is gone.",
            body = EmptyObject,
            example = json!({}),
        ),
        TagErrors,
    ),
)]
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

/// Lists the tags.
#[utoipa::path(
    post,
    path = "/tags.list",
    security(("token" = ["read"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "The tags, the oldest first.",
            body = TagList,
            example = json!({"data": [{
                "id": example::TAG,
                "name": "urgent",
                "color": "RED",
            }]}),
        ),
    ),
)]
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

fn colors() -> ObjectBuilder {
    one_of(TagColor::ALL.map(TagColor::name))
}

fn listed_colors() -> ObjectBuilder {
    one_of(TagColor::ALL.map(TagColor::listed_name))
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
