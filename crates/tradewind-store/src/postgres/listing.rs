//! The list of conversations, which is walked while messages arrive (see [`crate::walk`]).

use tokio_postgres::Client;
use tradewind_model::Filter;

use super::{
    conversation::conversations_at,
    filter::Matches,
    row::{number, params, small_or_none},
};
use crate::{
    ConversationCursor, ConversationPage, StoreError,
    page::{integer, page_limit, row_limit},
    walk::{Cut, MOVES_MAX, Mark, Move, Moved},
};

/// Within a transaction that sees one moment.
pub(super) async fn list_conversations(
    db: &Client,
    filter: Option<&Filter>,
    cursor: Option<ConversationCursor>,
    limit: usize,
) -> Result<ConversationPage, StoreError> {
    let limit = page_limit(limit);
    let mut matches = Matches::of(db, filter.unwrap_or(&Filter::Everything)).await?;
    let (newest, total) = newest(db).await?;
    let matching = match (filter, cursor.and_then(ConversationCursor::matching)) {
        (None, _) => None,
        (Some(_), Some(counted)) => Some(counted),
        (Some(_), None) => Some(matches.count().await?),
    };
    let cut = match cursor {
        Some(ConversationCursor::After { above, .. }) => {
            back(&matches, above, newest, limit).await?
        }
        Some(ConversationCursor::Next { below, seen, .. }) => {
            let mark = Mark { below, seen };
            let moved = moved(db, &matches, mark, (limit, newest)).await?;
            forward(&matches, mark, moved, limit).await?
        }
        None => {
            let (mark, moved) = (Mark::start(newest), Moved::nothing(newest));
            forward(&matches, mark, moved, limit).await?
        }
    };
    let has_previous = cursor.is_some() && !matches.above(cut.above, 1).await?.is_empty();
    Ok(ConversationPage {
        items: conversations_at(db, &cut.rows).await?,
        previous: has_previous.then_some(ConversationCursor::After {
            above: cut.above,
            matching,
        }),
        next: cut
            .next
            .map(|mark| ConversationCursor::next(mark, matching)),
        total,
        matching: matching.unwrap_or(total),
    })
}

async fn forward(
    matches: &Matches<'_>,
    mark: Mark,
    moved: Moved,
    limit: usize,
) -> Result<Cut, StoreError> {
    let below = if moved.is_over {
        matches.below(mark.below, moved.room(limit) + 1).await?
    } else {
        Vec::new()
    };
    Ok(Cut::forward(mark, moved, below, limit))
}

/// The page before.
async fn back(
    matches: &Matches<'_>,
    above: u64,
    newest: u64,
    limit: usize,
) -> Result<Cut, StoreError> {
    let mut cut = Cut::back(&matches.above(above, limit).await?, above, newest);
    if let Some(mark) = cut.next
        && matches.below(mark.below, 1).await?.is_empty()
    {
        cut.next = None;
    }
    Ok(cut)
}

/// What has moved up to a page, from below it.
async fn moved(
    db: &Client,
    matches: &Matches<'_>,
    mark: Mark,
    (limit, newest): (usize, u64),
) -> Result<Moved, StoreError> {
    let moves = moves(db, mark.seen).await?;
    let unseen = mark.unseen(&moves);
    let rows: Vec<i64> = unseen.iter().map(|it| it.conversation).collect();
    let matching = matches.among(&rows).await?;
    Ok(Moved::of(&moves, &unseen, &matching, (limit, newest)))
}

async fn moves(db: &Client, seen: u64) -> Result<Vec<Move>, StoreError> {
    let rows = db
        .query_typed(
            // One that was swept was before all that is left.
            "SELECT m.row, m.conversation_row,
                 CASE WHEN m.position > 1 THEN COALESCE(p.row, 0) END
             FROM (SELECT row, conversation_row, position FROM message
                 WHERE row > $1 ORDER BY row LIMIT $2) m
             LEFT JOIN LATERAL (SELECT row FROM message
                 WHERE conversation_row = m.conversation_row AND position = m.position - 1
                 OFFSET 0) p ON TRUE
             ORDER BY m.row",
            params![integer(seen) => INT8, row_limit(MOVES_MAX) => INT8],
        )
        .await?;
    let moved = |row| {
        Ok(Move {
            message: number(row, 0)?,
            conversation: row.try_get(1)?,
            previous: small_or_none(row, 2)?,
        })
    };
    rows.iter().map(moved).collect()
}

/// The newest message, and how many conversations there are.
async fn newest(db: &Client) -> Result<(u64, u64), StoreError> {
    let row = db
        .query_typed_one(
            "SELECT COALESCE((SELECT MAX(last_message_row) FROM conversation), 0), conversations
             FROM counter",
            &[],
        )
        .await?;
    Ok((number(&row, 0)?, number(&row, 1)?))
}
