//! Writing the log: `append` and `settle`.

use rusqlite::{Connection, OptionalExtension as _, params};
use tradewind_model::{
    ChannelId, DeliveryState, EntryKind, Message, MessageId, SenderType, Sequence, Source,
    Timestamp,
};

use super::{
    row::{Coded as _, get, integer, json, message, message_columns},
    writer::Batch,
};
use crate::{Appended, Idempotency, NewMessage, Origin, Settlement, StoreError};

/// The conversation a message goes to.
struct Target {
    row: i64,
    channel_id: ChannelId,
    source: Source,
    contact_source_id: String,
}

/// An entry to be written.
pub(super) struct Entry {
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
    if let Some(answer) = earlier(batch, new)? {
        return Ok(answer);
    }
    let row = next_message_row(batch)?;
    let target = match target(batch, new, row)? {
        Ok(target) => target,
        Err(refusal) => return Ok(refusal),
    };
    let (state, kind) = match new.origin {
        Origin::Source { .. } => (DeliveryState::Delivered, EntryKind::Received),
        Origin::Api => (DeliveryState::Pending, EntryKind::SendRequested),
    };
    let (position, entry_position) = advance(batch, &target, row, new.sender.kind)?;
    let entry = Entry {
        lane_row: target.row,
        position: entry_position,
        kind,
        message_row: Some(row),
    };
    let sequence = write_entry(batch, now, &entry)?;
    let message = Message {
        id: new.id,
        conversation_id: new.conversation_id,
        channel_id: target.channel_id,
        source: target.source,
        contact_source_id: target.contact_source_id,
        position,
        sender: new.sender.clone(),
        content: new.content.clone(),
        state,
        sent_at: whole_milliseconds(new.sent_at),
    };
    write_message(batch, now, &message, &entry, sequence)?;
    if let Some(idempotency) = &new.idempotency {
        write_key(batch, now, idempotency, row)?;
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
             SELECT row, conversation_row FROM message WHERE id = ?1 AND state = ?2",
        )?
        .query_row((id.uuid(), DeliveryState::Pending.code()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((message_row, conversation_row)) = pending else {
        return Ok(false);
    };
    let (state, kind, reason) = match settlement {
        Settlement::Sent => (DeliveryState::Delivered, EntryKind::Sent, None),
        Settlement::Failed { reason } => (
            DeliveryState::Failed,
            EntryKind::SendFailed,
            Some(reason.as_str()),
        ),
    };
    let position = batch
        .prepare_cached(
            "-- settle
             UPDATE conversation SET entry_count = entry_count + 1 WHERE row = ?1
             RETURNING entry_count",
        )?
        .query_row([conversation_row], |row| get(row, 0))?;
    let entry = Entry {
        lane_row: conversation_row,
        position,
        kind,
        message_row: Some(message_row),
    };
    let sequence = write_entry(batch, now, &entry)?;
    batch
        .prepare_cached(
            "-- settle
             UPDATE message SET state = ?2, failure_reason = ?3, last_sequence = ?4 WHERE row = ?1",
        )?
        .execute((message_row, state.code(), reason, integer(sequence.0)))?;
    Ok(true)
}

/// What a repeated message is answered with. `None`: it is new.
fn earlier(db: &Connection, new: &NewMessage) -> Result<Option<Appended>, StoreError> {
    if let Some(idempotency) = &new.idempotency
        && let Some(answer) = earlier_by_key(db, idempotency)?
    {
        return Ok(Some(answer));
    }
    let found = db
        .prepare_cached(concat!(
            "-- earlier\n SELECT ",
            message_columns!(),
            " FROM message m
              JOIN conversation c ON c.row = m.conversation_row
              JOIN channel h ON h.row = c.channel_row
              WHERE m.id = ?1"
        ))?
        .query_row([new.id.uuid()], message)
        .optional()?;
    Ok(found.map(Appended::Repeated))
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
            let hash: [u8; 32] = row.get(super::row::MESSAGE_WIDTH)?;
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

fn next_message_row(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "-- next_message_row
         SELECT COALESCE(MAX(row), 0) + 1 FROM message",
    )?
    .query_row([], |row| row.get(0))
}

/// Finds the conversation, or creates it if a source brings its first message, which gets
/// `message_row`. The inner error is why the message is refused.
fn target(
    db: &Connection,
    new: &NewMessage,
    message_row: i64,
) -> Result<Result<Target, Appended>, StoreError> {
    let found = db
        .prepare_cached(
            "-- target
             SELECT c.row, h.id, h.source, c.contact_source_id, h.connected
             FROM conversation c JOIN channel h ON h.row = c.channel_row
             WHERE c.id = ?1",
        )?
        .query_row([new.conversation_id.uuid()], |row| {
            let target = Target {
                row: row.get(0)?,
                channel_id: get(row, 1)?,
                source: get(row, 2)?,
                contact_source_id: row.get(3)?,
            };
            Ok((target, row.get(4)?))
        })
        .optional()?;
    match (found, &new.origin) {
        (Some((_, false)), _) => Ok(Err(Appended::ChannelDisconnected)),
        (Some((target, true)), Origin::Source { channel_id, .. })
            if target.channel_id != *channel_id =>
        {
            Err(StoreError::Broken(
                "a conversation cannot change its channel".into(),
            ))
        }
        (Some((target, true)), _) => Ok(Ok(target)),
        (None, Origin::Api) => Ok(Err(Appended::ConversationNotFound)),
        (
            None,
            Origin::Source {
                channel_id,
                contact_source_id,
            },
        ) => create_conversation(db, new, (*channel_id, contact_source_id), message_row),
    }
}

fn create_conversation(
    db: &Connection,
    new: &NewMessage,
    (channel_id, contact_source_id): (ChannelId, &str),
    message_row: i64,
) -> Result<Result<Target, Appended>, StoreError> {
    let channel = db
        .prepare_cached(
            "-- create_conversation
             SELECT row, source, connected FROM channel WHERE id = ?1",
        )?
        .query_row([channel_id.uuid()], |row| {
            Ok((row.get::<_, i64>(0)?, get(row, 1)?, row.get(2)?))
        })
        .optional()?;
    let (channel_row, source) = match channel {
        None => return Ok(Err(Appended::ChannelNotFound)),
        Some((_, _, false)) => return Ok(Err(Appended::ChannelDisconnected)),
        Some((row, source, true)) => (row, source),
    };
    let row = db
        .prepare_cached(
            "-- create_conversation
             INSERT INTO conversation (id, channel_row, contact_source_id, created_at_ms,
                 message_count, entry_count, unread_count, last_message_row)
             VALUES (?1, ?2, ?3, ?4, 0, 0, 0, ?5)",
        )?
        .insert((
            new.conversation_id.uuid(),
            channel_row,
            contact_source_id,
            new.sent_at.as_millisecond(),
            message_row,
        ))?;
    db.prepare_cached(
        "-- create_conversation
         UPDATE counter SET conversations = conversations + 1",
    )?
    .execute([])?;
    Ok(Ok(Target {
        row,
        channel_id,
        source,
        contact_source_id: contact_source_id.to_owned(),
    }))
}

/// Makes room for one more message and its entry; answers with the position of each.
fn advance(
    db: &Connection,
    target: &Target,
    message_row: i64,
    sender: SenderType,
) -> rusqlite::Result<(u64, u64)> {
    db.prepare_cached(
        "-- advance
         UPDATE conversation
         SET message_count = message_count + 1, entry_count = entry_count + 1,
             unread_count = unread_count + ?3, last_message_row = ?2
         WHERE row = ?1
         RETURNING message_count, entry_count",
    )?
    .query_row(
        (target.row, message_row, sender == SenderType::SourceContact),
        |row| Ok((get(row, 0)?, get(row, 1)?)),
    )
}

pub(super) fn write_entry(
    batch: &Batch<'_>,
    now: Timestamp,
    entry: &Entry,
) -> Result<Sequence, StoreError> {
    let sequence = batch
        .prepare_cached(
            "-- write_entry
             INSERT INTO log (lane_row, position, kind, message_row, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert((
            entry.lane_row,
            integer(entry.position),
            entry.kind.code(),
            entry.message_row,
            now.as_millisecond(),
        ))?;
    let sequence = u64::try_from(sequence).map_err(|error| StoreError::Broken(error.into()))?;
    batch.appended(Sequence(sequence));
    Ok(Sequence(sequence))
}

fn write_message(
    db: &Connection,
    now: Timestamp,
    message: &Message,
    entry: &Entry,
    sequence: Sequence,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "-- write_message
         INSERT INTO message (row, id, conversation_row, position, sender_kind, sender_id, content,
             state, sent_at_ms, stored_at_ms, last_sequence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        entry.message_row,
        message.id.uuid(),
        entry.lane_row,
        integer(message.position),
        message.sender.kind.code(),
        message.sender.id,
        json(&message.content)?,
        message.state.code(),
        message.sent_at.as_millisecond(),
        now.as_millisecond(),
        integer(sequence.0),
    ])?;
    Ok(())
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

/// A time as it will be read back.
fn whole_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
