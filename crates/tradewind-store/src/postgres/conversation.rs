//! Conversations and lists of their messages.

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
    MessageCursor, MessagePage, StoreError,
    page::{Positions, integer},
};

/// A conversation's row, and all of it but what is noted about it.
type Bare = (i64, Conversation);

pub(super) async fn find_conversation(
    db: &Client,
    id: ConversationId,
) -> Result<Option<Conversation>, StoreError> {
    let row = db
        .query_typed_opt(
            concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM conversation c
                  JOIN message m ON m.row = c.last_message_row
                  JOIN channel h ON h.row = c.channel_row
                  WHERE c.id = $1"
            ),
            params![id.uuid() => UUID],
        )
        .await?;
    let found = with_notes(db, row.as_slice()).await?;
    Ok(found.into_iter().next())
}

/// The conversations with these rows, in this order.
pub(super) async fn conversations_at(
    db: &Client,
    rows: &[i64],
) -> Result<Vec<Conversation>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM UNNEST($1::INT8[]) WITH ORDINALITY AS n (row, place)
                  JOIN conversation c ON c.row = n.row
                  JOIN message m ON m.row = c.last_message_row
                  JOIN channel h ON h.row = c.channel_row
                  ORDER BY n.place"
            ),
            params![rows => INT8_ARRAY],
        )
        .await?;
    with_notes(db, &rows).await
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
async fn with_notes(db: &Client, rows: &[Row]) -> Result<Vec<Conversation>, StoreError> {
    let found: Vec<Bare> = rows.iter().map(bare).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<i64> = found.iter().map(|(row, _)| *row).collect();
    let mut notes = notes_of(db, &rows).await?;
    let noted = found.into_iter().map(|(row, conversation)| {
        let Notes { tags, metadata } = notes.remove(&row).unwrap_or_default();
        Conversation {
            tags,
            metadata,
            ..conversation
        }
    });
    Ok(noted.collect())
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
    Ok((row.try_get(own + 5)?, conversation))
}
