//! Entries that a webhook has given up on for now.

use tokio_postgres::{Client, Row};
use tradewind_model::{Sequence, Timestamp, WebhookId};

use super::{
    log::entry,
    row::{number, params, read_text, sequence, small, status, text, time},
};
use crate::columns::{ENTRY_WIDTH, entry_columns, entry_joins};
use crate::{
    Page, Progress, SetAside, SetAsideEntry, StoreError,
    page::{READ_MAX, SEQUENCES_MAX, integer, row_limit, set_aside_page},
};

/// Writes and forgets what `progress` says. What a replay sets aside is its webhook's.
pub(super) async fn save(
    db: &Client,
    now: Timestamp,
    consumer_row: i64,
    progress: &Progress,
) -> Result<(), StoreError> {
    let owner: i64 = db
        .query_typed_one(
            "SELECT COALESCE((
                 SELECT w.consumer_row FROM replay r JOIN webhook w ON w.row = r.webhook_row
                 WHERE r.consumer_row = $1), $1)",
            params![consumer_row => INT8],
        )
        .await?
        .try_get(0)?;
    let redelivered: Vec<i64> = progress
        .redelivered
        .iter()
        .map(|it| integer(it.0))
        .collect();
    db.execute_typed(
        "DELETE FROM set_aside WHERE consumer_row = $1 AND sequence = ANY($2)",
        params![owner => INT8, redelivered => INT8_ARRAY],
    )
    .await?;
    for record in &progress.set_aside {
        // An entry that was swept meanwhile is counted there.
        db.execute_typed(
            "INSERT INTO set_aside (consumer_row, sequence, lane_row, attempts, failing_since_ms, error,
                 status, at_ms)
             SELECT $1, l.sequence, l.lane_row, $4, $5, $6, $7, $8 FROM log l
             WHERE l.sequence = $2 AND l.sequence > (SELECT sequence FROM swept)
                 AND l.lane_row = COALESCE((SELECT row FROM conversation WHERE id = $3),
                     (SELECT -row FROM channel WHERE id = $3))
             ON CONFLICT (consumer_row, sequence) DO UPDATE SET lane_row = excluded.lane_row,
                 attempts = excluded.attempts, failing_since_ms = excluded.failing_since_ms,
                 error = excluded.error, status = excluded.status, at_ms = excluded.at_ms",
            params![
                owner => INT8,
                integer(record.sequence.0) => INT8,
                record.conversation_id.uuid() => UUID,
                i64::from(record.attempts) => INT8,
                record.failing_since.as_millisecond() => INT8,
                text(&record.error) => TEXT,
                record.status.map(i32::from) => INT4,
                now.as_millisecond() => INT8,
            ],
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn list_set_aside(
    db: &Client,
    webhook: WebhookId,
    before: Option<Sequence>,
    limit: usize,
) -> Result<Page<SetAsideEntry, Sequence>, StoreError> {
    let limit = limit.clamp(1, READ_MAX);
    let before = before.map_or(i64::MAX, |before| integer(before.0));
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                entry_columns!(),
                ", s.attempts, s.failing_since_ms, s.error, s.status, s.at_ms
                 FROM webhook w
                 JOIN set_aside s ON s.consumer_row = w.consumer_row
                 JOIN log l ON l.sequence = s.sequence ",
                entry_joins!(),
                "WHERE w.id = $1 AND s.sequence < $2 ORDER BY s.sequence DESC LIMIT $3"
            ),
            params![webhook.uuid() => UUID, before => INT8, row_limit(limit + 1) => INT8],
        )
        .await?;
    let fetched = rows.iter().map(item).collect::<Result<_, _>>()?;
    let total = db
        .query_typed_one(
            "SELECT COUNT(*) FROM set_aside s JOIN webhook w ON w.consumer_row = s.consumer_row
             WHERE w.id = $1",
            params![webhook.uuid() => UUID],
        )
        .await?;
    Ok(set_aside_page(fetched, limit, number(&total, 0)?))
}

fn item(row: &Row) -> Result<SetAsideEntry, StoreError> {
    let entry = entry(row)?;
    Ok(SetAsideEntry {
        record: SetAside {
            sequence: entry.sequence,
            conversation_id: entry.lane(),
            attempts: small(row, ENTRY_WIDTH)?,
            failing_since: time(row, ENTRY_WIDTH + 1)?,
            error: read_text(row, ENTRY_WIDTH + 2)?,
            status: status(row, ENTRY_WIDTH + 3)?,
        },
        at: time(row, ENTRY_WIDTH + 4)?,
        entry,
    })
}

pub(super) async fn set_aside_by(
    db: &Client,
    webhook: WebhookId,
    at: Timestamp,
) -> Result<Vec<Sequence>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT s.sequence FROM set_aside s JOIN webhook w ON w.consumer_row = s.consumer_row
             WHERE w.id = $1 AND s.at_ms <= $2
             ORDER BY s.sequence LIMIT $3",
            params![webhook.uuid() => UUID, at.as_millisecond() => INT8, SEQUENCES_MAX => INT8],
        )
        .await?;
    rows.iter().map(|row| sequence(row, 0)).collect()
}
