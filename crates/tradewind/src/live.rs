//! Live updates: sockets that hear of messages as they happen.
//!
//! Nothing durable lives here. The [`hub`] follows the log from its newest entry and hands what it
//! reads to the sockets that listen; a socket that falls behind is closed, and its client catches up
//! by reading the conversation when it returns.

pub(crate) mod hub;
mod socket;
mod stomp;

use axum::{Router, routing::any};

use crate::app::App;

pub(crate) fn router() -> Router<App> {
    Router::new().route("/ws.chatplugin", any(socket::chat_plugin))
}
