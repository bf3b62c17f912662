//! The one error type of the HTTP API, and its body.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tradewind_delivery::chain::chain;
use tradewind_sources::{AskError, VaultError};
use tradewind_store::StoreError;
use utoipa::ToSchema;

/// When a client should try again after the store was unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a client is told when a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{field}: {why}")]
    Invalid { field: String, why: String },
    #[error("the body is not JSON: {0}")]
    Malformed(String),
    #[error("send the body with Content-Type: application/json")]
    MediaType,
    #[error("the body is longer than {max} bytes")]
    TooLarge { max: usize },
    #[error("the request was not complete in time")]
    TooSlow,
    #[error("send a valid token as Authorization: Bearer TOKEN")]
    Unauthorized,
    #[error("send the token of a source, from sources.create, as Authorization: Bearer TOKEN")]
    SourceUnauthorized,
    #[error("send a visitor's token, from chatplugin.authenticate, as Authorization: Bearer TOKEN")]
    VisitorUnauthorized,
    #[error("resume_token: is not valid any more; authenticate with channel_id")]
    ResumeTokenInvalid,
    #[error("this needs a token with the scope {needed}")]
    Forbidden { needed: &'static str },
    #[error("this needs the token of a source, from sources.create")]
    NotASource,
    #[error("the e-mail address or the password is wrong")]
    LoginFailed,
    #[error("password: is not your present password")]
    WrongPassword,
    #[error("only users have a password; log in by users.login and send that token")]
    NotLoggedIn,
    #[error("somebody has signed up already; ask an admin for an invitation (users.invite)")]
    SignupClosed,
    #[error("too many requests; try again in {retry_after} s")]
    TooManyRequests { retry_after: u64 },
    #[error("there is no such endpoint; endpoints look like POST /messages.send")]
    EndpointNotFound,
    #[error("this endpoint does not take this method; most take POST")]
    MethodNotAllowed,
    #[error("open a WebSocket here")]
    NotWebSocket,
    #[error("there is no channel with this channel_id")]
    ChannelNotFound,
    #[error("this is a channel of another source")]
    ChannelOfAnother,
    #[error("there is no source of your own with this source_id")]
    SourceNotFound,
    #[error("there is a source with this source_id; delete it first")]
    SourceTaken,
    #[error("there are {max} sources of your own already; delete one first")]
    TooManySources { max: u32 },
    #[error("there is no such chat; its channel may be disconnected")]
    ChatNotFound,
    #[error("there is no conversation with this conversation_id")]
    ConversationNotFound,
    #[error("the webhook was never subscribed; call webhooks.subscribe first")]
    WebhookNotFound,
    #[error("there is no message with this message_id")]
    MessageNotFound,
    #[error("there is no token with this id")]
    TokenNotFound,
    #[error("there is no user with this id")]
    UserNotFound,
    #[error("there is no such invitation, or not any more; ask for another")]
    InvitationNotFound,
    #[error("there is no tag with this id")]
    TagNotFound,
    #[error("there is a user with this e-mail address")]
    EmailTaken,
    #[error("this is the last admin; invite another first")]
    LastAdmin,
    #[error("there are {max} tokens already; revoke one first")]
    TooManyTokens { max: u64 },
    #[error("there are {max} users and invitations already; remove one first")]
    TooManyUsers { max: u64 },
    #[error("there are {max} tags already; delete one first")]
    TooManyTags { max: u64 },
    #[error("the conversation has {max} tags, or {max} metadata keys, already; remove one first")]
    TooManyNotes { max: u64 },
    #[error("the webhook is not subscribed; subscribe it again first")]
    WebhookUnsubscribed,
    #[error("there are {max} webhooks already; use one of them again")]
    TooManyWebhooks { max: usize },
    #[error("{max} replays are under way already; try again when one has ended")]
    TooManyReplays { max: usize },
    #[error(
        "the channel of this conversation is disconnected; connect it again by channels.connect"
    )]
    ChannelDisconnected,
    #[error("this Idempotency-Key was used for another request; use a new key")]
    IdempotencyKeyReused,
    #[error("the signature of the provider is missing or wrong; nothing was stored")]
    SignatureInvalid,
    #[error("this source cannot be used before the setting {setting} is there")]
    SourceNotConfigured { setting: &'static str },
    #[error("the provider refused: {reason}")]
    ProviderRefused { reason: String },
    #[error("the provider could not be asked, try again later: {reason}")]
    ProviderUnavailable { reason: String },
    #[error("there is no such file, or not any more")]
    FileNotFound,
    #[error("the file is longer than {max} bytes")]
    FileTooLarge { max: u64 },
    #[error("nothing can be stored now; the request changed nothing, send it again later")]
    Unavailable(#[source] Option<StoreError>),
    #[error("something went wrong here; the server's log says what")]
    Internal(#[source] StoreError),
    #[error("something went wrong here; the server's log says what")]
    Panicked,
}

/// Why a request failed (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// What the status is called.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong, for programs. A code never changes its name.
    pub(crate) code: &'static str,
    /// What went wrong and what to do about it, for people.
    detail: String,
    /// The same as `detail`, for clients that know only this key.
    message: String,
}

impl ApiError {
    pub(crate) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            why: why.into(),
        }
    }

    /// Status and stable code. The codes are API: never rename one.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::Unauthorized
            | Self::SourceUnauthorized
            | Self::VisitorUnauthorized
            | Self::ResumeTokenInvalid => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::LoginFailed => (StatusCode::UNAUTHORIZED, "login_failed"),
            Self::Forbidden { .. } | Self::NotASource => (StatusCode::FORBIDDEN, "forbidden"),
            Self::WrongPassword => (StatusCode::FORBIDDEN, "wrong_password"),
            Self::NotLoggedIn => (StatusCode::FORBIDDEN, "login_required"),
            Self::SignupClosed => (StatusCode::FORBIDDEN, "signup_closed"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::EndpointNotFound => (StatusCode::NOT_FOUND, "endpoint_not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::NotWebSocket => (StatusCode::UPGRADE_REQUIRED, "websocket_expected"),
            Self::ChannelNotFound | Self::ChatNotFound => {
                (StatusCode::NOT_FOUND, "channel_not_found")
            }
            Self::ChannelOfAnother => (StatusCode::FORBIDDEN, "channel_of_another"),
            Self::SourceNotFound => (StatusCode::NOT_FOUND, "source_not_found"),
            Self::SourceTaken => (StatusCode::CONFLICT, "source_taken"),
            Self::TooManySources { .. } => (StatusCode::CONFLICT, "too_many_sources"),
            Self::ConversationNotFound => (StatusCode::NOT_FOUND, "conversation_not_found"),
            Self::WebhookNotFound => (StatusCode::NOT_FOUND, "webhook_not_found"),
            Self::MessageNotFound => (StatusCode::NOT_FOUND, "message_not_found"),
            Self::TokenNotFound => (StatusCode::NOT_FOUND, "token_not_found"),
            Self::UserNotFound => (StatusCode::NOT_FOUND, "user_not_found"),
            Self::InvitationNotFound => (StatusCode::NOT_FOUND, "invitation_not_found"),
            Self::TagNotFound => (StatusCode::NOT_FOUND, "tag_not_found"),
            Self::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
            Self::TooManyTokens { .. } => (StatusCode::CONFLICT, "too_many_tokens"),
            Self::TooManyUsers { .. } => (StatusCode::CONFLICT, "too_many_users"),
            Self::TooManyTags { .. } => (StatusCode::CONFLICT, "too_many_tags"),
            Self::TooManyNotes { .. } => (StatusCode::CONFLICT, "too_many_notes"),
            Self::WebhookUnsubscribed => (StatusCode::CONFLICT, "webhook_unsubscribed"),
            Self::TooManyWebhooks { .. } => (StatusCode::CONFLICT, "too_many_webhooks"),
            Self::TooManyReplays { .. } => (StatusCode::CONFLICT, "too_many_replays"),
            Self::ChannelDisconnected => (StatusCode::FORBIDDEN, "channel_disconnected"),
            Self::IdempotencyKeyReused => (StatusCode::CONFLICT, "idempotency_key_reused"),
            Self::SignatureInvalid => (StatusCode::FORBIDDEN, "signature_invalid"),
            Self::SourceNotConfigured { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "source_not_configured")
            }
            Self::ProviderRefused { .. } => (StatusCode::BAD_REQUEST, "provider_refused"),
            Self::ProviderUnavailable { .. } => (StatusCode::BAD_GATEWAY, "provider_unavailable"),
            Self::FileNotFound => (StatusCode::NOT_FOUND, "file_not_found"),
            Self::FileTooLarge { .. } => (StatusCode::BAD_GATEWAY, "file_too_large"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) | Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The answer: its status and its body.
    pub(crate) fn problem(&self) -> (StatusCode, Problem) {
        let (status, code) = self.status_and_code();
        let detail = self.to_string();
        let problem = Problem {
            kind: format!("/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            message: detail.clone(),
            detail,
        };
        (status, problem)
    }

    /// A header that the answer carries besides its body.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized
            | Self::SourceUnauthorized
            | Self::VisitorUnauthorized
            | Self::ResumeTokenInvalid
            | Self::LoginFailed => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Self::NotWebSocket => Some((header::UPGRADE, HeaderValue::from_static("websocket"))),
            Self::Unavailable(_) | Self::SourceNotConfigured { .. } => {
                Some((header::RETRY_AFTER, RETRY_AFTER.as_secs().into()))
            }
            Self::TooManyRequests { retry_after } => {
                Some((header::RETRY_AFTER, (*retry_after).into()))
            }
            _ => None,
        }
    }

    /// What only the operator is told, once, here. What is wrong with the disk the store tells itself,
    /// and not for each request that meets it.
    fn log(&self) {
        match self {
            Self::Internal(error) => {
                tracing::error!(error = chain(error), "a request failed");
            }
            Self::Unavailable(Some(error)) => {
                tracing::debug!(error = chain(error), "a request was refused");
            }
            Self::Panicked => tracing::error!("a request panicked"),
            _ => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let (status, problem) = self.problem();
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
        headers.extend(self.header());
        response
    }
}

/// What it means to a client that a provider did not say what it was asked.
impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Invalid { field, why } => Self::invalid(field, why),
            AskError::NotConfigured(setting) => Self::SourceNotConfigured { setting },
            AskError::Refused(reason) => Self::ProviderRefused { reason },
            AskError::NotFound => Self::ProviderRefused {
                reason: error.to_string(),
            },
            AskError::Unavailable(reason) => Self::ProviderUnavailable { reason },
        }
    }
}

/// A token cannot be kept, or what was kept cannot be read.
impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::NoKey => Self::SourceNotConfigured {
                setting: "secret_key",
            },
            VaultError::Seal | VaultError::Open => Self::ProviderRefused {
                reason: error.to_string(),
            },
        }
    }
}

/// The only place that decides what a failure of the store means to a client.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Closed => Self::Unavailable(Some(error)),
            StoreError::NotFound | StoreError::Broken(_) => Self::Internal(error),
        }
    }
}
