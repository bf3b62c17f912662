//! Messages and entries of one conversation, found by links.
//!
//! An index on them would have each conversation's part on a page of its own, and so one page to write
//! for each message. Instead a message leads to the one before it, and only every [`ANCHOR_EVERY`]th is
//! in an index, from where others are found in a few steps back. A message leads to its first entry in
//! the log too, whose sequence is its row; the other entries of a lane are in an index.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension as _};
use tradewind_model::Sequence;

use super::row::get;
use crate::{StoreError, page::integer};

/// Messages from one that is in the index to the next.
const ANCHOR_EVERY: u64 = 16;
/// Messages whose entries are looked for at once.
const STRIDE: u64 = 32;

/// A message on the way back.
struct Step {
    position: u64,
    previous_row: Option<i64>,
}

/// Whether the message at `position` is in the index.
pub(super) fn is_anchor(position: u64) -> bool {
    position.is_multiple_of(ANCHOR_EVERY)
}

/// The rows of a conversation's messages at positions from `from` to before `to`, as far as they are
/// there, in order.
pub(super) fn message_rows(
    db: &Connection,
    conversation_row: i64,
    from: u64,
    to: u64,
) -> Result<Vec<i64>, StoreError> {
    let start = match anchor_from(db, conversation_row, to.saturating_sub(1))? {
        Some(anchor) => Some(anchor),
        None => last_message(db, conversation_row)?,
    };
    let mut rows = Vec::new();
    let mut next = start;
    while let Some(row) = next {
        // Swept, and so is what was before it.
        let Some(step) = step(db, row)? else { break };
        if step.position < from {
            break;
        }
        if step.position < to {
            rows.push(row);
        }
        next = previous(db, conversation_row, &step)?;
    }
    rows.reverse();
    Ok(rows)
}

/// The message with this row and those before it in its conversation that are left, the newest first.
pub(super) fn message_rows_back(
    db: &Connection,
    conversation_row: i64,
    row: i64,
) -> Result<Vec<i64>, StoreError> {
    let mut rows = Vec::new();
    let mut next = Some(row);
    while let Some(row) = next
        && let Some(step) = step(db, row)?
    {
        rows.push(row);
        next = previous(db, conversation_row, &step)?;
    }
    Ok(rows)
}

/// The last message of a conversation whose row is less than `below`; `last` is its last of all.
pub(super) fn message_back_from(
    db: &Connection,
    conversation_row: i64,
    last: i64,
    below: i64,
) -> Result<Option<i64>, StoreError> {
    if last < below {
        return Ok(Some(last));
    }
    let Some((first, end)) = ends(db, conversation_row)? else {
        return Ok(None);
    };
    let position = position_from(db, conversation_row, first..=end, below)?;
    let to = position.saturating_add(2 * ANCHOR_EVERY);
    let mut rows = message_rows(db, conversation_row, position.saturating_sub(1), to)?;
    rows.retain(|row| *row < below);
    Ok(rows.last().copied())
}

/// The message before this one in its conversation, if it is there.
pub(super) fn message_before(
    db: &Connection,
    conversation_row: i64,
    row: i64,
) -> Result<Option<i64>, StoreError> {
    let Some(this) = step(db, row)? else {
        return Ok(None);
    };
    let Some(before) = previous(db, conversation_row, &this)? else {
        return Ok(None);
    };
    Ok(step(db, before)?.map(|_| before))
}

/// Sequences of the entries of a lane that are in `range`, in order, at most `limit`.
pub(super) fn sequences(
    db: &Connection,
    lane_row: i64,
    range: &RangeInclusive<Sequence>,
    limit: usize,
) -> Result<Vec<Sequence>, StoreError> {
    let mut found = unlinked(db, lane_row, range, limit)?;
    found.extend(linked(db, lane_row, range, limit)?);
    found.sort_unstable();
    found.truncate(limit);
    Ok(found)
}

/// The first entry of a lane from `from` on.
pub(super) fn next_sequence(
    db: &Connection,
    lane_row: i64,
    from: Sequence,
) -> Result<Option<Sequence>, StoreError> {
    let found = sequences(db, lane_row, &(from..=Sequence(u64::MAX)), 1)?;
    Ok(found.first().copied())
}

/// Entries that are not the first of their message.
fn unlinked(
    db: &Connection,
    lane_row: i64,
    range: &RangeInclusive<Sequence>,
    limit: usize,
) -> Result<Vec<Sequence>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (from, to) = (integer(range.start().0), integer(range.end().0));
    let found = db
        .prepare_cached(
            "-- unlinked
             SELECT sequence FROM log
             WHERE lane_row = ?1 AND message_row IS NOT sequence
                 AND sequence >= ?2 AND sequence <= ?3
             ORDER BY sequence LIMIT ?4",
        )?
        .query_map((lane_row, from, to, limit), |row| get(row, 0))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Entries that are the first of their message.
fn linked(
    db: &Connection,
    lane_row: i64,
    range: &RangeInclusive<Sequence>,
    limit: usize,
) -> Result<Vec<Sequence>, StoreError> {
    let mut found = Vec::new();
    // What the log has lost is not looked for.
    let oldest = super::consumer::oldest(db)?;
    let from = integer(range.start().0.max(oldest.0));
    let Some((first, last)) = ends(db, lane_row)? else {
        return Ok(found);
    };
    let mut position = position_from(db, lane_row, first..=last, from)?;
    while found.len() < limit && position <= last {
        let end = position.saturating_add(STRIDE);
        for row in message_rows(db, lane_row, position, end)? {
            if row > integer(range.end().0) {
                return Ok(found);
            }
            if row >= from
                && found.len() < limit
                && let Some(sequence) = entry_of(db, row)?
            {
                found.push(sequence);
            }
        }
        position = end;
    }
    Ok(found)
}

/// A position at most two times [`ANCHOR_EVERY`] before that of the first message whose row is at least `row`, and
/// not after it: rows grow with positions, those of anchors too.
fn position_from(
    db: &Connection,
    conversation_row: i64,
    among: RangeInclusive<u64>,
    row: i64,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = among.into_inner();
    // The first anchor from `low` on is before that message or is it; the one from `high` on is not before it.
    while high.saturating_sub(low) > ANCHOR_EVERY {
        let middle = low + (high - low) / 2;
        match anchor_from(db, conversation_row, middle)? {
            Some(anchor) if anchor < row => low = middle,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first entry of a message, if its row leads there and the log still has it.
fn entry_of(db: &Connection, message_row: i64) -> rusqlite::Result<Option<Sequence>> {
    db.prepare_cached(
        "-- entry_of
         SELECT sequence FROM log WHERE sequence = ?1 AND message_row = ?1",
    )?
    .query_row([message_row], |row| get(row, 0))
    .optional()
}

/// The first message from `position` on that is in the index.
fn anchor_from(
    db: &Connection,
    conversation_row: i64,
    position: u64,
) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "-- anchor_from
         SELECT row FROM message WHERE conversation_row = ?1 AND position >= ?2 AND anchor = 1
         ORDER BY position LIMIT 1",
    )?
    .query_row((conversation_row, integer(position)), |row| row.get(0))
    .optional()
}

fn step(db: &Connection, row: i64) -> rusqlite::Result<Option<Step>> {
    db.prepare_cached(
        "-- step
         SELECT position, previous_row FROM message WHERE row = ?1",
    )?
    .query_row([row], |found| {
        Ok(Step {
            position: get(found, 0)?,
            previous_row: found.get(1)?,
        })
    })
    .optional()
}

/// Where the message before this one is, if it is still there.
fn previous(db: &Connection, conversation_row: i64, step: &Step) -> rusqlite::Result<Option<i64>> {
    if step.previous_row.is_some() {
        return Ok(step.previous_row);
    }
    db.prepare_cached(
        "-- previous
         SELECT row FROM message WHERE conversation_row = ?1 AND position < ?2 AND anchor = 1
         ORDER BY position DESC LIMIT 1",
    )?
    .query_row((conversation_row, integer(step.position)), |row| row.get(0))
    .optional()
}

fn last_message(db: &Connection, conversation_row: i64) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "-- last_message
         SELECT last_message_row FROM conversation WHERE row = ?1",
    )?
    .query_row([conversation_row], |row| row.get(0))
    .optional()
}

/// Positions of the first message that is left and of the last.
fn ends(db: &Connection, conversation_row: i64) -> rusqlite::Result<Option<(u64, u64)>> {
    db.prepare_cached(
        "-- ends
         SELECT first_position, message_count FROM conversation WHERE row = ?1",
    )?
    .query_row([conversation_row], |row| Ok((get(row, 0)?, get(row, 1)?)))
    .optional()
}
