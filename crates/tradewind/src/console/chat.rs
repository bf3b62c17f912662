//! The visitor's chat page, and the script that puts it on any web page.

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use tradewind_model::{Channel, ChannelId};
use tradewind_sources::chat_plugin;

use crate::{api::error::ApiError, app::App};

const PAGE: &str = include_str!("../../assets/chat/page.html");
const MISSING: &str = include_str!("../../assets/chat/missing.html");

/// The files of the page and of the embedding script: path, media type, text.
const ASSETS: [(&str, &str, &str); 4] = [
    (
        "/chat-assets/chat.css",
        "text/css; charset=utf-8",
        include_str!("../../assets/chat/chat.css"),
    ),
    (
        "/chat-assets/chat.js",
        "text/javascript; charset=utf-8",
        include_str!("../../assets/chat/chat.js"),
    ),
    (
        "/chat-assets/stomp.js",
        "text/javascript; charset=utf-8",
        include_str!("../../assets/chat/stomp.js"),
    ),
    (
        "/embed.js",
        "text/javascript; charset=utf-8",
        include_str!("../../assets/chat/embed.js"),
    ),
];

/// Only our own files run; any site may frame the page, which is what the embedding script does.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: https:; \
    base-uri 'none'; form-action 'none'; frame-ancestors *";

pub(crate) fn router() -> Router<App> {
    let page = Router::new().route("/chat/{channel_id}", get(page));
    ASSETS
        .into_iter()
        .fold(page, |router, (path, media_type, text)| {
            let tag = tag(text);
            let answer = async move |headers: HeaderMap| asset(media_type, text, &tag, &headers);
            router.route(path, get(answer))
        })
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

/// A client asks each time whether its copy is still the right one: a page must not run with the files
/// of another version.
fn asset(media_type: &'static str, text: &'static str, tag: &str, asked: &HeaderMap) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.contains(tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, text).into_response()
}

/// What tells one text from another, as an `ETag` has it.
fn tag(text: &str) -> String {
    let digest = Sha256::digest(text);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]))
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
