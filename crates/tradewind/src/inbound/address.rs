//! Where a provider believes to have called.

use axum::http::{HeaderMap, header, request::Parts};

use crate::{api::auth, app::App};

/// The public address of this server, without a slash at its end: what the settings say, or else what the
/// request and the proxies that are trusted say of it.
pub(super) fn public(app: &App, parts: &Parts) -> String {
    if let Some(url) = &app.sources.public_url {
        return url.clone();
    }
    let text = |name: &str| first(&parts.headers, name);
    let trusted = auth::is_behind_proxy(parts, app);
    let forwarded = |name: &str| text(name).filter(|_| trusted);
    let scheme = forwarded("x-forwarded-proto").unwrap_or("http");
    let host = forwarded("x-forwarded-host").or_else(|| text(header::HOST.as_str()));
    let host = host.unwrap_or_default();
    match forwarded("x-forwarded-port") {
        Some(port) if is_other(scheme, port) && !has_port(host) => {
            format!("{scheme}://{host}:{port}")
        }
        _ => format!("{scheme}://{host}"),
    }
}

/// What the proxy that is farthest away says: the one that the provider called.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    let first = value.split(',').next().unwrap_or_default().trim();
    (!first.is_empty()).then_some(first)
}

fn is_other(scheme: &str, port: &str) -> bool {
    !matches!((scheme, port), ("http", "80") | ("https", "443"))
}

fn has_port(host: &str) -> bool {
    let after_brackets = host.rsplit(']').next().unwrap_or_default();
    after_brackets.contains(':')
}
