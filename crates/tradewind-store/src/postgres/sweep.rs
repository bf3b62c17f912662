//! Removes what retention no longer keeps, a bounded number of rows a call.
//!
//! The log loses a prefix: that is one number, below which nobody looks, and whole partitions once all
//! of their entries are below it. Conversations lose a prefix of their messages.

use tokio_postgres::Client;
use tradewind_model::Sequence;

use super::{
    audit, log,
    row::{number, params, sequence},
};
use crate::{StoreError, Swept, page::integer};

/// Rows of each kind one sweep removes at most.
const SWEEP_MAX: u32 = 2_000;
/// Messages: nobody appends meanwhile.
const MESSAGES_MAX: u32 = 200;

/// Within a transaction.
pub(super) async fn sweep_log(
    db: &Client,
    cutoff_ms: i64,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    // One node at a time.
    db.query_typed("SELECT 1 FROM swept FOR UPDATE", &[])
        .await?;
    let oldest = log::oldest(db).await?;
    let Some(last) = last_old_entry(db, oldest, cutoff_ms).await? else {
        return Ok(());
    };
    swept.undelivered = undelivered(db, oldest, last).await?;
    db.execute_typed(
        "UPDATE swept SET sequence = $1",
        params![integer(last.0) => INT8],
    )
    .await?;
    move_held_lanes(db, last).await?;
    db.execute_typed(
        "DELETE FROM set_aside WHERE sequence <= $1",
        params![integer(last.0) => INT8],
    )
    .await?;
    swept.log_entries = last.0 + 1 - oldest.0;
    swept.more |= swept.log_entries >= u64::from(SWEEP_MAX);
    Ok(())
}

/// The last of the oldest entries that are all older than the cutoff.
async fn last_old_entry(
    db: &Client,
    oldest: Sequence,
    cutoff_ms: i64,
) -> Result<Option<Sequence>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT sequence, at_ms FROM log WHERE sequence >= $1 ORDER BY sequence LIMIT $2",
            params![integer(oldest.0) => INT8, i64::from(SWEEP_MAX) => INT8],
        )
        .await?;
    let mut last = None;
    for row in &rows {
        if row.try_get::<_, i64>(1)? >= cutoff_ms {
            break;
        }
        last = Some(sequence(row, 0)?);
    }
    Ok(last)
}

/// Entries up to `last` that some subscribed consumer has not dealt with: they are beyond its cursor,
/// wait in a lane that it holds, or are set aside. What a replay has yet to bring is not among them: its
/// webhook has dealt with it, or did not yet want it when it came.
async fn undelivered(db: &Client, oldest: Sequence, last: Sequence) -> Result<u64, StoreError> {
    let row = db
        .query_typed_one(
            // First those that have anything to do there: mostly none, of many.
            "WITH behind AS MATERIALIZED (
                 SELECT u.row, u.cursors FROM consumer u
                 LEFT JOIN webhook w ON w.consumer_row = u.row
                 WHERE w.subscribed IS NOT FALSE
                     AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.consumer_row = u.row)
                     AND ((SELECT MIN(c) FROM UNNEST(u.cursors) c) < $2
                         OR EXISTS (SELECT 1 FROM held_lane n
                             WHERE n.consumer_row = u.row AND n.first_sequence <= $2)
                         OR EXISTS (SELECT 1 FROM set_aside s
                             WHERE s.consumer_row = u.row AND s.sequence <= $2))
             )
             SELECT COUNT(*) FROM log l
             LEFT JOIN conversation c ON c.row = l.lane_row
             LEFT JOIN channel h ON h.row = -l.lane_row
             WHERE l.sequence >= $1 AND l.sequence <= $2 AND EXISTS (
                 SELECT 1 FROM behind u
                 LEFT JOIN held_lane n ON n.consumer_row = u.row AND n.lane_row = l.lane_row
                 WHERE u.cursors[shard_of(COALESCE(c.id, h.id)) + 1] < l.sequence
                     OR n.first_sequence <= l.sequence
                     OR EXISTS (SELECT 1 FROM set_aside s
                         WHERE s.consumer_row = u.row AND s.sequence = l.sequence))",
            params![integer(oldest.0) => INT8, integer(last.0) => INT8],
        )
        .await?;
    number(&row, 0)
}

/// Held lanes whose first entry was removed go on with their next entry, as if it were their first. They
/// stay held: whoever serves them may have passed over entries that come after it, and lets them go.
async fn move_held_lanes(db: &Client, last: Sequence) -> Result<(), StoreError> {
    db.execute_typed(
        "UPDATE held_lane n SET attempts = 0, first_sequence = COALESCE((
             SELECT l.sequence FROM log l WHERE l.lane_row = n.lane_row AND l.sequence > $1
             ORDER BY l.sequence LIMIT 1), $1 + 1)
         WHERE n.first_sequence <= $1",
        params![integer(last.0) => INT8],
    )
    .await?;
    Ok(())
}

pub(super) async fn sweep_messages(
    db: &Client,
    cutoff_ms: i64,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let row = db
        .query_typed_one(
            "SELECT looked, removed FROM sweep_messages($1, $2)",
            params![cutoff_ms => INT8, i64::from(MESSAGES_MAX) => INT8],
        )
        .await?;
    swept.messages += number(&row, 1)?;
    swept.more |= number(&row, 0)? >= u64::from(MESSAGES_MAX);
    Ok(())
}

pub(super) async fn sweep_conversations(db: &Client, swept: &mut Swept) -> Result<(), StoreError> {
    let row = db
        .query_typed_one(
            "SELECT sweep_conversations($1)",
            params![i64::from(SWEEP_MAX) => INT8],
        )
        .await?;
    let removed = number(&row, 0)?;
    swept.messages += removed;
    swept.more |= removed >= u64::from(SWEEP_MAX);
    Ok(())
}

pub(super) async fn sweep_keys(
    db: &Client,
    cutoff_ms: i64,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    swept.idempotency_keys = db
        .execute_typed(
            "DELETE FROM idempotency WHERE (scope, key) IN (
                 SELECT scope, key FROM idempotency WHERE created_at_ms < $1
                 ORDER BY created_at_ms LIMIT $2)",
            params![cutoff_ms => INT8, i64::from(SWEEP_MAX) => INT8],
        )
        .await?;
    swept.more |= swept.idempotency_keys >= u64::from(SWEEP_MAX);
    Ok(())
}

pub(super) async fn sweep_audit(
    db: &Client,
    cutoff_ms: i64,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let removed = audit::sweep_audit(db, cutoff_ms, SWEEP_MAX).await?;
    swept.more |= removed >= u64::from(SWEEP_MAX);
    Ok(())
}

/// Drops partitions of the log whose entries are all swept. Gives up at once if somebody reads there:
/// the next sweep does it.
pub(super) async fn drop_partitions(db: &Client) -> Result<(), StoreError> {
    db.batch_execute("SET LOCAL lock_timeout = '100ms'").await?;
    db.query_typed("SELECT drop_partitions()", &[]).await?;
    Ok(())
}
