//! `webhooks.stats`: how a webhook does.

use std::time::Duration;

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use serde_json::{Map, Value};
use tradewind_delivery::{
    attempt::FailureClass, dispatcher::REPLAYS_MAX, lanes::Status, view::Tally,
};
use tradewind_model::{Sequence, Shards, WebhookId, WebhookStatus, WireTime};
use utoipa::{ToSchema, openapi::ObjectBuilder};

use super::{
    FindErrors, WebhookRequest, find, replay::ReplayView, standing, subscription::statuses,
};
use crate::{
    api::{auth::Admin, error::ApiError, example, extract::JsonOrNothing, openapi::one_of},
    app::App,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsView {
    #[schema(value_type = Uuid)]
    id: WebhookId,
    #[schema(schema_with = statuses)]
    status: &'static str,
    paused: bool,
    /// Of the 64 shards of conversations, those that the node serves which answers. What is said of the
    /// endpoint, of memory and of counts is its own.
    shards: u32,
    /// Why it is unsubscribed, if not by a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    endpoint: EndpointView,
    waiting: WaitingView,
    since_start: TallyView,
    replays: Vec<ReplayView>,
    /// Attempts that were made but could not be recorded, of all webhooks since the start.
    attempts_not_recorded: u64,
}

/// How the endpoint does.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointView {
    /// `idle` while nothing is sent to it.
    #[schema(schema_with = states)]
    state: &'static str,
    /// Since when everything fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    backed_off_since: Option<WireTime>,
    /// When it is tried next with one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_probe_at: Option<WireTime>,
    /// Requests under way.
    in_flight: usize,
    /// How many may be under way.
    concurrency: usize,
}

/// What is not delivered.
#[derive(Debug, Serialize, ToSchema)]
struct WaitingView {
    /// Entries of the log that are still to be looked at.
    log_entries: u64,
    /// Events in memory.
    in_memory: usize,
    /// Conversations that wait for a retry, or for an attempt that takes long.
    held_conversations: usize,
    /// Events that were given up on.
    set_aside: u64,
}

/// Counts since the server's start.
#[derive(Debug, Serialize, ToSchema)]
struct TallyView {
    delivered: u64,
    /// Attempts that failed, by class.
    #[schema(value_type = HashMap<String, u64>)]
    failed: Map<String, Value>,
    set_aside: u64,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_success_at: Option<WireTime>,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_failure_at: Option<WireTime>,
    /// Of the newest successful attempts.
    duration_ms: DurationView,
}

/// Percentiles in milliseconds; `null` while there is no attempt.
#[derive(Debug, Serialize, ToSchema)]
struct DurationView {
    #[schema(required)]
    p50: Option<f64>,
    #[schema(required)]
    p95: Option<f64>,
    #[schema(required)]
    p99: Option<f64>,
}

fn states() -> ObjectBuilder {
    one_of(["well", "backed_off", "idle"])
}

/// Says how a webhook does.
///
/// That is how its endpoint does, what waits, counts and durations since the start, and replays under
/// way. With many nodes, it is what the one that answers sees of it.
#[utoipa::path(
    post,
    path = "/webhooks.stats",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<WebhookRequest>), example = json!({})),
    responses(
        (
            status = 200,
            description = "How it does.",
            body = StatsView,
            example = json!(example::stats()),
        ),
        FindErrors,
    ),
)]
pub(super) async fn stats(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(WebhookRequest { id }): JsonOrNothing<WebhookRequest>,
) -> Result<Answer<StatsView>, ApiError> {
    let webhook = find(&app, id).await?;
    let set_aside = app.store.list_set_aside(webhook.id, None, 1).await?.total;
    let replays = app.store.list_replays(REPLAYS_MAX).await?;
    let view = app.dispatcher.view(webhook.id);
    let shards = view.as_ref().map_or(Shards::NONE, |view| view.shards);
    let status = view.as_ref().map(|view| view.status);
    let tally = view.map(|view| view.tally).unwrap_or_default();
    // Of what other nodes serve, only the store knows.
    let saved = if shards == Shards::ALL {
        None
    } else {
        Some(standing(&app, &webhook, None).await?)
    };
    let held_conversations = match (&saved, status) {
        (Some(saved), _) => usize::try_from(saved.held_lanes).unwrap_or(usize::MAX),
        (None, status) => status.map_or(0, |status| status.held),
    };
    let is_subscribed = webhook.status == WebhookStatus::Subscribed;
    let saved = saved.filter(|_| is_subscribed);
    let read_to = status.map(|status| status.read_to);
    let read_to = read_to.or(saved.map(|saved| saved.cursor));
    Ok(Answer(StatsView {
        id: webhook.id,
        status: webhook.status.name(),
        paused: webhook.paused,
        shards: shards.count(),
        reason: webhook.ended_because.clone(),
        endpoint: EndpointView::new(status),
        waiting: WaitingView {
            log_entries: behind(&app, read_to),
            in_memory: status.map_or(0, |status| status.entries),
            held_conversations,
            set_aside,
        },
        since_start: TallyView::new(&tally),
        replays: replays
            .iter()
            .filter(|replay| replay.webhook == webhook.id)
            .map(ReplayView::new)
            .collect(),
        attempts_not_recorded: app.store.attempts_dropped(),
    }))
}

/// How many entries of the log a webhook has not looked at. One that is paused stands where it was, and
/// one that is unsubscribed nowhere.
fn behind(app: &App, read_to: Option<Sequence>) -> u64 {
    let head = *app.store.head().borrow();
    head.0.saturating_sub(read_to.unwrap_or(head).0)
}

impl EndpointView {
    fn new(status: Option<Status>) -> Self {
        let backed_off = status.and_then(|status| status.backed_off);
        Self {
            state: match (status, backed_off) {
                (None, _) => "idle",
                (Some(_), None) => "well",
                (Some(_), Some(_)) => "backed_off",
            },
            backed_off_since: backed_off.map(|(since, _)| WireTime(since)),
            next_probe_at: backed_off.map(|(_, probe_at)| WireTime(probe_at)),
            in_flight: status.map_or(0, |status| status.in_flight),
            concurrency: status.map_or(0, |status| status.concurrency),
        }
    }
}

impl TallyView {
    fn new(tally: &Tally) -> Self {
        let counts = FailureClass::ALL.into_iter().zip(tally.failed);
        let failed = counts.filter(|(_, count)| *count > 0);
        let ms = |took: Duration| took.as_secs_f64() * 1_000.0;
        let [p50, p95, p99] = [50, 95, 99].map(|per_cent| tally.duration(per_cent).map(ms));
        Self {
            delivered: tally.delivered,
            failed: failed
                .map(|(class, count)| (class.name().to_owned(), count.into()))
                .collect(),
            set_aside: tally.set_aside,
            last_success_at: tally.last_success_at.map(WireTime),
            last_failure_at: tally.last_failure_at.map(WireTime),
            duration_ms: DurationView { p50, p95, p99 },
        }
    }
}
