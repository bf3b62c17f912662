//! Everything that the server answers, and what holds for all of it.

use std::{convert::Infallible, panic::AssertUnwindSafe, time::Duration};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use tower::ServiceExt as _;

use crate::{
    api::{self, error::ApiError},
    app::App,
    console, live,
};

/// All routes, and what holds for each request. Cheap to clone.
///
/// The latter is around the router and no layer of it, which would cost each request some boxes a layer.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    router: Router,
    request_max: Duration,
}

impl Routes {
    /// Those of the server. `request_max` is the longest time until a request is answered.
    pub(crate) fn all(app: App, request_max: Duration) -> Self {
        let router = Router::new()
            .merge(api::router())
            .merge(console::router())
            .merge(live::router());
        Self::new(router, app, request_max)
    }

    pub(crate) fn new<S>(router: Router<S>, state: S, request_max: Duration) -> Self
    where
        S: Clone + Send + Sync + 'static,
    {
        let router = router
            .fallback(async || ApiError::EndpointNotFound)
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            .with_state(state);
        Self {
            router,
            request_max,
        }
    }

    pub(crate) async fn answer(self, request: Request) -> Response {
        let line = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));
        let answered = AssertUnwindSafe(self.router.oneshot(request)).catch_unwind();
        let response = match tokio::time::timeout(self.request_max, answered).await {
            Ok(Ok(response)) => response.unwrap_or_else(|never: Infallible| match never {}),
            Ok(Err(_)) => ApiError::Panicked.into_response(),
            // What it was writing is written or not as a whole.
            Err(_) => ApiError::TooSlow.into_response(),
        };
        if let Some((method, path)) = line {
            tracing::debug!(http.method = %method, http.path = path, http.status = response.status().as_u16(), "request");
        }
        response
    }
}
