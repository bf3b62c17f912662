//! The conversation that a message goes to: found, created, moved on.

use rusqlite::{Connection, OptionalExtension as _};
use tradewind_model::{ChannelId, ConversationId, SenderType, Sequence, Source, Timestamp};

use crate::{
    Appended, NewMessage, Origin, StoreError,
    page::{integer, whole_milliseconds},
    sqlite::row::get,
};

/// The conversation a message goes to.
pub(super) struct Target {
    pub(super) row: i64,
    pub(super) channel_id: ChannelId,
    pub(super) source: Source,
    pub(super) contact_source_id: String,
    pub(super) connected: bool,
    pub(super) message_count: u64,
    pub(super) entry_count: u64,
    pub(super) unread_count: u64,
    /// 0: it has none yet.
    pub(super) last_message_row: i64,
    pub(super) created_at: Timestamp,
}

pub(super) fn target(db: &Connection, id: ConversationId) -> Result<Option<Target>, StoreError> {
    let found = db
        .prepare_cached(
            "-- target
             SELECT c.row, h.id, h.source, c.contact_source_id, h.connected, c.message_count,
                 c.entry_count, c.unread_count, c.last_message_row, c.created_at_ms
             FROM conversation c JOIN channel h ON h.row = c.channel_row
             WHERE c.id = ?1",
        )?
        .query_row([id.uuid()], |row| {
            Ok(Target {
                row: row.get(0)?,
                channel_id: get(row, 1)?,
                source: get(row, 2)?,
                contact_source_id: row.get(3)?,
                connected: row.get(4)?,
                message_count: get(row, 5)?,
                entry_count: get(row, 6)?,
                unread_count: get(row, 7)?,
                last_message_row: row.get(8)?,
                created_at: get(row, 9)?,
            })
        })
        .optional()?;
    Ok(found)
}

pub(super) fn takes(target: &Target, origin: &Origin) -> bool {
    target.connected
        && match origin {
            Origin::Source { channel_id, .. } => target.channel_id == *channel_id,
            Origin::Api => true,
        }
}

/// For a message that the conversation `found` does not take: creates the conversation if a source
/// brings its first message, which will be stored with `sequence`. The inner error is why the message
/// is refused.
pub(super) fn create_or_refuse(
    db: &Connection,
    new: &NewMessage,
    found: Option<Target>,
    sequence: Sequence,
) -> Result<Result<Target, Appended>, StoreError> {
    match (found, &new.origin) {
        (Some(target), _) if !target.connected => Ok(Err(Appended::ChannelDisconnected)),
        (Some(_), _) => Err(StoreError::Broken(
            "a conversation cannot change its channel".into(),
        )),
        (None, Origin::Api) => Ok(Err(Appended::ConversationNotFound)),
        (
            None,
            Origin::Source {
                channel_id,
                contact_source_id,
            },
        ) => create_conversation(db, new, (*channel_id, contact_source_id), sequence),
    }
}

fn create_conversation(
    db: &Connection,
    new: &NewMessage,
    (channel_id, contact_source_id): (ChannelId, &str),
    sequence: Sequence,
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
                 first_position, message_count, entry_count, unread_count, last_message_row)
             VALUES (?1, ?2, ?3, ?4, 1, 0, 0, 0, ?5)",
        )?
        .insert((
            new.conversation_id.uuid(),
            channel_row,
            contact_source_id,
            new.sent_at.as_millisecond(),
            integer(sequence.0),
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
        connected: true,
        message_count: 0,
        entry_count: 0,
        unread_count: 0,
        last_message_row: 0,
        created_at: whole_milliseconds(new.sent_at),
    }))
}

/// Makes the message with this sequence, and its entry, the last of its conversation.
pub(super) fn advance(
    db: &Connection,
    target: &Target,
    sender: SenderType,
    sequence: Sequence,
) -> rusqlite::Result<()> {
    let unread = u64::from(sender == SenderType::SourceContact);
    db.prepare_cached(
        "-- advance
         UPDATE conversation SET message_count = ?2, entry_count = ?3, unread_count = ?4,
             last_message_row = ?5
         WHERE row = ?1",
    )?
    .execute((
        target.row,
        integer(target.message_count + 1),
        integer(target.entry_count + 1),
        integer(target.unread_count + unread),
        integer(sequence.0),
    ))?;
    Ok(())
}
