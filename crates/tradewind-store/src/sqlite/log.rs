//! Reading the log.
//!
//! One connection writes, so entries become visible in the order of their sequences and a reader
//! cannot skip one that commits later.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension as _, Row, Rows};
use tradewind_model::{ConversationId, LogEntry, Sequence};

use super::row::{MESSAGE_WIDTH, get, integer, message, message_columns};
use crate::{LogPage, StoreError};

/// Entries one read returns at most, whatever the caller asks for.
pub(super) const READ_MAX: usize = 10_000;

/// How much one read returns at most.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) entries: usize,
    pub(super) weight: usize,
}

/// The newest sequence that was ever given out; 0 before the first.
pub(super) fn head(db: &Connection) -> rusqlite::Result<Sequence> {
    let head = db
        .prepare_cached(
            "-- head
             SELECT seq FROM sqlite_sequence WHERE name = 'log'",
        )?
        .query_row([], |row| get(row, 0))
        .optional()?;
    Ok(head.unwrap_or(Sequence::START))
}

pub(super) fn read_log(
    db: &Connection,
    after: Sequence,
    room: Room,
) -> Result<LogPage, StoreError> {
    let mut statement = db.prepare_cached(concat!(
        "-- read_log\n SELECT ",
        message_columns!(),
        ", l.sequence, l.position, l.kind
          FROM log l
          JOIN message m ON m.row = l.message_row
          JOIN conversation c ON c.row = m.conversation_row
          JOIN channel h ON h.row = c.channel_row
          WHERE l.sequence > ?1
          ORDER BY l.sequence"
    ))?;
    let rows = statement.query([integer(after.0)])?;
    page(rows, room, head(db)?.max(after))
}

pub(super) fn read_lane(
    db: &Connection,
    conversation: ConversationId,
    lane: &RangeInclusive<Sequence>,
    room: Room,
) -> Result<LogPage, StoreError> {
    let mut statement = db.prepare_cached(concat!(
        "-- read_lane\n SELECT ",
        message_columns!(),
        ", l.sequence, l.position, l.kind
          FROM conversation c
          JOIN channel h ON h.row = c.channel_row
          JOIN log l ON l.conversation_row = c.row
          JOIN message m ON m.row = l.message_row
          WHERE c.id = ?1 AND l.sequence >= ?2 AND l.sequence <= ?3
          ORDER BY l.sequence"
    ))?;
    let rows = statement.query((
        conversation.uuid(),
        integer(lane.start().0),
        integer(lane.end().0),
    ))?;
    // Beyond the head nothing was looked at: entries may come there.
    let looked_to = head(db)?.min(*lane.end()).max(lane.start().previous());
    page(rows, room, looked_to)
}

/// Takes rows as long as there is room. `end` is where the log was read to if all fit.
fn page(mut rows: Rows<'_>, room: Room, end: Sequence) -> Result<LogPage, StoreError> {
    let limit = room.entries.clamp(1, READ_MAX);
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut weight = 0;
    while let Some(row) = rows.next()? {
        let entry = entry(row)?;
        weight += entry.weight();
        let full = entries.len() == limit || weight > room.weight;
        if let Some(last) = entries.last()
            && full
        {
            let read_to = last.sequence;
            return Ok(LogPage {
                entries,
                read_to,
                more: true,
            });
        }
        entries.push(entry);
    }
    Ok(LogPage {
        entries,
        read_to: end,
        more: false,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    Ok(LogEntry {
        message: message(row)?,
        sequence: get(row, MESSAGE_WIDTH)?,
        position: get(row, MESSAGE_WIDTH + 1)?,
        kind: get(row, MESSAGE_WIDTH + 2)?,
    })
}
