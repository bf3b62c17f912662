//! Entries that a webhook has given up on for now.

use rusqlite::Connection;
use tradewind_model::{Sequence, Timestamp, WebhookId};

use super::{
    log::{entry, lane_row},
    row::get,
};
use crate::columns::{ENTRY_WIDTH, entry_columns, entry_joins};
use crate::{
    Page, Progress, SetAside, SetAsideEntry, StoreError,
    page::{READ_MAX, SEQUENCES_MAX, integer, row_limit, set_aside_page},
};

/// Writes and forgets what `progress` says. What a replay sets aside is its webhook's.
pub(super) fn save(
    db: &Connection,
    now: Timestamp,
    consumer_row: i64,
    progress: &Progress,
) -> Result<(), StoreError> {
    let owner: i64 = db
        .prepare_cached(
            "-- save
             SELECT COALESCE((
                 SELECT w.consumer_row FROM replay r JOIN webhook w ON w.row = r.webhook_row
                 WHERE r.consumer_row = ?1), ?1)",
        )?
        .query_row([consumer_row], |row| row.get(0))?;
    for sequence in &progress.redelivered {
        db.prepare_cached(
            "-- save
             DELETE FROM set_aside WHERE consumer_row = ?1 AND sequence = ?2",
        )?
        .execute((owner, integer(sequence.0)))?;
    }
    for record in &progress.set_aside {
        let lane_row = lane_row(db, record.conversation_id)?;
        // An entry that was swept meanwhile is counted there.
        db.prepare_cached(
            "-- save
             INSERT OR REPLACE INTO set_aside (consumer_row, sequence, lane_row, attempts,
                 failing_since_ms, error, status, at_ms)
             SELECT ?1, sequence, lane_row, ?4, ?5, ?6, ?7, ?8 FROM log
             WHERE sequence = ?2 AND lane_row = ?3",
        )?
        .execute((
            owner,
            integer(record.sequence.0),
            lane_row,
            record.attempts,
            record.failing_since.as_millisecond(),
            &record.error,
            record.status,
            now.as_millisecond(),
        ))?;
    }
    Ok(())
}

pub(super) fn list_set_aside(
    db: &Connection,
    webhook: WebhookId,
    before: Option<Sequence>,
    limit: usize,
) -> Result<Page<SetAsideEntry, Sequence>, StoreError> {
    let limit = limit.clamp(1, READ_MAX);
    let mut statement = db.prepare_cached(concat!(
        "-- list_set_aside\n",
        "SELECT ",
        entry_columns!(),
        ", s.attempts, s.failing_since_ms, s.error, s.status, s.at_ms
         FROM webhook w
         JOIN set_aside s ON s.consumer_row = w.consumer_row
         JOIN log l ON l.sequence = s.sequence ",
        entry_joins!(),
        "WHERE w.id = ?1 AND s.sequence < ?2 ORDER BY s.sequence DESC LIMIT ?3"
    ))?;
    let before = before.map_or(i64::MAX, |before| integer(before.0));
    let rows = statement.query_map((webhook.uuid(), before, row_limit(limit + 1)), |row| {
        let entry = entry(row)?;
        Ok(SetAsideEntry {
            record: SetAside {
                sequence: entry.sequence,
                conversation_id: entry.lane(),
                attempts: row.get(ENTRY_WIDTH)?,
                failing_since: get(row, ENTRY_WIDTH + 1)?,
                error: row.get(ENTRY_WIDTH + 2)?,
                status: row.get(ENTRY_WIDTH + 3)?,
            },
            at: get(row, ENTRY_WIDTH + 4)?,
            entry,
        })
    })?;
    let fetched = rows.collect::<Result<_, _>>()?;
    Ok(set_aside_page(fetched, limit, count(db, webhook)?))
}

fn count(db: &Connection, webhook: WebhookId) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "-- count
         SELECT COUNT(*) FROM set_aside s JOIN webhook w ON w.consumer_row = s.consumer_row
         WHERE w.id = ?1",
    )?
    .query_row([webhook.uuid()], |row| get(row, 0))
}

pub(super) fn set_aside_by(
    db: &Connection,
    webhook: WebhookId,
    at: Timestamp,
) -> Result<Vec<Sequence>, StoreError> {
    let sequences = db
        .prepare_cached(
            "-- set_aside_by
             SELECT s.sequence FROM set_aside s JOIN webhook w ON w.consumer_row = s.consumer_row
             WHERE w.id = ?1 AND s.at_ms <= ?2
             ORDER BY s.sequence LIMIT ?3",
        )?
        .query_map(
            (webhook.uuid(), at.as_millisecond(), SEQUENCES_MAX),
            |row| get(row, 0),
        )?
        .collect::<Result<_, _>>()?;
    Ok(sequences)
}
