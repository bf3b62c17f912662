//! `messages.*`: answering, and reading what was said.

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::{Deserialize, Serialize};
use tradewind_model::{
    ChannelId, Content, ConversationId, DeliveryState, Message, MessageId, Search, Sender,
    SenderType,
};
use tradewind_store::{Appended, MessageCursor, NewMessage, Origin};

use crate::{
    api::{
        auth::{Agent, Reader},
        error::ApiError,
        extract::{Json, object},
        idempotency::IdempotencyKey,
        page::{NextCursor, PageMetadata, PageRequest, PageView, SearchCursor},
        view::MessageView,
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/messages.send", post(send))
        .route("/messages.list", post(list))
        .route("/messages.search", post(search))
}

#[derive(Deserialize)]
struct SendRequest {
    conversation_id: ConversationId,
    #[serde(deserialize_with = "object")]
    message: MessageRequest,
}

/// What somebody writes.
#[derive(Deserialize)]
pub(crate) struct MessageRequest {
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
        Ok(Content { text: self.text })
    }
}

#[derive(Deserialize)]
struct ListRequest {
    conversation_id: ConversationId,
    cursor: Option<String>,
    page_size: Option<i64>,
}

#[derive(Deserialize)]
struct SearchRequest {
    query: String,
    conversation_id: Option<ConversationId>,
    cursor: Option<String>,
    page_size: Option<i64>,
}

/// A message that was found, and where.
#[derive(Debug, Serialize)]
struct FoundView {
    conversation_id: ConversationId,
    channel_id: ChannelId,
    message: MessageView,
}

#[derive(Debug, Serialize)]
struct FoundPage {
    data: Vec<FoundView>,
    response_metadata: NextCursor,
}

/// Stores the message and answers; it goes out from the log, after those before it.
async fn send(
    Agent(token): Agent,
    State(app): State<App>,
    key: IdempotencyKey,
    Json(request): Json<SendRequest>,
) -> Result<Answer<MessageView>, ApiError> {
    let content = request.message.into_content(app.text_bytes_max)?;
    let conversation = request.conversation_id.to_string();
    let idempotency = key.of(
        format_args!("messages.send {}", token.id),
        &[conversation.as_str(), content.text.as_str()],
    );
    let message = NewMessage {
        id: MessageId::fresh(&*app.clock, &*app.random),
        conversation_id: request.conversation_id,
        origin: Origin::Api,
        sender: Sender {
            id: token.id.to_string(),
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

/// Oldest first.
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

/// Newest first.
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
