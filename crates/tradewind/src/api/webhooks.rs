//! `webhooks.*`: where events are sent, and what became of them.

mod attempts;
mod failed;
mod replay;
mod stats;
mod subscription;
mod waiting;

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::{Deserialize, Serialize};
use tradewind_delivery::dispatcher::WEBHOOKS_MAX;
use tradewind_model::{ConversationId, Webhook, WebhookId};
use tradewind_store::{ConsumerId, Standing, StoreError};
use uuid::{Builder, Uuid};

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        extract::{Json, JsonOrNothing},
        view::EmptyRequest,
    },
    app::App,
};
use subscription::{SubscribeRequest, View};

/// How long the old secret signs too after a rotation, if the call does not say; and at most.
const OVERLAP_SECONDS: i64 = 24 * 60 * 60;
const OVERLAP_SECONDS_MAX: i64 = 30 * OVERLAP_SECONDS;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/webhooks.subscribe", post(subscribe))
        .route("/webhooks.unsubscribe", post(unsubscribe))
        .route("/webhooks.info", post(info))
        .route("/webhooks.list", post(list))
        .route("/webhooks.rotate-secret", post(rotate_secret))
        .route("/webhooks.attempts", post(attempts::attempts))
        .route("/webhooks.failed", post(failed::failed))
        .route("/webhooks.replay", post(replay::replay))
        .route("/webhooks.test", post(attempts::test))
        .route("/webhooks.stats", post(stats::stats))
}

/// Names a webhook; absent is the default one.
#[derive(Debug, Deserialize)]
struct WebhookRequest {
    id: Option<WebhookId>,
}

#[derive(Debug, Deserialize)]
struct RotateRequest {
    id: Option<WebhookId>,
    overlap_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct WebhookList {
    data: Vec<View>,
}

/// The webhook that a request names.
async fn find(app: &App, id: Option<WebhookId>) -> Result<Webhook, ApiError> {
    let id = id.unwrap_or(Webhook::DEFAULT_ID);
    let found = app.store.find_webhook(id).await?;
    found.ok_or(ApiError::WebhookNotFound)
}

/// Where a webhook stands, or one of its conversations, as it was saved last.
async fn standing(
    app: &App,
    webhook: &Webhook,
    lane: Option<ConversationId>,
) -> Result<Standing, ApiError> {
    let id = ConsumerId::Webhook(webhook.id);
    let found = app.store.find_standing(&id, lane).await?;
    Ok(found.ok_or(StoreError::NotFound)?)
}

async fn subscribe(
    Admin(token): Admin,
    State(app): State<App>,
    Json(request): Json<SubscribeRequest>,
) -> Result<Answer<View>, ApiError> {
    let webhook = request.into_webhook(&app, fresh_secret(&app)).await?;
    let is_new = app.store.find_webhook(webhook.id).await?.is_none();
    if is_new && app.store.list_webhooks(WEBHOOKS_MAX).await?.len() >= WEBHOOKS_MAX {
        return Err(ApiError::TooManyWebhooks { max: WEBHOOKS_MAX });
    }
    let webhook = app.store.subscribe(webhook, token.actor()).await?;
    app.dispatcher.refresh().await;
    Ok(Answer(subscription::with_secret(&app, &webhook)))
}

fn fresh_secret(app: &App) -> Uuid {
    Builder::from_random_bytes(app.random.bits().to_be_bytes()).into_uuid()
}

/// Once this is answered, no further attempt is started.
async fn unsubscribe(
    Admin(token): Admin,
    State(app): State<App>,
    JsonOrNothing(WebhookRequest { id }): JsonOrNothing<WebhookRequest>,
) -> Result<Answer<View>, ApiError> {
    let id = id.unwrap_or(Webhook::DEFAULT_ID);
    let webhook = app.store.unsubscribe(id, token.actor()).await?;
    let webhook = webhook.ok_or(ApiError::WebhookNotFound)?;
    app.dispatcher.refresh().await;
    Ok(Answer(subscription::with_secret(&app, &webhook)))
}

async fn info(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(WebhookRequest { id }): JsonOrNothing<WebhookRequest>,
) -> Result<Answer<View>, ApiError> {
    let webhook = find(&app, id).await?;
    Ok(Answer(subscription::without_secret(&app, &webhook)))
}

async fn list(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<WebhookList>, ApiError> {
    let webhooks = app.store.list_webhooks(WEBHOOKS_MAX).await?.into_iter();
    let data = webhooks.map(|(webhook, _)| subscription::listed(&app, &webhook));
    Ok(Answer(WebhookList {
        data: data.collect(),
    }))
}

/// A new secret; the old one signs beside it for a while, so that receivers can change over.
async fn rotate_secret(
    Admin(token): Admin,
    State(app): State<App>,
    JsonOrNothing(request): JsonOrNothing<RotateRequest>,
) -> Result<Answer<View>, ApiError> {
    let overlap = request.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    if !(0..=OVERLAP_SECONDS_MAX).contains(&overlap) {
        let why = format!("must be 0 to {OVERLAP_SECONDS_MAX}");
        return Err(ApiError::invalid("overlap_seconds", why));
    }
    let overlap = jiff::SignedDuration::from_secs(overlap);
    let now = app.clock.now();
    let until = now.checked_add(overlap).unwrap_or(now);
    let id = request.id.unwrap_or(Webhook::DEFAULT_ID);
    let rotated = app
        .store
        .rotate_secret(id, fresh_secret(&app), until, token.actor())
        .await?;
    let webhook = rotated.ok_or(ApiError::WebhookNotFound)?;
    app.dispatcher.refresh().await;
    Ok(Answer(subscription::with_secret(&app, &webhook)))
}
