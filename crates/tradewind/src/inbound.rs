//! Where providers post: one route for each inlet of a source.
//!
//! A post is verified, read, and answered with 200 only when all of it is stored. Until then the provider
//! tries again; what it repeats is stored once.

mod address;
pub(crate) mod intake;
pub(crate) mod profiles;
pub(crate) mod tally;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{StatusCode, request::Parts},
    routing::get,
};
use tradewind_delivery::chain::chain;
use tradewind_sources::{Inlet, Posted, Refused};
use tradewind_store::StoreError;

use crate::{
    api::{error::ApiError, extract},
    app::App,
};

/// Longest post of a provider, in bytes, also where the settings allow less: Meta posts up to 3 MB, and would
/// repeat for ever what is refused.
const POST_BYTES_MAX: usize = 4 << 20;

/// The routes of these inlets.
pub(crate) fn router(inlets: &[Arc<dyn Inlet>]) -> Router<App> {
    let mut router = Router::new();
    for inlet in inlets {
        let (asked, posted, below) = (Arc::clone(inlet), Arc::clone(inlet), Arc::clone(inlet));
        let challenge = async move |RawQuery(query): RawQuery| challenge(&*asked, query);
        let post = async move |State(app): State<App>, parts: Parts, body: axum::body::Body| {
            receive(&app, &*posted, (&parts, ""), body).await
        };
        let post_below = async move |State(app): State<App>,
                                     Path(rest): Path<String>,
                                     parts: Parts,
                                     body: axum::body::Body| {
            receive(&app, &*below, (&parts, &rest), body).await
        };
        let route = get(challenge).post(post);
        let path = inlet.path();
        router = router
            .route(path, route.clone())
            .route(&format!("{path}/"), route)
            .route(
                &format!("{path}/{{*below}}"),
                axum::routing::post(post_below),
            );
    }
    router
}

/// Answers a provider that asks whether it may post here.
fn challenge(inlet: &dyn Inlet, query: Option<String>) -> Result<String, ApiError> {
    match inlet.challenge(&query.unwrap_or_default()) {
        Some(answer) => answer.map_err(|refusal| refused(&refusal)),
        None => Err(ApiError::MethodNotAllowed),
    }
}

async fn receive(
    app: &App,
    inlet: &dyn Inlet,
    (parts, below): (&Parts, &str),
    body: axum::body::Body,
) -> Result<StatusCode, ApiError> {
    let tally = &app.sources.tally;
    let body = extract::read(body, app.body_bytes_max.max(POST_BYTES_MAX)).await;
    let body = body.inspect_err(|error| tally.refused(inlet.path(), error))?;
    let base = address::public(app, parts);
    let query = parts.uri.path_and_query();
    let url = format!("{base}{}", query.map_or("", |path| path.as_str()));
    let media = app.sources.media_key.links(&base);
    let posted = Posted {
        url: &url,
        below,
        headers: &parts.headers,
        body: &body,
        now: app.clock.now(),
        media: &media,
    };
    let inbound = inlet.receive(&posted).map_err(|refusal| {
        tally.refused(inlet.path(), &refusal);
        refused(&refusal)
    })?;
    // Whatever the reason: the provider is to send it again.
    app.sources.intake.take(inbound).await.map_err(|error| {
        if matches!(error, StoreError::NotFound | StoreError::Broken(_)) {
            tracing::error!(
                path = inlet.path(),
                error = chain(&error),
                "a post could not be stored"
            );
        }
        ApiError::Unavailable(Some(error))
    })?;
    Ok(StatusCode::OK)
}

fn refused(refused: &Refused) -> ApiError {
    match refused {
        Refused::Signature => ApiError::SignatureInvalid,
        Refused::NotConfigured(setting) => ApiError::SourceNotConfigured { setting },
    }
}
