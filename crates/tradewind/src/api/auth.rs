//! Who asks. A handler that needs a caller takes one of the extractors here; one that forgets it does
//! not get the caller that it needs.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use tradewind_model::{Scope, Token};
use tradewind_sources::chat_plugin::{Purpose, Session};

use crate::{api::error::ApiError, app::App, token};

/// A caller that may read.
#[derive(Debug)]
pub(crate) struct Reader;
/// A caller that may write messages.
#[derive(Debug)]
pub(crate) struct Agent(pub(crate) Token);
/// A caller that may do everything.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Token);
/// A visitor of a chat channel.
#[derive(Debug)]
pub(crate) struct Visitor(pub(crate) Session);

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorize(&parts.headers, app, Scope::Read)
            .await
            .map(|_| Self)
    }
}

impl FromRequestParts<App> for Agent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorize(&parts.headers, app, Scope::Agent).await.map(Self)
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        authorize(&parts.headers, app, Scope::Admin).await.map(Self)
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

fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Some(strip_bearer(value)).filter(|token| !token.is_empty())
}

async fn authorize(headers: &HeaderMap, app: &App, needed: Scope) -> Result<Token, ApiError> {
    let hash = token::hash(presented(headers).ok_or(ApiError::Unauthorized)?);
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
    if token.scope < needed {
        return Err(ApiError::Forbidden {
            needed: needed.name(),
        });
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::strip_bearer;

    #[test]
    fn a_token_comes_with_or_without_bearer() {
        for value in ["abc", "Bearer abc", "bearer abc", " Bearer  abc "] {
            assert_eq!(strip_bearer(value), "abc");
        }
        assert_eq!(strip_bearer("Bearerabc"), "Bearerabc");
        assert_eq!(strip_bearer("üüüü"), "üüüü");
    }
}
