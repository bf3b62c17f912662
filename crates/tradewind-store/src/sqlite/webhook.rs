//! Customers' registrations. Whether one is subscribed is kept here, where it stands in its consumer.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tradewind_model::{
    Action, Actor, EventType, OldSecret, SenderType, Timestamp, Webhook, WebhookId, WebhookStatus,
};
use uuid::Uuid;

use super::{
    audit, consumer, replay,
    row::{Json, find, from_names, get},
    writer::Batch,
};
use crate::columns::{WEBHOOK_WIDTH, webhook_columns};
use crate::{
    ConsumerId, StoreError,
    page::{integer, json_text, names},
};

pub(super) fn subscribe(
    batch: &Batch<'_>,
    now: Timestamp,
    new: &Webhook,
    by: &Actor,
) -> Result<Webhook, StoreError> {
    let present = find_webhook(batch, new.id)?;
    if present.is_none_or(|webhook| webhook.status == WebhookStatus::Unsubscribed) {
        let consumer_row = consumer::restart(batch, &ConsumerId::Webhook(new.id))?;
        batch
            .prepare_cached(
                "-- subscribe
                 INSERT INTO webhook (id, consumer_row, url, headers, subscribed, api_secret)
                 VALUES (?1, ?2, ?3, '[]', TRUE, ?4)
                 ON CONFLICT (id) DO UPDATE SET subscribed = TRUE",
            )?
            .execute((new.id.uuid(), consumer_row, &new.url, new.api_secret))?;
    }
    batch
        .prepare_cached(
            "-- subscribe
             UPDATE webhook SET url = ?2, headers = ?3, name = ?4, events = ?5, senders = ?6,
                 paused = ?7, ended_because = NULL
             WHERE id = ?1",
        )?
        .execute(params![
            new.id.uuid(),
            new.url,
            json_text(&new.headers)?,
            new.name,
            names(&new.events, EventType::name)?,
            names(&new.senders, SenderType::name)?,
            new.paused,
        ])?;
    batch.webhook_changed();
    let subject = new.id.to_string();
    audit::record(
        batch,
        now,
        by,
        Action::WebhookSubscribed,
        (&subject, &new.url),
    )?;
    find_webhook(batch, new.id)?.ok_or(StoreError::NotFound)
}

pub(super) fn unsubscribe(
    batch: &Batch<'_>,
    now: Timestamp,
    id: WebhookId,
    by: &Actor,
) -> Result<Option<Webhook>, StoreError> {
    if end(batch, id, None, None)? {
        record_end(batch, now, by, (id, ""))?;
    }
    find_webhook(batch, id)
}

fn record_end(
    batch: &Batch<'_>,
    now: Timestamp,
    by: &Actor,
    (id, because): (WebhookId, &str),
) -> rusqlite::Result<()> {
    let subject = id.to_string();
    audit::record(
        batch,
        now,
        by,
        Action::WebhookUnsubscribed,
        (&subject, because),
    )
}

pub(super) fn end_subscription(
    batch: &Batch<'_>,
    now: Timestamp,
    id: WebhookId,
    (generation, because): (u64, &str),
) -> Result<(), StoreError> {
    if end(batch, id, Some(generation), Some(because))? {
        record_end(batch, now, &Actor::server(), (id, because))?;
    }
    Ok(())
}

/// Unsubscribes a webhook, if it is subscribed and of this generation, and says whether it was.
fn end(
    batch: &Batch<'_>,
    id: WebhookId,
    generation: Option<u64>,
    because: Option<&str>,
) -> Result<bool, StoreError> {
    let ended: Option<(i64, i64)> = batch
        .prepare_cached(
            "-- end
             UPDATE webhook SET subscribed = FALSE, ended_because = ?3
             WHERE id = ?1 AND subscribed AND (?2 IS NULL OR ?2 = (
                 SELECT generation FROM consumer WHERE row = webhook.consumer_row))
             RETURNING row, consumer_row",
        )?
        .query_row((id.uuid(), generation.map(integer), because), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((row, consumer_row)) = ended {
        consumer::stop(batch, consumer_row)?;
        replay::end_all(batch, row)?;
        batch.webhook_changed();
    }
    Ok(ended.is_some())
}

pub(super) fn rotate_secret(
    batch: &Batch<'_>,
    now: Timestamp,
    id: WebhookId,
    (fresh, overlap_until): (Uuid, Timestamp),
    by: &Actor,
) -> Result<Option<Webhook>, StoreError> {
    let changed = batch
        .prepare_cached(
            "-- rotate_secret
             UPDATE webhook SET old_secret = api_secret, old_secret_until_ms = ?3, api_secret = ?2
             WHERE id = ?1",
        )?
        .execute((id.uuid(), fresh, overlap_until.as_millisecond()))?;
    if changed > 0 {
        batch.webhook_changed();
        let subject = id.to_string();
        audit::record(batch, now, by, Action::WebhookSecretRotated, (&subject, ""))?;
    }
    find_webhook(batch, id)
}

pub(super) fn find_webhook(db: &Connection, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "-- find_webhook\n SELECT ",
            webhook_columns!(),
            " FROM webhook w WHERE w.id = ?1"
        ))?
        .query_row([id.uuid()], webhook)
        .optional()?;
    Ok(found)
}

pub(super) fn list_webhooks(
    db: &Connection,
    limit: i64,
) -> Result<Vec<(Webhook, u64)>, StoreError> {
    let webhooks = db
        .prepare_cached(concat!(
            "-- list_webhooks\n SELECT ",
            webhook_columns!(),
            ", u.generation FROM webhook w JOIN consumer u ON u.row = w.consumer_row
             ORDER BY w.row LIMIT ?1"
        ))?
        .query_map([limit], |row| Ok((webhook(row)?, get(row, WEBHOOK_WIDTH)?)))?
        .collect::<Result<_, _>>()?;
    Ok(webhooks)
}

fn webhook(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    let old_secret: Option<Uuid> = row.get(5)?;
    let until: Option<Timestamp> = find(row, 6)?;
    Ok(Webhook {
        id: get(row, 0)?,
        url: row.get(1)?,
        headers: get::<Json<_>>(row, 2)?.0,
        status: if row.get(3)? {
            WebhookStatus::Subscribed
        } else {
            WebhookStatus::Unsubscribed
        },
        api_secret: row.get(4)?,
        old_secret: old_secret
            .zip(until)
            .map(|(secret, until)| OldSecret { secret, until }),
        name: row.get(7)?,
        events: from_names(row, 8, &EventType::ALL, EventType::name)?,
        senders: from_names(row, 9, &SenderType::ALL, SenderType::name)?,
        paused: row.get(10)?,
        ended_because: row.get(11)?,
    })
}
