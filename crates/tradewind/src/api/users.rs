//! `users.*`: the people who work with conversations, how they come in and log in.

use axum::{Json as Answer, Router, extract::State, http::StatusCode, routing::post};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tradewind_model::{Invitation, InvitationId, Scope, Token, TokenId, User, UserId, WireTime};
use tradewind_store::{Accepted, Admitted, Credentials, NewUser, Removed, UserKey};
use uuid::Builder;

use crate::{
    api::{
        auth::{Admin, Agent, LoggedIn, Peer},
        error::ApiError,
        extract::{Json, JsonOrNothing},
        view::{EmptyObject, EmptyRequest, scope},
    },
    app::App,
    token,
};

/// Users and open invitations.
const USERS_MAX: u64 = 10_000;
/// Logins of one user at once; one more ends the oldest.
const LOGINS_MAX: u64 = 20;
/// How long an invitation is good.
const INVITATION_DAYS: i64 = 7;
/// Shortest password in characters, and longest in bytes.
const PASSWORD_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Longest e-mail address and name, in bytes.
const EMAIL_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 200;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/users.signup", post(signup))
        .route("/users.login", post(login))
        .route("/users.invite", post(invite))
        .route("/users.accept-invitation", post(accept_invitation))
        .route("/users.list", post(list))
        .route("/users.change-password", post(change_password))
        .route("/users.remove", post(remove))
}

#[derive(Deserialize)]
struct SignupRequest {
    email: String,
    first_name: String,
    last_name: String,
    password: SecretString,
}

#[derive(Deserialize)]
struct LoginRequest {
    email: String,
    password: SecretString,
}

#[derive(Deserialize)]
struct InviteRequest {
    email: String,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct AcceptRequest {
    id: InvitationId,
    first_name: String,
    last_name: String,
    password: SecretString,
}

#[derive(Deserialize)]
struct ChangePasswordRequest {
    password: SecretString,
    new_password: SecretString,
}

#[derive(Deserialize)]
struct RemoveRequest {
    id: UserId,
}

/// Somebody who has just come in, with the token of their login.
#[derive(Serialize)]
struct LoginView {
    id: UserId,
    first_name: String,
    last_name: String,
    token: String,
}

#[derive(Serialize)]
struct Invited {
    id: InvitationId,
}

#[derive(Serialize)]
struct UserList {
    data: Vec<UserView>,
}

#[derive(Serialize)]
struct UserView {
    id: UserId,
    email: String,
    first_name: String,
    last_name: String,
    scope: &'static str,
    created_at: WireTime,
}

/// Makes the first user, who is an admin. Everybody else is invited.
async fn signup(
    State(app): State<App>,
    peer: Peer,
    Json(request): Json<SignupRequest>,
) -> Result<Answer<LoginView>, ApiError> {
    let email = email(&request.email)?;
    let (first_name, last_name) = names(&request.first_name, &request.last_name)?;
    check_password("password", &request.password)?;
    app.access.login_limits.attempt(peer.address, &email)?;
    // Before the costly part.
    if app.store.has_users().await? {
        return Err(ApiError::SignupClosed);
    }
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
    let user = owner.user.clone();
    if !app.store.create_owner(owner).await? {
        return Err(ApiError::SignupClosed);
    }
    log_in(&app, user).await
}

/// Answers alike, and after the same time, whether the user is unknown or the password is wrong.
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
    let (user, hash) = found.map(|one| (one.user, one.password_hash)).unzip();
    let is_right = app.access.passwords.verify(request.password, hash).await?;
    match user.filter(|_| is_right) {
        Some(user) => log_in(&app, user).await,
        None => Err(ApiError::LoginFailed),
    }
}

async fn log_in(app: &App, user: User) -> Result<Answer<LoginView>, ApiError> {
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
    if !app.store.log_in(token, hash, LOGINS_MAX).await? {
        // Somebody removed them a moment ago.
        return Err(ApiError::LoginFailed);
    }
    Ok(Answer(LoginView {
        id: user.id,
        first_name: user.first_name,
        last_name: user.last_name,
        token: text,
    }))
}

/// Nothing is mailed: the id is for you to hand on, and whoever has it can come in.
async fn invite(
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

async fn accept_invitation(
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
    match app.store.accept_invitation(request.id, user).await? {
        Accepted::Done(user) => log_in(&app, user).await,
        Accepted::NotFound => Err(ApiError::InvitationNotFound),
        Accepted::EmailTaken => Err(ApiError::EmailTaken),
    }
}

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

/// Ends all other logins of the user.
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
        .attempt(peer.address, &known.user.email)?;
    let present = Some(known.password_hash);
    if !app
        .access
        .passwords
        .verify(request.password, present)
        .await?
    {
        return Err(ApiError::WrongPassword);
    }
    let fresh = app.access.passwords.hash(request.new_password).await?;
    if !app.store.change_password(user, fresh, hash).await? {
        return Err(ApiError::Unauthorized);
    }
    Ok(Answer(EmptyObject))
}

/// Ends the user's logins too.
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

/// An e-mail address, in lower case. Whether mail arrives there is not for us to say.
fn email(text: &str) -> Result<String, ApiError> {
    let email = text.trim().to_lowercase();
    let is_email = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let is_plain = !email.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_email || !is_plain || email.len() > EMAIL_BYTES_MAX {
        return Err(ApiError::invalid("email", "must be an e-mail address"));
    }
    Ok(email)
}

fn names(first: &str, last: &str) -> Result<(String, String), ApiError> {
    for (field, name) in [("first_name", first), ("last_name", last)] {
        if name.trim().is_empty() {
            return Err(ApiError::invalid(field, "must not be empty"));
        }
        if name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            let why = format!("must be at most {NAME_BYTES_MAX} bytes, without control characters");
            return Err(ApiError::invalid(field, why));
        }
    }
    Ok((first.trim().to_owned(), last.trim().to_owned()))
}

fn check_password(field: &str, password: &SecretString) -> Result<(), ApiError> {
    let password = password.expose_secret();
    if password.chars().count() < PASSWORD_MIN {
        let why = format!("must have at least {PASSWORD_MIN} characters");
        return Err(ApiError::invalid(field, why));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        let why = format!("must be at most {PASSWORD_BYTES_MAX} bytes long");
        return Err(ApiError::invalid(field, why));
    }
    Ok(())
}
