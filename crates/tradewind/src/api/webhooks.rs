//! `webhooks.*`: where events are sent.

use std::fmt;

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};
use tradewind_delivery::{guard::LookupError, webhook};
use tradewind_model::{Webhook, WebhookStatus};
use uuid::Builder;

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        extract::{Json, JsonOrNothing},
        view::EmptyRequest,
    },
    app::App,
};

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/webhooks.subscribe", post(subscribe))
        .route("/webhooks.unsubscribe", post(unsubscribe))
        .route("/webhooks.info", post(info))
}

#[derive(Deserialize)]
struct SubscribeRequest {
    url: String,
    /// Absent or `null` is none.
    headers: Option<HeaderList>,
}

/// An object of texts, in its order and with what it repeats.
struct HeaderList(Vec<(String, String)>);

impl<'de> Deserialize<'de> for HeaderList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(Pairs).map(Self)
    }
}

#[derive(Serialize)]
struct WebhookView {
    url: String,
    headers: Map<String, Value>,
    status: &'static str,
    api_secret: String,
}

/// What `webhooks.info` shows: the same without the secret, which only who subscribes is told.
#[derive(Serialize)]
struct WebhookInfo {
    status: &'static str,
    url: String,
    headers: Map<String, Value>,
}

async fn subscribe(
    _: Admin,
    State(app): State<App>,
    Json(request): Json<SubscribeRequest>,
) -> Result<Answer<WebhookView>, ApiError> {
    let headers = request
        .headers
        .map(|HeaderList(headers)| headers)
        .unwrap_or_default();
    webhook::parse_headers(&headers)
        .map_err(|error| ApiError::invalid("headers", error.to_string()))?;
    check_url(&app, &request.url).await?;
    let webhook = app
        .store
        .subscribe(Webhook {
            id: Webhook::DEFAULT_ID,
            url: request.url,
            headers,
            status: WebhookStatus::Subscribed,
            api_secret: Builder::from_random_bytes(app.random.bits().to_be_bytes()).into_uuid(),
        })
        .await?;
    app.dispatcher.refresh().await;
    Ok(Answer(view(webhook)))
}

/// Once this is answered, no further attempt is started.
async fn unsubscribe(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<WebhookView>, ApiError> {
    let webhook = app.store.unsubscribe(Webhook::DEFAULT_ID).await?;
    let webhook = webhook.ok_or(ApiError::WebhookNotFound)?;
    app.dispatcher.refresh().await;
    Ok(Answer(view(webhook)))
}

async fn info(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<WebhookInfo>, ApiError> {
    let webhook = app.store.find_webhook(Webhook::DEFAULT_ID).await?;
    let WebhookView {
        url,
        headers,
        status,
        ..
    } = view(webhook.ok_or(ApiError::WebhookNotFound)?);
    Ok(Answer(WebhookInfo {
        status,
        url,
        headers,
    }))
}

/// Refuses what could never be delivered to. A name that does not resolve now may do so later; one
/// that points inside is refused here already, so that who typed it learns of it.
async fn check_url(app: &App, url: &str) -> Result<(), ApiError> {
    let refuse = |why: String| ApiError::invalid("url", why);
    let url = app
        .guard
        .parse_url(url)
        .map_err(|error| refuse(error.to_string()))?;
    if let Some(name) = url.domain()
        && let Err(LookupError::Forbidden(forbidden)) = app.guard.lookup(name).await
    {
        return Err(refuse(format!("{name} leads inside: {forbidden}")));
    }
    Ok(())
}

fn view(webhook: Webhook) -> WebhookView {
    let headers = webhook
        .headers
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)));
    WebhookView {
        url: webhook.url,
        headers: headers.collect(),
        status: webhook.status.name(),
        api_secret: webhook.api_secret.to_string(),
    }
}
