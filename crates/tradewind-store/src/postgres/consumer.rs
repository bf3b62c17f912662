//! Where each consumer stands: its cursor and its held lanes.

use tokio_postgres::{Client, Row};
use tradewind_model::{ConversationId, SHARDS, Sequence, Shards, Timestamp, shard_of};

use super::{
    log,
    row::{
        id, number, params, read_text, sequence, small, status, text, time, time_or_none, wrong,
    },
    set_aside,
};
use crate::{
    ConsumerId, ConsumerState, HeldLane, Holder, Progress, Share, Standing, Start, StoreError,
    page::integer,
};

/// Opens a consumer for `holder`: who held one of its shards before can save nothing more.
pub(super) async fn open_consumer(
    db: &Client,
    consumer: &ConsumerId,
    holder: Holder,
) -> Result<ConsumerState, StoreError> {
    let shards = bits(holder.shards);
    let found = db
        .query_typed_opt(
            "UPDATE consumer SET terms = raised(terms, $2, $3)
             WHERE id = $1 AND is_holder(terms, $2, $3)
             RETURNING row, generation, backed_off_since_ms, cursors",
            params![
                consumer.to_string() => TEXT,
                shards => INT8,
                integer(holder.term) => INT8,
            ],
        )
        .await?;
    let Some(row) = found else {
        let exists = db
            .query_typed_opt(
                "SELECT 1 FROM consumer WHERE id = $1",
                params![consumer.to_string() => TEXT],
            )
            .await?;
        return Err(match exists {
            Some(_) => StoreError::Unavailable("another node serves it by now".into()),
            None => StoreError::NotFound,
        });
    };
    let (share, cursor) = Share::of(holder, cursors(&row, 3)?);
    Ok(ConsumerState {
        generation: number(&row, 1)?,
        cursor,
        backed_off_since: time_or_none(&row, 2)?,
        held: held_lanes(db, row.try_get(0)?, shards, None).await?,
        share,
    })
}

pub(super) async fn find_standing(
    db: &Client,
    consumer: &ConsumerId,
    lane: Option<ConversationId>,
) -> Result<Option<Standing>, StoreError> {
    let found = db
        .query_typed_opt(
            "SELECT row, cursors, (SELECT COUNT(*) FROM held_lane n WHERE n.consumer_row = u.row)
             FROM consumer u WHERE id = $1",
            params![consumer.to_string() => TEXT],
        )
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let cursors = cursors(&row, 1)?;
    let (cursor, held) = match lane {
        None => (cursors.into_iter().min(), None),
        Some(lane) => {
            let held = match log::lane_row(db, lane).await? {
                Some(lane_row) => {
                    let all = bits(Shards::ALL);
                    held_lanes(db, row.try_get(0)?, all, Some(lane_row))
                        .await?
                        .pop()
                }
                None => None,
            };
            (cursors.get(shard_of(lane)).copied(), held)
        }
    };
    Ok(Some(Standing {
        cursor: cursor.unwrap_or(Sequence::START),
        held_lanes: number(&row, 2)?,
        held,
    }))
}

/// A set of shards as a column or a function of the schema takes it.
pub(super) fn bits(shards: Shards) -> i64 {
    shards.bits().cast_signed()
}

fn cursors(row: &Row, index: usize) -> Result<Box<[Sequence; SHARDS]>, StoreError> {
    let numbers: Vec<i64> = row.try_get(index)?;
    let cursors: Option<Box<[Sequence]>> = numbers
        .iter()
        .map(|number| u64::try_from(*number).ok().map(Sequence))
        .collect();
    cursors
        .and_then(|cursors| cursors.try_into().ok())
        .ok_or_else(|| wrong(index, &format!("{numbers:?}")))
}

/// Creates a source's consumer, unless it exists.
pub(super) async fn create_consumer(
    db: &Client,
    consumer: &ConsumerId,
    start: Start,
) -> Result<(), StoreError> {
    let cursor = match start {
        Start::Beginning => log::oldest(db).await?.previous(),
        Start::Head => log::head(db).await?,
    };
    db.execute_typed(
        "INSERT INTO consumer (id, generation, cursors)
         VALUES ($1, 1, array_fill($2::BIGINT, ARRAY[64]))
         ON CONFLICT (id) DO NOTHING",
        params![consumer.to_string() => TEXT, integer(cursor.0) => INT8],
    )
    .await?;
    Ok(())
}

/// Starts a consumer at the newest entry, in a new generation and with no held lanes. Returns its row.
pub(super) async fn restart(db: &Client, consumer: &ConsumerId) -> Result<i64, StoreError> {
    let head = log::head(db).await?;
    let row = db
        .query_typed_one(
            "INSERT INTO consumer AS u (id, generation, cursors)
             VALUES ($1, 1, array_fill($2::BIGINT, ARRAY[64]))
             ON CONFLICT (id) DO UPDATE SET generation = u.generation + 1,
                 cursors = excluded.cursors, backed_off_since_ms = NULL
             RETURNING row",
            params![consumer.to_string() => TEXT, integer(head.0) => INT8],
        )
        .await?
        .try_get(0)?;
    release_all(db, row).await?;
    Ok(row)
}

/// Ends a consumer's generation and forgets its held lanes.
pub(super) async fn stop(db: &Client, row: i64) -> Result<(), StoreError> {
    db.execute_typed(
        "UPDATE consumer SET generation = generation + 1 WHERE row = $1",
        params![row => INT8],
    )
    .await?;
    release_all(db, row).await
}

pub(super) async fn save_progress(
    db: &Client,
    now: Timestamp,
    progress: &Progress,
) -> Result<bool, StoreError> {
    let row = db
        .query_typed_opt(
            "UPDATE consumer SET cursors = raised(cursors, $5, $3), backed_off_since_ms = $4
             WHERE id = $1 AND generation = $2 AND is_holder(terms, $5, $6)
             RETURNING row",
            params![
                progress.consumer.to_string() => TEXT,
                integer(progress.generation) => INT8,
                integer(progress.cursor.0) => INT8,
                progress.backed_off_since.map(Timestamp::as_millisecond) => INT8,
                bits(progress.holder.shards) => INT8,
                integer(progress.holder.term) => INT8,
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let row = row.try_get(0)?;
    if !progress.released.is_empty() {
        let lanes: Vec<_> = progress.released.iter().map(|lane| lane.uuid()).collect();
        db.execute_typed(
            "DELETE FROM held_lane WHERE consumer_row = $1 AND lane_row IN (
                 SELECT row FROM conversation WHERE id = ANY($2)
                 UNION ALL SELECT -row FROM channel WHERE id = ANY($2))",
            params![row => INT8, lanes => UUID_ARRAY],
        )
        .await?;
    }
    hold(db, row, &progress.held).await?;
    if !(progress.set_aside.is_empty() && progress.redelivered.is_empty()) {
        set_aside::save(db, now, row, progress).await?;
    }
    Ok(true)
}

/// A lane of a conversation that was swept meanwhile has nothing to wait for.
pub(super) async fn hold(
    db: &Client,
    consumer_row: i64,
    lanes: &[HeldLane],
) -> Result<(), StoreError> {
    if lanes.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = lanes.iter().map(|it| it.conversation_id.uuid()).collect();
    let firsts: Vec<i64> = lanes.iter().map(|it| integer(it.first.0)).collect();
    let attempts: Vec<i64> = lanes.iter().map(|it| it.attempts.into()).collect();
    let since: Vec<i64> = lanes
        .iter()
        .map(|it| it.failing_since.as_millisecond())
        .collect();
    let due: Vec<i64> = lanes.iter().map(|it| it.due_at.as_millisecond()).collect();
    let errors: Vec<String> = lanes.iter().map(|it| text(&it.error)).collect();
    let statuses: Vec<Option<i32>> = lanes.iter().map(|it| it.status.map(i32::from)).collect();
    db.execute_typed(
        "INSERT INTO held_lane (consumer_row, lane_row, first_sequence, attempts, failing_since_ms,
             due_at_ms, error, status)
         SELECT $1, COALESCE(c.row, -h.row), n.first, n.attempts, n.since, n.due, n.error, n.status
         FROM UNNEST($2::UUID[], $3::INT8[], $4::INT8[], $5::INT8[], $6::INT8[], $7::TEXT[], $8::INT4[])
             AS n (lane, first, attempts, since, due, error, status)
         LEFT JOIN conversation c ON c.id = n.lane
         LEFT JOIN channel h ON h.id = n.lane
         WHERE COALESCE(c.row, h.row) IS NOT NULL
         ON CONFLICT (consumer_row, lane_row) DO UPDATE SET first_sequence = excluded.first_sequence,
             attempts = excluded.attempts, failing_since_ms = excluded.failing_since_ms,
             due_at_ms = excluded.due_at_ms, error = excluded.error, status = excluded.status",
        params![
            consumer_row => INT8,
            ids => UUID_ARRAY,
            firsts => INT8_ARRAY,
            attempts => INT8_ARRAY,
            since => INT8_ARRAY,
            due => INT8_ARRAY,
            errors => TEXT_ARRAY,
            statuses => INT4_ARRAY,
        ],
    )
    .await?;
    Ok(())
}

/// What a consumer holds in these shards, or only this one.
async fn held_lanes(
    db: &Client,
    consumer_row: i64,
    shards: i64,
    only: Option<i64>,
) -> Result<Vec<HeldLane>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT COALESCE(c.id, h.id), l.first_sequence, l.attempts, l.failing_since_ms, l.due_at_ms,
                 l.error, l.status
             FROM held_lane l
             LEFT JOIN conversation c ON c.row = l.lane_row
             LEFT JOIN channel h ON h.row = -l.lane_row
             WHERE l.consumer_row = $1 AND is_among(shard_of(COALESCE(c.id, h.id)), $2)
                 AND l.lane_row = COALESCE($3, l.lane_row)
             ORDER BY l.lane_row",
            params![consumer_row => INT8, shards => INT8, only => INT8],
        )
        .await?;
    let lane = |row| {
        Ok(HeldLane {
            conversation_id: id(row, 0)?,
            first: sequence(row, 1)?,
            attempts: small(row, 2)?,
            failing_since: time(row, 3)?,
            due_at: time(row, 4)?,
            error: read_text(row, 5)?,
            status: status(row, 6)?,
        })
    };
    rows.iter().map(lane).collect()
}

pub(super) async fn release_all(db: &Client, consumer_row: i64) -> Result<(), StoreError> {
    db.execute_typed(
        "DELETE FROM held_lane WHERE consumer_row = $1",
        params![consumer_row => INT8],
    )
    .await?;
    Ok(())
}
