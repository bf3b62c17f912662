//! `sources.*`: where messages come from.

mod stats;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{api::openapi, app::App};

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("sources", "Where messages come from.").routes(routes!(stats::stats))
}
