//! `channels.*`: which accounts and pages are connected.

use axum::{Json as Answer, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use tradewind_model::{Channel, ChannelId, Source};
use tradewind_sources::Provider;
use tradewind_store::Disconnected;

use crate::{
    api::{
        auth::{Admin, Reader},
        error::ApiError,
        extract::{Json, JsonOrNothing},
        view::{ChannelView, EmptyObject, EmptyRequest},
    },
    app::App,
};

/// Channels that `channels.list` shows at most.
const CHANNELS_MAX: usize = 10_000;
/// Longest `source_channel_id`, `name`, `image_url` and `token`, in bytes.
const FIELD_BYTES_MAX: usize = 4_096;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/channels.connect", post(connect))
        .route("/channels.disconnect", post(disconnect))
        .route("/channels.explore", post(explore))
        .route("/channels.list", post(list))
}

#[derive(Deserialize)]
struct ConnectRequest {
    source: String,
    source_channel_id: String,
    name: Option<String>,
    image_url: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct DisconnectRequest {
    channel_id: ChannelId,
}

#[derive(Deserialize)]
struct ExploreRequest {
    source: String,
    #[expect(
        dead_code,
        reason = "no source of today asks its provider; it has to be there all the same"
    )]
    token: String,
}

/// What could be connected.
#[derive(Serialize)]
struct Explored {
    data: Vec<EmptyObject>,
}

#[derive(Serialize)]
struct ChannelList {
    data: Vec<ChannelView>,
}

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

/// What the owner of a token could connect. Web chat has nothing of the kind.
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
        let providers = app.providers.iter();
        let known: Vec<_> = providers
            .map(|provider| provider.source().to_string())
            .collect();
        ApiError::invalid("source", format!("must be one of {}", known.join(", ")))
    })
}

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
