//! `GET /media/{link}`: files that only we can get from a provider.
//!
//! Whoever has the link gets the file, as with a provider's own links; the token that opens it stays here. What
//! a contact sent is not to be trusted in a browser: it is served so that it can run nothing on our origin.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tradewind_sources::{AskError, MEDIA_PATH};

use crate::{api::error::ApiError, app::App};

/// Longest file that is passed on, in bytes; documents on `WhatsApp` may have as many.
const FILE_BYTES_MAX: u64 = 100 << 20;
/// Files that are passed on at once.
pub(crate) const FILES_MAX: usize = 32;
/// How long a browser may keep a file.
const CACHED: &str = "private, max-age=86400";
/// Nothing may run, and nothing may be loaded.
const POLICY: &str = "default-src 'none'; sandbox";

pub(crate) fn router() -> Router<App> {
    Router::new().route(&format!("{MEDIA_PATH}{{link}}"), get(file))
}

async fn file(State(app): State<App>, Path(link): Path<String>) -> Result<Response, ApiError> {
    let (channel, reference) = app
        .sources
        .media_key
        .read(&link)
        .ok_or(ApiError::FileNotFound)?;
    let channel = app.store.find_channel(channel).await?;
    let channel = channel
        .filter(|channel| channel.connected)
        .ok_or(ApiError::FileNotFound)?;
    let provider = app
        .find_provider(&channel.source)
        .await?
        .ok_or(ApiError::FileNotFound)?;
    let account = app.sources.accounts.open(channel).map_err(|error| {
        tracing::error!(%error, "a channel's token cannot be read");
        ApiError::FileNotFound
    })?;
    let busy = || ApiError::TooManyRequests { retry_after: 1 };
    let permit = Arc::clone(&app.sources.files).try_acquire_owned();
    let permit = permit.map_err(|_| busy())?;
    let response = provider
        .media(&account, &reference)
        .await
        .map_err(|error| match error {
            AskError::Unavailable(reason) => ApiError::ProviderUnavailable { reason },
            _ => ApiError::FileNotFound,
        })?;
    if !response.status().is_success() {
        return Err(ApiError::FileNotFound);
    }
    if response
        .content_length()
        .is_some_and(|length| length > FILE_BYTES_MAX)
    {
        return Err(ApiError::FileTooLarge {
            max: FILE_BYTES_MAX,
        });
    }
    Ok((headers(response.headers()), passed_on(response, permit)).into_response())
}

/// What is told of the file: what it is, and that it is to do nothing.
fn headers(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = from.get(header::CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let disposition = if is_shown(&kind) {
        "inline"
    } else {
        "attachment"
    };
    headers.insert(header::CONTENT_TYPE, kind);
    headers.extend(
        from.get(header::CONTENT_LENGTH)
            .cloned()
            .map(|length| (header::CONTENT_LENGTH, length)),
    );
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, CACHED),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

/// Whether a browser may show it: pictures, sounds and films. SVG is a document that can hold scripts.
fn is_shown(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let is_media = ["image/", "audio/", "video/"]
        .iter()
        .any(|prefix| essence.starts_with(prefix));
    is_media && !essence.contains("svg") && !essence.contains("xml")
}

/// The file, piece by piece as it comes. One that turns out too long breaks off.
fn passed_on(response: reqwest::Response, permit: OwnedSemaphorePermit) -> Body {
    let pieces = stream::try_unfold(
        (response, FILE_BYTES_MAX, permit),
        async |(mut response, room, permit)| {
            let piece = response.chunk().await.map_err(std::io::Error::other)?;
            let Some(piece) = piece else {
                return Ok::<Option<(Bytes, _)>, std::io::Error>(None);
            };
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let room = room
                .checked_sub(length)
                .ok_or_else(|| std::io::Error::other("the file is too long"))?;
            Ok(Some((piece, (response, room, permit))))
        },
    );
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::is_shown;

    #[test]
    fn a_browser_shows_only_what_can_run_nothing() {
        for shown in ["image/png", "Audio/ogg; codecs=opus", "video/mp4"] {
            assert!(is_shown(&HeaderValue::from_static(shown)), "{shown}");
        }
        for kept in ["image/svg+xml", "text/html", "application/pdf", "", "image"] {
            assert!(!is_shown(&HeaderValue::from_static(kept)), "{kept}");
        }
    }
}
