//! Live updates: sockets that hear of what happens as it happens.
//!
//! Nothing durable lives here. The [`feed`] follows the log at its end, the [`hub`] hands what it brings to
//! the sockets that listen, as [`update`]s; a [`socket`] that falls behind is closed, and its client catches
//! up by reading when it returns. Visitors hear their own conversation, agents hear everything: what differs
//! between them is in [`role`], and all else is the same.

mod connection;
pub(crate) mod feed;
pub(crate) mod hub;
mod pace;
mod role;
mod socket;
mod stomp;
mod update;

use axum::{Router, routing::any};

use crate::app::App;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/ws.chatplugin", any(socket::chat_plugin))
        .route("/ws.communication", any(socket::communication))
}
