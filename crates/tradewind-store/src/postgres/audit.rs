//! The record of who changed what.

use tokio_postgres::Client;
use tradewind_model::{Action, Actor, AuditEntry, Timestamp};
use uuid::Uuid;

use super::row::{number, params, read_text, text, time};
use crate::{
    AuditPage, StoreError,
    page::{audit_page, integer, page_limit, row_limit},
};

/// Writes that `actor` did this; within the transaction that does it.
pub(super) async fn record(
    db: &Client,
    now: Timestamp,
    actor: &Actor,
    action: Action,
    (subject, detail): (&str, &str),
) -> Result<(), StoreError> {
    db.query_typed(
        "SELECT record_change($1, $2, $3, $4, $5, $6)",
        params![
            now.as_millisecond() => INT8,
            actor.id => UUID,
            text(&actor.name) => TEXT,
            action.name() => TEXT,
            text(subject) => TEXT,
            text(detail) => TEXT,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn list_audit(
    db: &Client,
    before: Option<u64>,
    limit: usize,
) -> Result<AuditPage, StoreError> {
    let limit = page_limit(limit);
    let rows = db
        .query_typed(
            "SELECT row, at_ms, actor_id, actor_name, action, subject, detail FROM audit
             WHERE row < $1 ORDER BY row DESC LIMIT $2",
            params![
                integer(before.unwrap_or(u64::MAX)) => INT8,
                row_limit(limit + 1) => INT8,
            ],
        )
        .await?;
    let mut fetched = Vec::with_capacity(rows.len());
    for row in &rows {
        let entry = AuditEntry {
            at: time(row, 1)?,
            actor: Actor {
                id: row.try_get::<_, Option<Uuid>>(2)?,
                name: read_text(row, 3)?,
            },
            action: read_text(row, 4)?,
            subject: read_text(row, 5)?,
            detail: read_text(row, 6)?,
        };
        fetched.push((number(row, 0)?, entry));
    }
    let total = db
        .query_typed_one("SELECT COUNT(*) FROM audit", &[])
        .await?;
    Ok(audit_page(fetched, limit, number(&total, 0)?))
}

pub(super) async fn sweep_audit(
    db: &Client,
    cutoff_ms: i64,
    at_most: u32,
) -> Result<u64, StoreError> {
    // Rows grow with time, so the oldest are first.
    let removed = db
        .execute_typed(
            "DELETE FROM audit WHERE row IN (
                 SELECT row FROM (SELECT row, at_ms FROM audit ORDER BY row LIMIT $2) old
                 WHERE at_ms < $1)",
            params![cutoff_ms => INT8, i64::from(at_most) => INT8],
        )
        .await?;
    Ok(removed)
}
