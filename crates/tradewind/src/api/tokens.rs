//! `tokens.*`: who may call the API.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tradewind_model::{Timestamp, Token, TokenId, WireTime};
use tradewind_store::Admitted;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing, check_line},
        openapi::{self, problem::errors},
        view::{EmptyObject, EmptyRequest, scope, scopes},
    },
    app::App,
    token::{self, TOKENS_MAX},
};

/// Longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 200;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("tokens", "Who may call the API.")
        .routes(routes!(create))
        .routes(routes!(list))
        .routes(routes!(revoke))
}

errors!(CreateErrors: TooManyTokens { max: TOKENS_MAX });
errors!(RevokeErrors: TokenNotFound);

#[derive(Deserialize, ToSchema)]
struct CreateRequest {
    /// What people call it; at most 200 bytes.
    name: String,
    #[schema(schema_with = scopes)]
    scope: String,
    /// When it ends; it does not if this is left out.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize, ToSchema)]
struct RevokeRequest {
    #[schema(value_type = Uuid)]
    id: TokenId,
}

#[derive(Serialize, ToSchema)]
struct TokenView {
    #[schema(value_type = Uuid)]
    id: TokenId,
    name: String,
    #[schema(schema_with = scopes)]
    scope: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    expires_at: Option<WireTime>,
    /// Shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Serialize, ToSchema)]
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

/// Makes a token.
///
/// This is the only time that it is shown: of what is kept, nobody can tell it.
#[utoipa::path(
    post,
    path = "/tokens.create",
    security(("token" = ["admin"])),
    request_body(content = inline(CreateRequest), example = json!({
        "name": "weather bot",
        "scope": "agent",
    })),
    responses(
        (
            status = 201,
            description = "The token.",
            body = TokenView,
            example = json!({
                "id": example::TOKEN_ID,
                "name": "weather bot",
                "scope": "agent",
                "created_at": example::ASKED_AT,
                "expires_at": null,
                "token": example::API_TOKEN,
            }),
        ),
        CreateErrors,
    ),
)]
async fn create(
    Admin(by): Admin,
    State(app): State<App>,
    Json(request): Json<CreateRequest>,
) -> Result<(StatusCode, Answer<TokenView>), ApiError> {
    let now = app.clock.now();
    let name = request.name.trim();
    check_line("name", name, 1..=NAME_BYTES_MAX)?;
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

/// Lists the tokens.
///
/// Not those of logins, and not the one that the settings name.
#[utoipa::path(
    post,
    path = "/tokens.list",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "The tokens, the oldest first.",
            body = TokenList,
            example = json!({"data": [example::token()]}),
        ),
    ),
)]
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

/// Revokes a token.
///
/// From the answer on, it is refused. That of a login can be revoked too.
#[utoipa::path(
    post,
    path = "/tokens.revoke",
    security(("token" = ["admin"])),
    request_body(content = inline(RevokeRequest), example = json!({"id": example::TOKEN_ID})),
    responses(
        (
            status = 200,
            description = "It is revoked.",
            body = EmptyObject,
            example = json!({}),
        ),
        RevokeErrors,
    ),
)]
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
