//! Removes what retention no longer keeps, a bounded number of rows a call.
//!
//! The log loses a prefix: that is one number, below which nobody looks, and whole partitions once all
//! of their entries are below it. Conversations lose a prefix of their messages.

use tokio_postgres::Client;
use tradewind_model::{Sequence, Timestamp};

use super::{
    log,
    row::{number, params, sequence},
};
use crate::{
    Retention, StoreError, Swept,
    page::{cutoff_ms, integer},
};

/// Rows of each kind one sweep removes at most.
const SWEEP_MAX: u32 = 2_000;

/// A message that is old enough to go.
struct Old {
    row: i64,
    conversation_row: i64,
    position: i64,
}

pub(super) async fn sweep(
    db: &Client,
    now: Timestamp,
    retention: &Retention,
) -> Result<Swept, StoreError> {
    // One node at a time.
    db.query_typed("SELECT 1 FROM swept FOR UPDATE", &[])
        .await?;
    let cutoff = |kept| cutoff_ms(now, kept);
    let mut swept = Swept::default();
    if let Some(kept) = retention.log {
        sweep_log(db, cutoff(kept), &mut swept).await?;
    }
    if let Some(kept) = retention.messages {
        sweep_messages(db, cutoff(kept), &mut swept).await?;
        sweep_conversations(db, &mut swept).await?;
    }
    if let Some(kept) = retention.idempotency_keys {
        sweep_keys(db, cutoff(kept), &mut swept).await?;
    }
    Ok(swept)
}

async fn sweep_log(db: &Client, cutoff_ms: i64, swept: &mut Swept) -> Result<(), StoreError> {
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
            "SELECT COUNT(*) FROM log l
             LEFT JOIN conversation c ON c.row = l.lane_row
             LEFT JOIN channel h ON h.row = -l.lane_row
             WHERE l.sequence >= $1 AND l.sequence <= $2 AND EXISTS (
                 SELECT 1 FROM consumer u
                 LEFT JOIN webhook w ON w.consumer_row = u.row
                 LEFT JOIN held_lane n ON n.consumer_row = u.row AND n.lane_row = l.lane_row
                 WHERE w.subscribed IS NOT FALSE
                     AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.consumer_row = u.row)
                     AND (u.cursors[shard_of(COALESCE(c.id, h.id)) + 1] < l.sequence
                         OR n.first_sequence <= l.sequence
                         OR EXISTS (SELECT 1 FROM set_aside s
                             WHERE s.consumer_row = u.row AND s.sequence = l.sequence)))",
            params![integer(oldest.0) => INT8, integer(last.0) => INT8],
        )
        .await?;
    number(&row, 0)
}

/// Held lanes whose first entry was removed go on with their next entry, as if it were their first;
/// those that have none left are released.
async fn move_held_lanes(db: &Client, last: Sequence) -> Result<(), StoreError> {
    db.execute_typed(
        "WITH moved AS (
             SELECT n.consumer_row, n.lane_row, (
                 SELECT l.sequence FROM log l WHERE l.lane_row = n.lane_row AND l.sequence > $1
                 ORDER BY l.sequence LIMIT 1) AS next
             FROM held_lane n WHERE n.first_sequence <= $1
         ), kept AS (
             UPDATE held_lane n SET attempts = 0, first_sequence = m.next FROM moved m
             WHERE n.consumer_row = m.consumer_row AND n.lane_row = m.lane_row AND m.next IS NOT NULL
         )
         DELETE FROM held_lane n USING moved m
         WHERE n.consumer_row = m.consumer_row AND n.lane_row = m.lane_row AND m.next IS NULL",
        params![integer(last.0) => INT8],
    )
    .await?;
    Ok(())
}

async fn sweep_messages(db: &Client, cutoff_ms: i64, swept: &mut Swept) -> Result<(), StoreError> {
    let oldest = log::oldest(db).await?;
    let old = old_messages(db, cutoff_ms).await?;
    let mut swept_to = None;
    for message in &old {
        // The one before it may have been left as the last of its conversation, and settled since:
        // the sweep waits here until the log has lost that too, so that no gap comes about.
        let referred = db
            .query_typed_one(
                "SELECT EXISTS (
                     SELECT 1 FROM message WHERE conversation_row = $1 AND position <= $2
                         AND last_sequence >= $3)",
                params![
                    message.conversation_row => INT8,
                    message.position => INT8,
                    integer(oldest.0) => INT8,
                ],
            )
            .await?;
        if referred.try_get(0)? {
            break;
        }
        swept.messages += remove(db, message).await?;
        swept_to = Some(message.row);
    }
    if let Some(row) = swept_to {
        db.execute_typed("UPDATE swept SET message_row = $1", params![row => INT8])
            .await?;
        swept.more |= old.len() >= usize::try_from(SWEEP_MAX).unwrap_or(usize::MAX);
    }
    Ok(())
}

/// The oldest messages that were not swept yet, as far as all are older than the cutoff.
async fn old_messages(db: &Client, cutoff_ms: i64) -> Result<Vec<Old>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT row, conversation_row, position, stored_at_ms FROM message
             WHERE row > (SELECT message_row FROM swept)
             ORDER BY row LIMIT $1",
            params![i64::from(SWEEP_MAX) => INT8],
        )
        .await?;
    let mut old = Vec::new();
    for row in &rows {
        if row.try_get::<_, i64>(3)? >= cutoff_ms {
            break;
        }
        old.push(Old {
            row: row.try_get(0)?,
            conversation_row: row.try_get(1)?,
            position: row.try_get(2)?,
        });
    }
    Ok(old)
}

/// Removes `message` and those before it in its conversation, but not a conversation's last message.
async fn remove(db: &Client, message: &Old) -> Result<u64, StoreError> {
    let removed = db
        .execute_typed(
            "DELETE FROM message
             WHERE conversation_row = $1 AND position <= $2
                 AND row <> (SELECT last_message_row FROM conversation WHERE row = $1)",
            params![message.conversation_row => INT8, message.position => INT8],
        )
        .await?;
    db.execute_typed(
        "UPDATE conversation SET first_position = LEAST(message_count, $2 + 1) WHERE row = $1",
        params![message.conversation_row => INT8, message.position => INT8],
    )
    .await?;
    Ok(removed)
}

async fn sweep_conversations(db: &Client, swept: &mut Swept) -> Result<(), StoreError> {
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

async fn sweep_keys(db: &Client, cutoff_ms: i64, swept: &mut Swept) -> Result<(), StoreError> {
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

/// Drops partitions of the log whose entries are all swept. Gives up at once if somebody reads there:
/// the next sweep does it.
pub(super) async fn drop_partitions(db: &Client) -> Result<(), StoreError> {
    db.batch_execute("SET LOCAL lock_timeout = '100ms'").await?;
    db.query_typed("SELECT drop_partitions()", &[]).await?;
    Ok(())
}
