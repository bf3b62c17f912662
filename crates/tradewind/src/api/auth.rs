//! Who asks. A handler that needs a caller takes one of the extractors here; one that forgets it does
//! not get the caller that it needs.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use tradewind_model::{Scope, Token, TokenId, UserId};
use tradewind_sources::chat_plugin::{Purpose, Session};
use tradewind_store::{OwnSource, TokenHash};
use uuid::Uuid;

use crate::{
    api::{error::ApiError, limit::Remaining},
    app::App,
    token,
};

/// A caller that may read.
#[derive(Debug)]
pub(crate) struct Reader;
/// A caller that may write messages.
#[derive(Debug)]
pub(crate) struct Agent(pub(crate) Token);
/// A caller that may do everything.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Token);
/// The connector of a source.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) OwnSource);
/// A visitor of a chat channel.
#[derive(Debug)]
pub(crate) struct Visitor(pub(crate) Session);

/// A user who is logged in, and the hash of their login's token.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) user: UserId,
    pub(crate) hash: TokenHash,
}

/// Where a request comes from, told by the connection, or by a proxy that is trusted to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
}

impl FromRequestParts<App> for LoggedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = authorize(parts, app, Scope::Read).await?;
        let user = token.user_id.ok_or(ApiError::NotLoggedIn)?;
        let text = presented(&parts.headers).ok_or(ApiError::Unauthorized)?;
        Ok(Self {
            user,
            hash: token::hash(text),
        })
    }
}

impl FromRequestParts<App> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let connected = connected(parts);
        let is_trusted = |address| is_trusted(app, address);
        let forwarded = parts.headers.get_all("x-forwarded-for").into_iter();
        let forwarded: Vec<_> = forwarded.filter_map(|value| value.to_str().ok()).collect();
        let hops = forwarded.iter().rev().flat_map(|value| value.rsplit(','));
        Ok(Self {
            address: client(connected, hops, is_trusted),
        })
    }
}

/// Whether the connection is of a proxy that may say where a request comes from, and where it went.
pub(crate) fn is_behind_proxy(parts: &Parts, app: &App) -> bool {
    is_trusted(app, connected(parts))
}

fn connected(parts: &Parts) -> IpAddr {
    let connected = parts.extensions.get::<Peer>().map(|peer| peer.address);
    connected.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

fn is_trusted(app: &App, address: IpAddr) -> bool {
    let mut networks = app.access.trusted_proxies.iter();
    networks.any(|network| network.contains(&address.to_canonical()))
}

/// The last one on the way that is not a trusted proxy. `hops` are what proxies say, the nearest first.
fn client<'a>(
    connected: IpAddr,
    hops: impl Iterator<Item = &'a str>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut address = connected;
    for hop in hops {
        if !is_trusted(address) {
            break;
        }
        match named(hop.trim()) {
            Some(before) => address = before,
            None => break,
        }
    }
    address
}

/// An address as proxies write it: with a port or without, of IPv6 in brackets or without.
fn named(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']').parse();
    let with_port = || hop.parse().map(|address: SocketAddr| address.ip());
    bare.or_else(|_| with_port()).ok()
}

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorize(parts, app, Scope::Read).await.map(|_| Self)
    }
}

impl FromRequestParts<App> for Agent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorize(parts, app, Scope::Agent).await.map(Self)
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorize(parts, app, Scope::Admin).await.map(Self)
    }
}

impl FromRequestParts<App> for Connector {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = presented(&parts.headers).ok_or(ApiError::SourceUnauthorized)?;
        let hash = token::hash(token);
        let Some(own) = app.store.find_source(hash).await? else {
            // Good for something else?
            return Err(match get_token(app, hash).await {
                Ok(_) => ApiError::NotASource,
                Err(ApiError::Unauthorized) => ApiError::SourceUnauthorized,
                Err(error) => error,
            });
        };
        let id = TokenId::derived("source", own.source.name());
        limit(parts, app, id.uuid())?;
        Ok(Self(own))
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = presented(&parts.headers).ok_or(ApiError::VisitorUnauthorized)?;
        let session = app
            .session_tokens
            .verify(token, Purpose::Visit, app.clock.now());
        session.map(Self).map_err(|_| ApiError::VisitorUnauthorized)
    }
}

/// A token with or without `Bearer` before it: clients of Airy Core send both forms.
pub(crate) fn strip_bearer(value: &str) -> &str {
    let value = value.trim();
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") => token.trim(),
        _ => value,
    }
}

/// The token that a request brings.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Some(strip_bearer(value)).filter(|token| !token.is_empty())
}

async fn authorize(parts: &Parts, app: &App, needed: Scope) -> Result<Token, ApiError> {
    let hash = token::hash(presented(&parts.headers).ok_or(ApiError::Unauthorized)?);
    let token = match get_token(app, hash).await {
        Err(ApiError::Unauthorized) if app.store.find_source(hash).await?.is_some() => {
            return Err(ApiError::Forbidden {
                needed: needed.name(),
            });
        }
        token => token?,
    };
    limit(parts, app, token.id.uuid())?;
    if token.scope < needed {
        return Err(ApiError::Forbidden {
            needed: needed.name(),
        });
    }
    Ok(token)
}

/// Counts a request of this token.
fn limit(parts: &Parts, app: &App, token: Uuid) -> Result<(), ApiError> {
    let Some(limit) = &app.access.request_limit else {
        return Ok(());
    };
    let told = parts.extensions.get::<Arc<Remaining>>();
    limit.ask(token, told.map(|told| &**told))
}

/// The token that is known by this hash, if it is good now. Each does for reading.
pub(crate) async fn get_token(app: &App, hash: TokenHash) -> Result<Token, ApiError> {
    let fixed = app.fixed_token.as_ref().and_then(|fixed| fixed.find(hash));
    let token = match fixed {
        Some(token) => token.clone(),
        None => app
            .store
            .find_token(hash)
            .await?
            .ok_or(ApiError::Unauthorized)?,
    };
    if token.expires_at.is_some_and(|at| at <= app.clock.now()) {
        return Err(ApiError::Unauthorized);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{client, strip_bearer};

    #[test]
    fn a_client_is_who_the_trusted_proxies_say() {
        let of = |connected: &str, hops: &[&str]| {
            let trusted: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse().unwrap());
            let is_trusted = |address| trusted.contains(&address);
            let connected = connected.parse().unwrap();
            client(connected, hops.iter().copied(), is_trusted).to_string()
        };
        assert_eq!(of("192.0.2.1", &["192.0.2.9"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &["192.0.2.9", "192.0.2.8"]), "192.0.2.9");
        assert_eq!(of("10.0.0.1", &[" 10.0.0.2", "192.0.2.8"]), "192.0.2.8");
        assert_eq!(of("10.0.0.1", &["unknown", "192.0.2.8"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["192.0.2.8:4711"]), "192.0.2.8");
        assert_eq!(of("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(of("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_token_comes_with_or_without_bearer() {
        for value in ["abc", "Bearer abc", "bearer abc", " Bearer  abc "] {
            assert_eq!(strip_bearer(value), "abc");
        }
        assert_eq!(strip_bearer("Bearerabc"), "Bearerabc");
        assert_eq!(strip_bearer("üüüü"), "üüüü");
    }
}
