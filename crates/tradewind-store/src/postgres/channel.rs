//! Connected accounts. Changes append to the log and are functions of the schema.

use tokio_postgres::{Client, Row};
use tradewind_model::{Actor, Channel, ChannelId, Timestamp};

use super::row::{id, params, read_text, source, text, text_or_none};
use crate::columns::channel_columns;
use crate::page::row_limit;
use crate::{Disconnected, StoreError};

/// Reads a channel whose columns begin at `first`.
pub(super) fn channel(row: &Row, first: usize) -> Result<Channel, StoreError> {
    Ok(Channel {
        id: id(row, first)?,
        source: source(row, first + 1)?,
        source_channel_id: read_text(row, first + 2)?,
        name: text_or_none(row, first + 3)?,
        image_url: text_or_none(row, first + 4)?,
        token: text_or_none(row, first + 5)?,
        connected: row.try_get(first + 6)?,
    })
}

pub(super) async fn connect_channel(
    db: &Client,
    now: Timestamp,
    new: &Channel,
    by: &Actor,
) -> Result<Channel, StoreError> {
    let optional = |value: &Option<String>| value.as_deref().map(text);
    db.query_typed(
        "SELECT connect_channel($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            now.as_millisecond() => INT8,
            new.id.uuid() => UUID,
            new.source.name() => TEXT,
            text(&new.source_channel_id) => TEXT,
            optional(&new.name) => TEXT,
            optional(&new.image_url) => TEXT,
            optional(&new.token) => TEXT,
            by.id => UUID,
            text(&by.name) => TEXT,
        ],
    )
    .await?;
    find_channel(db, new.id).await?.ok_or(StoreError::NotFound)
}

pub(super) async fn disconnect_channel(
    db: &Client,
    now: Timestamp,
    id: ChannelId,
    by: &Actor,
) -> Result<Disconnected, StoreError> {
    let row = db
        .query_typed_one(
            "SELECT disconnect_channel($1, $2, $3, $4)",
            params![
                now.as_millisecond() => INT8,
                id.uuid() => UUID,
                by.id => UUID,
                text(&by.name) => TEXT,
            ],
        )
        .await?;
    Ok(match row.try_get::<_, i16>(0)? {
        0 => Disconnected::Done,
        1 => Disconnected::Already,
        _ => Disconnected::NotFound,
    })
}

pub(super) async fn find_channel(
    db: &Client,
    id: ChannelId,
) -> Result<Option<Channel>, StoreError> {
    let row = db
        .query_typed_opt(
            concat!(
                "SELECT ",
                channel_columns!(),
                " FROM channel h WHERE h.id = $1"
            ),
            params![id.uuid() => UUID],
        )
        .await?;
    row.map(|row| channel(&row, 0)).transpose()
}

pub(super) async fn list_channels(db: &Client, limit: usize) -> Result<Vec<Channel>, StoreError> {
    let rows = db
        .query_typed(
            concat!(
                "SELECT ",
                channel_columns!(),
                " FROM channel h WHERE h.connected ORDER BY h.row LIMIT $1"
            ),
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter().map(|row| channel(row, 0)).collect()
}
