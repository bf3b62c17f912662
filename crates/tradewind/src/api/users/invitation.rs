//! How people come in after the first.

use axum::{Json as Answer, extract::State, http::StatusCode};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tradewind_model::{Invitation, InvitationId, Scope, UserId};
use tradewind_store::{Accepted, Admitted, Credentials, NewUser};
use utoipa::ToSchema;
use uuid::Builder;

use super::{
    LoginView, USERS_MAX,
    field::{check_password, email, names},
    log_in,
};
use crate::{
    api::{
        auth::{Admin, Peer},
        error::ApiError,
        example,
        extract::Json,
        openapi::problem::errors,
        view::{scope, scopes},
    },
    app::App,
};

/// How long an invitation is good.
const INVITATION_DAYS: i64 = 7;

errors!(InviteErrors: EmailTaken, TooManyUsers { max: USERS_MAX });
errors!(AcceptErrors: InvitationNotFound, EmailTaken, TooManyRequests { retry_after: 30 });

#[derive(Deserialize, ToSchema)]
pub(super) struct InviteRequest {
    email: String,
    /// What they will be allowed to: `agent` if left out.
    #[schema(schema_with = scopes, required = false)]
    scope: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct AcceptRequest {
    #[schema(value_type = Uuid)]
    id: InvitationId,
    first_name: String,
    last_name: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: SecretString,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Invited {
    #[schema(value_type = Uuid)]
    id: InvitationId,
}

/// Invites somebody.
///
/// Nothing is mailed: hand the id on, as whoever has it can come in, within seven days.
#[utoipa::path(
    post,
    path = "/users.invite",
    security(("token" = ["admin"])),
    request_body(content = inline(InviteRequest), example = json!({
        "email": "grace@example.com",
        "scope": "agent",
    })),
    responses(
        (
            status = 201,
            description = "They can come in.",
            body = Invited,
            example = json!({"id": example::INVITATION}),
        ),
        InviteErrors,
    ),
)]
pub(super) async fn invite(
    Admin(token): Admin,
    State(app): State<App>,
    Json(request): Json<InviteRequest>,
) -> Result<(StatusCode, Answer<Invited>), ApiError> {
    let now = app.clock.now();
    let lasts = SignedDuration::from_hours(INVITATION_DAYS * 24);
    let invitation = Invitation {
        // Random in all bits, as it lets somebody in.
        id: InvitationId::from_uuid(
            Builder::from_random_bytes(app.random.bits().to_be_bytes()).into_uuid(),
        ),
        email: email(&request.email)?,
        scope: request
            .scope
            .as_deref()
            .map_or(Ok(Scope::Agent), |name| scope("scope", name))?,
        created_at: now,
        expires_at: now.checked_add(lasts).unwrap_or(now),
    };
    let id = invitation.id;
    match app
        .store
        .invite(invitation, USERS_MAX, token.actor())
        .await?
    {
        Admitted::Done => Ok((StatusCode::CREATED, Answer(Invited { id }))),
        Admitted::Full => Err(ApiError::TooManyUsers { max: USERS_MAX }),
        Admitted::EmailTaken => Err(ApiError::EmailTaken),
    }
}

/// Makes a user of whom was invited.
#[utoipa::path(
    post,
    path = "/users.accept-invitation",
    request_body(content = inline(AcceptRequest), example = json!({
        "id": example::INVITATION,
        "first_name": "Grace",
        "last_name": "Hopper",
        "password": "nanosecond wire",
    })),
    responses(
        (
            status = 200,
            description = "They are logged in.",
            body = LoginView,
            example = json!({
                "id": example::COLLEAGUE,
                "first_name": "Grace",
                "last_name": "Hopper",
                "token": example::COLLEAGUE_TOKEN,
            }),
        ),
        AcceptErrors,
    ),
)]
pub(super) async fn accept_invitation(
    State(app): State<App>,
    peer: Peer,
    Json(request): Json<AcceptRequest>,
) -> Result<Answer<LoginView>, ApiError> {
    let (first_name, last_name) = names(&request.first_name, &request.last_name)?;
    check_password("password", &request.password)?;
    app.access
        .login_limits
        .attempt(peer.address, &request.id.to_string())?;
    let user = NewUser {
        id: UserId::fresh(&*app.clock, &*app.random),
        first_name,
        last_name,
        password_hash: app.access.passwords.hash(request.password).await?,
    };
    let password_hash = user.password_hash.clone();
    match app.store.accept_invitation(request.id, user).await? {
        Accepted::Done(user) => {
            let known = Credentials {
                user,
                password_hash,
            };
            log_in(&app, known).await
        }
        Accepted::NotFound => Err(ApiError::InvitationNotFound),
        Accepted::EmailTaken => Err(ApiError::EmailTaken),
    }
}
