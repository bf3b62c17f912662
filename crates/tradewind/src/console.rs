//! The pages that people look at. They use the public API only.

mod chat;
mod docs;
mod file;

use axum::Router;

use crate::app::App;

pub(crate) fn router() -> Router<App> {
    Router::new().merge(chat::router()).merge(docs::router())
}
