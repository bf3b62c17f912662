//! Customers' registrations. Whether one is subscribed is kept here, where it stands in its consumer.

use tokio_postgres::{Client, Row};
use tradewind_model::{
    Action, Actor, EventType, OldSecret, SenderType, Timestamp, Webhook, WebhookId, WebhookStatus,
};
use uuid::Uuid;

use super::{
    audit, consumer,
    listen::Changed,
    replay,
    row::{from_names, id, json, number, params, read_text, text, text_or_none, time_or_none},
};
use crate::columns::{WEBHOOK_WIDTH, webhook_columns};
use crate::page::row_limit;
use crate::{
    ConsumerId, StoreError,
    page::{integer, json_text, names},
};

pub(super) async fn subscribe(
    db: &Client,
    now: Timestamp,
    new: &Webhook,
    by: &Actor,
) -> Result<Changed<Webhook>, StoreError> {
    lock(db, new.id).await?;
    let present = find_webhook(db, new.id).await?;
    if present.is_none_or(|webhook| webhook.status == WebhookStatus::Unsubscribed) {
        let consumer_row = consumer::restart(db, &ConsumerId::Webhook(new.id)).await?;
        db.execute_typed(
            "INSERT INTO webhook (id, consumer_row, url, headers, subscribed, api_secret)
             VALUES ($1, $2, $3, '[]', TRUE, $4)
             ON CONFLICT (id) DO UPDATE SET subscribed = TRUE",
            params![
                new.id.uuid() => UUID,
                consumer_row => INT8,
                text(&new.url) => TEXT,
                new.api_secret => UUID,
            ],
        )
        .await?;
    }
    db.execute_typed(
        "UPDATE webhook SET url = $2, headers = $3, name = $4, events = $5, senders = $6,
             paused = $7, ended_because = NULL
         WHERE id = $1",
        params![
            new.id.uuid() => UUID,
            text(&new.url) => TEXT,
            json_text(&new.headers)? => TEXT,
            new.name.as_deref().map(text) => TEXT,
            names(&new.events, EventType::name)? => TEXT,
            names(&new.senders, SenderType::name)? => TEXT,
            new.paused => BOOL,
        ],
    )
    .await?;
    let subject = new.id.to_string();
    let about = (subject.as_str(), new.url.as_str());
    audit::record(db, now, by, Action::WebhookSubscribed, about).await?;
    let webhook = find_webhook(db, new.id).await?;
    Ok((webhook.ok_or(StoreError::NotFound)?, true))
}

/// One change of a webhook after the other, also of one that is not there yet.
async fn lock(db: &Client, id: WebhookId) -> Result<(), StoreError> {
    db.query_typed(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        params![ConsumerId::Webhook(id).to_string() => TEXT],
    )
    .await?;
    Ok(())
}

pub(super) async fn unsubscribe(
    db: &Client,
    now: Timestamp,
    id: WebhookId,
    by: &Actor,
) -> Result<Changed<Option<Webhook>>, StoreError> {
    let ((), changed) = end(db, now, (id, None, None), by).await?;
    Ok((find_webhook(db, id).await?, changed))
}

/// Unsubscribes a webhook, if it is subscribed and of this generation.
pub(super) async fn end(
    db: &Client,
    now: Timestamp,
    (id, generation, because): (WebhookId, Option<u64>, Option<&str>),
    by: &Actor,
) -> Result<Changed<()>, StoreError> {
    lock(db, id).await?;
    let ended = db
        .query_typed_opt(
            "UPDATE webhook SET subscribed = FALSE, ended_because = $3
             WHERE id = $1 AND subscribed AND ($2 IS NULL OR $2 = (
                 SELECT generation FROM consumer WHERE row = webhook.consumer_row))
             RETURNING row, consumer_row",
            params![
                id.uuid() => UUID,
                generation.map(integer) => INT8,
                because.map(text) => TEXT,
            ],
        )
        .await?;
    if let Some(row) = &ended {
        consumer::stop(db, row.try_get(1)?).await?;
        replay::end_all(db, row.try_get(0)?).await?;
        let subject = id.to_string();
        let about = (subject.as_str(), because.unwrap_or_default());
        audit::record(db, now, by, Action::WebhookUnsubscribed, about).await?;
    }
    Ok(((), ended.is_some()))
}

pub(super) async fn rotate_secret(
    db: &Client,
    now: Timestamp,
    id: WebhookId,
    (fresh, overlap_until): (Uuid, Timestamp),
    by: &Actor,
) -> Result<Changed<Option<Webhook>>, StoreError> {
    let changed = db
        .execute_typed(
            "UPDATE webhook SET old_secret = api_secret, old_secret_until_ms = $3, api_secret = $2
             WHERE id = $1",
            params![id.uuid() => UUID, fresh => UUID, overlap_until.as_millisecond() => INT8],
        )
        .await?;
    if changed > 0 {
        let subject = id.to_string();
        audit::record(db, now, by, Action::WebhookSecretRotated, (&subject, "")).await?;
    }
    Ok((find_webhook(db, id).await?, changed > 0))
}

pub(super) async fn find_webhook(
    db: &Client,
    id: WebhookId,
) -> Result<Option<Webhook>, StoreError> {
    let row = db
        .query_typed_opt(
            concat!(
                "SELECT ",
                webhook_columns!(),
                " FROM webhook w WHERE w.id = $1"
            ),
            params![id.uuid() => UUID],
        )
        .await?;
    row.as_ref().map(webhook).transpose()
}

pub(super) async fn list_webhooks(
    db: &Client,
    limit: usize,
) -> Result<Vec<(Webhook, u64)>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                webhook_columns!(),
                ", u.generation FROM webhook w JOIN consumer u ON u.row = w.consumer_row
                 ORDER BY w.row LIMIT $1"
            ),
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((webhook(row)?, number(row, WEBHOOK_WIDTH)?)))
        .collect()
}

fn webhook(row: &Row) -> Result<Webhook, StoreError> {
    let old_secret: Option<Uuid> = row.try_get(5)?;
    let until: Option<Timestamp> = time_or_none(row, 6)?;
    Ok(Webhook {
        id: id(row, 0)?,
        url: read_text(row, 1)?,
        headers: json(row, 2)?,
        status: if row.try_get(3)? {
            WebhookStatus::Subscribed
        } else {
            WebhookStatus::Unsubscribed
        },
        api_secret: row.try_get(4)?,
        old_secret: old_secret
            .zip(until)
            .map(|(secret, until)| OldSecret { secret, until }),
        name: text_or_none(row, 7)?,
        events: from_names(row, 8, &EventType::ALL, EventType::name)?,
        senders: from_names(row, 9, &SenderType::ALL, SenderType::name)?,
        paused: row.try_get(10)?,
        ended_because: text_or_none(row, 11)?,
    })
}
