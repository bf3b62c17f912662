//! Reading the log.
//!
//! Who appends holds the log until the commit (`take_log` in the schema), so entries become visible in
//! the order of their sequences, without a gap, and a reader cannot skip one that commits later.

use std::ops::RangeInclusive;

use tokio_postgres::{Client, Row};
use tradewind_model::{Channel, ConversationId, EntryKind, LogEntry, MessageId, Sequence, Subject};

use super::row::{
    code, coded, id, message, number, params, read_text, sequence, source, text_or_none, time,
};
use crate::columns::{MESSAGE_WIDTH, entry_columns, entry_joins};
use crate::{
    LogPage, StoreError,
    page::{Room, integer},
};

/// Entries fetched at once: a page may be full before its limit, by its weight.
const FETCHED: usize = 512;

/// The newest sequence that was ever given out; 0 before the first.
pub(super) async fn head(db: &Client) -> Result<Sequence, StoreError> {
    let row = db
        .query_typed_one("SELECT sequence FROM counter", &[])
        .await?;
    sequence(&row, 0)
}

/// The oldest entry that is still there, or the one that comes next.
pub(super) async fn oldest(db: &Client) -> Result<Sequence, StoreError> {
    Ok(ends(db).await?.0)
}

/// [`oldest`] and [`head`], by one question.
pub(super) async fn ends(db: &Client) -> Result<(Sequence, Sequence), StoreError> {
    let row = db
        .query_typed_one("SELECT s.sequence, c.sequence FROM swept s, counter c", &[])
        .await?;
    Ok((sequence(&row, 0)?.next(), sequence(&row, 1)?))
}

pub(super) async fn read_log(
    db: &Client,
    after: Sequence,
    room: Room,
) -> Result<LogPage, StoreError> {
    let mut page = room.page();
    loop {
        let from = page.last().unwrap_or(after);
        let wanted = page.wanted(FETCHED);
        let rows = db
            .query_typed(
                "SELECT * FROM read_log($1, $2)",
                params![integer(from.0) => INT8, wanted => INT8],
            )
            .await?;
        for row in &rows {
            if !page.add(entry(row)?) {
                return Ok(page.full());
            }
        }
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) < wanted {
            // Nothing is after the last, as there are no gaps. Without any, all may have been swept.
            let last = match page.last() {
                Some(last) => last,
                None => oldest(db).await?.previous().max(after),
            };
            return Ok(page.up_to(last));
        }
    }
}

pub(super) async fn read_lane(
    db: &Client,
    lane: ConversationId,
    range: &RangeInclusive<Sequence>,
    room: Room,
) -> Result<LogPage, StoreError> {
    let (oldest, head) = ends(db).await?;
    let end = head.min(*range.end());
    // Beyond the head nothing was looked at: entries may come there.
    let looked_to = end.max(range.start().previous());
    let mut page = room.page();
    let Some(lane_row) = lane_row(db, lane).await? else {
        return Ok(page.up_to(looked_to));
    };
    let start = range.start().previous().max(oldest.previous());
    loop {
        let from = page.last().unwrap_or(start);
        let rows = db
            .query_typed(
                concat!(
                    "SELECT ",
                    entry_columns!(),
                    " FROM (SELECT * FROM log WHERE lane_row = $1 AND sequence > $2 AND sequence <= $3
                            ORDER BY sequence LIMIT $4) l ",
                    entry_joins!(),
                    "ORDER BY l.sequence"
                ),
                params![lane_row => INT8, integer(from.0) => INT8, integer(end.0) => INT8,
                    page.wanted(FETCHED) => INT8],
            )
            .await?;
        if rows.is_empty() {
            return Ok(page.up_to(looked_to));
        }
        for row in &rows {
            if !page.add(entry(row)?) {
                return Ok(page.full());
            }
        }
    }
}

pub(super) async fn find_entries(
    db: &Client,
    message: MessageId,
) -> Result<Vec<LogEntry>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                entry_columns!(),
                " FROM message m
                  JOIN conversation c ON c.row = m.conversation_row
                  JOIN channel h ON h.row = c.channel_row
                  JOIN log l ON l.lane_row = m.conversation_row AND l.sequence >= m.row
                  WHERE m.id = $1 AND l.message_row = m.row
                      AND l.sequence > (SELECT sequence FROM swept) AND l.kind <> $2
                  ORDER BY l.sequence"
            ),
            params![
                message.uuid() => UUID,
                code(EntryKind::ConversationChanged) => INT2,
            ],
        )
        .await?;
    rows.iter().map(entry).collect()
}

/// The first entry of a lane at or after `from`.
pub(super) async fn next_in_lane(
    db: &Client,
    lane_row: i64,
    from: Sequence,
) -> Result<Option<Sequence>, StoreError> {
    let from = from.max(oldest(db).await?);
    let row = db
        .query_typed_opt(
            "SELECT sequence FROM log WHERE lane_row = $1 AND sequence >= $2
             ORDER BY sequence LIMIT 1",
            params![lane_row => INT8, integer(from.0) => INT8],
        )
        .await?;
    row.map(|row| sequence(&row, 0)).transpose()
}

/// The row of a lane: that of its conversation, or minus that of its channel.
pub(super) async fn lane_row(db: &Client, lane: ConversationId) -> Result<Option<i64>, StoreError> {
    let row = db
        .query_typed_opt(
            "SELECT row FROM conversation WHERE id = $1
             UNION ALL SELECT -row FROM channel WHERE id = $1 LIMIT 1",
            params![lane.uuid() => UUID],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Writes a row that is there for this.
pub(super) async fn check_writable(db: &Client) -> Result<(), StoreError> {
    db.execute_typed("UPDATE written SET checks = checks + 1", &[])
        .await?;
    Ok(())
}

pub(super) fn entry(row: &Row) -> Result<LogEntry, StoreError> {
    let kind = coded(row, MESSAGE_WIDTH + 2)?;
    let subject = match kind {
        EntryKind::ChannelConnected | EntryKind::ChannelDisconnected => {
            Subject::Channel(channel(row, kind)?)
        }
        _ => Subject::Message {
            message: message(row)?,
            conversation_created_at: time(row, MESSAGE_WIDTH + 4)?,
        },
    };
    Ok(LogEntry {
        sequence: sequence(row, MESSAGE_WIDTH)?,
        position: number(row, MESSAGE_WIDTH + 1)?,
        kind,
        at: time(row, MESSAGE_WIDTH + 3)?,
        subject,
    })
}

/// The channel that an entry is about, as the entry says that it became. Its token stays in the store.
fn channel(row: &Row, kind: EntryKind) -> Result<Channel, StoreError> {
    Ok(Channel {
        id: id(row, 2)?,
        source: source(row, 3)?,
        source_channel_id: read_text(row, MESSAGE_WIDTH + 5)?,
        name: text_or_none(row, MESSAGE_WIDTH + 6)?,
        image_url: text_or_none(row, MESSAGE_WIDTH + 7)?,
        token: None,
        connected: kind == EntryKind::ChannelConnected,
    })
}
