//! `chatplugin.*`: what a visitor's page calls. Any web page may embed the chat, so any origin may ask.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use tower_http::cors::CorsLayer;
use tradewind_model::{ChannelId, Conversation, MessageId, Sender, SenderType, SessionId};
use tradewind_sources::chat_plugin::{self, Purpose, Session};
use tradewind_store::{MessageCursor, NewMessage, Origin};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::Visitor,
        error::ApiError,
        example,
        extract::{Json, JsonOrNothing, object},
        idempotency::IdempotencyKey,
        messages::{MessageRequest, stored},
        openapi::{self, problem::errors},
        view::{EmptyRequest, MessageView},
    },
    app::App,
};

/// Messages that a visitor who comes back is shown.
const HISTORY_MAX: usize = 100;

pub(crate) fn router() -> OpenApiRouter<App> {
    let endpoints = openapi::namespace(
        "chatplugin",
        "What a visitor's page calls, from any origin.",
    )
    .routes(routes!(authenticate))
    .routes(routes!(resume_token))
    .routes(routes!(send));
    openapi::within(endpoints, CorsLayer::very_permissive())
}

errors!(AuthenticateErrors: ResumeTokenInvalid, ChatNotFound);
errors!(SendErrors: ChatNotFound, IdempotencyKeyReused);

/// One of the two; with both, `resume_token` counts.
#[derive(Deserialize, ToSchema)]
struct AuthenticateRequest {
    /// The channel on which a new conversation begins.
    #[schema(value_type = Option<Uuid>)]
    channel_id: Option<ChannelId>,
    /// From `chatplugin.resumeToken`: goes on with that conversation.
    resume_token: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Authenticated {
    /// The visitor's token, good for an hour.
    token: String,
    /// The end of the conversation, oldest first; empty for a new one.
    messages: Vec<MessageView>,
}

#[derive(Serialize, ToSchema)]
struct ResumeToken {
    /// Good for 30 days.
    resume_token: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct SendRequest {
    #[serde(deserialize_with = "object")]
    pub(crate) message: MessageRequest,
}

/// Begins a conversation on a channel, or goes on with one.
///
/// Nothing is stored before the visitor writes.
#[utoipa::path(
    post,
    path = "/chatplugin.authenticate",
    request_body(content = inline(AuthenticateRequest), example = json!({
        "channel_id": example::CHANNEL,
    })),
    responses(
        (
            status = 200,
            description = "Who the visitor is, and what was said.",
            body = Authenticated,
            example = json!({"token": example::VISITOR_TOKEN, "messages": []}),
        ),
        AuthenticateErrors,
    ),
)]
async fn authenticate(
    State(app): State<App>,
    Json(request): Json<AuthenticateRequest>,
) -> Result<Answer<Authenticated>, ApiError> {
    let now = app.clock.now();
    let session = match (request.channel_id, request.resume_token) {
        (_, Some(token)) => {
            let session = app.session_tokens.verify(&token, Purpose::Resume, now);
            session.map_err(|_| ApiError::ResumeTokenInvalid)?
        }
        (Some(channel_id), None) => Session {
            id: SessionId::fresh(&*app.clock, &*app.random),
            channel_id,
        },
        (None, None) => {
            return Err(ApiError::invalid(
                "channel_id",
                "is required, or resume_token",
            ));
        }
    };
    let channel = app.store.find_channel(session.channel_id).await?;
    let open =
        channel.is_some_and(|channel| channel.connected && channel.source == chat_plugin::source());
    if !open {
        return Err(ApiError::ChatNotFound);
    }
    let history = app.store.list_messages(
        conversation(session),
        Some(MessageCursor::Newest),
        HISTORY_MAX,
    );
    let messages = history.await?.map(|page| page.items).unwrap_or_default();
    Ok(Answer(Authenticated {
        token: app.session_tokens.issue(session, Purpose::Visit, now),
        messages: messages.iter().map(MessageView::new).collect(),
    }))
}

/// Gives what a page keeps to come back to the conversation after a reload, or days later.
#[utoipa::path(
    post,
    path = "/chatplugin.resumeToken",
    security(("visitor" = [])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses((
        status = 200,
        description = "A token for `chatplugin.authenticate`.",
        body = ResumeToken,
        example = json!({"resume_token": example::RESUME_TOKEN}),
    )),
)]
async fn resume_token(
    Visitor(session): Visitor,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<ResumeToken>, ApiError> {
    let resume_token = app
        .session_tokens
        .issue(session, Purpose::Resume, app.clock.now());
    Ok(Answer(ResumeToken { resume_token }))
}

/// Writes as the visitor.
#[utoipa::path(
    post,
    path = "/chatplugin.send",
    security(("visitor" = [])),
    params(IdempotencyKey),
    request_body(content = inline(SendRequest), example = json!({
        "message": {"text": "Do you ship to Norway?"},
    })),
    responses(
        (
            status = 200,
            description = "The message.",
            body = MessageView,
            example = json!(example::question()),
        ),
        SendErrors,
    ),
)]
async fn send(
    Visitor(session): Visitor,
    State(app): State<App>,
    key: IdempotencyKey,
    Json(request): Json<SendRequest>,
) -> Result<Answer<MessageView>, ApiError> {
    let content = request.message.into_content(app.text_bytes_max)?;
    let idempotency = key.of(
        format_args!("chatplugin.send {}", session.id),
        &[content.text.as_str()],
    );
    let message = NewMessage {
        id: MessageId::fresh(&*app.clock, &*app.random),
        conversation_id: conversation(session),
        origin: Origin::Source {
            channel_id: session.channel_id,
            contact_source_id: session.id.to_string(),
        },
        sender: Sender {
            id: session.id.to_string(),
            kind: SenderType::SourceContact,
        },
        content,
        sent_at: app.clock.now(),
        idempotency,
    };
    match stored(app.store.append(message).await?) {
        Ok(message) => Ok(Answer(MessageView::new(&message))),
        // To a visitor, a channel that was disconnected is gone.
        Err(ApiError::ChannelDisconnected | ApiError::ChannelNotFound) => {
            Err(ApiError::ChatNotFound)
        }
        Err(error) => Err(error),
    }
}

fn conversation(session: Session) -> tradewind_model::ConversationId {
    Conversation::id_of(session.channel_id, &session.id.to_string())
}
