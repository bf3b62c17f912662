//! Where a provider believes to have called.

use axum::http::{HeaderMap, header, request::Parts};

use crate::{api::auth, app::App};

/// The public address of this server, without a slash at its end: what the settings say, or else what the
/// request and the proxies that are trusted say of it.
pub(super) fn public(app: &App, parts: &Parts) -> String {
    match &app.sources.public_url {
        Some(url) => url.clone(),
        None => told(&parts.headers, auth::is_behind_proxy(parts, app)),
    }
}

/// The address that the headers tell of. `trusted` is whether what a proxy adds may be believed.
fn told(headers: &HeaderMap, trusted: bool) -> String {
    let text = |name: &str| first(headers, name);
    let forwarded = |name: &str| text(name).filter(|_| trusted);
    let scheme = forwarded("x-forwarded-proto").unwrap_or("http");
    let scheme = scheme.to_ascii_lowercase();
    let host = forwarded("x-forwarded-host").or_else(|| text(header::HOST.as_str()));
    let host = host.unwrap_or_default();
    match forwarded("x-forwarded-port") {
        Some(port) if is_other(&scheme, port) && !has_port(host) => {
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

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::told;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let address = |trusted, headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            told(&headers.collect(), trusted)
        };
        let behind = [
            ("host", "10.0.0.7:8080"),
            ("x-forwarded-proto", "HTTPS"),
            ("x-forwarded-host", "chat.example.com, inner"),
        ];
        assert_eq!(address(true, &behind), "https://chat.example.com");
        assert_eq!(address(false, &behind), "http://10.0.0.7:8080");
        let port = |proto, host, port| {
            let headers = [
                ("host", host),
                ("x-forwarded-proto", proto),
                ("x-forwarded-port", port),
            ];
            address(true, &headers)
        };
        assert_eq!(port("https", "a.example", "443"), "https://a.example");
        assert_eq!(port("https", "a.example", "8443"), "https://a.example:8443");
        assert_eq!(
            port("https", "a.example:8443", "8443"),
            "https://a.example:8443"
        );
        assert_eq!(
            port("https", "[2001:db8::1]", "8443"),
            "https://[2001:db8::1]:8443"
        );
    }
}
