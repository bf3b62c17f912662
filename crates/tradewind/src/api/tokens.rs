//! `tokens.*`: who may call the API.

use axum::{Json as Answer, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use tradewind_model::{Timestamp, Token, TokenId, WireTime};
use tradewind_store::Admitted;

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        extract::{Json, JsonOrNothing},
        view::{EmptyObject, EmptyRequest, scope},
    },
    app::App,
    token::{self, TOKENS_MAX},
};

/// Longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/tokens.create", post(create))
        .route("/tokens.list", post(list))
        .route("/tokens.revoke", post(revoke))
}

#[derive(Deserialize)]
struct CreateRequest {
    name: String,
    scope: String,
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RevokeRequest {
    id: TokenId,
}

#[derive(Serialize)]
struct TokenView {
    id: TokenId,
    name: String,
    scope: &'static str,
    created_at: WireTime,
    expires_at: Option<WireTime>,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Serialize)]
struct TokenList {
    data: Vec<TokenView>,
}

impl TokenView {
    fn new(known: &Token) -> Self {
        Self {
            id: known.id,
            name: known.name.clone(),
            scope: known.scope.name(),
            created_at: WireTime(known.created_at),
            expires_at: known.expires_at.map(WireTime),
            token: None,
        }
    }
}

/// The only time that the token is shown: of what is kept, nobody can tell it.
async fn create(
    Admin(by): Admin,
    State(app): State<App>,
    Json(request): Json<CreateRequest>,
) -> Result<(StatusCode, Answer<TokenView>), ApiError> {
    let now = app.clock.now();
    let name = request.name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
        let why = format!("must be 1 to {NAME_BYTES_MAX} bytes, without control characters");
        return Err(ApiError::invalid("name", why));
    }
    if request.expires_at.is_some_and(|at| at <= now) {
        return Err(ApiError::invalid("expires_at", "must be in the future"));
    }
    let text = token::fresh_text(&*app.random);
    let token = Token {
        id: TokenId::fresh(&*app.clock, &*app.random),
        name: name.to_owned(),
        scope: scope("scope", &request.scope)?,
        expires_at: request.expires_at,
        created_at: now,
        user_id: None,
    };
    let view = TokenView {
        token: Some(text.clone()),
        ..TokenView::new(&token)
    };
    let put = app
        .store
        .put_token(token, token::hash(&text), TOKENS_MAX, by.actor());
    match put.await? {
        Admitted::Done => Ok((StatusCode::CREATED, Answer(view))),
        Admitted::Full | Admitted::EmailTaken => Err(ApiError::TooManyTokens { max: TOKENS_MAX }),
    }
}

/// Not those of logins, and not the one that the settings name.
async fn list(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<TokenList>, ApiError> {
    let limit = usize::try_from(TOKENS_MAX).unwrap_or(usize::MAX);
    let tokens = app.store.list_tokens(limit).await?;
    Ok(Answer(TokenList {
        data: tokens.iter().map(TokenView::new).collect(),
    }))
}

/// From the answer on, the token is not accepted any more.
async fn revoke(
    Admin(by): Admin,
    State(app): State<App>,
    Json(request): Json<RevokeRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    if !app.store.revoke_token(request.id, by.actor()).await? {
        return Err(ApiError::TokenNotFound);
    }
    Ok(Answer(EmptyObject))
}
