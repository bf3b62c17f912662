//! `sources.*`: where messages come from, and sources whose connector somebody else writes.

mod channels;
mod own;
mod stats;
mod webhook;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{api::openapi, app::App};

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace(
        "sources",
        "Where messages come from, and sources of your own.",
    )
    .routes(routes!(stats::stats))
    .routes(routes!(own::create))
    .routes(routes!(own::list))
    .routes(routes!(own::delete))
    .routes(routes!(channels::create))
    .routes(routes!(channels::list))
    .routes(routes!(channels::disconnect))
    .routes(routes!(webhook::webhook))
}
