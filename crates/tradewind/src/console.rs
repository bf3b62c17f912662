//! The pages that people look at. They use the public API only.

mod chat;

use axum::Router;

use crate::app::App;

pub(crate) fn router() -> Router<App> {
    Router::new().merge(chat::router())
}
