//! `GET /health`: whether the server does its work.

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};

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

/// When it was last tried whether the store accepts writes, and whether it did.
pub(crate) type LastLook = Mutex<Option<(Instant, bool)>>;

/// 200 while the store accepts writes, which is tried; 503 while it does not, or when stopping.
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
