//! Customers' registrations. Whether one is subscribed is kept here, where it stands in its consumer.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tradewind_model::{Webhook, WebhookId, WebhookStatus};

use super::{
    consumer,
    row::{Json, get, json},
    writer::Batch,
};
use crate::{ConsumerId, StoreError};

pub(super) fn subscribe(batch: &Batch<'_>, new: &Webhook) -> Result<Webhook, StoreError> {
    let present = find_webhook(batch, new.id)?;
    if present.is_none_or(|webhook| webhook.status == WebhookStatus::Unsubscribed) {
        let consumer_row = consumer::restart(batch, &ConsumerId::Webhook(new.id))?;
        batch
            .prepare_cached(
                "-- subscribe
                 INSERT INTO webhook (id, consumer_row, url, headers, subscribed, api_secret)
                 VALUES (?1, ?2, ?3, ?4, TRUE, ?5)
                 ON CONFLICT (id) DO UPDATE SET subscribed = TRUE",
            )?
            .execute(params![
                new.id.uuid(),
                consumer_row,
                new.url,
                json(&new.headers)?,
                new.api_secret,
            ])?;
    }
    batch
        .prepare_cached(
            "-- subscribe
             UPDATE webhook SET url = ?2, headers = ?3 WHERE id = ?1",
        )?
        .execute((new.id.uuid(), &new.url, json(&new.headers)?))?;
    batch.webhook_changed();
    find_webhook(batch, new.id)?.ok_or(StoreError::NotFound)
}

pub(super) fn unsubscribe(batch: &Batch<'_>, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let consumer_row = batch
        .prepare_cached(
            "-- unsubscribe
             UPDATE webhook SET subscribed = FALSE WHERE id = ?1 AND subscribed
             RETURNING consumer_row",
        )?
        .query_row([id.uuid()], |row| row.get(0))
        .optional()?;
    if let Some(consumer_row) = consumer_row {
        consumer::stop(batch, consumer_row)?;
        batch.webhook_changed();
    }
    find_webhook(batch, id)
}

pub(super) fn find_webhook(db: &Connection, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let found = db
        .prepare_cached(
            "-- find_webhook
             SELECT id, url, headers, subscribed, api_secret FROM webhook WHERE id = ?1",
        )?
        .query_row([id.uuid()], webhook)
        .optional()?;
    Ok(found)
}

pub(super) fn list_webhooks(db: &Connection, limit: i64) -> Result<Vec<Webhook>, StoreError> {
    let webhooks = db
        .prepare_cached(
            "-- list_webhooks
             SELECT id, url, headers, subscribed, api_secret FROM webhook ORDER BY row LIMIT ?1",
        )?
        .query_map([limit], webhook)?
        .collect::<Result<_, _>>()?;
    Ok(webhooks)
}

fn webhook(row: &Row<'_>) -> rusqlite::Result<Webhook> {
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
    })
}
