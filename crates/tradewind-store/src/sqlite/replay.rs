//! Ranges of the log that are brought to a webhook once more.
//!
//! A replay is a consumer of its own, so that a crash resumes it where it stood and live events do not
//! wait for it. One of single conversations begins with those lanes held at their first entry, and the
//! log between is not read at all.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tradewind_model::{ConversationId, ReplayId, Sequence, Timestamp, WebhookId};

use super::{
    consumer, lane,
    log::{self, lane_row},
    row::{find, get},
    writer::Batch,
};
use crate::{
    ConsumerId, Replay, ReplayRange, StoreError, Wanted,
    page::{COUNTED, appended_from, integer},
    range::{self, Lane, untried},
};

pub(super) fn count_replay(
    db: &Connection,
    webhook: WebhookId,
    range: &ReplayRange,
    wanted: &Wanted,
) -> Result<u64, StoreError> {
    let mut count = 0;
    if range.failed {
        let mut before = None;
        loop {
            let page = super::set_aside::list_set_aside(db, webhook, before, COUNTED.entries)?;
            let entries = page.items.into_iter().map(|item| item.entry);
            count += range::count(entries, range, wanted);
            if page.next.is_none() {
                return Ok(count);
            }
            before = page.next;
        }
    }
    let to = log::head(db)?;
    let lane = lane_of(db, range)?;
    let mut after = start_of(db, range)?.previous();
    loop {
        let page = match lane {
            Lane::Of(lane) => log::read_lane(db, lane, &(after.next()..=to), COUNTED)?,
            Lane::All => log::read_log(db, after, COUNTED)?,
            Lane::None => return Ok(0),
        };
        count += range::count(page.entries, range, wanted);
        if !page.more {
            return Ok(count);
        }
        after = page.read_to;
    }
}

pub(super) fn start_replay(
    batch: &Batch<'_>,
    now: Timestamp,
    id: ReplayId,
    webhook: WebhookId,
    range: &ReplayRange,
) -> Result<Option<Replay>, StoreError> {
    let webhook_row: Option<i64> = batch
        .prepare_cached(
            "-- start_replay
             SELECT row FROM webhook WHERE id = ?1 AND subscribed",
        )?
        .query_row([webhook.uuid()], |row| row.get(0))
        .optional()?;
    let Some(webhook_row) = webhook_row else {
        return Ok(None);
    };
    let to = log::head(batch)?;
    let held = held_at_start(batch, webhook, range)?;
    let cursor = match held {
        None => start_of(batch, range)?.previous(),
        Some(_) => to,
    };
    let consumer_row = batch
        .prepare_cached(
            "-- start_replay
             INSERT INTO consumer (id, generation, cursor) VALUES (?1, 1, ?2)",
        )?
        .insert((ConsumerId::Replay(id).to_string(), integer(cursor.0)))?;
    for (lane, first) in held.into_iter().flatten() {
        consumer::hold(batch, consumer_row, &untried(lane, first, now))?;
    }
    batch
        .prepare_cached(
            "-- start_replay
             INSERT INTO replay (id, consumer_row, webhook_row, since_ms, until_ms, conversation_id,
                 message_id, failed, to_sequence, created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            id.uuid(),
            consumer_row,
            webhook_row,
            range.since.map(Timestamp::as_millisecond),
            range.until.map(Timestamp::as_millisecond),
            range.conversation.map(ConversationId::uuid),
            range.message.map(tradewind_model::MessageId::uuid),
            range.failed,
            integer(to.0),
            now.as_millisecond(),
        ])?;
    batch.webhook_changed();
    Ok(list_replays(batch, i64::MAX)?
        .into_iter()
        .find(|replay| replay.id == id))
}

fn lane_of(db: &Connection, range: &ReplayRange) -> Result<Lane, StoreError> {
    let of_message = match range.message {
        None => None,
        Some(message) => db
            .prepare_cached(
                "-- lane_of
                 SELECT c.id FROM message m JOIN conversation c ON c.row = m.conversation_row
                 WHERE m.id = ?1",
            )?
            .query_row([message.uuid()], |row| get(row, 0))
            .optional()?,
    };
    Ok(Lane::of(range, of_message))
}

/// The lanes that a replay begins with, each with its first entry; `None`: it reads the log.
fn held_at_start(
    db: &Connection,
    webhook: WebhookId,
    range: &ReplayRange,
) -> Result<Option<Vec<(ConversationId, Sequence)>>, StoreError> {
    let lane = lane_of(db, range)?;
    if range.failed {
        let lanes = failed_lanes(db, webhook)?.into_iter();
        let wanted = |(id, _): &(ConversationId, Sequence)| lane.has(*id);
        return Ok(Some(lanes.filter(wanted).collect()));
    }
    match lane {
        Lane::All => Ok(None),
        Lane::None => Ok(Some(Vec::new())),
        Lane::Of(lane) => {
            let first = match lane_row(db, lane)? {
                Some(row) => lane::next_sequence(db, row, start_of(db, range)?)?,
                None => None,
            };
            Ok(Some(first.into_iter().map(|first| (lane, first)).collect()))
        }
    }
}

fn failed_lanes(
    db: &Connection,
    webhook: WebhookId,
) -> Result<Vec<(ConversationId, Sequence)>, StoreError> {
    let lanes = db
        .prepare_cached(
            "-- failed_lanes
             SELECT COALESCE(c.id, h.id), MIN(s.sequence)
             FROM set_aside s
             JOIN webhook w ON w.consumer_row = s.consumer_row
             LEFT JOIN conversation c ON c.row = s.lane_row
             LEFT JOIN channel h ON h.row = -s.lane_row
             WHERE w.id = ?1
             GROUP BY s.lane_row",
        )?
        .query_map([webhook.uuid()], |row| Ok((get(row, 0)?, get(row, 1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(lanes)
}

/// The first entry that can be in a range, as far as its time tells: found by halving, as entries are
/// in the order of their time.
fn start_of(db: &Connection, range: &ReplayRange) -> Result<Sequence, StoreError> {
    let mut low = consumer::oldest(db)?;
    let Some(since) = range.since else {
        return Ok(low);
    };
    let since_ms = appended_from(since);
    let mut high = log::head(db)?.next();
    while low < high {
        let middle = Sequence(low.0 + (high.0 - low.0) / 2);
        let found: Option<(Sequence, i64)> = db
            .prepare_cached(
                "-- start_of
                 SELECT sequence, at_ms FROM log WHERE sequence >= ?1 ORDER BY sequence LIMIT 1",
            )?
            .query_row([integer(middle.0)], |row| Ok((get(row, 0)?, row.get(1)?)))
            .optional()?;
        match found {
            Some((sequence, at_ms)) if at_ms < since_ms => low = sequence.next(),
            _ => high = middle,
        }
    }
    Ok(low)
}

pub(super) fn list_replays(db: &Connection, limit: i64) -> Result<Vec<Replay>, StoreError> {
    let replays = db
        .prepare_cached(
            "-- list_replays
             SELECT r.id, w.id, r.since_ms, r.until_ms, r.conversation_id, r.message_id, r.failed,
                 r.to_sequence, r.created_at_ms
             FROM replay r JOIN webhook w ON w.row = r.webhook_row
             ORDER BY r.row LIMIT ?1",
        )?
        .query_map([limit], replay)?
        .collect::<Result<_, _>>()?;
    Ok(replays)
}

fn replay(row: &Row<'_>) -> rusqlite::Result<Replay> {
    Ok(Replay {
        id: get(row, 0)?,
        webhook: get(row, 1)?,
        range: ReplayRange {
            since: find(row, 2)?,
            until: find(row, 3)?,
            conversation: find(row, 4)?,
            message: find(row, 5)?,
            failed: row.get(6)?,
        },
        to: get(row, 7)?,
        created_at: get(row, 8)?,
    })
}

pub(super) fn end_replay(batch: &Batch<'_>, id: ReplayId) -> Result<(), StoreError> {
    let row: Option<i64> = batch
        .prepare_cached(
            "-- end_replay
             SELECT r.row FROM replay r JOIN consumer u ON u.row = r.consumer_row
             WHERE r.id = ?1 AND u.cursor >= r.to_sequence
                 AND NOT EXISTS (SELECT 1 FROM held_lane n WHERE n.consumer_row = u.row)",
        )?
        .query_row([id.uuid()], |row| row.get(0))
        .optional()?;
    if let Some(row) = row {
        end(batch, row)?;
        batch.webhook_changed();
    }
    Ok(())
}

/// Ends the replays of a webhook.
pub(super) fn end_all(db: &Connection, webhook_row: i64) -> Result<(), StoreError> {
    let rows = db
        .prepare_cached(
            "-- end_all
             SELECT row FROM replay WHERE webhook_row = ?1",
        )?
        .query_map([webhook_row], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    rows.into_iter().try_for_each(|row| end(db, row))
}

fn end(db: &Connection, row: i64) -> Result<(), StoreError> {
    let consumer_row = db
        .prepare_cached(
            "-- end
             DELETE FROM replay WHERE row = ?1 RETURNING consumer_row",
        )?
        .query_row([row], |row| row.get(0))?;
    consumer::release_all(db, consumer_row)?;
    db.prepare_cached(
        "-- end
         DELETE FROM consumer WHERE row = ?1",
    )?
    .execute([consumer_row])?;
    Ok(())
}
