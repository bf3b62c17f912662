//! The HTTP API: one module a namespace, each with its routes, its bodies and its handlers.
//!
//! Endpoints are `POST /things.verb` with a JSON object in and out. A handler reads like the story of
//! its request: who asks, what for, do it, answer. Whatever goes wrong becomes one [`error::ApiError`].

mod audit;
pub(crate) mod auth;
mod channels;
pub(crate) mod chat_plugin;
mod conversations;
pub(crate) mod error;
pub(crate) mod events;
mod example;
pub(crate) mod extract;
pub(crate) mod health;
mod idempotency;
pub(crate) mod limit;
mod messages;
mod metadata;
pub(crate) mod openapi;
mod page;
mod sources;
mod tags;
mod tokens;
mod users;
pub(crate) mod view;
mod webhooks;

use axum::Router;
use tower_http::cors::CorsLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The endpoints of all namespaces, in the order of the document, and the document itself. `cors` is for
/// all but those of the chat plugin, which any web page may call.
pub(crate) fn router(cors: Option<CorsLayer>) -> Router<App> {
    let endpoints = OpenApiRouter::new()
        .merge(messages::router())
        .merge(conversations::router())
        .merge(tags::router())
        .merge(metadata::router())
        .merge(channels::router())
        .merge(sources::router())
        .merge(webhooks::router())
        .merge(events::router())
        .merge(users::router())
        .merge(tokens::router())
        .merge(audit::router())
        .merge(health::router());
    let endpoints = match cors {
        Some(cors) => openapi::within(endpoints, cors),
        None => endpoints,
    };
    openapi::served(endpoints.merge(chat_plugin::router()))
}
