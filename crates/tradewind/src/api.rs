//! The HTTP API: one module a namespace, each with its routes, its bodies and its handlers.
//!
//! Endpoints are `POST /things.verb` with a JSON object in and out. A handler reads like the story of
//! its request: who asks, what for, do it, answer. Whatever goes wrong becomes one [`error::ApiError`].

pub(crate) mod auth;
mod channels;
pub(crate) mod chat_plugin;
mod conversations;
pub(crate) mod error;
mod events;
mod example;
pub(crate) mod extract;
pub(crate) mod health;
mod idempotency;
mod messages;
pub(crate) mod openapi;
mod page;
pub(crate) mod view;
mod webhooks;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// The endpoints of all namespaces, in the order of the document, and the document itself.
pub(crate) fn router() -> Router<App> {
    let endpoints = OpenApiRouter::new()
        .merge(messages::router())
        .merge(conversations::router())
        .merge(channels::router())
        .merge(webhooks::router())
        .merge(events::router())
        .merge(chat_plugin::router())
        .merge(health::router());
    openapi::served(endpoints)
}
