//! What people note about conversations: that they read them, tags, metadata, a contact's name.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use tradewind_model::{ConversationId, EntryKind, Tag, TagColor, TagId, Timestamp};

use super::{
    append::{append_entry, next_entry},
    row::get,
    writer::Batch,
};
use crate::{
    NOTES_MAX, Note, Noted, StoreError,
    coded::Coded,
    conversations::{folded, folded_name},
    page::integer,
};

/// What an entry about a conversation needs of it.
struct Noting {
    row: i64,
    entry_count: u64,
    last_message_row: i64,
}

pub(super) fn note(
    batch: &Batch<'_>,
    now: Timestamp,
    id: ConversationId,
    note: &Note,
) -> Result<Noted, StoreError> {
    let found = batch
        .prepare_cached(
            "-- note
             SELECT row, entry_count, last_message_row FROM conversation WHERE id = ?1",
        )?
        .query_row([id.uuid()], |row| {
            Ok(Noting {
                row: row.get(0)?,
                entry_count: get(row, 1)?,
                last_message_row: row.get(2)?,
            })
        })
        .optional()?;
    let Some(conversation) = found else {
        return Ok(Noted::NotFound);
    };
    if is_full(batch, conversation.row, note)? {
        return Ok(Noted::Full);
    }
    if apply(batch, conversation.row, note)? {
        write_change(batch, now, &conversation)?;
    }
    Ok(Noted::Done)
}

/// Whether there is no room for what would be one more.
fn is_full(db: &Connection, row: i64, note: &Note) -> Result<bool, StoreError> {
    let count: u64 = match note {
        Note::Tag(tag) => db
            .prepare_cached(
                "-- is_full
                 SELECT COUNT(*) FROM conversation_tag WHERE conversation_row = ?1 AND tag_id <> ?2",
            )?
            .query_row((row, tag.uuid()), |row| get(row, 0))?,
        Note::Set { key, .. } => db
            .prepare_cached(
                "-- is_full
                 SELECT COUNT(*) FROM metadata WHERE conversation_row = ?1 AND key <> ?2",
            )?
            .query_row((row, key), |row| get(row, 0))?,
        _ => 0,
    };
    Ok(count >= NOTES_MAX)
}

/// Whether it changed anything.
fn apply(db: &Connection, row: i64, note: &Note) -> Result<bool, StoreError> {
    let changed = match note {
        Note::Read => db
            .prepare_cached(
                "-- apply
                 UPDATE conversation SET unread_count = 0 WHERE row = ?1 AND unread_count > 0",
            )?
            .execute([row])?,
        Note::Tag(tag) => db
            .prepare_cached(
                "-- apply
                 INSERT INTO conversation_tag (conversation_row, tag_id) VALUES (?1, ?2)
                 ON CONFLICT DO NOTHING",
            )?
            .execute((row, tag.uuid()))?,
        Note::Untag(tag) => db
            .prepare_cached(
                "-- apply
                 DELETE FROM conversation_tag WHERE conversation_row = ?1 AND tag_id = ?2",
            )?
            .execute((row, tag.uuid()))?,
        Note::Set { key, value } => db
            .prepare_cached(
                "-- apply
                 INSERT INTO metadata (conversation_row, key, value, folded) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET value = excluded.value, folded = excluded.folded
                 WHERE value <> excluded.value",
            )?
            .execute((row, key, value, folded(value)))?,
        Note::Remove { key } => db
            .prepare_cached(
                "-- apply
                 DELETE FROM metadata WHERE conversation_row = ?1 AND key = ?2",
            )?
            .execute((row, key))?,
        Note::Contact {
            first_name,
            last_name,
            avatar_url,
        } => db
            .prepare_cached(
                "-- apply
                 UPDATE conversation SET contact_first_name = ?2, contact_last_name = ?3,
                     contact_avatar_url = ?4, contact_folded = ?5
                 WHERE row = ?1 AND (contact_first_name, contact_last_name, contact_avatar_url)
                     IS NOT (?2, ?3, ?4)",
            )?
            .execute(params![
                row,
                first_name,
                last_name,
                avatar_url,
                folded_name(first_name.as_deref(), last_name.as_deref()),
            ])?,
    };
    Ok(changed > 0)
}

/// Appends that the conversation changed, as an entry about its last message.
fn write_change(
    batch: &Batch<'_>,
    now: Timestamp,
    conversation: &Noting,
) -> Result<(), StoreError> {
    let (of, last) = (
        (conversation.row, conversation.entry_count),
        conversation.last_message_row,
    );
    let entry = next_entry(batch, of, EntryKind::ConversationChanged, last)?;
    batch
        .prepare_cached(
            "-- write_change
             UPDATE message SET last_sequence = ?2 WHERE row = ?1",
        )?
        .execute((last, integer(entry.sequence.0)))?;
    append_entry(batch, now, &entry)
}

/// The tags of a conversation.
pub(super) fn tags_of(db: &Connection, row: i64) -> rusqlite::Result<Vec<TagId>> {
    db.prepare_cached(
        "-- tags_of
         SELECT tag_id FROM conversation_tag WHERE conversation_row = ?1 ORDER BY tag_id",
    )?
    .query_map([row], |row| get(row, 0))?
    .collect()
}

pub(super) fn metadata_of(db: &Connection, row: i64) -> rusqlite::Result<BTreeMap<String, String>> {
    db.prepare_cached(
        "-- metadata_of
         SELECT key, value FROM metadata WHERE conversation_row = ?1",
    )?
    .query_map([row], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Forgets what was noted about a conversation that goes.
pub(super) fn forget(db: &Connection, row: i64) -> rusqlite::Result<()> {
    db.prepare_cached("-- forget\n DELETE FROM conversation_tag WHERE conversation_row = ?1")?
        .execute([row])?;
    db.prepare_cached("-- forget\n DELETE FROM metadata WHERE conversation_row = ?1")?
        .execute([row])?;
    Ok(())
}

pub(super) fn create_tag(db: &Connection, tag: &Tag, max: u64) -> Result<bool, StoreError> {
    let count: u64 = db
        .prepare_cached("-- create_tag\n SELECT COUNT(*) FROM tag")?
        .query_row([], |row| get(row, 0))?;
    if count >= max {
        return Ok(false);
    }
    db.prepare_cached("-- create_tag\n INSERT INTO tag (id, name, color) VALUES (?1, ?2, ?3)")?
        .execute((tag.id.uuid(), &tag.name, tag.color.code()))?;
    Ok(true)
}

pub(super) fn update_tag(
    db: &Connection,
    id: TagId,
    name: Option<&str>,
    color: Option<TagColor>,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached(
            "-- update_tag
             UPDATE tag SET name = COALESCE(?2, name), color = COALESCE(?3, color) WHERE id = ?1",
        )?
        .execute((id.uuid(), name, color.map(TagColor::code)))?;
    Ok(changed > 0)
}

pub(super) fn delete_tag(db: &Connection, id: TagId) -> Result<bool, StoreError> {
    let deleted = db
        .prepare_cached("-- delete_tag\n DELETE FROM tag WHERE id = ?1")?
        .execute([id.uuid()])?;
    Ok(deleted > 0)
}

pub(super) fn list_tags(db: &Connection, limit: i64) -> Result<Vec<Tag>, StoreError> {
    let tags = db
        .prepare_cached("-- list_tags\n SELECT id, name, color FROM tag ORDER BY row LIMIT ?1")?
        .query_map([limit], |row| {
            Ok(Tag {
                id: get(row, 0)?,
                name: row.get(1)?,
                color: get(row, 2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(tags)
}
