//! The HTTP API: one module a namespace, each with its routes, its bodies and its handlers.
//!
//! Endpoints are `POST /things.verb` with a JSON object in and out. A handler reads like the story of
//! its request: who asks, what for, do it, answer. Whatever goes wrong becomes one [`error::ApiError`].

pub(crate) mod auth;
mod channels;
mod chat_plugin;
mod conversations;
pub(crate) mod error;
mod extract;
mod health;
mod idempotency;
mod messages;
mod page;
pub(crate) mod view;
mod webhooks;

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::any,
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{app::App, console, live::socket};
use error::ApiError;

/// Everything that the server answers. `request_max` is the longest time of one request.
pub(crate) fn router(app: App, request_max: Duration) -> Router {
    let endpoints = Router::new()
        .merge(channels::router())
        .merge(chat_plugin::router())
        .merge(conversations::router())
        .merge(health::router())
        .merge(messages::router())
        .merge(webhooks::router())
        .merge(console::router())
        .layer(from_fn_with_state(request_max, limit_time));
    Router::new()
        .merge(endpoints)
        .route("/ws.chatplugin", any(socket::chat_plugin))
        .fallback(async || ApiError::EndpointNotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(app.body_bytes_max))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::Panicked.into_response()
        }))
        .layer(from_fn(log))
        .with_state(app)
}

/// Ends a request that takes too long. What it was writing is written or not as a whole.
async fn limit_time(State(request_max): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(request_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::TooSlow.into_response(),
    }
}

async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    tracing::debug!(http.method = %method, http.path = path, http.status = response.status().as_u16(), "request");
    response
}
