//! `GET /health`: whether the server does its work.

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use tokio::time::Instant;

use crate::{api::error::ApiError, app::App};

pub(crate) fn router() -> Router<App> {
    Router::new().route("/health", get(health))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// How long an answer is given again: anybody may ask, and each look costs a write.
const FRESH: Duration = Duration::from_secs(1);

/// 200 while the store accepts writes, which is tried; 503 while it does not, or when stopping.
async fn health(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    if app.tasks.is_stopping() {
        return Err(ApiError::Unavailable(None));
    }
    let mut well_at = app.well_at.lock().await;
    if well_at.is_none_or(|at| at.elapsed() > FRESH) {
        app.store.check_writable().await?;
        *well_at = Some(Instant::now());
    }
    Ok(Json(Health { status: "ok" }))
}
