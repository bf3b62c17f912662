//! Listing attempts, file by file, the newest first.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use tradewind_model::WebhookId;

use super::{
    keeper::is_damaged,
    segment::{DELIVERED, IS_REPLAY, Place, REUSED},
};
use crate::{
    AttemptCursor, AttemptPage, AttemptQuery, AttemptRecord, attempt::LISTED_MAX, page::integer,
    sqlite::row::get,
};

/// A file that cannot be read is passed over, and `unreadable` told.
pub(super) fn list(
    places: &[Place],
    query: &AttemptQuery,
    unreadable: impl Fn(Place, String),
) -> AttemptPage {
    let limit = query.limit.clamp(1, LISTED_MAX);
    let mut found = Vec::new();
    for place in places {
        // One more than asked for says whether there is a page after this one.
        let room = limit + 1 - found.len();
        let before = match query.before {
            Some(before) if place.number > before.segment => continue,
            Some(before) if place.number == before.segment => integer(before.row),
            _ => i64::MAX,
        };
        let read = || read(place, query, before, room);
        // One that is being finished cannot be opened for a moment.
        let again = |error| {
            if is_damaged(&error) || !place.path.exists() {
                Err(error)
            } else {
                read()
            }
        };
        match read().or_else(again) {
            Ok(some) => found.extend(some),
            Err(error) if is_damaged(&error) => unreadable(place.clone(), error.to_string()),
            // Dropped meanwhile, or out of reach for now.
            Err(error) => tracing::debug!(error = %error, "a file of attempts was passed over"),
        }
        if found.len() > limit {
            break;
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().map(|(cursor, _)| *cursor);
    AttemptPage {
        next: last.filter(|_| more),
        items: found.into_iter().map(|(_, record)| record).collect(),
    }
}

fn read(
    place: &Place,
    query: &AttemptQuery,
    before: i64,
    room: usize,
) -> rusqlite::Result<Vec<(AttemptCursor, AttemptRecord)>> {
    let connection = place.reader()?;
    let Some(webhook) = webhook_row(&connection, query.webhook)? else {
        return Ok(Vec::new());
    };
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let conversation = query
        .conversation
        .map(tradewind_model::ConversationId::uuid);
    // Of an id, the whole is compared first, for files without an index, and the half finds the index.
    let mut conditions = String::new();
    let mut values: Vec<(&str, &dyn ToSql)> = vec![
        (":webhook", &webhook),
        (":before", &before),
        (":room", &room),
    ];
    if let Some(id) = &conversation {
        conditions.push_str(
            " AND a.conversation_id = :conversation
              AND substr(a.conversation_id, 1, 8) = substr(:conversation, 1, 8)",
        );
        values.push((":conversation", id));
    }
    if let Some(id) = &query.event_id {
        conditions.push_str(
            " AND a.event_id = :event AND substr(a.event_id, 1, 8) = substr(:event, 1, 8)",
        );
        values.push((":event", id));
    }
    conditions.push_str(match query.failed {
        Some(true) => " AND a.class <> 0",
        Some(false) => " AND a.class = 0",
        None => "",
    });
    const { assert!(DELIVERED == 0) };
    let sql = format!(
        "-- read
         SELECT a.row, a.sequence, a.event_id, a.conversation_id, a.number, a.flags, a.at_ms, c.text,
             a.status, d.text, a.dns_us, a.connect_us, a.tls_us, a.first_byte_us, a.total_us,
             a.detail, a.next, a.response
         FROM attempt a
         JOIN word c ON c.row = a.class
         LEFT JOIN word d ON d.row = a.address
         WHERE a.webhook = :webhook AND a.row < :before{conditions}
         ORDER BY a.row DESC LIMIT :room"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(values.as_slice(), |row| {
        let cursor = AttemptCursor {
            segment: place.number,
            row: get(row, 0)?,
        };
        Ok((cursor, record(row, query.webhook)?))
    })?;
    rows.collect()
}

fn webhook_row(db: &Connection, id: WebhookId) -> rusqlite::Result<Option<i64>> {
    db.query_row(
        "-- webhook_row
         SELECT row FROM webhook WHERE id = ?1",
        [id.uuid()],
        |row| row.get(0),
    )
    .optional()
}

fn record(row: &Row<'_>, webhook: WebhookId) -> rusqlite::Result<AttemptRecord> {
    let flags: i64 = row.get(5)?;
    Ok(AttemptRecord {
        webhook,
        sequence: get(row, 1)?,
        event_id: row.get(2)?,
        conversation_id: get(row, 3)?,
        number: row.get(4)?,
        is_replay: flags & IS_REPLAY != 0,
        reused: flags & REUSED != 0,
        at: get(row, 6)?,
        class: row.get(7)?,
        status: row.get(8)?,
        address: row.get(9)?,
        dns_us: row.get(10)?,
        connect_us: row.get(11)?,
        tls_us: row.get(12)?,
        first_byte_us: row.get(13)?,
        total_us: row.get(14)?,
        detail: row.get::<_, Option<_>>(15)?.unwrap_or_default(),
        next: row.get::<_, Option<_>>(16)?.unwrap_or_default(),
        response: row.get::<_, Option<_>>(17)?.unwrap_or_default(),
    })
}
