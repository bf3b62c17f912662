//! Ranges of the log that are brought to a webhook once more.
//!
//! A replay is a consumer of its own, so that a crash resumes it where it stood and live events do not
//! wait for it. One of single conversations begins with those lanes held at their first entry, and the
//! log between is not read at all.

use tokio_postgres::{Client, Row};
use tradewind_model::{ConversationId, MessageId, ReplayId, Sequence, Timestamp, WebhookId};

use super::{
    consumer,
    listen::Changed,
    log::{self, lane_row},
    row::{id, id_or_none, params, sequence, time, time_or_none},
    set_aside,
};
use crate::page::row_limit;
use crate::{
    ConsumerId, Replay, ReplayRange, StoreError, Wanted,
    page::{COUNTED, appended_from, integer},
    range::{self, Lane, untried},
};

pub(super) async fn count_replay(
    db: &Client,
    webhook: WebhookId,
    range: &ReplayRange,
    wanted: &Wanted,
) -> Result<u64, StoreError> {
    let mut count = 0;
    if range.failed {
        let mut before = None;
        loop {
            let page = set_aside::list_set_aside(db, webhook, before, COUNTED.entries).await?;
            let entries = page.items.into_iter().map(|item| item.entry);
            count += range::count(entries, range, wanted);
            if page.next.is_none() {
                return Ok(count);
            }
            before = page.next;
        }
    }
    let to = log::head(db).await?;
    let lane = lane_of(db, range).await?;
    let mut after = start_of(db, range).await?.previous();
    loop {
        let page = match lane {
            Lane::Of(lane) => log::read_lane(db, lane, &(after.next()..=to), COUNTED).await?,
            Lane::All => log::read_log(db, after, COUNTED).await?,
            Lane::None => return Ok(0),
        };
        count += range::count(page.entries, range, wanted);
        if !page.more {
            return Ok(count);
        }
        after = page.read_to;
    }
}

pub(super) async fn start_replay(
    db: &Client,
    now: Timestamp,
    new: ReplayId,
    webhook: WebhookId,
    range: &ReplayRange,
) -> Result<Changed<Option<Replay>>, StoreError> {
    // Held, so that it is not unsubscribed meanwhile.
    let row = db
        .query_typed_opt(
            "SELECT row FROM webhook WHERE id = $1 AND subscribed FOR UPDATE",
            params![webhook.uuid() => UUID],
        )
        .await?;
    let Some(row) = row else {
        return Ok((None, false));
    };
    let webhook_row: i64 = row.try_get(0)?;
    let to = log::head(db).await?;
    let held = held_at_start(db, webhook, range).await?;
    let cursor = match held {
        None => start_of(db, range).await?.previous(),
        Some(_) => to,
    };
    let consumer_row: i64 = db
        .query_typed_one(
            "INSERT INTO consumer (id, generation, cursors)
             VALUES ($1, 1, array_fill($2::BIGINT, ARRAY[64])) RETURNING row",
            params![ConsumerId::Replay(new).to_string() => TEXT, integer(cursor.0) => INT8],
        )
        .await?
        .try_get(0)?;
    let lane = |(id, first)| untried(id, first, now);
    let lanes: Vec<_> = held.into_iter().flatten().map(lane).collect();
    consumer::hold(db, consumer_row, &lanes).await?;
    db.execute_typed(
        "INSERT INTO replay (id, consumer_row, webhook_row, since_ms, until_ms, conversation_id,
             message_id, failed, to_sequence, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            new.uuid() => UUID,
            consumer_row => INT8,
            webhook_row => INT8,
            range.since.map(Timestamp::as_millisecond) => INT8,
            range.until.map(Timestamp::as_millisecond) => INT8,
            range.conversation.map(ConversationId::uuid) => UUID,
            range.message.map(MessageId::uuid) => UUID,
            range.failed => BOOL,
            integer(to.0) => INT8,
            now.as_millisecond() => INT8,
        ],
    )
    .await?;
    let replays = list_replays(db, usize::MAX).await?;
    Ok((replays.into_iter().find(|replay| replay.id == new), true))
}

async fn lane_of(db: &Client, range: &ReplayRange) -> Result<Lane, StoreError> {
    let mut of_message = None;
    if let Some(message) = range.message {
        let row = db
            .query_typed_opt(
                "SELECT c.id FROM message m JOIN conversation c ON c.row = m.conversation_row
                 WHERE m.id = $1",
                params![message.uuid() => UUID],
            )
            .await?;
        of_message = row.map(|row| id(&row, 0)).transpose()?;
    }
    Ok(Lane::of(range, of_message))
}

/// The lanes that a replay begins with, each with its first entry; `None`: it reads the log.
async fn held_at_start(
    db: &Client,
    webhook: WebhookId,
    range: &ReplayRange,
) -> Result<Option<Vec<(ConversationId, Sequence)>>, StoreError> {
    let lane = lane_of(db, range).await?;
    if range.failed {
        let lanes = failed_lanes(db, webhook).await?.into_iter();
        let wanted = |(id, _): &(ConversationId, Sequence)| lane.has(*id);
        return Ok(Some(lanes.filter(wanted).collect()));
    }
    match lane {
        Lane::All => Ok(None),
        Lane::None => Ok(Some(Vec::new())),
        Lane::Of(lane) => {
            let first = match lane_row(db, lane).await? {
                Some(row) => log::next_in_lane(db, row, start_of(db, range).await?).await?,
                None => None,
            };
            Ok(Some(first.into_iter().map(|first| (lane, first)).collect()))
        }
    }
}

async fn failed_lanes(
    db: &Client,
    webhook: WebhookId,
) -> Result<Vec<(ConversationId, Sequence)>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT COALESCE(c.id, h.id), MIN(s.sequence)
             FROM set_aside s
             JOIN webhook w ON w.consumer_row = s.consumer_row
             LEFT JOIN conversation c ON c.row = s.lane_row
             LEFT JOIN channel h ON h.row = -s.lane_row
             WHERE w.id = $1
             GROUP BY s.lane_row, c.id, h.id ORDER BY s.lane_row",
            params![webhook.uuid() => UUID],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((id(row, 0)?, sequence(row, 1)?)))
        .collect()
}

/// The first entry that can be in a range, as far as its time tells: found by halving, as entries are
/// in the order of their time.
async fn start_of(db: &Client, range: &ReplayRange) -> Result<Sequence, StoreError> {
    let (mut low, head) = log::ends(db).await?;
    let Some(since) = range.since else {
        return Ok(low);
    };
    let since_ms = appended_from(since);
    let mut high = head.next();
    while low < high {
        let middle = Sequence(low.0 + (high.0 - low.0) / 2);
        let row = db
            .query_typed_opt(
                "SELECT at_ms FROM log WHERE sequence = $1",
                params![integer(middle.0) => INT8],
            )
            .await?;
        let at_ms: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
        match at_ms {
            Some(at_ms) if at_ms < since_ms => low = middle.next(),
            _ => high = middle,
        }
    }
    Ok(low)
}

pub(super) async fn list_replays(db: &Client, limit: usize) -> Result<Vec<Replay>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT r.id, w.id, r.since_ms, r.until_ms, r.conversation_id, r.message_id, r.failed,
                 r.to_sequence, r.created_at_ms
             FROM replay r JOIN webhook w ON w.row = r.webhook_row
             ORDER BY r.row LIMIT $1",
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter().map(replay).collect()
}

fn replay(row: &Row) -> Result<Replay, StoreError> {
    Ok(Replay {
        id: id(row, 0)?,
        webhook: id(row, 1)?,
        range: ReplayRange {
            since: time_or_none(row, 2)?,
            until: time_or_none(row, 3)?,
            conversation: id_or_none(row, 4)?,
            message: id_or_none(row, 5)?,
            failed: row.try_get(6)?,
        },
        to: sequence(row, 7)?,
        created_at: time(row, 8)?,
    })
}

pub(super) async fn end_replay(db: &Client, id: ReplayId) -> Result<Changed<()>, StoreError> {
    let rows = db
        .query_typed(
            "DELETE FROM replay r USING consumer u
             WHERE r.id = $1 AND u.row = r.consumer_row AND r.to_sequence <= ALL (u.cursors)
                 AND NOT EXISTS (SELECT 1 FROM held_lane n WHERE n.consumer_row = u.row)
             RETURNING r.consumer_row",
            params![id.uuid() => UUID],
        )
        .await?;
    forget(db, &rows).await?;
    Ok(((), !rows.is_empty()))
}

/// Ends the replays of a webhook.
pub(super) async fn end_all(db: &Client, webhook_row: i64) -> Result<(), StoreError> {
    let rows = db
        .query_typed(
            "DELETE FROM replay WHERE webhook_row = $1 RETURNING consumer_row",
            params![webhook_row => INT8],
        )
        .await?;
    forget(db, &rows).await
}

async fn forget(db: &Client, consumer_rows: &[Row]) -> Result<(), StoreError> {
    for row in consumer_rows {
        let row: i64 = row.try_get(0)?;
        consumer::release_all(db, row).await?;
        db.execute_typed("DELETE FROM consumer WHERE row = $1", params![row => INT8])
            .await?;
    }
    Ok(())
}
