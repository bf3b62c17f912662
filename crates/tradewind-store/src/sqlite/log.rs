//! Reading the log.
//!
//! One connection writes, so entries become visible in the order of their sequences and a reader
//! cannot skip one that commits later.

use std::{ops::RangeInclusive, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, Row};
use tradewind_model::{Channel, ConversationId, EntryKind, LogEntry, MessageId, Sequence, Subject};

use super::{
    lane,
    row::{get, message},
};
use crate::columns::{MESSAGE_WIDTH, entry_columns, entry_joins};
use crate::{
    LogPage, StoreError,
    coded::Coded as _,
    page::{Room, integer},
};

/// The newest sequence that was ever given out; 0 before the first.
pub(super) fn head(db: &Connection) -> rusqlite::Result<Sequence> {
    db.prepare_cached(
        "-- head
         SELECT MAX(used_sequence, COALESCE((SELECT MAX(sequence) FROM log), 0)) FROM counter",
    )?
    .query_row([], |row| get(row, 0))
}

pub(super) fn read_log(
    db: &Connection,
    after: Sequence,
    room: Room,
) -> Result<LogPage, StoreError> {
    let mut statement = db.prepare_cached(concat!(
        "-- read_log\n SELECT ",
        entry_columns!(),
        " FROM log l ",
        entry_joins!(),
        "WHERE l.sequence > ?1 ORDER BY l.sequence"
    ))?;
    let entries = statement.query_map([integer(after.0)], entry)?;
    page(entries, room, head(db)?.max(after))
}

/// The entry with this sequence, which is there.
pub(super) fn read_entry(db: &Connection, sequence: Sequence) -> rusqlite::Result<LogEntry> {
    db.prepare_cached(concat!(
        "-- read_entry\n SELECT ",
        entry_columns!(),
        " FROM log l ",
        entry_joins!(),
        "WHERE l.sequence = ?1"
    ))?
    .query_row([integer(sequence.0)], entry)
}

pub(super) fn read_lane(
    db: &Connection,
    lane: ConversationId,
    range: &RangeInclusive<Sequence>,
    room: Room,
) -> Result<LogPage, StoreError> {
    let mut statement = db.prepare_cached(concat!(
        "-- read_lane\n SELECT ",
        entry_columns!(),
        " FROM log l ",
        entry_joins!(),
        "WHERE l.sequence = ?1"
    ))?;
    let sequences = match lane_row(db, lane)? {
        // One more than fits, which says that there are more.
        Some(row) => lane::sequences(db, row, range, room.limit() + 1)?,
        None => Vec::new(),
    };
    let entries = sequences
        .into_iter()
        .map(|sequence| statement.query_row([integer(sequence.0)], entry));
    // Beyond the head nothing was looked at: entries may come there.
    let looked_to = head(db)?.min(*range.end()).max(range.start().previous());
    page(entries, room, looked_to)
}

/// A message has two entries at most that are about it alone: one its row leads to, others are looked
/// for in its lane.
pub(super) fn find_entries(db: &Connection, id: MessageId) -> Result<Vec<LogEntry>, StoreError> {
    let entries = db
        .prepare_cached(concat!(
            "-- find_entries\n SELECT ",
            entry_columns!(),
            " FROM message m
              JOIN conversation c ON c.row = m.conversation_row
              JOIN channel h ON h.row = c.channel_row
              JOIN log l ON l.sequence IN (
                  SELECT sequence FROM log WHERE sequence = m.row
                  UNION ALL
                  SELECT sequence FROM log
                  WHERE lane_row = m.conversation_row AND message_row IS NOT sequence
                      AND message_row = m.row)
              WHERE m.id = ?1 AND l.message_row = m.row AND l.kind <> ?2 ORDER BY l.sequence"
        ))?
        .query_map((id.uuid(), EntryKind::ConversationChanged.code()), entry)?
        .collect::<Result<_, _>>()?;
    Ok(entries)
}

/// The row of a lane: that of its conversation, or minus that of its channel.
pub(super) fn lane_row(db: &Connection, lane: ConversationId) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached(
        "-- lane_row
         SELECT row FROM conversation WHERE id = ?1
         UNION ALL SELECT -row FROM channel WHERE id = ?1 LIMIT 1",
    )?
    .query_row([lane.uuid()], |row| row.get(0))
    .optional()
}

/// Takes entries as long as there is room. `end` is where the log was read to if all fit.
pub(super) fn page(
    found: impl Iterator<Item = rusqlite::Result<impl Into<Arc<LogEntry>>>>,
    room: Room,
    end: Sequence,
) -> Result<LogPage, StoreError> {
    let mut page = room.page();
    for entry in found {
        if !page.add(entry?) {
            return Ok(page.full());
        }
    }
    Ok(page.up_to(end))
}

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let kind = get(row, MESSAGE_WIDTH + 2)?;
    let subject = match kind {
        EntryKind::ChannelConnected | EntryKind::ChannelDisconnected => {
            Subject::Channel(channel(row, kind)?)
        }
        _ => Subject::Message {
            message: message(row)?,
            conversation_created_at: get(row, MESSAGE_WIDTH + 4)?,
        },
    };
    Ok(LogEntry {
        sequence: get(row, MESSAGE_WIDTH)?,
        position: get(row, MESSAGE_WIDTH + 1)?,
        kind,
        at: get(row, MESSAGE_WIDTH + 3)?,
        subject,
    })
}

/// The channel that an entry is about, as the entry says that it became. Its token stays in the store.
fn channel(row: &Row<'_>, kind: EntryKind) -> rusqlite::Result<Channel> {
    Ok(Channel {
        id: get(row, 2)?,
        source: get(row, 3)?,
        source_channel_id: row.get(MESSAGE_WIDTH + 5)?,
        name: row.get(MESSAGE_WIDTH + 6)?,
        image_url: row.get(MESSAGE_WIDTH + 7)?,
        token: None,
        connected: kind == EntryKind::ChannelConnected,
    })
}
