//! Where each consumer stands: its cursor and its held lanes.

use rusqlite::{Connection, OptionalExtension as _};
use tradewind_model::{ConversationId, Sequence, Timestamp};

use super::{
    log::{self, lane_row},
    row::{find, get},
    set_aside,
};
use crate::{
    ConsumerId, ConsumerState, HeldLane, Progress, Share, Standing, Start, StoreError,
    page::integer,
};

pub(super) fn find_consumer(
    db: &Connection,
    id: &ConsumerId,
) -> Result<Option<ConsumerState>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_consumer
             SELECT row, generation, cursor, backed_off_since_ms FROM consumer WHERE id = ?1",
        )?
        .query_row([id.to_string()], |row| {
            Ok((row.get(0)?, get(row, 1)?, get(row, 2)?, find(row, 3)?))
        })
        .optional()?;
    let Some((row, generation, cursor, backed_off_since)) = found else {
        return Ok(None);
    };
    Ok(Some(ConsumerState {
        generation,
        cursor,
        backed_off_since,
        held: held_lanes(db, row, None)?,
        share: Share::whole(),
    }))
}

pub(super) fn find_standing(
    db: &Connection,
    id: &ConsumerId,
    lane: Option<ConversationId>,
) -> Result<Option<Standing>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_standing
             SELECT row, cursor, (SELECT COUNT(*) FROM held_lane WHERE consumer_row = row)
             FROM consumer WHERE id = ?1",
        )?
        .query_row([id.to_string()], |row| {
            Ok((row.get(0)?, get(row, 1)?, get(row, 2)?))
        })
        .optional()?;
    let Some((row, cursor, held_lanes)) = found else {
        return Ok(None);
    };
    let lane_row = match lane {
        Some(lane) => lane_row(db, lane)?,
        None => None,
    };
    let held = match lane_row {
        Some(lane_row) => self::held_lanes(db, row, Some(lane_row))?.pop(),
        None => None,
    };
    Ok(Some(Standing {
        cursor,
        held_lanes,
        held,
    }))
}

/// Creates a source's consumer, unless it exists.
pub(super) fn create_consumer(
    db: &Connection,
    id: &ConsumerId,
    start: Start,
) -> Result<(), StoreError> {
    let cursor = match start {
        Start::Beginning => oldest(db)?.previous(),
        Start::Head => log::head(db)?,
    };
    db.prepare_cached(
        "-- create_consumer
         INSERT INTO consumer (id, generation, cursor) VALUES (?1, 1, ?2)
         ON CONFLICT (id) DO NOTHING",
    )?
    .execute((id.to_string(), integer(cursor.0)))?;
    Ok(())
}

/// Starts a consumer at the newest entry, in a new generation and with no held lanes. Returns its row.
pub(super) fn restart(db: &Connection, id: &ConsumerId) -> Result<i64, StoreError> {
    let row = db
        .prepare_cached(
            "-- restart
             INSERT INTO consumer (id, generation, cursor) VALUES (?1, 1, ?2)
             ON CONFLICT (id) DO UPDATE SET generation = generation + 1, cursor = excluded.cursor,
                 backed_off_since_ms = NULL
             RETURNING row",
        )?
        .query_row((id.to_string(), integer(log::head(db)?.0)), |row| {
            row.get(0)
        })?;
    release_all(db, row)?;
    Ok(row)
}

/// Ends a consumer's generation and forgets its held lanes.
pub(super) fn stop(db: &Connection, row: i64) -> Result<(), StoreError> {
    db.prepare_cached(
        "-- stop
         UPDATE consumer SET generation = generation + 1 WHERE row = ?1",
    )?
    .execute([row])?;
    release_all(db, row)
}

/// Forgets a consumer, if it is there.
pub(super) fn forget(db: &Connection, id: &ConsumerId) -> Result<(), StoreError> {
    let row: Option<i64> = db
        .prepare_cached("-- forget\n SELECT row FROM consumer WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    let Some(row) = row else { return Ok(()) };
    release_all(db, row)?;
    db.prepare_cached("-- forget\n DELETE FROM set_aside WHERE consumer_row = ?1")?
        .execute([row])?;
    db.prepare_cached("-- forget\n DELETE FROM consumer WHERE row = ?1")?
        .execute([row])?;
    Ok(())
}

pub(super) fn save_progress(
    db: &Connection,
    now: Timestamp,
    progress: &Progress,
) -> Result<bool, StoreError> {
    let row = db
        .prepare_cached(
            "-- save_progress
             UPDATE consumer SET cursor = MAX(cursor, ?3), backed_off_since_ms = ?4
             WHERE id = ?1 AND generation = ?2
             RETURNING row",
        )?
        .query_row(
            (
                progress.consumer.to_string(),
                integer(progress.generation),
                integer(progress.cursor.0),
                progress.backed_off_since.map(Timestamp::as_millisecond),
            ),
            |row| row.get(0),
        )
        .optional()?;
    let Some(row) = row else {
        return Ok(false);
    };
    for conversation in &progress.released {
        db.prepare_cached(
            "-- save_progress
             DELETE FROM held_lane WHERE consumer_row = ?1 AND lane_row = ?2",
        )?
        .execute((row, lane_row(db, *conversation)?))?;
    }
    for lane in &progress.held {
        hold(db, row, lane)?;
    }
    if !(progress.set_aside.is_empty() && progress.redelivered.is_empty()) {
        set_aside::save(db, now, row, progress)?;
    }
    Ok(true)
}

/// A lane of a conversation that was swept meanwhile has nothing to wait for.
pub(super) fn hold(db: &Connection, consumer_row: i64, lane: &HeldLane) -> Result<(), StoreError> {
    let Some(lane_row) = lane_row(db, lane.conversation_id)? else {
        return Ok(());
    };
    db.prepare_cached(
        "-- hold
         INSERT OR REPLACE INTO held_lane (consumer_row, lane_row, first_sequence, attempts,
             failing_since_ms, due_at_ms, error, status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        consumer_row,
        lane_row,
        integer(lane.first.0),
        lane.attempts,
        lane.failing_since.as_millisecond(),
        lane.due_at.as_millisecond(),
        &lane.error,
        lane.status,
    ))?;
    Ok(())
}

/// All that a consumer holds, or only this one.
fn held_lanes(
    db: &Connection,
    consumer_row: i64,
    only: Option<i64>,
) -> Result<Vec<HeldLane>, StoreError> {
    let lanes = db
        .prepare_cached(
            "-- held_lanes
             SELECT COALESCE(c.id, h.id), l.first_sequence, l.attempts, l.failing_since_ms,
                 l.due_at_ms, l.error, l.status
             FROM held_lane l
             LEFT JOIN conversation c ON c.row = l.lane_row
             LEFT JOIN channel h ON h.row = -l.lane_row
             WHERE l.consumer_row = ?1 AND l.lane_row = COALESCE(?2, l.lane_row)
             ORDER BY l.lane_row",
        )?
        .query_map((consumer_row, only), |row| {
            Ok(HeldLane {
                conversation_id: get(row, 0)?,
                first: get(row, 1)?,
                attempts: row.get(2)?,
                failing_since: get(row, 3)?,
                due_at: get(row, 4)?,
                error: row.get(5)?,
                status: row.get(6)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(lanes)
}

pub(super) fn release_all(db: &Connection, consumer_row: i64) -> Result<(), StoreError> {
    db.prepare_cached(
        "-- release_all
         DELETE FROM held_lane WHERE consumer_row = ?1",
    )?
    .execute([consumer_row])?;
    Ok(())
}

/// The oldest entry that is still there, or the one that comes next.
pub(super) fn oldest(db: &Connection) -> rusqlite::Result<Sequence> {
    let oldest = db
        .prepare_cached(
            "-- oldest
             SELECT sequence FROM log ORDER BY sequence LIMIT 1",
        )?
        .query_row([], |row| get(row, 0))
        .optional()?;
    match oldest {
        Some(oldest) => Ok(oldest),
        None => Ok(log::head(db)?.next()),
    }
}
