//! Removes what retention no longer keeps, a bounded number of rows a call.
//!
//! From the oldest on, and never out of order: the log loses a prefix, and so does every
//! conversation, which is why a list of messages can tell its total from two positions.

use rusqlite::Connection;
use tradewind_model::{Sequence, Timestamp};

use super::{audit, consumer, lane, note, row::get, token, user, writer::Batch};
use crate::{
    Retention, StoreError, Swept,
    page::{cutoff_ms, integer},
};

/// Rows of each kind one sweep removes at most: other writes wait meanwhile.
const SWEEP_MAX: u32 = 2_000;

/// A message that is old enough to go.
struct Old {
    row: i64,
    conversation_row: i64,
    position: i64,
}

pub(super) fn sweep(
    db: &Batch<'_>,
    now: Timestamp,
    retention: &Retention,
) -> Result<Swept, StoreError> {
    let cutoff = |kept| cutoff_ms(now, kept);
    let mut swept = Swept::default();
    if let Some(kept) = retention.log {
        sweep_log(db, cutoff(kept), &mut swept)?;
        if swept.log_entries > 0 {
            db.swept();
        }
    }
    if let Some(kept) = retention.messages {
        sweep_messages(db, cutoff(kept), &mut swept)?;
        sweep_conversations(db, &mut swept)?;
    }
    if let Some(kept) = retention.idempotency_keys {
        sweep_keys(db, cutoff(kept), &mut swept)?;
    }
    if let Some(kept) = retention.audit {
        let removed = audit::sweep_audit(db, cutoff(kept), SWEEP_MAX)?;
        swept.more |= rows(removed) >= u64::from(SWEEP_MAX);
    }
    token::sweep_tokens(db, now)?;
    user::sweep_invitations(db, now)?;
    Ok(swept)
}

fn sweep_log(db: &Connection, cutoff_ms: i64, swept: &mut Swept) -> Result<(), StoreError> {
    let Some(last) = last_old_entry(db, cutoff_ms)? else {
        return Ok(());
    };
    swept.undelivered = undelivered(db, last)?;
    db.prepare_cached(
        "-- sweep_log
         UPDATE counter SET used_sequence = MAX(used_sequence, ?1)",
    )?
    .execute([integer(last.0)])?;
    let removed = db
        .prepare_cached(
            "-- sweep_log
             DELETE FROM log WHERE sequence <= ?1",
        )?
        .execute([integer(last.0)])?;
    move_held_lanes(db, last)?;
    db.prepare_cached(
        "-- sweep_log
         DELETE FROM set_aside WHERE sequence <= ?1",
    )?
    .execute([integer(last.0)])?;
    swept.log_entries = rows(removed);
    swept.more |= swept.log_entries >= u64::from(SWEEP_MAX);
    Ok(())
}

/// The last of the oldest entries that are all older than the cutoff.
fn last_old_entry(db: &Connection, cutoff_ms: i64) -> rusqlite::Result<Option<Sequence>> {
    let mut statement = db.prepare_cached(
        "-- last_old_entry
         SELECT sequence, at_ms FROM log ORDER BY sequence LIMIT ?1",
    )?;
    let mut entries = statement.query([SWEEP_MAX])?;
    let mut last = None;
    while let Some(row) = entries.next()? {
        if row.get::<_, i64>(1)? >= cutoff_ms {
            break;
        }
        last = Some(get(row, 0)?);
    }
    Ok(last)
}

/// Entries up to `last` that some subscribed consumer has not dealt with: they are beyond its cursor,
/// wait in a lane that it holds, or are set aside. What a replay has yet to bring is not among them: its
/// webhook has dealt with it, or did not yet want it when it came.
fn undelivered(db: &Connection, last: Sequence) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "-- undelivered
         SELECT COUNT(*) FROM log l
         WHERE l.sequence <= ?1 AND EXISTS (
             SELECT 1 FROM consumer u
             LEFT JOIN webhook w ON w.consumer_row = u.row
             LEFT JOIN held_lane n
                 ON n.consumer_row = u.row AND n.lane_row = l.lane_row
             WHERE w.subscribed IS NOT FALSE
                 AND NOT EXISTS (SELECT 1 FROM replay r WHERE r.consumer_row = u.row)
                 AND (u.cursor < l.sequence OR n.first_sequence <= l.sequence
                     OR EXISTS (SELECT 1 FROM set_aside s
                         WHERE s.consumer_row = u.row AND s.sequence = l.sequence)))",
    )?
    .query_row([integer(last.0)], |row| get(row, 0))
}

/// Held lanes whose first entry was removed go on with their next entry, as if it were their first. They
/// stay held: their driver may have passed over entries that come after it, and lets them go.
fn move_held_lanes(db: &Connection, last: Sequence) -> Result<(), StoreError> {
    let lanes = db
        .prepare_cached(
            "-- move_held_lanes
             SELECT DISTINCT lane_row FROM held_lane WHERE first_sequence <= ?1",
        )?
        .query_map([integer(last.0)], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    for lane in lanes {
        let next = lane::next_sequence(db, lane, last.next())?;
        db.prepare_cached(
            "-- move_held_lanes
             UPDATE held_lane SET attempts = 0, first_sequence = ?3
             WHERE lane_row = ?1 AND first_sequence <= ?2",
        )?
        .execute((
            lane,
            integer(last.0),
            integer(next.unwrap_or(last.next()).0),
        ))?;
    }
    Ok(())
}

fn sweep_messages(db: &Connection, cutoff_ms: i64, swept: &mut Swept) -> Result<(), StoreError> {
    let oldest = consumer::oldest(db)?;
    let old = old_messages(db, cutoff_ms)?;
    let mut swept_to = None;
    for message in &old {
        // The one before it may have been left as the last of its conversation, and settled since:
        // the sweep waits here until the log has lost that too, so that no gap comes about.
        let up_to = lane::message_rows_back(db, message.conversation_row, message.row)?;
        if referred(db, message, &up_to, oldest)? {
            break;
        }
        swept.messages += remove(db, message, &up_to)?;
        swept_to = Some(message.row);
    }
    if let Some(row) = swept_to {
        db.prepare_cached(
            "-- sweep_messages
             UPDATE counter SET swept_message_row = ?1",
        )?
        .execute([row])?;
        swept.more |= rows(old.len()) >= u64::from(SWEEP_MAX);
    }
    Ok(())
}

/// The oldest messages that were not swept yet, as far as all are older than the cutoff.
fn old_messages(db: &Connection, cutoff_ms: i64) -> Result<Vec<Old>, StoreError> {
    let mut statement = db.prepare_cached(
        "-- old_messages
         SELECT row, conversation_row, position, stored_at_ms FROM message
         WHERE row > (SELECT swept_message_row FROM counter)
         ORDER BY row LIMIT ?1",
    )?;
    let mut messages = statement.query([SWEEP_MAX])?;
    let mut old = Vec::new();
    while let Some(row) = messages.next()? {
        if row.get::<_, i64>(3)? >= cutoff_ms {
            break;
        }
        old.push(Old {
            row: row.get(0)?,
            conversation_row: row.get(1)?,
            position: row.get(2)?,
        });
    }
    Ok(old)
}

/// Whether an entry from `oldest` on is about `message` or one of those up to it, but for the last of the
/// conversation: it stays, so it keeps nobody waiting.
fn referred(
    db: &Connection,
    message: &Old,
    up_to: &[i64],
    oldest: Sequence,
) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(
        "-- referred
         SELECT EXISTS (SELECT 1 FROM message WHERE row = ?1 AND last_sequence >= ?2
             AND row <> (SELECT last_message_row FROM conversation WHERE row = ?3))",
    )?;
    for row in up_to {
        let asked = (row, integer(oldest.0), message.conversation_row);
        if statement.query_row(asked, |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes `message` and what is `up_to` it in its conversation, but not a conversation's last message.
fn remove(db: &Connection, message: &Old, up_to: &[i64]) -> rusqlite::Result<u64> {
    let mut removed = 0;
    let mut statement = db.prepare_cached(
        "-- remove
         DELETE FROM message
         WHERE row = ?1 AND row <> (SELECT last_message_row FROM conversation WHERE row = ?2)",
    )?;
    for row in up_to {
        removed += rows(statement.execute((row, message.conversation_row))?);
    }
    db.prepare_cached(
        "-- remove
         UPDATE conversation SET first_position = MIN(message_count, ?2 + 1) WHERE row = ?1",
    )?
    .execute((message.conversation_row, message.position))?;
    Ok(removed)
}

/// Removes conversations of which only a last message is left that the sweep has passed.
///
/// Not the one with the newest message of all: rows are numbered after it, and none is used twice.
fn sweep_conversations(db: &Connection, swept: &mut Swept) -> Result<(), StoreError> {
    let silent = db
        .prepare_cached(
            "-- sweep_conversations
             SELECT c.row, c.last_message_row FROM conversation c
             WHERE c.last_message_row <= (SELECT swept_message_row FROM counter)
                 AND c.last_message_row < (SELECT MAX(row) FROM message)
                 AND NOT EXISTS (
                     SELECT 1 FROM log l
                     WHERE l.lane_row = c.row AND l.message_row IS NOT l.sequence)
                 AND NOT EXISTS (
                     SELECT 1 FROM log l
                     WHERE l.sequence = c.last_message_row AND l.message_row = c.last_message_row)
                 AND NOT EXISTS (SELECT 1 FROM held_lane h WHERE h.lane_row = c.row)
             ORDER BY c.last_message_row LIMIT ?1",
        )?
        .query_map([SWEEP_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(i64, i64)>, _>>()?;
    for (row, message_row) in &silent {
        let messages = db
            .prepare_cached(
                "-- sweep_conversations
                 DELETE FROM message WHERE row = ?1",
            )?
            .execute([message_row])?;
        swept.messages += rows(messages);
        db.prepare_cached(
            "-- sweep_conversations
             DELETE FROM conversation WHERE row = ?1",
        )?
        .execute([row])?;
        note::forget(db, *row)?;
        db.prepare_cached(
            "-- sweep_conversations
             UPDATE counter SET conversations = conversations - 1",
        )?
        .execute([])?;
    }
    swept.more |= rows(silent.len()) >= u64::from(SWEEP_MAX);
    Ok(())
}

fn sweep_keys(db: &Connection, cutoff_ms: i64, swept: &mut Swept) -> Result<(), StoreError> {
    let removed = db
        .prepare_cached(
            "-- sweep_keys
             DELETE FROM idempotency WHERE (scope, key) IN (
                 SELECT scope, key FROM idempotency WHERE created_at_ms < ?1
                 ORDER BY created_at_ms LIMIT ?2)",
        )?
        .execute((cutoff_ms, SWEEP_MAX))?;
    swept.idempotency_keys = rows(removed);
    swept.more |= swept.idempotency_keys >= u64::from(SWEEP_MAX);
    Ok(())
}

fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
