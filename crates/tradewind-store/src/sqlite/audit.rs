//! The record of who changed what.

use rusqlite::{Connection, params};
use tradewind_model::{Action, Actor, AuditEntry, Timestamp};
use uuid::Uuid;

use super::row::get;
use crate::{
    AuditPage, StoreError,
    page::{audit_page, integer, page_limit, row_limit},
};

/// Writes that `actor` did this; within the transaction that does it.
pub(super) fn record(
    db: &Connection,
    now: Timestamp,
    actor: &Actor,
    action: Action,
    (subject, detail): (&str, &str),
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "-- record
         INSERT INTO audit (at_ms, actor_id, actor_name, action, subject, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        now.as_millisecond(),
        actor.id,
        actor.name,
        action.name(),
        subject,
        detail,
    ])?;
    Ok(())
}

pub(super) fn list_audit(
    db: &Connection,
    before: Option<u64>,
    limit: usize,
) -> Result<AuditPage, StoreError> {
    let limit = page_limit(limit);
    let fetched = db
        .prepare_cached(
            "-- list_audit
             SELECT row, at_ms, actor_id, actor_name, action, subject, detail FROM audit
             WHERE row < ?1 ORDER BY row DESC LIMIT ?2",
        )?
        .query_map(
            (integer(before.unwrap_or(u64::MAX)), row_limit(limit + 1)),
            |row| {
                let entry = AuditEntry {
                    at: get(row, 1)?,
                    actor: Actor {
                        id: row.get::<_, Option<Uuid>>(2)?,
                        name: row.get(3)?,
                    },
                    action: row.get(4)?,
                    subject: row.get(5)?,
                    detail: row.get(6)?,
                };
                Ok((get(row, 0)?, entry))
            },
        )?
        .collect::<Result<Vec<_>, _>>()?;
    let total = db
        .prepare_cached("-- list_audit\n SELECT COUNT(*) FROM audit")?
        .query_row([], |row| get(row, 0))?;
    Ok(audit_page(fetched, limit, total))
}

pub(super) fn sweep_audit(
    db: &Connection,
    cutoff_ms: i64,
    at_most: u32,
) -> rusqlite::Result<usize> {
    // Rows grow with time, so the oldest are first.
    db.prepare_cached(
        "-- sweep_audit
         DELETE FROM audit WHERE row IN (
             SELECT row FROM (SELECT row, at_ms FROM audit ORDER BY row LIMIT ?2) WHERE at_ms < ?1)",
    )?
    .execute((cutoff_ms, at_most))
}
