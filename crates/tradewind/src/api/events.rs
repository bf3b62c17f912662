//! `events.list`: the log, for those who would rather pull than be called.
//!
//! The same events that webhooks get, in the order of the log. A cursor is a place in the log, so it
//! outlives the server's process, and asking again with the same one gives the same events again: what
//! a client has dealt with is its own to remember. Nothing is kept here about who pulls.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize, Serializer};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tradewind_delivery::event::{self, EventBody};
use tradewind_model::{ConversationId, LogEntry, Sequence};
use tradewind_store::{LogPage, Store};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        auth::Reader,
        error::ApiError,
        example,
        extract::JsonOrNothing,
        openapi::{self, problem::errors},
        page::{self, Cursor},
        view::FlatEvent,
    },
    app::App,
};

/// Events of one answer.
const EVENTS_MAX: usize = 500;
const EVENTS_DEFAULT: usize = 100;
/// Their weight in bytes; one is always given.
const EVENTS_WEIGHT_MAX: usize = 1 << 20;
/// Longest wait that a client can ask for.
const POLL_MAX: Duration = Duration::from_mins(1);
/// A wait ends this much before the server would end the request.
const POLL_MARGIN: Duration = Duration::from_secs(2);
/// Reads of the log in which nothing is for the client, after which it is answered all the same.
const READS_MAX: usize = 8;
/// Pause before a request that looked in vain looks again: while others write much, who waits for one
/// conversation must not read at every commit.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// The cursor that stands for the end of the log.
const NOW: &str = "now";

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace(
        "events",
        "What webhooks get, for those who would rather pull.",
    )
    .routes(routes!(list))
}

errors!(ListErrors: ConversationNotFound);

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
struct ListRequest {
    /// Where to go on: what the answer before gave. Absent or empty: the oldest event that is kept;
    /// `now`: what happens from now on.
    cursor: Option<String>,
    /// Seconds to wait for an event if there is none: 0 if left out, at most 60, and always 2 less than
    /// the longest time of a request.
    wait: Option<i64>,
    /// Events of the answer: 100 if left out or less than 1, at most 500, and about 1 MiB.
    limit: Option<i64>,
    /// Only of this conversation.
    #[schema(value_type = Option<Uuid>)]
    conversation_id: Option<ConversationId>,
}

/// A place in the log: everything up to here was given out, or was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogCursor(Sequence);

impl Cursor for LogCursor {
    fn render(self) -> String {
        format!("e{}", self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let sequence = text.strip_prefix('e')?.parse().ok()?;
        Some(Self(Sequence(sequence)))
    }
}

/// The cursor after this place in the log, as clients get it.
pub(crate) fn cursor_after(sequence: Sequence) -> String {
    page::encode(LogCursor(sequence))
}

/// Where a client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// With the oldest event that is kept.
    Oldest,
    After(Sequence),
    /// With what happens from now on.
    Now,
}

impl ListRequest {
    fn start(&self) -> Result<Start, ApiError> {
        match self.cursor.as_deref() {
            None | Some("") => Ok(Start::Oldest),
            Some(NOW) => Ok(Start::Now),
            Some(text) => match page::decode(text) {
                Some(LogCursor(sequence)) => Ok(Start::After(sequence)),
                None => Err(ApiError::invalid(
                    "cursor",
                    "must be a cursor that events.list gave, or \"now\"",
                )),
            },
        }
    }

    /// Less than 1 is the default; more than an answer can hold is the most it can.
    fn limit(&self) -> usize {
        match self.limit {
            Some(limit) if limit > 0 => {
                usize::try_from(limit).unwrap_or(EVENTS_MAX).min(EVENTS_MAX)
            }
            _ => EVENTS_DEFAULT,
        }
    }

    /// How long to wait for an event; always less than `request_max`, the longest time of a request.
    fn wait(&self, request_max: Duration) -> Duration {
        let asked = u64::try_from(self.wait.unwrap_or(0)).unwrap_or(0);
        let margin = POLL_MARGIN.min(request_max / 2);
        Duration::from_secs(asked)
            .min(POLL_MAX)
            .min(request_max.saturating_sub(margin))
    }
}

#[derive(Serialize, ToSchema)]
struct EventsView {
    #[schema(value_type = Vec<FlatEvent>)]
    data: Vec<EventView>,
    /// Where to go on, also when there are no events.
    #[schema(value_type = String)]
    cursor: LogCursor,
    /// Events between the cursor that was given and the first that is kept were removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    skipped: bool,
}

/// An event exactly as a webhook gets it.
struct EventView(Arc<LogEntry>);

impl Serialize for EventView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        event::flat(&self.0)
            .map(EventBody::new)
            .serialize(serializer)
    }
}

impl Serialize for LogCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&page::encode(*self))
    }
}

/// Gives the events that follow a cursor.
///
/// They come in the order of the log, exactly as a webhook gets them. If there are none yet, it waits
/// for them as long as `wait` says. The same cursor gives the same events again: store the new one once
/// you have dealt with them, and you miss none.
#[utoipa::path(
    post,
    path = "/events.list",
    security(("token" = ["read"])),
    request_body(content = inline(Option<ListRequest>), example = json!({"limit": 100, "wait": 0})),
    responses(
        (
            status = 200,
            description = "Events, the oldest first.",
            body = EventsView,
            example = json!({"data": [example::event()], "cursor": "ZTI"}),
        ),
        ListErrors,
    ),
)]
async fn list(
    _: Reader,
    State(app): State<App>,
    JsonOrNothing(request): JsonOrNothing<ListRequest>,
) -> Result<Answer<EventsView>, ApiError> {
    let deadline = Instant::now() + request.wait(app.request_max);
    let mut head = app.store.head();
    let newest = *head.borrow();
    let start = request.start()?;
    if let Start::After(sequence) = start {
        check_known(&*app.store, sequence, newest).await?;
    }
    if let Some(id) = request.conversation_id {
        let conversation = app.store.find_conversation(id).await?;
        conversation.ok_or(ApiError::ConversationNotFound)?;
    }
    let mut pull = Pull::new(&*app.store, &request, start);
    if start == Start::Now {
        pull.view.cursor = LogCursor(newest);
        return Ok(Answer(pull.view));
    }
    let mut pause = Duration::ZERO;
    loop {
        // Look at the head before reading, so that no news falls between the two.
        head.borrow_and_update();
        let reached_the_end = pull.look().await?;
        let wants_more = reached_the_end && pull.view.data.is_empty();
        if !wants_more || !has_news(&app, &mut head, pause, deadline).await {
            return Ok(Answer(pull.view));
        }
        pause = LOOK_PAUSE;
    }
}

/// Refuses a cursor that this log cannot have given: whoever holds it would wait for ever, or, worse,
/// until the log has grown past it.
async fn check_known(
    store: &dyn Store,
    cursor: Sequence,
    newest: Sequence,
) -> Result<(), ApiError> {
    if cursor <= newest {
        return Ok(());
    }
    // The head is a hint: it can be a moment behind what an earlier answer has seen.
    let page = store.read_log(cursor.previous(), 1, 1).await?;
    if page.entries.is_empty() {
        return Err(ApiError::invalid(
            "cursor",
            "is beyond the end of this log: it comes from another installation, or from before this one was restored from a backup; leave it out to get what is kept, or start with \"now\"",
        ));
    }
    Ok(())
}

/// Waits until the log may have more. `false` when it is time to answer: the wait is over, or the server
/// stops.
async fn has_news(
    app: &App,
    head: &mut watch::Receiver<Sequence>,
    pause: Duration,
    deadline: Instant,
) -> bool {
    let news = pin!(timeout_at(deadline, async {
        sleep(pause).await;
        head.changed().await.is_ok()
    }));
    let stop = app.tasks.stop_token();
    matches!(stop.run_until_cancelled(news).await, Some(Ok(true)))
}

/// A request under way: what it asks for, and how far it has come.
struct Pull<'a> {
    store: &'a dyn Store,
    conversation: Option<ConversationId>,
    limit: usize,
    /// Whether somebody stood at the cursor, who would want to know of what was removed behind it.
    from_a_place: bool,
    view: EventsView,
}

impl<'a> Pull<'a> {
    fn new(store: &'a dyn Store, request: &ListRequest, start: Start) -> Self {
        let cursor = match start {
            Start::After(sequence) => sequence,
            Start::Oldest | Start::Now => Sequence::START,
        };
        Self {
            store,
            conversation: request.conversation_id,
            limit: request.limit(),
            from_a_place: matches!(start, Start::After(_)),
            view: EventsView {
                data: Vec::new(),
                cursor: LogCursor(cursor),
                skipped: false,
            },
        }
    }

    /// Reads on until something is found. Returns whether it came to the end of the log.
    async fn look(&mut self) -> Result<bool, ApiError> {
        let mut entries_max = self.limit;
        for _ in 0..READS_MAX {
            self.look_for_gap().await?;
            let page = self.read(entries_max).await?;
            let more = page.more;
            self.take(page);
            if !more || !self.view.data.is_empty() {
                return Ok(!more);
            }
            entries_max = EVENTS_MAX;
        }
        Ok(false)
    }

    async fn read(&self, entries_max: usize) -> Result<LogPage, ApiError> {
        let LogCursor(after) = self.view.cursor;
        let page = match self.conversation {
            None => self.store.read_log(after, entries_max, EVENTS_WEIGHT_MAX),
            Some(conversation) => self.store.read_lane(
                conversation,
                after.next(),
                Sequence(u64::MAX),
                entries_max,
                EVENTS_WEIGHT_MAX,
            ),
        };
        Ok(page.await?)
    }

    /// The sequences of the log have no gaps, so if the next entry is not the one after the cursor, those
    /// between were removed.
    async fn look_for_gap(&mut self) -> Result<(), ApiError> {
        if !std::mem::take(&mut self.from_a_place) {
            return Ok(());
        }
        let LogCursor(cursor) = self.view.cursor;
        let page = self.store.read_log(cursor, 1, 1).await?;
        self.view.skipped = match page.entries.first() {
            Some(entry) => entry.sequence > cursor.next(),
            None => page.read_to > cursor,
        };
        Ok(())
    }

    fn take(&mut self, page: LogPage) {
        let events = page
            .entries
            .into_iter()
            .filter(|entry| event::flat(entry).is_some())
            .map(EventView);
        self.view.data = events.take(self.limit).collect();
        let read_to = match self.view.data.last() {
            Some(EventView(last)) if self.view.data.len() == self.limit => last.sequence,
            _ => page.read_to,
        };
        self.view.cursor = LogCursor(read_to);
    }
}

#[cfg(test)]
mod tests;
