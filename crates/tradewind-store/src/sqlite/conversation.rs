//! Conversations and lists of their messages.
//!
//! Pages are cut along indexes and totals are kept or computed from positions, so that a page costs
//! the same whether there are ten conversations or a million.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row};
use tradewind_model::{Contact, Conversation, ConversationId, Message};

use super::{
    channel::channel,
    lane,
    note::{metadata_of, tags_of},
    row::{get, message},
};
use crate::columns::{CHANNEL_WIDTH, MESSAGE_WIDTH, conversation_columns, message_columns};
use crate::{MessageCursor, MessagePage, StoreError, page::Positions};

/// A conversation's row, and all of it but what is noted about it.
type Bare = (i64, Conversation);

pub(super) fn find_conversation(
    db: &Connection,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "-- find_conversation\n SELECT ",
            conversation_columns!(),
            " FROM conversation c
              JOIN message m ON m.row = c.last_message_row
              JOIN channel h ON h.row = c.channel_row
              WHERE c.id = ?1"
        ))?
        .query_row([id.uuid()], bare)
        .optional()?;
    let found = found.map(|bare| with_notes(db, bare)).transpose()?;
    Ok(found)
}

/// The conversation with this row.
pub(super) fn conversation_at(db: &Connection, row: i64) -> Result<Conversation, StoreError> {
    let bare = db
        .prepare_cached(concat!(
            "-- conversation_at\n SELECT ",
            conversation_columns!(),
            " FROM conversation c
              JOIN message m ON m.row = c.last_message_row
              JOIN channel h ON h.row = c.channel_row
              WHERE c.row = ?1"
        ))?
        .query_row([row], bare)?;
    Ok(with_notes(db, bare)?)
}

pub(super) fn list_messages(
    db: &Connection,
    id: ConversationId,
    cursor: Option<MessageCursor>,
    limit: usize,
) -> Result<Option<MessagePage>, StoreError> {
    let Some((row, positions)) = positions(db, id)? else {
        return Ok(None);
    };
    let (from, to) = positions.range(cursor, limit);
    Ok(Some(positions.page(messages(db, row, from, to)?, from, to)))
}

/// The row of a conversation, and its positions.
fn positions(db: &Connection, id: ConversationId) -> rusqlite::Result<Option<(i64, Positions)>> {
    db.prepare_cached(
        "-- positions
         SELECT row, first_position, message_count FROM conversation WHERE id = ?1",
    )?
    .query_row([id.uuid()], |row| {
        let positions = Positions {
            first: get(row, 1)?,
            last: get(row, 2)?,
        };
        Ok((row.get(0)?, positions))
    })
    .optional()
}

fn messages(
    db: &Connection,
    conversation_row: i64,
    from: u64,
    to: u64,
) -> Result<Vec<Message>, StoreError> {
    let mut statement = message_at(db)?;
    let rows = lane::message_rows(db, conversation_row, from, to)?;
    let messages = rows
        .into_iter()
        .map(|row| statement.query_row([row], message))
        .collect::<Result<_, _>>()?;
    Ok(messages)
}

/// Finds a message by its row.
pub(super) fn message_at(db: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    db.prepare_cached(concat!(
        "-- message_at\n SELECT ",
        message_columns!(),
        " FROM message m
          JOIN conversation c ON c.row = m.conversation_row
          JOIN channel h ON h.row = c.channel_row
          WHERE m.row = ?1"
    ))
}

/// Reads what is noted about a conversation.
fn with_notes(db: &Connection, (row, conversation): Bare) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        tags: tags_of(db, row)?,
        metadata: metadata_of(db, row)?,
        ..conversation
    })
}

fn bare(row: &Row<'_>) -> rusqlite::Result<Bare> {
    let own = MESSAGE_WIDTH + CHANNEL_WIDTH;
    let last_message = message(row)?;
    let conversation = Conversation {
        id: last_message.conversation_id,
        channel: channel(row, MESSAGE_WIDTH)?,
        contact: Contact {
            source_id: last_message.contact_source_id.clone(),
            first_name: row.get(own + 1)?,
            last_name: row.get(own + 2)?,
            avatar_url: row.get(own + 3)?,
        },
        created_at: get(row, own)?,
        last_message,
        unread_count: get(row, own + 4)?,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    };
    Ok((row.get(own + 5)?, conversation))
}
