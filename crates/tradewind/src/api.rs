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
pub(crate) mod extract;
pub(crate) mod health;
mod idempotency;
pub(crate) mod limit;
mod messages;
mod metadata;
mod page;
mod tags;
mod tokens;
mod users;
pub(crate) mod view;
mod webhooks;

use axum::Router;

use crate::app::App;

/// The endpoints of all namespaces but of the chat plugin, which any web page may call.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .merge(audit::router())
        .merge(channels::router())
        .merge(conversations::router())
        .merge(events::router())
        .merge(health::router())
        .merge(messages::router())
        .merge(metadata::router())
        .merge(tags::router())
        .merge(tokens::router())
        .merge(users::router())
        .merge(webhooks::router())
}
