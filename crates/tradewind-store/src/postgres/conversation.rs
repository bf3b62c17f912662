//! Lists of conversations and of their messages.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Row};
use tradewind_model::{Contact, Conversation, ConversationId, Message};

use super::{
    channel::channel,
    note::{Notes, notes_of},
    row::{message, number, params, text_or_none, time},
};
use crate::columns::{CHANNEL_WIDTH, MESSAGE_WIDTH, conversation_columns, message_columns};
use crate::{
    ConversationCursor, MessageCursor, MessagePage, Page, StoreError,
    page::{Positions, Window, integer, page_limit, row_limit},
};

macro_rules! conversation_joins {
    () => {
        " FROM conversation c
          JOIN message m ON m.row = c.last_message_row
          JOIN channel h ON h.row = c.channel_row "
    };
}

/// A conversation and its place in the list.
type Placed = (u64, Conversation);

/// The same, with its row: what is noted about it is still to be read.
type Bare = (i64, Placed);

pub(super) async fn list_conversations(
    db: &Client,
    cursor: Option<ConversationCursor>,
    limit: usize,
) -> Result<Page<Conversation, ConversationCursor>, StoreError> {
    let limit = page_limit(limit);
    let placed = match cursor {
        None => before(db, u64::MAX, limit).await?,
        Some(ConversationCursor::Before(place)) => before(db, place, limit).await?,
        Some(ConversationCursor::After(place)) => after(db, place, limit).await?,
    };
    let places: Vec<u64> = placed.iter().map(|(place, _)| *place).collect();
    let window = Window::of(&places, cursor);
    let row = db
        .query_typed_one(
            "SELECT EXISTS (SELECT 1 FROM conversation WHERE last_message_row > $1),
                 EXISTS (SELECT 1 FROM conversation WHERE last_message_row < $2),
                 conversations
             FROM counter",
            params![integer(window.newest) => INT8, integer(window.oldest) => INT8],
        )
        .await?;
    let items = placed.into_iter().map(|(_, item)| item).collect();
    Ok(window.page(items, row.try_get(0)?, row.try_get(1)?, number(&row, 2)?))
}

pub(super) async fn find_conversation(
    db: &Client,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    let row = db
        .query_typed_opt(
            concat!(
                "SELECT ",
                conversation_columns!(),
                conversation_joins!(),
                "WHERE c.id = $1"
            ),
            params![id.uuid() => UUID],
        )
        .await?;
    let placed = with_notes(db, row.iter()).await?;
    Ok(placed
        .into_iter()
        .next()
        .map(|(_, conversation)| conversation))
}

pub(super) async fn list_messages(
    db: &Client,
    id: ConversationId,
    cursor: Option<MessageCursor>,
    limit: usize,
) -> Result<Option<MessagePage>, StoreError> {
    let row = db
        .query_typed_opt(
            "SELECT row, first_position, message_count FROM conversation WHERE id = $1",
            params![id.uuid() => UUID],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let positions = Positions {
        first: number(&row, 1)?,
        last: number(&row, 2)?,
    };
    let (from, to) = positions.range(cursor, limit);
    let items = messages(db, row.try_get(0)?, from, to).await?;
    Ok(Some(positions.page(items, from, to)))
}

async fn before(db: &Client, place: u64, limit: usize) -> Result<Vec<Placed>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                conversation_columns!(),
                conversation_joins!(),
                "WHERE c.last_message_row < $1
                 ORDER BY c.last_message_row DESC LIMIT $2"
            ),
            params![integer(place) => INT8, row_limit(limit) => INT8],
        )
        .await?;
    with_notes(db, rows.iter()).await
}

/// Those just above `place`, in the order of the list: the highest first.
async fn after(db: &Client, place: u64, limit: usize) -> Result<Vec<Placed>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                conversation_columns!(),
                conversation_joins!(),
                "WHERE c.last_message_row > $1
                 ORDER BY c.last_message_row LIMIT $2"
            ),
            params![integer(place) => INT8, row_limit(limit) => INT8],
        )
        .await?;
    with_notes(db, rows.iter().rev()).await
}

async fn messages(
    db: &Client,
    conversation_row: i64,
    from: u64,
    to: u64,
) -> Result<Vec<Message>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM message m
                  JOIN conversation c ON c.row = m.conversation_row
                  JOIN channel h ON h.row = c.channel_row
                  WHERE m.conversation_row = $1 AND m.position >= $2 AND m.position < $3
                  ORDER BY m.position"
            ),
            params![conversation_row => INT8, integer(from) => INT8, integer(to) => INT8],
        )
        .await?;
    rows.iter().map(message).collect()
}

/// Reads conversations, and what is noted about them.
async fn with_notes<'r>(
    db: &Client,
    rows: impl Iterator<Item = &'r Row>,
) -> Result<Vec<Placed>, StoreError> {
    let found: Vec<Bare> = rows.map(bare).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<i64> = found.iter().map(|(row, _)| *row).collect();
    let mut notes = notes_of(db, &rows).await?;
    let placed = found.into_iter().map(|(row, (place, conversation))| {
        let Notes { tags, metadata } = notes.remove(&row).unwrap_or_default();
        let noted = Conversation {
            tags,
            metadata,
            ..conversation
        };
        (place, noted)
    });
    Ok(placed.collect())
}

fn bare(row: &Row) -> Result<Bare, StoreError> {
    let own = MESSAGE_WIDTH + CHANNEL_WIDTH;
    let last_message = message(row)?;
    let conversation = Conversation {
        id: last_message.conversation_id,
        channel: channel(row, MESSAGE_WIDTH)?,
        contact: Contact {
            source_id: last_message.contact_source_id.clone(),
            first_name: text_or_none(row, own + 1)?,
            last_name: text_or_none(row, own + 2)?,
            avatar_url: text_or_none(row, own + 3)?,
        },
        created_at: time(row, own)?,
        last_message,
        unread_count: number(row, own + 4)?,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
    };
    Ok((row.try_get(own + 6)?, (number(row, own + 5)?, conversation)))
}
