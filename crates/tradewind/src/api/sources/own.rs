//! `sources.create`, `.list` and `.delete`: sources whose connector somebody else writes.

use axum::{Json as Answer, extract::State, http::StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tradewind_model::Source;
use tradewind_sources::Own;
use tradewind_store::{Created, OwnSource};
use utoipa::ToSchema;

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing, check_line},
        openapi::problem::errors,
        view::{EmptyObject, EmptyRequest},
        webhooks::check_url,
    },
    app::{App, OWN_SOURCES_MAX},
    token,
};

/// Longest name of a source for people, and longest address of its picture, in bytes.
const NAME_BYTES_MAX: usize = 200;
const IMAGE_URL_BYTES_MAX: usize = 2_048;

errors!(CreateErrors:
    SourceTaken, TooManySources { max: OWN_SOURCES_MAX }, SourceNotConfigured { setting: "secret_key" });
errors!(DeleteErrors: SourceNotFound);

#[derive(Deserialize, ToSchema)]
pub(super) struct CreateSourceRequest {
    /// What it is called: 1 to 64 of the characters a-z, 0-9, `_`, `-` and `.`, and not as a source that
    /// Tradewind has itself.
    #[schema(example = "matrix")]
    source_id: String,
    /// What people call it; at most 200 bytes.
    name: Option<String>,
    /// Where messages for it are posted: `http` or `https`, without user name or password, and not leading to
    /// an address inside. Without it, nothing can be sent.
    action_endpoint: Option<String>,
    /// A picture of it; at most 2,048 bytes.
    image_url: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct DeleteSourceRequest {
    source_id: String,
}

/// A source of your own. What there is nothing to say of is left out.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnSourceView {
    source_id: String,
    /// By which its connector is known, and which signs what is posted to it. Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct OwnSourceList {
    data: Vec<OwnSourceView>,
}

impl OwnSourceView {
    fn new(own: OwnSource) -> Self {
        Self {
            source_id: own.source.to_string(),
            token: None,
            name: own.name,
            action_endpoint: own.action_url,
            image_url: own.image_url,
        }
    }
}

impl CreateSourceRequest {
    /// The source without its token.
    async fn check(self, app: &App) -> Result<OwnSource, ApiError> {
        let source = Source::parse(&self.source_id)
            .map_err(|error| ApiError::invalid("source_id", error.to_string()))?;
        if !Own::may_be_called(&source) {
            let why = "must not be the name of a source that Tradewind has itself";
            return Err(ApiError::invalid("source_id", why));
        }
        let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (name, image_url) = (said(self.name), said(self.image_url));
        let action_url = said(self.action_endpoint);
        for (field, text, max) in [
            ("name", &name, NAME_BYTES_MAX),
            ("image_url", &image_url, IMAGE_URL_BYTES_MAX),
        ] {
            check_line(field, text.as_deref().unwrap_or_default(), 0..=max)?;
        }
        if let Some(url) = &action_url {
            check_url(app, "action_endpoint", url).await?;
        }
        Ok(OwnSource {
            source,
            name,
            image_url,
            action_url,
            sealed_token: String::new(),
            created_at: app.clock.now(),
        })
    }
}

/// Makes a source of your own.
///
/// Your connector puts messages in with its token, by `sources.webhook`, and is posted what is to be sent. This
/// is the only time that the token is shown.
#[utoipa::path(
    post,
    path = "/sources.create",
    security(("token" = ["admin"])),
    request_body(content = inline(CreateSourceRequest), example = json!({
        "source_id": "matrix",
        "name": "Matrix",
        "action_endpoint": "https://example.com/actions",
    })),
    responses(
        (status = 200, description = "The source, with its token.", body = OwnSourceView, example = json!({
            "source_id": "matrix",
            "token": example::SOURCE_TOKEN,
            "name": "Matrix",
            "action_endpoint": "https://example.com/actions",
        })),
        CreateErrors,
    ),
)]
pub(super) async fn create(
    Admin(by): Admin,
    State(app): State<App>,
    Json(request): Json<CreateSourceRequest>,
) -> Result<Answer<OwnSourceView>, ApiError> {
    let mut own = request.check(&app).await?;
    let text = token::fresh_text(&*app.random);
    let secret = SecretString::from(text.as_str());
    own.sealed_token = Own::seal(&app.sources.accounts.vault, &own.source, &secret)?;
    let hash = token::hash(&text);
    let created = app
        .store
        .create_source(own.clone(), hash, OWN_SOURCES_MAX.into(), by.actor());
    match created.await? {
        Created::Done => {}
        Created::NameTaken => return Err(ApiError::SourceTaken),
        Created::Full => {
            return Err(ApiError::TooManySources {
                max: OWN_SOURCES_MAX,
            });
        }
    }
    app.dispatcher.refresh().await;
    Ok(Answer(OwnSourceView {
        token: Some(text),
        ..OwnSourceView::new(own)
    }))
}

/// Lists the sources of your own.
#[utoipa::path(
    post,
    path = "/sources.list",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses((
        status = 200,
        description = "The sources, the oldest first, without their tokens.",
        body = OwnSourceList,
        example = json!({"data": [{
            "source_id": "matrix",
            "name": "Matrix",
            "action_endpoint": "https://example.com/actions",
        }]}),
    )),
)]
pub(super) async fn list(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<OwnSourceList>, ApiError> {
    let own = app.sources.own.list().await?.into_iter();
    Ok(Answer(OwnSourceList {
        data: own.map(OwnSourceView::new).collect(),
    }))
}

/// Deletes a source of your own.
///
/// From the answer on, its token is refused, its channels are disconnected, and nothing is posted to its
/// connector. What it brought stays. A message that its connector does not have by then stays `pending`.
#[utoipa::path(
    post,
    path = "/sources.delete",
    security(("token" = ["admin"])),
    request_body(content = inline(DeleteSourceRequest), example = json!({"source_id": "matrix"})),
    responses(
        (status = 202, description = "It is deleted.", body = EmptyObject, example = json!({})),
        DeleteErrors,
    ),
)]
pub(super) async fn delete(
    Admin(by): Admin,
    State(app): State<App>,
    Json(request): Json<DeleteSourceRequest>,
) -> Result<(StatusCode, Answer<EmptyObject>), ApiError> {
    let source = Source::parse(&request.source_id).map_err(|_| ApiError::SourceNotFound)?;
    if !app.store.delete_source(source, by.actor()).await? {
        return Err(ApiError::SourceNotFound);
    }
    app.dispatcher.refresh().await;
    Ok((StatusCode::ACCEPTED, Answer(EmptyObject)))
}
