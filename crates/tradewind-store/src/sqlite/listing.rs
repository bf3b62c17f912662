//! The list of conversations, which is walked while messages arrive (see [`crate::walk`]).

use rusqlite::Connection;
use tradewind_model::Filter;

use super::{
    conversation::conversation_at,
    filter::Matches,
    row::{find, get},
};
use crate::{
    ConversationCursor, ConversationPage, StoreError,
    page::{integer, page_limit, row_limit},
    walk::{Cut, MOVES_MAX, Mark, Move, Moved},
};

pub(super) fn list_conversations(
    db: &Connection,
    filter: Option<&Filter>,
    cursor: Option<ConversationCursor>,
    limit: usize,
) -> Result<ConversationPage, StoreError> {
    let limit = page_limit(limit);
    let mut matches = Matches::of(db, filter.unwrap_or(&Filter::Everything))?;
    let (newest, total) = newest(db)?;
    let matching = match (filter, cursor.and_then(ConversationCursor::matching)) {
        (None, _) => None,
        (Some(_), Some(counted)) => Some(counted),
        (Some(_), None) => Some(matches.count()?),
    };
    let cut = match cursor {
        Some(ConversationCursor::After { above, .. }) => back(&matches, above, newest, limit)?,
        Some(ConversationCursor::Next { below, seen, .. }) => {
            let mark = Mark { below, seen };
            let moved = moved(db, &matches, mark, (limit, newest))?;
            forward(&matches, mark, moved, limit)?
        }
        None => {
            let moved = Moved::nothing(newest);
            forward(&matches, Mark::start(newest), moved, limit)?
        }
    };
    let has_previous = cursor.is_some() && !matches.above(cut.above, 1)?.is_empty();
    let rows = cut.rows.iter();
    Ok(ConversationPage {
        items: rows
            .map(|row| conversation_at(db, *row))
            .collect::<Result<_, _>>()?,
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

fn forward(
    matches: &Matches<'_>,
    mark: Mark,
    moved: Moved,
    limit: usize,
) -> Result<Cut, StoreError> {
    let below = if moved.is_over {
        matches.below(mark.below, moved.room(limit) + 1)?
    } else {
        Vec::new()
    };
    Ok(Cut::forward(mark, moved, below, limit))
}

/// The page before.
fn back(matches: &Matches<'_>, above: u64, newest: u64, limit: usize) -> Result<Cut, StoreError> {
    let mut cut = Cut::back(&matches.above(above, limit)?, above, newest);
    if let Some(mark) = cut.next
        && matches.below(mark.below, 1)?.is_empty()
    {
        cut.next = None;
    }
    Ok(cut)
}

/// What has moved up to a page, from below it.
fn moved(
    db: &Connection,
    matches: &Matches<'_>,
    mark: Mark,
    (limit, newest): (usize, u64),
) -> Result<Moved, StoreError> {
    let moves = moves(db, mark.seen)?;
    let unseen = mark.unseen(&moves);
    let rows: Vec<i64> = unseen.iter().map(|it| it.conversation).collect();
    let matching = matches.among(&rows)?;
    Ok(Moved::of(&moves, &unseen, &matching, (limit, newest)))
}

fn moves(db: &Connection, seen: u64) -> rusqlite::Result<Vec<Move>> {
    db.prepare_cached(
        "-- moves
         SELECT row, conversation_row, NULLIF(previous_row, 0) FROM message
         WHERE row > ?1 ORDER BY row LIMIT ?2",
    )?
    .query_map((integer(seen), row_limit(MOVES_MAX)), |row| {
        Ok(Move {
            message: get(row, 0)?,
            conversation: row.get(1)?,
            previous: find(row, 2)?,
        })
    })?
    .collect()
}

/// The newest message, and how many conversations there are.
fn newest(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    db.prepare_cached(
        "-- newest
         SELECT COALESCE((SELECT MAX(last_message_row) FROM conversation), 0), conversations
         FROM counter",
    )?
    .query_row([], |row| Ok((get(row, 0)?, get(row, 1)?)))
}
