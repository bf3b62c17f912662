//! Everything that the server answers, and what holds for all of it.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    api::{self, error::ApiError},
    app::App,
    console, live,
};

/// All routes. `request_max` is the longest time of one request; sockets may stay longer.
pub(crate) fn all(app: App, request_max: Duration) -> Router {
    let timed = Router::new().merge(api::router()).merge(console::router());
    layered(timed, live::router(), request_max).with_state(app)
}

/// The routes with what holds for all. One of `timed` may take `request_max`.
pub(crate) fn layered<S>(timed: Router<S>, untimed: Router<S>, request_max: Duration) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    timed
        .layer(from_fn_with_state(request_max, limit_time))
        .merge(untimed)
        .fallback(async || ApiError::EndpointNotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::Panicked.into_response()
        }))
        .layer(from_fn(log))
}

/// Ends a request that takes too long. What it was writing is written or not as a whole.
async fn limit_time(State(request_max): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(request_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::TooSlow.into_response(),
    }
}

async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    tracing::debug!(http.method = %method, http.path = path, http.status = response.status().as_u16(), "request");
    response
}
