//! `GET /health`: whether the server does its work.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{error::ApiError, openapi},
    app::App,
};

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("health", "Whether the server does its work.").routes(routes!(health))
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// How long an answer is given again: anybody may ask, and each look costs a write.
const FRESH: Duration = Duration::from_secs(1);

/// When it was last tried whether the store accepts writes, and whether it did.
pub(crate) type LastLook = Mutex<Option<(Instant, bool)>>;

/// Says whether the store accepts writes.
///
/// It is tried, once a second at most. While it does not, or when the server stops, the answer is 503.
#[utoipa::path(
    get,
    path = "/health",
    responses((
        status = 200,
        description = "It does.",
        body = Health,
        example = json!({"status": "ok"}),
    )),
)]
async fn health(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    if app.tasks.is_stopping() {
        return Err(ApiError::Unavailable(None));
    }
    let mut last_look = app.last_look.lock().await;
    let fresh = last_look.filter(|(at, _)| at.elapsed() <= FRESH);
    let is_well = match fresh {
        Some((_, is_well)) => is_well,
        None => app.store.check_writable().await.is_ok(),
    };
    if fresh.is_none() {
        *last_look = Some((Instant::now(), is_well));
    }
    // The store has told its operator why.
    let status = is_well.then_some("ok").ok_or(ApiError::Unavailable(None))?;
    Ok(Json(Health { status }))
}
