//! What people note about conversations. A note appends to the log and is a function of the schema.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::{Client, Row};
use tradewind_model::{ConversationId, Tag, TagColor, TagId, Timestamp};

use super::row::{code, coded, id, params, read_text, text};
use crate::{
    NOTES_MAX, Note, Noted, StoreError,
    conversations::{folded, folded_name},
    page::{integer, row_limit},
};

/// What is noted about a conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) tags: Vec<TagId>,
    pub(super) metadata: BTreeMap<String, String>,
}

pub(super) async fn note(
    db: &Client,
    now: Timestamp,
    conversation: ConversationId,
    note: &Note,
) -> Result<Noted, StoreError> {
    let optional = |value: &Option<String>| value.as_deref().map(text);
    let (kind, tag, [one, two, three, four]) = match note {
        Note::Read => (0_i16, None, [None, None, None, None]),
        Note::Tag(tag) => (1, Some(tag.uuid()), [None, None, None, None]),
        Note::Untag(tag) => (2, Some(tag.uuid()), [None, None, None, None]),
        Note::Set { key, value } => {
            let folded = text(&folded(value));
            (
                3,
                None,
                [Some(text(key)), Some(text(value)), Some(folded), None],
            )
        }
        Note::Remove { key } => (4, None, [Some(text(key)), None, None, None]),
        Note::Contact {
            first_name,
            last_name,
            avatar_url,
        } => {
            let folded = folded_name(first_name.as_deref(), last_name.as_deref());
            let known = [first_name, last_name, avatar_url, &folded];
            (5, None, known.map(optional))
        }
    };
    let row = db
        .query_typed_one(
            "SELECT note_conversation($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                now.as_millisecond() => INT8,
                conversation.uuid() => UUID,
                kind => INT2,
                tag => UUID,
                one => TEXT,
                two => TEXT,
                three => TEXT,
                four => TEXT,
                integer(NOTES_MAX) => INT8,
            ],
        )
        .await?;
    Ok(match row.try_get::<_, i16>(0)? {
        0 => Noted::Done,
        1 => Noted::NotFound,
        _ => Noted::Full,
    })
}

/// What is noted about the conversations with these rows.
pub(super) async fn notes_of(db: &Client, rows: &[i64]) -> Result<HashMap<i64, Notes>, StoreError> {
    let mut notes: HashMap<i64, Notes> = HashMap::new();
    let noted = db
        .query_typed(
            "SELECT conversation_row, tag_id, NULL, NULL FROM conversation_tag
             WHERE conversation_row = ANY($1)
             UNION ALL
             SELECT conversation_row, NULL, key, value FROM metadata WHERE conversation_row = ANY($1)
             ORDER BY 1, 2",
            params![rows => INT8_ARRAY],
        )
        .await?;
    for row in &noted {
        let of = notes.entry(row.try_get(0)?).or_default();
        if row.try_get::<_, Option<&str>>(2)?.is_some() {
            of.metadata.insert(read_text(row, 2)?, read_text(row, 3)?);
        } else {
            of.tags.push(id(row, 1)?);
        }
    }
    Ok(notes)
}

pub(super) async fn create_tag(db: &Client, tag: &Tag, max: u64) -> Result<bool, StoreError> {
    let created = db
        .execute_typed(
            "INSERT INTO tag (id, name, color)
             SELECT $1, $2, $3 WHERE (SELECT COUNT(*) FROM tag) < $4",
            params![
                tag.id.uuid() => UUID,
                text(&tag.name) => TEXT,
                code(tag.color) => INT2,
                integer(max) => INT8,
            ],
        )
        .await?;
    Ok(created > 0)
}

pub(super) async fn update_tag(
    db: &Client,
    id: TagId,
    name: Option<&str>,
    color: Option<TagColor>,
) -> Result<bool, StoreError> {
    let changed = db
        .execute_typed(
            "UPDATE tag SET name = COALESCE($2, name), color = COALESCE($3, color) WHERE id = $1",
            params![
                id.uuid() => UUID,
                name.map(text) => TEXT,
                color.map(code) => INT2,
            ],
        )
        .await?;
    Ok(changed > 0)
}

pub(super) async fn delete_tag(db: &Client, id: TagId) -> Result<bool, StoreError> {
    let deleted = db
        .execute_typed("DELETE FROM tag WHERE id = $1", params![id.uuid() => UUID])
        .await?;
    Ok(deleted > 0)
}

pub(super) async fn list_tags(db: &Client, limit: usize) -> Result<Vec<Tag>, StoreError> {
    let rows = db
        .query_typed(
            "SELECT id, name, color FROM tag ORDER BY row LIMIT $1",
            params![row_limit(limit) => INT8],
        )
        .await?;
    rows.iter().map(tag).collect()
}

fn tag(row: &Row) -> Result<Tag, StoreError> {
    Ok(Tag {
        id: id(row, 0)?,
        name: read_text(row, 1)?,
        color: coded(row, 2)?,
    })
}
