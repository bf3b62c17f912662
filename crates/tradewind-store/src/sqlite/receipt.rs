//! What sources tell of messages that they took.

use rusqlite::{Connection, OptionalExtension as _};
use tradewind_model::{
    ChannelId, Conversation, DeliveryState, MessageId, Receipt, SenderType, Timestamp,
};

use super::{
    append::{append_entry, next_entry},
    lane,
    recent::Fate,
    row::{find, get},
    writer::Batch,
};
use crate::{
    NewReceipt, ReceiptKind, ReceiptOf, StoreError,
    coded::Coded as _,
    page::integer,
    receipt::{RECEIPTS_MAX, moved, way},
};

/// A message of ours.
struct Ours {
    id: MessageId,
    row: i64,
    conversation_row: i64,
    state: DeliveryState,
    receipt: Option<Receipt>,
}

pub(super) fn take_receipt(
    batch: &Batch<'_>,
    now: Timestamp,
    new: &NewReceipt,
) -> Result<u64, StoreError> {
    let found = match &new.of {
        ReceiptOf::Message(id) => by_id(batch, new.channel_id, *id)?.into_iter().collect(),
        ReceiptOf::SourceIds(ids) => by_source_ids(batch, new.channel_id, ids)?,
        ReceiptOf::Until { contact, at } => {
            until(batch, (new.channel_id, contact), *at, new.kind.way())?
        }
    };
    let mut count = 0;
    for message in found {
        count += u64::from(take(batch, now, &message, &new.kind)?);
    }
    Ok(count)
}

/// Whether it moved the message.
fn take(
    batch: &Batch<'_>,
    now: Timestamp,
    message: &Ours,
    kind: &ReceiptKind,
) -> Result<bool, StoreError> {
    let Some(to) = moved(message.state, message.receipt, kind) else {
        return Ok(false);
    };
    let reason = match kind {
        ReceiptKind::Failed { reason } => Some(reason.as_str()),
        _ => None,
    };
    // Before its entries, which show it as it is then.
    batch
        .prepare_cached(
            "-- take
             UPDATE message SET state = ?2, receipt = ?3, failure_reason = ?4 WHERE row = ?1",
        )?
        .execute((
            message.row,
            to.state.code(),
            to.receipt.map(Receipt::code),
            reason,
        ))?;
    for kind in to.entries {
        let entry_count = entry_count(batch, message.conversation_row)?;
        let of = (message.conversation_row, entry_count);
        let entry = next_entry(batch, of, *kind, message.row)?;
        append_entry(batch, now, &entry)?;
        batch
            .prepare_cached(
                "-- take
                 UPDATE message SET last_sequence = ?2 WHERE row = ?1",
            )?
            .execute((message.row, integer(entry.sequence.0)))?;
    }
    let fate = Fate {
        state: to.state,
        receipt: to.receipt,
        failure_reason: reason.map(str::to_owned),
    };
    batch.advanced(message.id, fate);
    Ok(true)
}

fn entry_count(db: &Connection, conversation_row: i64) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "-- entry_count
         SELECT entry_count FROM conversation WHERE row = ?1",
    )?
    .query_row([conversation_row], |row| get(row, 0))
}

fn by_id(db: &Connection, channel: ChannelId, id: MessageId) -> Result<Option<Ours>, StoreError> {
    let found = db
        .prepare_cached(
            "-- by_id
             SELECT m.id, m.row, m.conversation_row, m.state, m.receipt FROM message m
             JOIN conversation c ON c.row = m.conversation_row
             JOIN channel h ON h.row = c.channel_row
             WHERE m.id = ?1 AND m.sender_kind = ?2 AND h.id = ?3",
        )?
        .query_row(
            (id.uuid(), SenderType::AppUser.code(), channel.uuid()),
            ours,
        )
        .optional()?;
    Ok(found)
}

pub(super) fn has_sent(
    db: &Connection,
    channel: ChannelId,
    id: String,
) -> Result<bool, StoreError> {
    Ok(!by_source_ids(db, channel, &[id])?.is_empty())
}

/// Of each id, the newest message of the channel that has it.
fn by_source_ids(
    db: &Connection,
    channel: ChannelId,
    ids: &[String],
) -> Result<Vec<Ours>, StoreError> {
    let mut found = Vec::new();
    // Other channels may have the same id, but not many.
    let mut statement = db.prepare_cached(
        "-- by_source_ids
         SELECT m.id, m.row, m.conversation_row, m.state, m.receipt FROM (
             SELECT id, row, conversation_row, sender_kind, state, receipt FROM message
             WHERE source_message_id = ?1 ORDER BY row DESC LIMIT ?4) m
         JOIN conversation c ON c.row = m.conversation_row
         JOIN channel h ON h.row = c.channel_row
         WHERE m.sender_kind = ?2 AND h.id = ?3
         ORDER BY m.row DESC LIMIT 1",
    )?;
    let mut seen = std::collections::HashSet::new();
    for id in ids.iter().take(limit()).filter(|id| seen.insert(*id)) {
        let parameters = (id, SenderType::AppUser.code(), channel.uuid(), RECEIPTS_MAX);
        found.extend(statement.query_row(parameters, ours).optional()?);
    }
    Ok(found)
}

/// Those of the newest messages of a conversation that were sent until `at` and have not come `wanted` far,
/// in order.
fn until(
    db: &Connection,
    (channel, contact): (ChannelId, &str),
    at: Timestamp,
    wanted: u8,
) -> Result<Vec<Ours>, StoreError> {
    let conversation = db
        .prepare_cached(
            "-- until
             SELECT row, last_message_row FROM conversation WHERE id = ?1",
        )?
        .query_row([Conversation::id_of(channel, contact).uuid()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((conversation_row, last)) = conversation else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let mut next = Some(last);
    for _ in 0..RECEIPTS_MAX {
        let Some(row) = next else { break };
        let message = sent_by_us(db, row, at)?;
        if let Some(message) = message {
            if way(message.state, message.receipt) >= wanted {
                break;
            }
            found.push(message);
        }
        next = lane::message_before(db, conversation_row, row)?;
    }
    found.reverse();
    Ok(found)
}

/// The message with this row, if it is ours, its source has it, and it was written until `at`. One that waits
/// to be sent is not meant, whenever it was written.
fn sent_by_us(db: &Connection, row: i64, at: Timestamp) -> rusqlite::Result<Option<Ours>> {
    db.prepare_cached(
        "-- sent_by_us
         SELECT id, row, conversation_row, state, receipt FROM message
         WHERE row = ?1 AND sender_kind = ?2 AND sent_at_ms <= ?3 AND state = ?4",
    )?
    .query_row(
        (
            row,
            SenderType::AppUser.code(),
            at.as_millisecond(),
            DeliveryState::Delivered.code(),
        ),
        ours,
    )
    .optional()
}

fn ours(row: &rusqlite::Row<'_>) -> rusqlite::Result<Ours> {
    Ok(Ours {
        id: get(row, 0)?,
        row: row.get(1)?,
        conversation_row: row.get(2)?,
        state: get(row, 3)?,
        receipt: find(row, 4)?,
    })
}

fn limit() -> usize {
    usize::try_from(RECEIPTS_MAX).unwrap_or(usize::MAX)
}
