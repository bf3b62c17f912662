//! `channels.*`: which accounts and pages are connected.

use std::sync::Arc;

use axum::{Json as Answer, extract::State, http::StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tradewind_model::{Actor, Channel, ChannelId, Source};
use tradewind_sources::{AskError, Provider, Wish};
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
pub(super) const CHANNELS_MAX: usize = 10_000;
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
errors!(AskErrors:
    ProviderRefused { reason: "Invalid OAuth access token. (code 190)".to_owned() },
    ProviderUnavailable { reason: "no connection to the provider".to_owned() },
    SourceNotConfigured { setting: "meta.app_secret" });

/// Texts are at most 4,096 bytes long.
#[derive(Deserialize, ToSchema)]
struct ConnectRequest {
    /// The kind of account: `chat_plugin`, `facebook`, `instagram`, `whatsapp`, `telegram`, `twilio.sms`,
    /// `twilio.whatsapp`, `google`, or a source of your own.
    #[schema(example = "chat_plugin")]
    source: String,
    /// What the source calls the account; for a chat channel, a word of your choice. Telegram says it itself.
    source_channel_id: Option<String>,
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
    /// The kind of account, such as `facebook`.
    #[schema(example = "chat_plugin")]
    source: String,
    /// What the source gave its user.
    token: String,
}

/// What could be connected.
#[derive(Serialize, ToSchema)]
struct Explored {
    data: Vec<ExploredView>,
}

/// An account that could be connected, or is.
#[derive(Serialize, ToSchema)]
struct ExploredView {
    source: String,
    source_channel_id: String,
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    image_url: Option<String>,
    /// Whether it is connected here.
    connected: bool,
}

#[derive(Serialize, ToSchema)]
struct ChannelList {
    data: Vec<ChannelView>,
}

/// Connects an account or a page.
///
/// Messages come from it, and answers go to it, from then on. One that is connected stays as it is.
/// The id follows from `source` and `source_channel_id`: the same account is the same channel again.
/// Connect one again to give it a new token.
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
    responses(
        (status = 200, description = "The channel.", body = ChannelView, example = json!(
            example::channel()
        )),
        AskErrors,
    ),
)]
async fn connect(
    Admin(token_of): Admin,
    State(app): State<App>,
    Json(request): Json<ConnectRequest>,
) -> Result<Answer<ChannelView>, ApiError> {
    let provider = known(&app, &request.source).await?;
    let by = token_of.actor();
    let channel = connect_to(&app, &*provider, request.into_wish()?, by).await?;
    Ok(Answer(ChannelView::new(&channel)))
}

/// Connects what somebody wishes at a source.
pub(super) async fn connect_to(
    app: &App,
    provider: &dyn Provider,
    wish: Wish,
    by: Actor,
) -> Result<Channel, ApiError> {
    let source = provider.source();
    let asked = provider.connect(wish).await?;
    if asked.source_channel_id.trim().is_empty() {
        return Err(ApiError::invalid("source_channel_id", "must not be empty"));
    }
    let id = Channel::id_of(&source, &asked.source_channel_id);
    let vault = &app.sources.accounts.vault;
    let token = asked.token.map(|token| vault.seal(&id.to_string(), &token));
    let was_connected = app.store.find_channel(id).await?;
    let was_connected = was_connected.is_some_and(|channel| channel.connected);
    let channel = Channel {
        id,
        name: asked
            .name
            .or_else(|| Some(provider.default_channel_name().to_owned())),
        source,
        source_channel_id: asked.source_channel_id,
        image_url: asked.image_url,
        token: token.transpose()?,
        connected: true,
    };
    let channel = app.store.connect_channel(channel, by.clone()).await?;
    // Only now: what comes for a channel that is not known is not kept.
    let account = app.sources.accounts.open(channel.clone())?;
    if let Err(error) = provider.subscribe(&account).await {
        if !was_connected {
            app.store.disconnect_channel(id, by).await?;
        }
        return Err(error.into());
    }
    Ok(channel)
}

/// A text that a channel keeps. One that says nothing is none.
pub(super) fn text(field: &str, value: Option<String>) -> Result<Option<String>, ApiError> {
    match value {
        Some(value) if value.len() > FIELD_BYTES_MAX || value.contains('\0') => {
            let why = format!("must be at most {FIELD_BYTES_MAX} bytes, without NUL");
            Err(ApiError::invalid(field, why))
        }
        value => Ok(value.filter(|value| !value.trim().is_empty())),
    }
}

impl ConnectRequest {
    fn into_wish(self) -> Result<Wish, ApiError> {
        if self
            .source_channel_id
            .as_deref()
            .is_some_and(|id| id.trim().is_empty())
        {
            return Err(ApiError::invalid("source_channel_id", "must not be empty"));
        }
        Ok(Wish {
            source_channel_id: text("source_channel_id", self.source_channel_id)?,
            name: text("name", self.name)?,
            image_url: text("image_url", self.image_url)?,
            token: text("token", self.token)?.map(SecretString::from),
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
    let channel = app.store.find_channel(id).await?;
    if let Some(channel) = channel.filter(|channel| channel.connected) {
        tell_provider(&app, channel).await;
    }
    match app.store.disconnect_channel(id, token.actor()).await? {
        Disconnected::Done => Ok((StatusCode::OK, Answer(EmptyObject))),
        Disconnected::Already => Ok((StatusCode::ACCEPTED, Answer(EmptyObject))),
        Disconnected::NotFound => Err(ApiError::ChannelNotFound),
    }
}

/// Asks the provider to send nothing more. Whether it can or not, the channel is disconnected here.
async fn tell_provider(app: &App, channel: Channel) {
    // What is wrong with the store it says again when the channel is disconnected.
    let Ok(Some(provider)) = app.find_provider(&channel.source).await else {
        return;
    };
    let id = channel.id;
    let told = match app.sources.accounts.open(channel) {
        Ok(account) => provider.disconnect(&account).await,
        Err(error) => Err(AskError::Refused(error.to_string())),
    };
    if let Err(error) = told {
        tracing::warn!(channel.id = %id, %error, "the provider was not told that a channel is disconnected");
    }
}

/// Lists what the owner of a token could connect.
///
/// Facebook and Instagram have such lists; of other sources it is empty.
#[utoipa::path(
    post,
    path = "/channels.explore",
    security(("token" = ["admin"])),
    request_body(content = inline(ExploreRequest), example = json!({
        "source": "chat_plugin",
        "token": "what the source gave its user",
    })),
    responses(
        (status = 200, description = "What could be.", body = Explored, example = json!({
            "data": [],
        })),
        AskErrors,
    ),
)]
async fn explore(
    _: Admin,
    State(app): State<App>,
    Json(request): Json<ExploreRequest>,
) -> Result<Answer<Explored>, ApiError> {
    let provider = known(&app, &request.source).await?;
    let source = provider.source();
    let found = provider.explore(&request.token.into()).await?;
    let connected = app.store.list_channels(CHANNELS_MAX).await?;
    let is_connected = |id: &str| {
        let id = Channel::id_of(&source, id);
        connected.iter().any(|channel| channel.id == id)
    };
    let view = |found: tradewind_sources::Explored| ExploredView {
        source: source.to_string(),
        connected: is_connected(&found.source_channel_id),
        source_channel_id: found.source_channel_id,
        name: found.name,
        image_url: found.image_url,
    };
    Ok(Answer(Explored {
        data: found.into_iter().map(view).collect(),
    }))
}

/// Who speaks with the source of this name.
async fn known(app: &App, name: &str) -> Result<Arc<dyn Provider>, ApiError> {
    if let Ok(source) = Source::parse(name)
        && let Some(provider) = app.find_provider(&source).await?
    {
        return Ok(provider);
    }
    let providers = app.sources.all.providers.iter();
    let built_in = providers.map(|provider| provider.source().to_string());
    let own = app.sources.own.list().await?;
    let own = own.iter().map(|own| own.source.to_string());
    let known: Vec<_> = built_in.chain(own).collect();
    let why = format!("must be one of {}", known.join(", "));
    Err(ApiError::invalid("source", why))
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
