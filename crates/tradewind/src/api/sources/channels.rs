//! `sources.channels.*`: the accounts that a connector has.

use axum::{Json as Answer, extract::State, http::StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tradewind_model::{Actor, Channel, ChannelId, TokenId};
use tradewind_sources::Wish;
use tradewind_store::{Disconnected, OwnSource};
use utoipa::ToSchema;

use crate::{
    api::{
        auth::Connector,
        channels::{CHANNELS_MAX, connect_to, text},
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing},
        openapi::problem::errors,
        view::{EmptyObject, EmptyRequest},
    },
    app::App,
};

errors!(CreateErrors: SourceNotConfigured { setting: "secret_key" });
errors!(DisconnectErrors: ChannelNotFound, ChannelOfAnother);

/// Texts are at most 4,096 bytes long.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateChannelRequest {
    /// What you call the account: it is part of each message.
    source_channel_id: String,
    /// What people call it.
    name: String,
    metadata: Option<ChannelMetadataRequest>,
}

/// What else is known of it.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChannelMetadataRequest {
    /// A picture that goes with it.
    image_url: Option<String>,
    /// What you keep for it. It is never given out.
    token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct DisconnectChannelRequest {
    #[schema(value_type = Uuid)]
    channel_id: ChannelId,
}

/// A channel, as a connector sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnChannelView {
    /// It follows from `source_id` and `source_channel_id`.
    #[schema(value_type = Uuid)]
    id: ChannelId,
    source_id: String,
    source_channel_id: String,
    metadata: ChannelMetadataView,
    connected: bool,
}

#[derive(Serialize, ToSchema)]
struct ChannelMetadataView {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct OwnChannelList {
    data: Vec<OwnChannelView>,
}

impl OwnChannelView {
    fn new(channel: Channel) -> Self {
        Self {
            id: channel.id,
            source_id: channel.source.to_string(),
            source_channel_id: channel.source_channel_id,
            metadata: ChannelMetadataView {
                name: channel.name,
                image_url: channel.image_url,
            },
            connected: channel.connected,
        }
    }
}

/// Who a connector is, for the record of changes.
fn actor(own: &OwnSource) -> Actor {
    let name = own.source.name();
    Actor {
        id: Some(TokenId::derived("source", name).uuid()),
        name: format!("source {name}"),
    }
}

/// Connects a channel of your source.
///
/// One that is connected stays as it is. An admin can do the same by `channels.connect`.
#[utoipa::path(
    post,
    path = "/sources.channels.create",
    tag = "sources",
    security(("source" = [])),
    request_body(content = inline(CreateChannelRequest), example = json!({
        "source_channel_id": "example.org",
        "name": "Our server",
        "metadata": {"image_url": "https://example.com/matrix.png"},
    })),
    responses(
        (
            status = 200,
            description = "The channel.",
            body = OwnChannelView,
            example = json!(example::own_channel()),
        ),
        CreateErrors,
    ),
)]
pub(super) async fn create(
    Connector(own): Connector,
    State(app): State<App>,
    Json(request): Json<CreateChannelRequest>,
) -> Result<Answer<OwnChannelView>, ApiError> {
    let (image_url, token) = match request.metadata {
        Some(metadata) => (metadata.image_url, metadata.token),
        None => (None, None),
    };
    let required = |field: &str, value: String| match text(field, Some(value))? {
        Some(value) => Ok(value),
        None => Err(ApiError::invalid(field, "must not be empty")),
    };
    let wish = Wish {
        source_channel_id: Some(required("source_channel_id", request.source_channel_id)?),
        name: Some(required("name", request.name)?),
        image_url: text("metadata.image_url", image_url)?,
        token: text("metadata.token", token)?.map(SecretString::from),
    };
    let provider = app.find_provider(&own.source).await?;
    let provider = provider.ok_or(ApiError::SourceUnauthorized)?;
    let channel = connect_to(&app, &*provider, wish, actor(&own)).await?;
    Ok(Answer(OwnChannelView::new(channel)))
}

/// Lists the channels of your source that are connected.
#[utoipa::path(
    post,
    path = "/sources.channels.list",
    tag = "sources",
    security(("source" = [])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses((
        status = 200,
        description = "The channels.",
        body = OwnChannelList,
        example = json!({"data": [example::own_channel()]}),
    )),
)]
pub(super) async fn list(
    Connector(own): Connector,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<OwnChannelList>, ApiError> {
    let mut channels = app.store.list_channels(CHANNELS_MAX).await?;
    channels.retain(|channel| channel.source == own.source);
    Ok(Answer(OwnChannelList {
        data: channels.into_iter().map(OwnChannelView::new).collect(),
    }))
}

/// Disconnects a channel of your source.
///
/// Nothing comes from it or goes to it any more; its conversations stay, and it can be connected again.
#[utoipa::path(
    post,
    path = "/sources.channels.disconnect",
    tag = "sources",
    security(("source" = [])),
    request_body(content = inline(DisconnectChannelRequest), example = json!({
        "channel_id": example::OWN_CHANNEL,
    })),
    responses(
        (status = 200, description = "It is disconnected.", body = EmptyObject, example = json!({})),
        (status = 202, description = "It was already.", body = EmptyObject, example = json!({})),
        DisconnectErrors,
    ),
)]
pub(super) async fn disconnect(
    Connector(own): Connector,
    State(app): State<App>,
    Json(request): Json<DisconnectChannelRequest>,
) -> Result<(StatusCode, Answer<EmptyObject>), ApiError> {
    let id = request.channel_id;
    let channel = app.store.find_channel(id).await?;
    if channel.ok_or(ApiError::ChannelNotFound)?.source != own.source {
        return Err(ApiError::ChannelOfAnother);
    }
    match app.store.disconnect_channel(id, actor(&own)).await? {
        Disconnected::Done => Ok((StatusCode::OK, Answer(EmptyObject))),
        Disconnected::Already => Ok((StatusCode::ACCEPTED, Answer(EmptyObject))),
        Disconnected::NotFound => Err(ApiError::ChannelNotFound),
    }
}
