//! `users.*`: the people who work with conversations, how they come in and log in.

mod field;
mod invitation;

use axum::{Json as Answer, extract::State};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tradewind_model::{Scope, Token, TokenId, User, UserId, WireTime};
use tradewind_store::{Credentials, Removed, UserKey};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::{Admin, Agent, LoggedIn, Peer},
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing},
        openapi::{self, problem::errors},
        view::{EmptyObject, EmptyRequest, scopes},
    },
    app::App,
    token,
};
use field::{EMAIL_BYTES_MAX, check_password, email, names};

/// Users and open invitations.
const USERS_MAX: u64 = 10_000;
/// Logins of one user at once; one more ends the oldest.
const LOGINS_MAX: u64 = 20;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace(
        "users",
        "The people who work with conversations, how they come in and log in.",
    )
    .routes(routes!(signup))
    .routes(routes!(login))
    .routes(routes!(invitation::invite))
    .routes(routes!(invitation::accept_invitation))
    .routes(routes!(list))
    .routes(routes!(change_password))
    .routes(routes!(remove))
}

errors!(SignupErrors: SignupClosed, TooManyRequests { retry_after: 30 });
errors!(LoginErrors: LoginFailed, TooManyRequests { retry_after: 30 });
errors!(ChangePasswordErrors: NotLoggedIn, WrongPassword, TooManyRequests { retry_after: 30 });
errors!(RemoveErrors: UserNotFound, LastAdmin);

#[derive(Deserialize, ToSchema)]
struct SignupRequest {
    /// At most 254 bytes; upper and lower case are the same.
    email: String,
    first_name: String,
    last_name: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: SecretString,
}

#[derive(Deserialize, ToSchema)]
struct LoginRequest {
    email: String,
    #[schema(value_type = String)]
    password: SecretString,
}

#[derive(Deserialize, ToSchema)]
struct ChangePasswordRequest {
    /// The present one.
    #[schema(value_type = String)]
    password: SecretString,
    /// At least 8 characters.
    #[schema(value_type = String)]
    new_password: SecretString,
}

#[derive(Deserialize, ToSchema)]
struct RemoveRequest {
    #[schema(value_type = Uuid)]
    id: UserId,
}

/// Somebody who has just come in, with the token of their login.
#[derive(Serialize, ToSchema)]
struct LoginView {
    #[schema(value_type = Uuid)]
    id: UserId,
    first_name: String,
    last_name: String,
    /// Good for a week, or what the settings say.
    token: String,
}

#[derive(Serialize, ToSchema)]
struct UserList {
    data: Vec<UserView>,
}

#[derive(Serialize, ToSchema)]
struct UserView {
    #[schema(value_type = Uuid)]
    id: UserId,
    email: String,
    first_name: String,
    last_name: String,
    #[schema(schema_with = scopes)]
    scope: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
}

/// Makes the first user.
///
/// They are an admin. Everybody else is invited.
#[utoipa::path(
    post,
    path = "/users.signup",
    request_body(content = inline(SignupRequest), example = json!({
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "password": "analytical engine",
    })),
    responses(
        (
            status = 200,
            description = "They are logged in.",
            body = LoginView,
            example = json!(example::login()),
        ),
        SignupErrors,
    ),
)]
async fn signup(
    State(app): State<App>,
    peer: Peer,
    Json(request): Json<SignupRequest>,
) -> Result<Answer<LoginView>, ApiError> {
    let email = email(&request.email)?;
    let (first_name, last_name) = names(&request.first_name, &request.last_name)?;
    check_password("password", &request.password)?;
    // Before the costly part, and before anything is counted.
    if !app.access.signup || app.store.has_users().await? {
        return Err(ApiError::SignupClosed);
    }
    app.access.login_limits.attempt(peer.address, &email)?;
    let owner = Credentials {
        user: User {
            id: UserId::fresh(&*app.clock, &*app.random),
            email,
            first_name,
            last_name,
            scope: Scope::Admin,
            created_at: app.clock.now(),
        },
        password_hash: app.access.passwords.hash(request.password).await?,
    };
    if !app.store.create_owner(owner.clone()).await? {
        return Err(ApiError::SignupClosed);
    }
    log_in(&app, owner).await
}

/// Logs a user in.
///
/// The answer is the same, and takes as long, whether the user is unknown or the password is wrong.
#[utoipa::path(
    post,
    path = "/users.login",
    request_body(content = inline(LoginRequest), example = json!({
        "email": "ada@example.com",
        "password": "analytical engine",
    })),
    responses(
        (
            status = 200,
            description = "They are logged in.",
            body = LoginView,
            example = json!(example::login()),
        ),
        LoginErrors,
    ),
)]
async fn login(
    State(app): State<App>,
    peer: Peer,
    Json(request): Json<LoginRequest>,
) -> Result<Answer<LoginView>, ApiError> {
    let email = request.email.trim().to_lowercase();
    if email.len() > EMAIL_BYTES_MAX {
        return Err(ApiError::LoginFailed);
    }
    app.access.login_limits.attempt(peer.address, &email)?;
    let found = app.store.find_user(UserKey::Email(email)).await?;
    let hash = found.as_ref().map(|known| known.password_hash.clone());
    let is_right = app.access.passwords.verify(request.password, hash).await?;
    match found.filter(|_| is_right) {
        Some(known) => log_in(&app, known).await,
        None => Err(ApiError::LoginFailed),
    }
}

/// Makes a token for a user whose password was verified, or set, a moment ago.
async fn log_in(app: &App, known: Credentials) -> Result<Answer<LoginView>, ApiError> {
    let Credentials {
        user,
        password_hash,
    } = known;
    let now = app.clock.now();
    let text = token::fresh_text(&*app.random);
    let lasts = SignedDuration::try_from(app.access.login_lasts).unwrap_or(SignedDuration::ZERO);
    let token = Token {
        id: TokenId::fresh(&*app.clock, &*app.random),
        name: user.email.clone(),
        scope: user.scope,
        expires_at: Some(now.checked_add(lasts).unwrap_or(now)),
        created_at: now,
        user_id: Some(user.id),
    };
    let hash = token::hash(&text);
    let kept = app.store.log_in(token, hash, password_hash, LOGINS_MAX);
    if !kept.await? {
        // Somebody removed them meanwhile, or they changed their password.
        return Err(ApiError::LoginFailed);
    }
    Ok(Answer(LoginView {
        id: user.id,
        first_name: user.first_name,
        last_name: user.last_name,
        token: text,
    }))
}

/// Lists the users.
#[utoipa::path(
    post,
    path = "/users.list",
    security(("token" = ["agent"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "The users, the oldest first.",
            body = UserList,
            example = json!({"data": [{
                "id": example::OWNER,
                "email": "ada@example.com",
                "first_name": "Ada",
                "last_name": "Lovelace",
                "scope": "admin",
                "created_at": example::ASKED_AT,
            }]}),
        ),
    ),
)]
async fn list(
    _: Agent,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<UserList>, ApiError> {
    let limit = usize::try_from(USERS_MAX).unwrap_or(usize::MAX);
    let users = app.store.list_users(limit).await?;
    let view = |user: User| UserView {
        id: user.id,
        email: user.email,
        first_name: user.first_name,
        last_name: user.last_name,
        scope: user.scope.name(),
        created_at: WireTime(user.created_at),
    };
    Ok(Answer(UserList {
        data: users.into_iter().map(view).collect(),
    }))
}

/// Changes the password of whoever is logged in.
///
/// All other logins of the user end.
#[utoipa::path(
    post,
    path = "/users.change-password",
    security(("login" = [])),
    request_body(content = inline(ChangePasswordRequest), example = json!({
        "password": "analytical engine",
        "new_password": "difference engine",
    })),
    responses(
        (
            status = 200,
            description = "It is changed.",
            body = EmptyObject,
            example = json!({}),
        ),
        ChangePasswordErrors,
    ),
)]
async fn change_password(
    LoggedIn { user, hash }: LoggedIn,
    State(app): State<App>,
    peer: Peer,
    Json(request): Json<ChangePasswordRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    check_password("new_password", &request.new_password)?;
    let found = app.store.find_user(UserKey::Id(user)).await?;
    let known = found.ok_or(ApiError::Unauthorized)?;
    app.access
        .login_limits
        // Not at the account, which anybody can use up.
        .attempt(peer.address, &user.to_string())?;
    let passwords = &app.access.passwords;
    let present = known.password_hash;
    let is_right = passwords.verify(request.password, Some(present.clone()));
    if !is_right.await? {
        return Err(ApiError::WrongPassword);
    }
    let change = (present, passwords.hash(request.new_password).await?);
    if !app.store.change_password(user, change, hash).await? {
        return Err(ApiError::Unauthorized);
    }
    Ok(Answer(EmptyObject))
}

/// Removes a user.
///
/// Their logins end.
#[utoipa::path(
    post,
    path = "/users.remove",
    security(("token" = ["admin"])),
    request_body(content = inline(RemoveRequest), example = json!({"id": example::COLLEAGUE})),
    responses(
        (
            status = 200,
            description = "They are gone.",
            body = EmptyObject,
            example = json!({}),
        ),
        RemoveErrors,
    ),
)]
async fn remove(
    Admin(token): Admin,
    State(app): State<App>,
    Json(request): Json<RemoveRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    match app.store.remove_user(request.id, token.actor()).await? {
        Removed::Done => Ok(Answer(EmptyObject)),
        Removed::NotFound => Err(ApiError::UserNotFound),
        Removed::LastAdmin => Err(ApiError::LastAdmin),
    }
}
