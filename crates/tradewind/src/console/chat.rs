//! The visitor's chat page, and the script that puts it on any web page.

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tradewind_model::{Channel, ChannelId};
use tradewind_sources::chat_plugin;

use super::file::{self, File};
use crate::{api::error::ApiError, app::App};

const PAGE: &str = include_str!("../../assets/chat/page.html");
const MISSING: &str = include_str!("../../assets/chat/missing.html");

/// The files of the page and of the embedding script.
const FILES: [File; 4] = [
    (
        "/chat-assets/chat.css",
        file::CSS,
        include_str!("../../assets/chat/chat.css"),
    ),
    (
        "/chat-assets/chat.js",
        file::JAVASCRIPT,
        include_str!("../../assets/chat/chat.js"),
    ),
    (
        "/chat-assets/stomp.js",
        file::JAVASCRIPT,
        include_str!("../../assets/chat/stomp.js"),
    ),
    (
        "/embed.js",
        file::JAVASCRIPT,
        include_str!("../../assets/chat/embed.js"),
    ),
];

/// Only our own files run; any site may frame the page, which is what the embedding script does.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: https:; \
    base-uri 'none'; form-action 'none'; frame-ancestors *";

pub(crate) fn router() -> Router<App> {
    file::router(FILES).route("/chat/{channel_id}", get(page))
}

async fn page(
    channel_id: Result<Path<ChannelId>, PathRejection>,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    let channel = match channel_id {
        Ok(Path(id)) => app.store.find_channel(id).await?,
        Err(_) => None,
    };
    let open = |channel: &Channel| channel.connected && channel.source == chat_plugin::source();
    let Some(channel) = channel.filter(open) else {
        return Ok((StatusCode::NOT_FOUND, guarded(Html(MISSING))).into_response());
    };
    let name = channel.name.unwrap_or_default();
    let html = PAGE
        .replace("{{channel_id}}", &channel.id.to_string())
        .replace("{{channel_name}}", &escape(&name));
    Ok(guarded(Html(html)).into_response())
}

fn guarded(page: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page)
}

/// Text as it stands in HTML, in an attribute or between tags.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
