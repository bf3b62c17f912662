//! `webhooks.*`: where events are sent, and what became of them.

mod attempts;
mod failed;
mod replay;
mod stats;
mod subscription;
mod waiting;

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use tradewind_delivery::dispatcher::WEBHOOKS_MAX;
use tradewind_model::{ConversationId, Webhook, WebhookId};
use tradewind_store::{ConsumerId, Standing, StoreError};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::{Builder, Uuid};

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing},
        openapi::{self, problem::errors},
        view::EmptyRequest,
    },
    app::App,
};
pub(super) use subscription::check_url;
use subscription::{SubscribeRequest, View, WebhookView};

/// How long the old secret signs too after a rotation, if the call does not say; and at most.
const OVERLAP_SECONDS: i64 = 24 * 60 * 60;
const OVERLAP_SECONDS_MAX: i64 = 30 * OVERLAP_SECONDS;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace(
        "webhooks",
        "Where events are sent, and what became of them.",
    )
    .routes(routes!(subscribe))
    .routes(routes!(unsubscribe))
    .routes(routes!(info))
    .routes(routes!(list))
    .routes(routes!(rotate_secret))
    .routes(routes!(attempts::attempts))
    .routes(routes!(failed::failed))
    .routes(routes!(replay::replay))
    .routes(routes!(attempts::test))
    .routes(routes!(stats::stats))
}

errors!(SubscribeErrors: TooManyWebhooks { max: WEBHOOKS_MAX });
errors!(FindErrors: WebhookNotFound);

/// Names a webhook.
#[derive(Debug, Deserialize, ToSchema)]
struct WebhookRequest {
    /// The id that it was subscribed with; the default webhook if left out.
    #[schema(value_type = Option<Uuid>)]
    id: Option<WebhookId>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct RotateRequest {
    /// The id that it was subscribed with; the default webhook if left out.
    #[schema(value_type = Option<Uuid>)]
    id: Option<WebhookId>,
    /// How long the old secret signs too: a day if left out.
    #[schema(minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct WebhookList {
    #[schema(value_type = Vec<WebhookView>)]
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

/// Subscribes a webhook, or changes one.
///
/// It is sent an event for each message from then on, in either direction. A call says all of it: what
/// is left out is none, or the default. `api_secret` signs the events; it stays the same when the webhook
/// is subscribed again.
#[utoipa::path(
    post,
    path = "/webhooks.subscribe",
    security(("token" = ["admin"])),
    request_body(content = inline(SubscribeRequest), example = json!({
        "url": "https://example.com/hook",
        "headers": {"X-Custom-Header": "custom-code-for-header"},
    })),
    responses(
        (
            status = 200,
            description = "The webhook, with its secret.",
            body = WebhookView,
            example = json!(example::webhook("Subscribed")),
        ),
        SubscribeErrors,
    ),
)]
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

/// Unsubscribes a webhook.
///
/// Once this is answered, no further attempt is started, for what waits neither.
#[utoipa::path(
    post,
    path = "/webhooks.unsubscribe",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<WebhookRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "The webhook, with its secret, which it keeps.",
            body = WebhookView,
            example = json!(example::webhook("Unsubscribed")),
        ),
        FindErrors,
    ),
)]
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

/// Shows a webhook, without its secret.
#[utoipa::path(
    post,
    path = "/webhooks.info",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<WebhookRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "The webhook.",
            body = WebhookView,
            example = json!({
                "status": "Subscribed",
                "url": "https://example.com/hook",
                "headers": {"X-Custom-Header": "custom-code-for-header"},
            }),
        ),
        FindErrors,
    ),
)]
async fn info(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(WebhookRequest { id }): JsonOrNothing<WebhookRequest>,
) -> Result<Answer<View>, ApiError> {
    let webhook = find(&app, id).await?;
    Ok(Answer(subscription::without_secret(&app, &webhook)))
}

/// Lists the webhooks, the unsubscribed ones too.
#[utoipa::path(
    post,
    path = "/webhooks.list",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses((
        status = 200,
        description = "The webhooks, each with its id and without its secret.",
        body = WebhookList,
        example = json!({"data": [{
            "id": Webhook::DEFAULT_ID,
            "status": "Subscribed",
            "url": "https://example.com/hook",
            "headers": {"X-Custom-Header": "custom-code-for-header"},
        }]}),
    )),
)]
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

/// Gives a webhook a new secret.
///
/// The old one signs beside it for a while, so that receivers can change over.
#[utoipa::path(
    post,
    path = "/webhooks.rotate-secret",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<RotateRequest>), example = json!({
        "overlap_seconds": 3600,
    })),
    responses(
        (
            status = 200,
            description = "The webhook, with its new secret.",
            body = WebhookView,
            example = json!({
                "url": "https://example.com/hook",
                "headers": {"X-Custom-Header": "custom-code-for-header"},
                "status": "Subscribed",
                "api_secret": "5ab6dd7f-1a6b-4f7e-9c0b-3b1c3b0a2d51",
                "old_secret_until": "2026-11-23T22:33:25.192Z",
            }),
        ),
        FindErrors,
    ),
)]
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
