//! `webhooks.replay`: events once more.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use tradewind_delivery::{dispatcher::REPLAYS_MAX, event};
use tradewind_model::{
    ConversationId, MessageId, ReplayId, Timestamp, WebhookId, WebhookStatus, WireTime,
};
use tradewind_store::{Replay, ReplayRange};
use utoipa::ToSchema;

use super::find;
use crate::{
    api::{auth::Admin, error::ApiError, example, extract::Json, openapi::problem::errors},
    app::App,
};

errors!(ReplayErrors: WebhookNotFound, WebhookUnsubscribed, TooManyReplays { max: REPLAYS_MAX });

/// All that is given has to hold, and something has to be given besides `id` and `dry_run`.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ReplayRequest {
    /// The id that the webhook was subscribed with; the default webhook if left out.
    #[schema(value_type = Option<Uuid>)]
    id: Option<WebhookId>,
    /// Messages whose `sent_at` is this or later.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Messages whose `sent_at` is before this.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Only of this conversation.
    #[schema(value_type = Option<Uuid>)]
    conversation_id: Option<ConversationId>,
    /// Only of this message.
    #[schema(value_type = Option<Uuid>)]
    message_id: Option<MessageId>,
    /// `true`: only what is set aside.
    failed: Option<bool>,
    /// `true`: only count.
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayAnswer {
    /// Absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    replay_id: Option<ReplayId>,
    /// Entries of the log that are sent again: each is one flat event, or some typed ones.
    count: u64,
    dry_run: bool,
}

/// A replay that is under way.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayView {
    #[schema(value_type = Uuid)]
    id: ReplayId,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    conversation_id: Option<ConversationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    message_id: Option<MessageId>,
    failed: bool,
}

impl ReplayView {
    pub(super) fn new(replay: &Replay) -> Self {
        let range = &replay.range;
        Self {
            id: replay.id,
            created_at: WireTime(replay.created_at),
            since: range.since.map(WireTime),
            until: range.until.map(WireTime),
            conversation_id: range.conversation,
            message_id: range.message,
            failed: range.failed,
        }
    }
}

/// Sends events once more.
///
/// The replay goes on by itself after the answer, through restarts too. Events come in their order within
/// each conversation, beside the live ones, with the same id and body as the first time.
#[utoipa::path(
    post,
    path = "/webhooks.replay",
    security(("token" = ["admin"])),
    request_body(content = inline(ReplayRequest), example = json!({
        "conversation_id": example::CONVERSATION,
        "since": "2026-11-23T00:00:00.000Z",
    })),
    responses(
        (
            status = 200,
            description = "What is sent.",
            body = ReplayAnswer,
            example = json!({
                "replay_id": "019ab2e6-9c44-7d02-b5f8-0e6a71c9d2b4",
                "count": 2,
                "dry_run": false,
            }),
        ),
        ReplayErrors,
    ),
)]
pub(super) async fn replay(
    _: Admin,
    State(app): State<App>,
    Json(request): Json<ReplayRequest>,
) -> Result<Answer<ReplayAnswer>, ApiError> {
    let range = request.range()?;
    let webhook = find(&app, request.id).await?;
    if webhook.status == WebhookStatus::Unsubscribed {
        return Err(ApiError::WebhookUnsubscribed);
    }
    let wanted = event::wanted(&webhook);
    let count = app.store.count_replay(webhook.id, range.clone(), wanted);
    let count = count.await?;
    if request.dry_run.unwrap_or(false) {
        return Ok(Answer(ReplayAnswer {
            replay_id: None,
            count,
            dry_run: true,
        }));
    }
    if app.store.list_replays(REPLAYS_MAX).await?.len() >= REPLAYS_MAX {
        return Err(ApiError::TooManyReplays { max: REPLAYS_MAX });
    }
    let id = ReplayId::fresh(&*app.clock, &*app.random);
    let started = app.store.start_replay(id, webhook.id, range).await?;
    let started = started.ok_or(ApiError::WebhookUnsubscribed)?;
    Ok(Answer(ReplayAnswer {
        replay_id: Some(started.id),
        count,
        dry_run: false,
    }))
}

impl ReplayRequest {
    fn range(&self) -> Result<ReplayRange, ApiError> {
        let range = ReplayRange {
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
            conversation: self.conversation_id,
            message: self.message_id,
            failed: self.failed.unwrap_or(false),
        };
        if range == ReplayRange::default() {
            return Err(ApiError::invalid(
                "body",
                "must say what to replay: since, until, conversation_id, message_id or failed: true",
            ));
        }
        if let (Some(since), Some(until)) = (range.since, range.until)
            && since >= until
        {
            return Err(ApiError::invalid("until", "must be later than since"));
        }
        Ok(range)
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            ApiError::invalid(field, "must be a time such as 2020-07-20T14:18:08.584Z")
        })
    };
    text.map(parse).transpose()
}
