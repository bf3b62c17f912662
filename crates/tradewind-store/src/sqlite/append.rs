//! Writing the log: `append` and `settle`.
//!
//! What it costs is mostly statements, so an append makes as few as it can: one that finds the
//! conversation, and three that write. No `RETURNING`: for that, `SQLite` copies each page it changes.

mod target;

use rusqlite::{Connection, OptionalExtension as _, params};
use tradewind_model::{
    DeliveryState, EntryKind, LogEntry, Message, MessageId, Sequence, Subject, Timestamp,
};

use super::{
    lane, log,
    row::{get, message},
    writer::Batch,
};
use crate::columns::{MESSAGE_WIDTH, message_columns};
use crate::{
    Appended, Idempotency, NewMessage, Origin, Settlement, StoreError,
    coded::Coded as _,
    page::{Place, integer, json_text, stored, whole_milliseconds},
};
use target::{Target, advance, create_or_refuse, takes, target};

/// A row of the log.
pub(super) struct Entry {
    pub(super) sequence: Sequence,
    pub(super) lane_row: i64,
    pub(super) position: u64,
    pub(super) kind: EntryKind,
    pub(super) message_row: Option<i64>,
}

pub(super) fn append(
    batch: &Batch<'_>,
    now: Timestamp,
    new: &NewMessage,
) -> Result<Appended, StoreError> {
    if let Some(idempotency) = &new.idempotency
        && let Some(answer) = earlier_by_key(batch, idempotency)?
    {
        return Ok(answer);
    }
    let sequence = next_sequence(batch)?;
    let target = match target(batch, new.conversation_id)? {
        Some(target) if takes(&target, &new.origin) => target,
        // Before anything is refused or created: it may be stored already.
        found => match earlier(batch, new.id)? {
            Some(message) => return Ok(Appended::Repeated(message)),
            None => match create_or_refuse(batch, new, found, sequence)? {
                Ok(target) => target,
                Err(refusal) => return Ok(refusal),
            },
        },
    };
    let place = Place {
        channel_id: target.channel_id,
        source: target.source.clone(),
        contact_source_id: target.contact_source_id.clone(),
        position: target.message_count + 1,
    };
    let message = stored(new, place);
    if !write_message(batch, now, &message, &target, sequence)? {
        let message = earlier(batch, new.id)?.ok_or(StoreError::NotFound)?;
        return Ok(Appended::Repeated(message));
    }
    advance(batch, &target, message.sender.kind, sequence)?;
    let entry = Entry {
        sequence,
        lane_row: target.row,
        position: target.entry_count + 1,
        kind: match new.origin {
            Origin::Source { .. } => EntryKind::Received,
            Origin::Api => EntryKind::SendRequested,
        },
        message_row: Some(integer(sequence.0)),
    };
    write_entry(batch, now, &entry)?;
    batch.appended(LogEntry {
        sequence,
        position: entry.position,
        kind: entry.kind,
        at: whole_milliseconds(now),
        subject: Subject::Message {
            message: message.clone(),
            conversation_created_at: target.created_at,
        },
    });
    if let Some(idempotency) = &new.idempotency {
        write_key(batch, now, idempotency, integer(sequence.0))?;
    }
    Ok(Appended::Stored(message))
}

pub(super) fn settle(
    batch: &Batch<'_>,
    now: Timestamp,
    id: MessageId,
    settlement: &Settlement,
) -> Result<bool, StoreError> {
    let pending = batch
        .prepare_cached(
            "-- settle
             SELECT m.row, c.row, c.entry_count
             FROM message m JOIN conversation c ON c.row = m.conversation_row
             WHERE m.id = ?1 AND m.state = ?2",
        )?
        .query_row((id.uuid(), DeliveryState::Pending.code()), |row| {
            Ok((
                get::<Sequence>(row, 0)?,
                row.get::<_, i64>(1)?,
                get::<u64>(row, 2)?,
            ))
        })
        .optional()?;
    // A message's row is the sequence of its first entry; one that is older than that rule has a row
    // below all sequences that are given out now.
    let Some((first, conversation_row, entry_count)) = pending else {
        return Ok(false);
    };
    let (state, kind, reason) = match settlement {
        Settlement::Sent { .. } => (DeliveryState::Delivered, EntryKind::Sent, None),
        Settlement::Failed { reason } => (
            DeliveryState::Failed,
            EntryKind::SendFailed,
            Some(reason.as_str()),
        ),
    };
    let of = (conversation_row, entry_count);
    let entry = next_entry(batch, of, kind, integer(first.0))?;
    batch
        .prepare_cached(
            "-- settle
             UPDATE message SET state = ?2, failure_reason = ?3, last_sequence = ?4,
                 source_message_id = ?5
             WHERE row = ?1",
        )?
        .execute((
            integer(first.0),
            state.code(),
            reason,
            integer(entry.sequence.0),
            settlement.source_message_id(),
        ))?;
    append_entry(batch, now, &entry)?;
    batch.settled(first, state);
    Ok(true)
}

/// The next entry of a conversation, with its row and the number of entries so far, about one of its
/// messages. It is counted, and still to be written.
pub(super) fn next_entry(
    batch: &Batch<'_>,
    (conversation_row, entry_count): (i64, u64),
    kind: EntryKind,
    message_row: i64,
) -> rusqlite::Result<Entry> {
    batch
        .prepare_cached(
            "-- next_entry
             UPDATE conversation SET entry_count = entry_count + 1 WHERE row = ?1",
        )?
        .execute([conversation_row])?;
    Ok(Entry {
        sequence: next_sequence(batch)?,
        lane_row: conversation_row,
        position: entry_count + 1,
        kind,
        message_row: Some(message_row),
    })
}

/// The message with this id, if it was stored before.
fn earlier(db: &Connection, id: MessageId) -> Result<Option<Message>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "-- earlier\n SELECT ",
            message_columns!(),
            " FROM message m
              JOIN conversation c ON c.row = m.conversation_row
              JOIN channel h ON h.row = c.channel_row
              WHERE m.id = ?1"
        ))?
        .query_row([id.uuid()], message)
        .optional()?;
    Ok(found)
}

/// A key whose message was swept is a new key.
fn earlier_by_key(
    db: &Connection,
    idempotency: &Idempotency,
) -> Result<Option<Appended>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "-- earlier_by_key\n SELECT ",
            message_columns!(),
            ", i.request_hash
              FROM idempotency i
              JOIN message m ON m.row = i.message_row
              JOIN conversation c ON c.row = m.conversation_row
              JOIN channel h ON h.row = c.channel_row
              WHERE i.scope = ?1 AND i.key = ?2"
        ))?
        .query_row((&idempotency.scope, &idempotency.key), |row| {
            let hash: [u8; 32] = row.get(MESSAGE_WIDTH)?;
            Ok((message(row)?, hash))
        })
        .optional()?;
    Ok(found.map(|(message, hash)| {
        if hash == idempotency.request_hash {
            Appended::Repeated(message)
        } else {
            Appended::KeyReused
        }
    }))
}

/// The sequence of the entry that is written next.
pub(super) fn next_sequence(batch: &Batch<'_>) -> rusqlite::Result<Sequence> {
    let newest = match batch.newest() {
        Some(newest) => newest,
        None => log::head(batch)?,
    };
    Ok(newest.next())
}

/// Writes an entry that is not at hand as it will be read back.
pub(super) fn append_entry(
    batch: &Batch<'_>,
    now: Timestamp,
    entry: &Entry,
) -> Result<(), StoreError> {
    write_entry(batch, now, entry)?;
    batch.appended(log::read_entry(batch, entry.sequence)?);
    Ok(())
}

fn write_entry(db: &Connection, now: Timestamp, entry: &Entry) -> Result<(), StoreError> {
    db.prepare_cached(
        "-- write_entry
             INSERT INTO log (sequence, lane_row, position, kind, message_row, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        integer(entry.sequence.0),
        entry.lane_row,
        integer(entry.position),
        entry.kind.code(),
        entry.message_row,
        now.as_millisecond(),
    ))?;
    Ok(())
}

/// `false`: there is a message with its id.
fn write_message(
    db: &Connection,
    now: Timestamp,
    message: &Message,
    target: &Target,
    sequence: Sequence,
) -> Result<bool, StoreError> {
    let written = db
        .prepare_cached(
            "-- write_message
             INSERT INTO message (row, id, conversation_row, position, previous_row, anchor,
                 sender_kind, sender_id, content, state, sent_at_ms, stored_at_ms, last_sequence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?1)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            integer(sequence.0),
            message.id.uuid(),
            target.row,
            integer(message.position),
            target.last_message_row,
            lane::is_anchor(message.position),
            message.sender.kind.code(),
            message.sender.id,
            json_text(&message.content)?,
            message.state.code(),
            message.sent_at.as_millisecond(),
            now.as_millisecond(),
        ])?;
    Ok(written > 0)
}

fn write_key(
    db: &Connection,
    now: Timestamp,
    idempotency: &Idempotency,
    message_row: i64,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- write_key
         INSERT OR REPLACE INTO idempotency (scope, key, request_hash, message_row, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        &idempotency.scope,
        &idempotency.key,
        idempotency.request_hash,
        message_row,
        now.as_millisecond(),
    ))?;
    Ok(())
}
