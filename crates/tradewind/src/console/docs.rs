//! The reference of the API: a page that shows `/openapi.json` to people.

use axum::{
    Router,
    http::header,
    response::{Html, IntoResponse},
    routing::get,
};

use super::file::{self, File};
use crate::app::App;

const PAGE: &str = include_str!("../../assets/docs/page.html");

const FILES: [File; 2] = [
    (
        "/docs-assets/docs.css",
        file::CSS,
        include_str!("../../assets/docs/docs.css"),
    ),
    (
        "/docs-assets/docs.js",
        file::JAVASCRIPT,
        include_str!("../../assets/docs/docs.js"),
    ),
];

/// Only our own files, and nothing from elsewhere; the picture of the tab is in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router<App> {
    file::router(FILES).route("/docs", get(page))
}

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(PAGE))
}
