//! `webhooks.replay`: events once more.

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use tradewind_delivery::{dispatcher::REPLAYS_MAX, event};
use tradewind_model::{
    ConversationId, MessageId, ReplayId, Timestamp, WebhookId, WebhookStatus, WireTime,
};
use tradewind_store::{Replay, ReplayRange};

use super::find;
use crate::{
    api::{auth::Admin, error::ApiError, extract::Json},
    app::App,
};

/// All that is given has to hold.
#[derive(Debug, Deserialize)]
pub(super) struct ReplayRequest {
    id: Option<WebhookId>,
    since: Option<String>,
    until: Option<String>,
    conversation_id: Option<ConversationId>,
    message_id: Option<MessageId>,
    failed: Option<bool>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReplayAnswer {
    /// Absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_id: Option<ReplayId>,
    /// Events that are sent again.
    count: u64,
    dry_run: bool,
}

/// A replay that is under way.
#[derive(Debug, Serialize)]
pub(super) struct ReplayView {
    id: ReplayId,
    created_at: WireTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// Answers once the replay is on the disk; it goes on by itself, through restarts too.
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
