//! Lists of conversations and of their messages.
//!
//! Pages are cut along indexes and totals are kept or computed from positions, so that a page costs
//! the same whether there are ten conversations or a million.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};
use tradewind_model::{Contact, Conversation, ConversationId, Message};

use super::{
    channel::channel,
    lane,
    note::{metadata_of, tags_of},
    row::{get, message},
};
use crate::columns::{CHANNEL_WIDTH, MESSAGE_WIDTH, conversation_columns, message_columns};
use crate::{
    ConversationCursor, MessageCursor, MessagePage, Page, StoreError,
    page::{Positions, Window, integer, page_limit, row_limit},
};

/// A conversation and its place in the list.
type Placed = (u64, Conversation);

/// The same, with its row: what is noted about it is still to be read.
type Bare = (i64, Placed);

pub(super) fn list_conversations(
    db: &Connection,
    cursor: Option<ConversationCursor>,
    limit: usize,
) -> Result<Page<Conversation, ConversationCursor>, StoreError> {
    let limit = page_limit(limit);
    let placed = match cursor {
        None => conversations_before(db, u64::MAX, limit)?,
        Some(ConversationCursor::Before(place)) => conversations_before(db, place, limit)?,
        Some(ConversationCursor::After(place)) => conversations_after(db, place, limit)?,
    };
    let places: Vec<u64> = placed.iter().map(|(place, _)| *place).collect();
    let window = Window::of(&places, cursor);
    let (above, below, total) = around(db, &window)?;
    let items = placed.into_iter().map(|(_, item)| item).collect();
    Ok(window.page(items, above, below, total))
}

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
    Ok(found.map(|(_, conversation)| conversation))
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

fn conversations_before(
    db: &Connection,
    place: u64,
    limit: usize,
) -> Result<Vec<Placed>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "-- conversations_before\n SELECT ",
            conversation_columns!(),
            " FROM conversation c
              JOIN message m ON m.row = c.last_message_row
              JOIN channel h ON h.row = c.channel_row
              WHERE c.last_message_row < ?1
              ORDER BY c.last_message_row DESC LIMIT ?2"
        ))?
        .query_map((integer(place), row_limit(limit)), bare)?
        .map(|bare| with_notes(db, bare?))
        .collect::<Result<_, _>>()?;
    Ok(found)
}

/// Those just above `place`, in the order of the list: the highest first.
fn conversations_after(
    db: &Connection,
    place: u64,
    limit: usize,
) -> Result<Vec<Placed>, StoreError> {
    let mut found = db
        .prepare_cached(concat!(
            "-- conversations_after\n SELECT ",
            conversation_columns!(),
            " FROM conversation c
              JOIN message m ON m.row = c.last_message_row
              JOIN channel h ON h.row = c.channel_row
              WHERE c.last_message_row > ?1
              ORDER BY c.last_message_row LIMIT ?2"
        ))?
        .query_map((integer(place), row_limit(limit)), bare)?
        .map(|bare| with_notes(db, bare?))
        .collect::<Result<Vec<_>, _>>()?;
    found.reverse();
    Ok(found)
}

/// Whether there are conversations above a page and below it, and how many there are in all.
fn around(db: &Connection, page: &Window) -> rusqlite::Result<(bool, bool, u64)> {
    db.prepare_cached(
        "-- around
         SELECT EXISTS (SELECT 1 FROM conversation WHERE last_message_row > ?1),
             EXISTS (SELECT 1 FROM conversation WHERE last_message_row < ?2),
             conversations
         FROM counter",
    )?
    .query_row((integer(page.newest), integer(page.oldest)), |row| {
        Ok((row.get(0)?, row.get(1)?, get(row, 2)?))
    })
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
    let mut statement = db.prepare_cached(concat!(
        "-- messages\n SELECT ",
        message_columns!(),
        " FROM message m
          JOIN conversation c ON c.row = m.conversation_row
          JOIN channel h ON h.row = c.channel_row
          WHERE m.row = ?1"
    ))?;
    let rows = lane::message_rows(db, conversation_row, from, to)?;
    let messages = rows
        .into_iter()
        .map(|row| statement.query_row([row], message))
        .collect::<Result<_, _>>()?;
    Ok(messages)
}

/// Reads what is noted about a conversation.
fn with_notes(db: &Connection, (row, placed): Bare) -> rusqlite::Result<Placed> {
    let (place, conversation) = placed;
    let noted = Conversation {
        tags: tags_of(db, row)?,
        metadata: metadata_of(db, row)?,
        ..conversation
    };
    Ok((place, noted))
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
    Ok((row.get(own + 6)?, (get(row, own + 5)?, conversation)))
}
