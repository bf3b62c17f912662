//! `messages.*`: answering, and reading what was said.

mod answer;

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use tradewind_model::{
    ChannelId, Content, ConversationId, DeliveryState, Message, MessageId, Search, Sender,
    SenderType,
};
use tradewind_store::{Appended, MessageCursor, NewMessage, Origin};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use answer::AnswerRequest;
pub(super) use answer::{ATTACHMENTS_MAX, AttachmentRequest};

use crate::{
    api::{
        auth::{Agent, Reader},
        error::ApiError,
        example,
        extract::{Json, object},
        idempotency::IdempotencyKey,
        openapi::{self, problem::errors},
        page::{NextCursor, PageMetadata, PageRequest, PageView, SearchCursor},
        view::MessageView,
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("messages", "Answering, and reading what was said.")
        .routes(routes!(send))
        .routes(routes!(list))
        .routes(routes!(search))
}

errors!(SendErrors: ConversationNotFound, ChannelNotFound, ChannelDisconnected, IdempotencyKeyReused);
errors!(ListErrors: ConversationNotFound);

#[derive(Deserialize, ToSchema)]
struct SendRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    #[serde(deserialize_with = "object")]
    message: AnswerRequest,
}

/// What somebody writes.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MessageRequest {
    /// Not only white space, and at most 64 KiB, or what the settings say.
    text: String,
}

impl MessageRequest {
    /// What is said, which is neither nothing nor longer than `bytes_max`.
    pub(crate) fn into_content(self, bytes_max: usize) -> Result<Content, ApiError> {
        if self.text.trim().is_empty() {
            return Err(ApiError::invalid("message.text", "must not be empty"));
        }
        if self.text.len() > bytes_max {
            let why = format!("must be at most {bytes_max} bytes long");
            return Err(ApiError::invalid("message.text", why));
        }
        Ok(Content::text(self.text))
    }
}

#[derive(Deserialize, ToSchema)]
struct ListRequest {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    /// A cursor that this list gave; absent or empty for the first page.
    cursor: Option<String>,
    /// Messages of a page: 20 if left out or less than 1, and at most 100.
    page_size: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
struct SearchRequest {
    /// Words, all of which occur; `"in quotes"`, one after the other; `begin*` with what follows.
    query: String,
    /// Only in this conversation.
    #[schema(value_type = Option<Uuid>)]
    conversation_id: Option<ConversationId>,
    /// A cursor that this search gave; absent or empty for the first page.
    cursor: Option<String>,
    /// Messages of a page: 20 if left out or less than 1, and at most 100.
    page_size: Option<i64>,
}

/// A message that was found, and where.
#[derive(Debug, Serialize, ToSchema)]
struct FoundView {
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    #[schema(value_type = Uuid)]
    channel_id: ChannelId,
    message: MessageView,
}

#[derive(Debug, Serialize, ToSchema)]
struct FoundPage {
    data: Vec<FoundView>,
    response_metadata: NextCursor,
}

/// Answers in a conversation.
///
/// The message is stored when this is answered. It goes out after those before it; once its source has
/// taken it, it is `delivered`, and webhooks hear of it.
#[utoipa::path(
    post,
    path = "/messages.send",
    security(("token" = ["agent"])),
    params(IdempotencyKey),
    request_body(content = inline(SendRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "message": {"text": "We do, within a week."},
    })),
    responses(
        (
            status = 200,
            description = "The message, on its way.",
            body = MessageView,
            example = json!(example::answer()),
        ),
        SendErrors,
    ),
)]
async fn send(
    Agent(token): Agent,
    State(app): State<App>,
    key: IdempotencyKey,
    Json(request): Json<SendRequest>,
) -> Result<Answer<MessageView>, ApiError> {
    let content = request.message.into_content(app.text_bytes_max)?;
    answer::check_taken(&app, request.conversation_id, &content).await?;
    let conversation = request.conversation_id.to_string();
    // Of whoever is logged in the same, however often they have logged in since.
    let author = token.holder().to_string();
    let mut asked = vec![conversation.as_str(), content.text.as_str()];
    for attachment in &content.attachments {
        asked.extend([attachment.kind.name(), attachment.url.as_str()]);
        let more = [&attachment.name, &attachment.mime_type];
        asked.extend(more.map(|text| text.as_deref().unwrap_or_default()));
    }
    let idempotency = key.of(format_args!("messages.send {author}"), &asked);
    let message = NewMessage {
        id: MessageId::fresh(&*app.clock, &*app.random),
        conversation_id: request.conversation_id,
        origin: Origin::Api,
        sender: Sender {
            id: author,
            kind: SenderType::AppUser,
        },
        content,
        sent_at: app.clock.now(),
        idempotency,
    };
    let message = stored(app.store.append(message).await?)?;
    // A repeat is answered as the first time, whatever has become of the message since.
    Ok(Answer(MessageView::in_state(
        &message,
        DeliveryState::Pending,
    )))
}

/// The message that an append came to, or why it came to none.
pub(crate) fn stored(appended: Appended) -> Result<Message, ApiError> {
    match appended {
        Appended::Stored(message) | Appended::Repeated(message) => Ok(message),
        Appended::KeyReused => Err(ApiError::IdempotencyKeyReused),
        Appended::ConversationNotFound => Err(ApiError::ConversationNotFound),
        Appended::ChannelNotFound => Err(ApiError::ChannelNotFound),
        Appended::ChannelDisconnected => Err(ApiError::ChannelDisconnected),
    }
}

/// Lists the messages of a conversation.
///
/// The oldest comes first; the next page is of newer ones.
#[utoipa::path(
    post,
    path = "/messages.list",
    security(("token" = ["read"])),
    request_body(content = inline(ListRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "page_size": 20,
    })),
    responses(
        (
            status = 200,
            description = "A page of messages.",
            body = PageView<MessageView>,
            example = json!({
                "data": [example::question()],
                "response_metadata": example::single_page(),
            }),
        ),
        ListErrors,
    ),
)]
async fn list(
    _: Reader,
    State(app): State<App>,
    Json(request): Json<ListRequest>,
) -> Result<Answer<PageView<MessageView>>, ApiError> {
    let page = PageRequest::new(request.cursor, request.page_size);
    let cursor = page.cursor::<MessageCursor>()?;
    let size = page.size(PAGE_SIZE_DEFAULT);
    let page = app
        .store
        .list_messages(request.conversation_id, cursor, size)
        .await?;
    let page = page.ok_or(ApiError::ConversationNotFound)?;
    Ok(Answer(PageView {
        data: page.items.iter().map(MessageView::new).collect(),
        response_metadata: PageMetadata::new(page.previous, page.next, page.total),
    }))
}

/// Finds messages by their words.
///
/// The newest comes first; the next page is of older ones. Whatever was acknowledged before is found.
#[utoipa::path(
    post,
    path = "/messages.search",
    security(("token" = ["read"])),
    request_body(content = inline(SearchRequest), example = json!({
        "query": "ship norw*",
        "conversation_id": example::CONVERSATION,
    })),
    responses(
        (
            status = 200,
            description = "A page of messages.",
            body = FoundPage,
            example = json!({
                "data": [{
                    "conversation_id": example::CONVERSATION,
                    "channel_id": example::CHANNEL,
                    "message": example::question(),
                }],
                "response_metadata": {"next_cursor": null},
            }),
        ),
        ListErrors,
    ),
)]
async fn search(
    _: Reader,
    State(app): State<App>,
    Json(request): Json<SearchRequest>,
) -> Result<Answer<FoundPage>, ApiError> {
    let search = Search::parse(&request.query)
        .map_err(|error| ApiError::invalid("query", error.to_string()))?;
    let page = PageRequest::new(request.cursor, request.page_size);
    let before = page.cursor::<SearchCursor>()?.map(|cursor| cursor.before);
    let size = page.size(PAGE_SIZE_DEFAULT);
    let found = app
        .store
        .search_messages(search, request.conversation_id, before, size)
        .await?;
    let found = found.ok_or(ApiError::ConversationNotFound)?;
    let view = |message: &Message| FoundView {
        conversation_id: message.conversation_id,
        channel_id: message.channel_id,
        message: MessageView::new(message),
    };
    Ok(Answer(FoundPage {
        data: found.messages.iter().map(view).collect(),
        response_metadata: NextCursor::new(found.next.map(|before| SearchCursor { before })),
    }))
}
