//! The record of attempts: batched, in segments that are dropped as a whole.
//!
//! As for `SQLite` nothing depends on it: a delivery hands its record over and goes on. A task gathers
//! for a moment and writes what came in one transaction that does not wait for the disk. What does not
//! fit the queue, or cannot be written, is dropped and counted.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::timeout,
};
use tokio_postgres::{Client, Row};
use tradewind_model::{Clock, Timestamp};

use super::{
    connect::{Pool, VERB_MAX, within},
    row::{
        id, number, params, read_text, sequence, small, small_or_none, status, text, text_or_none,
        time,
    },
};
use crate::page::row_limit;
use crate::{
    AttemptCursor, AttemptPage, AttemptQuery, AttemptRecord, StoreError,
    attempt::{ATTEMPT_QUEUE_MAX, LISTED_MAX, shortened},
    page::integer,
};

/// How many may wait before the task is woken early.
const FULL: usize = ATTEMPT_QUEUE_MAX / 8;
/// How long records gather, once there is one.
const GATHER_MAX: Duration = Duration::from_millis(100);
/// Records written in one transaction.
const ATTEMPT_BATCH_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Attempts {
    shared: Arc<Shared>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    woken: Notify,
    /// So many wait that nobody gathers more.
    full: Notify,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<AttemptRecord>,
    /// Who waits until what was recorded before is written.
    waiting: Vec<oneshot::Sender<()>>,
    /// Nothing more is taken.
    closed: bool,
}

impl Attempts {
    pub(super) fn start(pool: Pool, clock: Arc<dyn Clock>) -> Self {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(run(Arc::clone(&shared), pool, clock));
        Self {
            shared,
            tasks: tokio::sync::Mutex::new(tasks),
        }
    }

    pub(super) fn record(&self, record: AttemptRecord) {
        let record = shortened(record);
        let mut state = self.shared.state();
        if state.closed || state.records.len() >= ATTEMPT_QUEUE_MAX {
            drop(state);
            self.shared.drop_records(1);
            return;
        }
        state.records.push(record);
        let waiting = state.records.len();
        drop(state);
        if waiting == 1 {
            self.shared.woken.notify_one();
        } else if waiting == FULL {
            self.shared.full.notify_one();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Returns once what was recorded before is written, or dropped.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if state.closed {
                return Err(StoreError::Closed);
            }
            state.waiting.push(done);
        }
        self.shared.woken.notify_one();
        self.shared.full.notify_one();
        written.await.map_err(|_| StoreError::Closed)
    }

    /// Refuses further records and returns once those that wait are written.
    pub(super) async fn close(&self) {
        self.shared.state().closed = true;
        self.shared.woken.notify_one();
        self.shared.full.notify_one();
        while self.tasks.lock().await.join_next().await.is_some() {}
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_records(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

async fn run(shared: Arc<Shared>, pool: Pool, clock: Arc<dyn Clock>) {
    let mut is_failing = false;
    loop {
        shared.woken.notified().await;
        let is_waited_for = {
            let state = shared.state();
            state.closed || !state.waiting.is_empty()
        };
        if !is_waited_for {
            let _ = timeout(GATHER_MAX, shared.full.notified()).await;
        }
        let (records, waiting, closed) = {
            let mut state = shared.state();
            let state = &mut *state;
            (
                mem::take(&mut state.records),
                mem::take(&mut state.waiting),
                state.closed,
            )
        };
        for some in records.chunks(ATTEMPT_BATCH_MAX) {
            match write_all(&pool, clock.now(), some).await {
                Ok(()) => is_failing = false,
                Err(error) => {
                    shared.drop_records(some.len());
                    if !mem::replace(&mut is_failing, true) {
                        tracing::warn!(
                            error = %error,
                            "attempts cannot be recorded; deliveries go on without"
                        );
                    }
                }
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
        if closed {
            break;
        }
    }
}

async fn write_all(
    pool: &Pool,
    now: Timestamp,
    records: &[AttemptRecord],
) -> Result<(), StoreError> {
    let db = pool.get().await?;
    let done = within(VERB_MAX, async {
        db.begin().await?;
        let written = write(&db, now, records).await;
        db.end(written).await
    })
    .await;
    db.release(done)
}

async fn write(db: &Client, now: Timestamp, records: &[AttemptRecord]) -> Result<(), StoreError> {
    // Nothing depends on them.
    db.batch_execute("SET LOCAL synchronous_commit = off")
        .await?;
    let mut left = records;
    while let Some(newest) = left.last() {
        let row = db
            .query_typed_one(
                "SELECT segment, first_row, room FROM take_attempts($1, $2, $3)",
                params![
                    now.as_millisecond() => INT8,
                    newest.at.as_millisecond() => INT8,
                    row_limit(left.len()) => INT8,
                ],
            )
            .await?;
        let room: usize = small(&row, 2)?;
        let (some, rest) = left.split_at(room.min(left.len()));
        insert(db, row.try_get(0)?, row.try_get(1)?, some).await?;
        left = rest;
    }
    Ok(())
}

async fn insert(
    db: &Client,
    segment: i64,
    first: i64,
    records: &[AttemptRecord],
) -> Result<(), StoreError> {
    fn all<T>(records: &[AttemptRecord], read: impl Fn(&AttemptRecord) -> T) -> Vec<T> {
        records.iter().map(read).collect()
    }
    db.execute_typed(
        "INSERT INTO attempt (segment, row, webhook_id, conversation_id, event_id, sequence, number, at_ms,
             is_replay, reused, class, status, address, dns_us, connect_us, tls_us, first_byte_us,
             total_us, detail, next, response)
         SELECT $1, $2 + a.place - 1, a.webhook_id, a.conversation_id, a.event_id, a.sequence, a.number,
             a.at_ms, a.is_replay, a.reused, a.class, a.status, a.address, a.dns_us, a.connect_us,
             a.tls_us, a.first_byte_us, a.total_us, a.detail, a.next, a.response
         FROM UNNEST($3::UUID[], $4::UUID[], $5::UUID[], $6::INT8[], $7::INT8[], $8::INT8[], $9::BOOL[],
             $10::BOOL[], $11::TEXT[], $12::INT4[], $13::TEXT[], $14::INT8[], $15::INT8[], $16::INT8[],
             $17::INT8[], $18::INT8[], $19::TEXT[], $20::TEXT[], $21::BYTEA[])
             WITH ORDINALITY AS a (webhook_id, conversation_id, event_id, sequence, number, at_ms,
                 is_replay, reused, class, status, address, dns_us, connect_us, tls_us, first_byte_us,
                 total_us, detail, next, response, place)",
        params![
            segment => INT8,
            first => INT8,
            all(records, |it| it.webhook.uuid()) => UUID_ARRAY,
            all(records, |it| it.conversation_id.uuid()) => UUID_ARRAY,
            all(records, |it| it.event_id) => UUID_ARRAY,
            all(records, |it| integer(it.sequence.0)) => INT8_ARRAY,
            all(records, |it| i64::from(it.number)) => INT8_ARRAY,
            all(records, |it| it.at.as_millisecond()) => INT8_ARRAY,
            all(records, |it| it.is_replay) => BOOL_ARRAY,
            all(records, |it| it.reused) => BOOL_ARRAY,
            all(records, |it| text(&it.class)) => TEXT_ARRAY,
            all(records, |it| it.status.map(i32::from)) => INT4_ARRAY,
            all(records, |it| it.address.as_deref().map(text)) => TEXT_ARRAY,
            all(records, |it| it.dns_us.map(i64::from)) => INT8_ARRAY,
            all(records, |it| it.connect_us.map(i64::from)) => INT8_ARRAY,
            all(records, |it| it.tls_us.map(i64::from)) => INT8_ARRAY,
            all(records, |it| it.first_byte_us.map(i64::from)) => INT8_ARRAY,
            all(records, |it| i64::from(it.total_us)) => INT8_ARRAY,
            all(records, |it| text(&it.detail)) => TEXT_ARRAY,
            all(records, |it| text(&it.next)) => TEXT_ARRAY,
            all(records, |it| it.response.clone()) => BYTEA_ARRAY,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn list(db: &Client, query: &AttemptQuery) -> Result<AttemptPage, StoreError> {
    let limit = query.limit.clamp(1, LISTED_MAX);
    let before = query.before.unwrap_or(AttemptCursor {
        segment: u64::MAX,
        row: u64::MAX,
    });
    let rows = db
        .query_typed(
            "SELECT segment, row, sequence, event_id, conversation_id, number, is_replay, reused, at_ms,
                 class, status, address, dns_us, connect_us, tls_us, first_byte_us, total_us, detail,
                 next, response
             FROM attempt
             WHERE webhook_id = $1 AND (segment, row) < ($2, $3)
                 AND ($4::UUID IS NULL OR conversation_id = $4)
                 AND ($5::UUID IS NULL OR event_id = $5)
                 AND ($6::BOOL IS NULL OR (class <> 'delivered') = $6)
             ORDER BY segment DESC, row DESC LIMIT $7",
            params![
                query.webhook.uuid() => UUID,
                integer(before.segment) => INT8,
                integer(before.row) => INT8,
                query.conversation.map(tradewind_model::ConversationId::uuid) => UUID,
                query.event_id => UUID,
                query.failed => BOOL,
                row_limit(limit + 1) => INT8,
            ],
        )
        .await?;
    let more = rows.len() > limit;
    let mut items = Vec::new();
    let mut last = None;
    for row in rows.iter().take(limit) {
        last = Some(AttemptCursor {
            segment: number(row, 0)?,
            row: number(row, 1)?,
        });
        items.push(record(row, query)?);
    }
    Ok(AttemptPage {
        items,
        next: last.filter(|_| more),
    })
}

fn record(row: &Row, query: &AttemptQuery) -> Result<AttemptRecord, StoreError> {
    Ok(AttemptRecord {
        webhook: query.webhook,
        sequence: sequence(row, 2)?,
        event_id: row.try_get(3)?,
        conversation_id: id(row, 4)?,
        number: small(row, 5)?,
        is_replay: row.try_get(6)?,
        reused: row.try_get(7)?,
        at: time(row, 8)?,
        class: read_text(row, 9)?,
        status: status(row, 10)?,
        address: text_or_none(row, 11)?,
        dns_us: small_or_none(row, 12)?,
        connect_us: small_or_none(row, 13)?,
        tls_us: small_or_none(row, 14)?,
        first_byte_us: small_or_none(row, 15)?,
        total_us: small(row, 16)?,
        detail: read_text(row, 17)?,
        next: read_text(row, 18)?,
        response: row.try_get(19)?,
    })
}

/// Drops the segments whose attempts are all older than that; how many.
pub(super) async fn drop_before(db: &Client, cutoff_ms: i64) -> Result<u64, StoreError> {
    let row = db
        .query_typed_one("SELECT drop_attempts($1)", params![cutoff_ms => INT8])
        .await?;
    number(&row, 0)
}
