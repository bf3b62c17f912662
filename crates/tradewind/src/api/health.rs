//! `GET /health`: whether the server does its work.

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use crate::{api::error::ApiError, app::App};

pub(crate) fn router() -> Router<App> {
    Router::new().route("/health", get(health))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// 200 while the store accepts writes, which is tried; 503 while it does not, or when stopping.
async fn health(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    if app.tasks.is_stopping() {
        return Err(ApiError::Unavailable(None));
    }
    app.store.check_writable().await?;
    Ok(Json(Health { status: "ok" }))
}
