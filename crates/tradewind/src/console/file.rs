//! The files that pages are made of.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::app::App;

pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, media type, text.
pub(super) type File = (&'static str, &'static str, &'static str);

pub(super) fn router<const N: usize>(files: [File; N]) -> Router<App> {
    let none = Router::new();
    files
        .into_iter()
        .fold(none, |router, (path, media_type, text)| {
            let tag = tag(text);
            let answer = async move |headers: HeaderMap| answer(media_type, text, &tag, &headers);
            router.route(path, get(answer))
        })
}

/// A client asks each time whether its copy is still the right one: a page must not run with the files
/// of another version.
fn answer(media_type: &'static str, text: &'static str, tag: &str, asked: &HeaderMap) -> Response {
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
