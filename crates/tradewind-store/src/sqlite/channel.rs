//! Connected accounts.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tradewind_model::{Action, Actor, Channel, ChannelId, EntryKind, Timestamp};

use super::{
    append::{Entry, append_entry, next_sequence},
    audit,
    row::get,
    writer::Batch,
};
use crate::columns::channel_columns;
use crate::{Disconnected, StoreError};

/// Reads a channel whose columns begin at `first`.
pub(super) fn channel(row: &Row<'_>, first: usize) -> rusqlite::Result<Channel> {
    Ok(Channel {
        id: get(row, first)?,
        source: get(row, first + 1)?,
        source_channel_id: row.get(first + 2)?,
        name: row.get(first + 3)?,
        image_url: row.get(first + 4)?,
        token: row.get(first + 5)?,
        connected: row.get(first + 6)?,
    })
}

pub(super) fn connect_channel(
    batch: &Batch<'_>,
    now: Timestamp,
    new: &Channel,
    by: &Actor,
) -> Result<Channel, StoreError> {
    let changed = batch
        .prepare_cached(
            "-- connect_channel
             INSERT INTO channel (id, source, source_channel_id, name, image_url, token, connected)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, TRUE)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, image_url = excluded.image_url,
                 token = excluded.token, connected = TRUE
             WHERE NOT connected",
        )?
        .execute(params![
            new.id.uuid(),
            new.source.name(),
            new.source_channel_id,
            new.name,
            new.image_url,
            new.token,
        ])?;
    if changed > 0 {
        write_fact(batch, now, new.id, EntryKind::ChannelConnected)?;
        record(batch, now, by, Action::ChannelConnected, new)?;
    } else if let Some(token) = &new.token {
        batch
            .prepare_cached(
                "-- connect_channel
                 UPDATE channel SET token = ?2 WHERE id = ?1",
            )?
            .execute((new.id.uuid(), token))?;
        record(batch, now, by, Action::ChannelConnected, new)?;
    }
    find_channel(batch, new.id)?.ok_or(StoreError::NotFound)
}

pub(super) fn disconnect_channel(
    batch: &Batch<'_>,
    now: Timestamp,
    id: ChannelId,
    by: &Actor,
) -> Result<Disconnected, StoreError> {
    let Some(channel) = find_channel(batch, id)? else {
        return Ok(Disconnected::NotFound);
    };
    if !channel.connected {
        return Ok(Disconnected::Already);
    }
    batch
        .prepare_cached(
            "-- disconnect_channel
             UPDATE channel SET connected = FALSE, token = NULL WHERE id = ?1",
        )?
        .execute([id.uuid()])?;
    write_fact(batch, now, id, EntryKind::ChannelDisconnected)?;
    record(batch, now, by, Action::ChannelDisconnected, &channel)?;
    Ok(Disconnected::Done)
}

fn record(
    batch: &Batch<'_>,
    now: Timestamp,
    by: &Actor,
    action: Action,
    channel: &Channel,
) -> rusqlite::Result<()> {
    let subject = channel.id.to_string();
    let detail = format!("{} {}", channel.source.name(), channel.source_channel_id);
    audit::record(batch, now, by, action, (&subject, &detail))
}

/// Appends what became of a channel to the log.
fn write_fact(
    batch: &Batch<'_>,
    now: Timestamp,
    id: ChannelId,
    kind: EntryKind,
) -> Result<(), StoreError> {
    let (row, position): (i64, u64) = batch
        .prepare_cached(
            "-- write_fact
             UPDATE channel SET entry_count = entry_count + 1 WHERE id = ?1
             RETURNING row, entry_count",
        )?
        .query_row([id.uuid()], |row| Ok((row.get(0)?, get(row, 1)?)))?;
    let entry = Entry {
        sequence: next_sequence(batch)?,
        lane_row: -row,
        position,
        kind,
        message_row: None,
    };
    append_entry(batch, now, &entry)
}

pub(super) fn find_channel(db: &Connection, id: ChannelId) -> Result<Option<Channel>, StoreError> {
    let found = db
        .prepare_cached(concat!(
            "-- find_channel\n SELECT ",
            channel_columns!(),
            " FROM channel h WHERE h.id = ?1"
        ))?
        .query_row([id.uuid()], |row| channel(row, 0))
        .optional()?;
    Ok(found)
}

pub(super) fn list_channels(db: &Connection, limit: i64) -> Result<Vec<Channel>, StoreError> {
    let channels = db
        .prepare_cached(concat!(
            "-- list_channels\n SELECT ",
            channel_columns!(),
            " FROM channel h WHERE h.connected ORDER BY h.row LIMIT ?1"
        ))?
        .query_map([limit], |row| channel(row, 0))?
        .collect::<Result<_, _>>()?;
    Ok(channels)
}
