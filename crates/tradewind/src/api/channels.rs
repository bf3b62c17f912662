//! `channels.*`: which accounts and pages are connected.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tradewind_model::{Channel, ChannelId, Source};
use tradewind_sources::Provider;
use tradewind_store::Disconnected;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::{Admin, Reader},
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing},
        openapi::{self, problem::errors},
        view::{ChannelView, EmptyObject, EmptyRequest},
    },
    app::App,
};

/// Channels that `channels.list` shows at most.
const CHANNELS_MAX: usize = 10_000;
/// Longest `source_channel_id`, `name`, `image_url` and `token`, in bytes.
const FIELD_BYTES_MAX: usize = 4_096;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("channels", "Which accounts and pages are connected.")
        .routes(routes!(connect))
        .routes(routes!(disconnect))
        .routes(routes!(explore))
        .routes(routes!(list))
}

errors!(DisconnectErrors: ChannelNotFound);

/// Texts are at most 4,096 bytes long.
#[derive(Deserialize, ToSchema)]
struct ConnectRequest {
    /// The kind of account: `chat_plugin`.
    #[schema(example = "chat_plugin")]
    source: String,
    /// What the source calls the account; for a chat channel, a word of your choice.
    source_channel_id: String,
    /// What people call it. If left out, the source has a name for it.
    name: Option<String>,
    /// A picture that goes with it.
    image_url: Option<String>,
    /// What the source wants to be shown; a chat channel needs none. It is never given out again.
    token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
struct DisconnectRequest {
    #[schema(value_type = Uuid)]
    channel_id: ChannelId,
}

#[derive(Deserialize, ToSchema)]
struct ExploreRequest {
    /// The kind of account: `chat_plugin`.
    #[schema(example = "chat_plugin")]
    source: String,
    /// What the source gave its user.
    #[expect(
        dead_code,
        reason = "no source of today asks its provider; it has to be there all the same"
    )]
    token: String,
}

/// What could be connected.
#[derive(Serialize, ToSchema)]
struct Explored {
    data: Vec<EmptyObject>,
}

#[derive(Serialize, ToSchema)]
struct ChannelList {
    data: Vec<ChannelView>,
}

/// Connects an account or a page.
///
/// Messages come from it, and answers go to it, from then on. One that is connected stays as it is.
/// The id follows from `source` and `source_channel_id`: the same account is the same channel again.
#[utoipa::path(
    post,
    path = "/channels.connect",
    security(("token" = ["admin"])),
    request_body(content = inline(ConnectRequest), example = json!({
        "source": "chat_plugin",
        "source_channel_id": "shop",
        "name": "Shop",
        "image_url": "https://example.com/logo.png",
    })),
    responses((status = 200, description = "The channel.", body = ChannelView, example = json!(
        example::channel()
    ))),
)]
async fn connect(
    Admin(token): Admin,
    State(app): State<App>,
    Json(request): Json<ConnectRequest>,
) -> Result<Answer<ChannelView>, ApiError> {
    let channel = request.into_channel(&app)?;
    let channel = app.store.connect_channel(channel, token.actor()).await?;
    Ok(Answer(ChannelView::new(&channel)))
}

impl ConnectRequest {
    fn into_channel(self, app: &App) -> Result<Channel, ApiError> {
        let (source, provider) = known(app, &self.source)?;
        if self.source_channel_id.trim().is_empty() {
            return Err(ApiError::invalid("source_channel_id", "must not be empty"));
        }
        for (field, value) in [
            ("source_channel_id", Some(&self.source_channel_id)),
            ("name", self.name.as_ref()),
            ("image_url", self.image_url.as_ref()),
            ("token", self.token.as_ref()),
        ] {
            if value.is_some_and(|value| value.len() > FIELD_BYTES_MAX || value.contains('\0')) {
                let why = format!("must be at most {FIELD_BYTES_MAX} bytes, without NUL");
                return Err(ApiError::invalid(field, why));
            }
        }
        let name = self.name.filter(|name| !name.trim().is_empty());
        Ok(Channel {
            id: Channel::id_of(&source, &self.source_channel_id),
            name: name.or_else(|| Some(provider.default_channel_name().to_owned())),
            source,
            source_channel_id: self.source_channel_id,
            image_url: self.image_url,
            token: self.token,
            connected: true,
        })
    }
}

/// Disconnects a channel.
///
/// Nothing comes from it or goes to it any more; its conversations stay, and it can be connected again.
#[utoipa::path(
    post,
    path = "/channels.disconnect",
    security(("token" = ["admin"])),
    request_body(content = inline(DisconnectRequest), example = json!({
        "channel_id": example::CHANNEL,
    })),
    responses(
        (status = 200, description = "It is disconnected.", body = EmptyObject, example = json!({})),
        (status = 202, description = "It was already.", body = EmptyObject, example = json!({})),
        DisconnectErrors,
    ),
)]
async fn disconnect(
    Admin(token): Admin,
    State(app): State<App>,
    Json(request): Json<DisconnectRequest>,
) -> Result<(StatusCode, Answer<EmptyObject>), ApiError> {
    let id = request.channel_id;
    match app.store.disconnect_channel(id, token.actor()).await? {
        Disconnected::Done => Ok((StatusCode::OK, Answer(EmptyObject))),
        Disconnected::Already => Ok((StatusCode::ACCEPTED, Answer(EmptyObject))),
        Disconnected::NotFound => Err(ApiError::ChannelNotFound),
    }
}

/// Lists what the owner of a token could connect.
///
/// Web chat has nothing of the kind.
#[utoipa::path(
    post,
    path = "/channels.explore",
    security(("token" = ["admin"])),
    request_body(content = inline(ExploreRequest), example = json!({
        "source": "chat_plugin",
        "token": "what the source gave its user",
    })),
    responses((status = 200, description = "What could be.", body = Explored, example = json!({
        "data": [],
    }))),
)]
async fn explore(
    _: Admin,
    State(app): State<App>,
    Json(request): Json<ExploreRequest>,
) -> Result<Answer<Explored>, ApiError> {
    known(&app, &request.source)?;
    Ok(Answer(Explored { data: Vec::new() }))
}

/// The source of this name, and who speaks with it.
fn known<'a>(app: &'a App, name: &str) -> Result<(Source, &'a dyn Provider), ApiError> {
    let source = Source::parse(name).ok();
    let found = source.and_then(|source| {
        let provider = app.find_provider(&source)?;
        Some((source, provider))
    });
    found.ok_or_else(|| {
        let providers = app.sources.providers.iter();
        let known: Vec<_> = providers
            .map(|provider| provider.source().to_string())
            .collect();
        ApiError::invalid("source", format!("must be one of {}", known.join(", ")))
    })
}

/// Lists the channels that are connected.
#[utoipa::path(
    post,
    path = "/channels.list",
    security(("token" = ["read"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses((status = 200, description = "The channels.", body = ChannelList, example = json!({
        "data": [example::channel()],
    }))),
)]
async fn list(
    _: Reader,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<ChannelList>, ApiError> {
    let channels = app.store.list_channels(CHANNELS_MAX).await?;
    Ok(Answer(ChannelList {
        data: channels.iter().map(ChannelView::new).collect(),
    }))
}
