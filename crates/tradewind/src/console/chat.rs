//! The visitor's chat page, and the script that puts it on any web page.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tradewind_model::{Channel, ChannelId};
use tradewind_sources::chat_plugin;

use crate::{api::error::ApiError, app::App};

const PAGE: &str = include_str!("../../assets/chat/page.html");
const MISSING: &str = include_str!("../../assets/chat/missing.html");
const STYLE: &str = include_str!("../../assets/chat/chat.css");
const SCRIPT: &str = include_str!("../../assets/chat/chat.js");
const STOMP: &str = include_str!("../../assets/chat/stomp.js");
const EMBED: &str = include_str!("../../assets/chat/embed.js");

/// Only our own files run; any site may frame the page, which is what the embedding script does.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: https:; \
    base-uri 'none'; form-action 'none'; frame-ancestors *";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/chat/{channel_id}", get(page))
        .route(
            "/chat-assets/chat.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
        .route("/chat-assets/chat.js", get(async || script(SCRIPT)))
        .route("/chat-assets/stomp.js", get(async || script(STOMP)))
        .route("/embed.js", get(async || script(EMBED)))
}

async fn page(
    Path(channel_id): Path<String>,
    State(app): State<App>,
) -> Result<Response, ApiError> {
    let channel = match channel_id.parse::<ChannelId>() {
        Ok(id) => app.store.find_channel(id).await?,
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

fn script(text: &'static str) -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", text)
}

/// Assets change only with the program, so a client may keep them for an hour.
fn asset(media_type: &'static str, text: &'static str) -> impl IntoResponse {
    const ANY_ORIGIN: (HeaderName, &str) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ANY_ORIGIN,
    ];
    (headers, text)
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
