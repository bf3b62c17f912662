//! Everything that the server answers, and what holds for all of it.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tradewind_model::MessageId;
use tradewind_sources::MEDIA_PATH;

use crate::{
    api::{self, error::ApiError, limit::Remaining},
    app::App,
    console, inbound, live, media,
};

/// All routes, and what holds for each request. Cheap to clone.
///
/// The latter is around the router and no layer of it, which would cost each request some boxes a layer.
#[derive(Clone)]
pub(crate) struct Routes {
    router: Router,
    request_max: Duration,
    /// What each request is given, and each answer; a relay has nothing of it.
    app: Option<App>,
}

/// By which both sides know a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a client's own, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// How long a browser remembers that it may call.
const PREFLIGHT_LASTS: Duration = Duration::from_hours(1);

impl Routes {
    /// Those of the server. `request_max` is the longest time until a request is answered.
    pub(crate) fn all(app: App, request_max: Duration) -> Self {
        let router = Router::new()
            .merge(api::router(cors(&app.access.cors_origins)))
            .merge(inbound::router(&app.sources.all.inlets))
            .merge(media::router())
            .merge(console::router())
            .merge(live::router());
        Self {
            app: Some(app.clone()),
            ..Self::new(router, app, request_max)
        }
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
            app: None,
        }
    }

    pub(crate) async fn answer(mut self, mut request: Request) -> Response {
        let Some(app) = self.app.take() else {
            return self.answer_plainly(request).await;
        };
        let id = request_id(&app, request.headers());
        let told = app.access.request_limit.as_ref().map(|limit| {
            let told = Arc::new(Remaining::default());
            request.extensions_mut().insert(Arc::clone(&told));
            (Arc::clone(limit), told)
        });
        let line = tracing::enabled!(tracing::Level::DEBUG).then(|| {
            (
                request.method().clone(),
                logged(request.uri().path()).to_owned(),
            )
        });
        let mut response = self.answer_plainly(request).await;
        if let Some((method, path)) = line {
            tracing::debug!(request.id = ?id, http.method = %method, http.path = path, http.status = response.status().as_u16(), "request");
        }
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(request.id = ?id, "the request that failed");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        if let Some((limit, told)) = told {
            limit.tell(&told, response.headers_mut());
        }
        response
    }

    async fn answer_plainly(self, request: Request) -> Response {
        let answered = AssertUnwindSafe(self.router.oneshot(request)).catch_unwind();
        match tokio::time::timeout(self.request_max, answered).await {
            Ok(Ok(response)) => response.unwrap_or_else(|never: Infallible| match never {}),
            Ok(Err(_)) => ApiError::Panicked.into_response(),
            // What it was writing is written or not as a whole.
            Err(_) => ApiError::TooSlow.into_response(),
        }
    }
}

/// A path as it is logged. Who has the link of a file has the file.
fn logged(path: &str) -> &str {
    if path.starts_with(MEDIA_PATH) {
        MEDIA_PATH
    } else {
        path
    }
}

/// The id that the client gave its request, or else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let id = MessageId::fresh(&*app.clock, &*app.random).to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
    })
}

/// Lets the web pages of these origins call the API. `None`: there are none.
fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let any = origins.iter().any(|origin| origin == "*");
    let allowed = match origins {
        [] => return None,
        _ if any => AllowOrigin::mirror_request(),
        some => AllowOrigin::list(some.iter().cloned()),
    };
    let exposed = [
        REQUEST_ID,
        header::RETRY_AFTER,
        HeaderName::from_static("ratelimit-limit"),
        HeaderName::from_static("ratelimit-remaining"),
        HeaderName::from_static("ratelimit-reset"),
    ];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .allow_credentials(true)
            .expose_headers(exposed)
            .max_age(PREFLIGHT_LASTS),
    )
}
