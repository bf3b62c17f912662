//! Searching messages for words. The index says where they may be, a message's own text whether it is what
//! was looked for; see `sqlite/search.rs`.

use tokio_postgres::{Client, Row, types::Type};
use tradewind_model::{
    Content, ConversationId, Message, Search,
    search::{Term, words_of},
};

use super::row::{Parameter, json, message, number, params};
use crate::columns::{MESSAGE_WIDTH, message_columns};
use crate::{
    Found, StoreError,
    page::{integer, page_limit, row_limit},
    search::{Collected, INDEXED_BYTES_MAX, INDEXED_MAX},
};

/// Messages that are looked at, at once, on the way to a page.
const STRIDE: usize = 200;

pub(super) async fn newest(db: &Client) -> Result<u64, StoreError> {
    let row = db
        .query_typed_one("SELECT COALESCE(MAX(row), 0) FROM message", &[])
        .await?;
    number(&row, 0)
}

/// Adds the next messages, unless it has come up to `to`, and forgets some of those that were removed.
/// Whether there are more. Within a transaction.
pub(super) async fn index_messages(db: &Client, to: u64) -> Result<bool, StoreError> {
    db.query_typed(
        "SELECT pg_advisory_xact_lock(hashtextextended('tradewind search', 0))",
        &[],
    )
    .await?;
    let row = db
        .query_typed_one(
            "SELECT i.message_row, i.cleaned_row, s.message_row FROM indexed i, swept s",
            &[],
        )
        .await?;
    let (indexed, cleaned, swept) = (number(&row, 0)?, number(&row, 1)?, number(&row, 2)?);
    if indexed >= to {
        return Ok(false);
    }
    let more = add(db, indexed).await?;
    let is_clean = cleaned >= swept || clean(db, cleaned, swept).await?;
    Ok(more || !is_clean)
}

/// Whether there may be more after those that were added.
async fn add(db: &Client, after: u64) -> Result<bool, StoreError> {
    let messages = db
        .query_typed(
            "SELECT row, content, of_all FROM (
                 SELECT row, content, COUNT(*) OVER () AS of_all,
                     SUM(octet_length(content)) OVER (ORDER BY row) - octet_length(content) AS bytes
                 FROM (SELECT row, content FROM message WHERE row > $1 ORDER BY row LIMIT $2) m
             ) n WHERE bytes <= $3 ORDER BY row",
            params![
                integer(after) => INT8,
                row_limit(INDEXED_MAX) => INT8,
                row_limit(INDEXED_BYTES_MAX) => INT8,
            ],
        )
        .await?;
    let mut rows: Vec<i64> = Vec::new();
    let mut words = Vec::new();
    for row in &messages {
        rows.push(row.try_get(0)?);
        words.push(words_of(&json::<Content>(row, 1)?.text).join(" "));
    }
    let (Some(last), Some(first)) = (rows.last().copied(), messages.first()) else {
        return Ok(false);
    };
    let of_all: i64 = first.try_get(2)?;
    db.execute_typed(
        "INSERT INTO message_words (row, words)
         SELECT n.row, array_to_tsvector(string_to_array(n.words, ' '))
         FROM UNNEST($1::INT8[], $2::TEXT[]) AS n (row, words)
         ON CONFLICT (row) DO UPDATE SET words = excluded.words",
        params![rows => INT8_ARRAY, words => TEXT_ARRAY],
    )
    .await?;
    db.execute_typed("UPDATE indexed SET message_row = $1", params![last => INT8])
        .await?;
    Ok(of_all == row_limit(INDEXED_MAX) || row_limit(rows.len()) < of_all)
}

/// Forgets messages that were removed. Whether those were all.
async fn clean(db: &Client, from: u64, swept: u64) -> Result<bool, StoreError> {
    let row = db
        .query_typed_one(
            "WITH looked_at AS (
                 SELECT row FROM message_words WHERE row > $1 AND row <= $2 ORDER BY row LIMIT $3
             ), gone AS (
                 DELETE FROM message_words w USING looked_at l
                 WHERE w.row = l.row AND NOT EXISTS (SELECT 1 FROM message m WHERE m.row = l.row)
             )
             SELECT COUNT(*), COALESCE(MAX(row), $2) FROM looked_at",
            params![
                integer(from) => INT8,
                integer(swept) => INT8,
                row_limit(INDEXED_MAX) => INT8,
            ],
        )
        .await?;
    let is_all = row.try_get::<_, i64>(0)? < row_limit(INDEXED_MAX);
    let last = if is_all { swept } else { number(&row, 1)? };
    db.execute_typed(
        "UPDATE indexed SET cleaned_row = $1",
        params![integer(last) => INT8],
    )
    .await?;
    Ok(is_all)
}

/// What is found below `before`, the newest first.
pub(super) async fn search_all(
    db: &Client,
    search: &Search,
    before: Option<u64>,
    limit: usize,
) -> Result<Found, StoreError> {
    let sql = concat!(
        "SELECT ",
        message_columns!(),
        ", w.row
         FROM (SELECT row FROM message_words
             WHERE words @@ $1::TEXT::TSQUERY AND row < $2
             ORDER BY row DESC LIMIT $3) w
         LEFT JOIN message m ON m.row = w.row
         LEFT JOIN conversation c ON c.row = m.conversation_row
         LEFT JOIN channel h ON h.row = c.channel_row
         ORDER BY w.row DESC"
    );
    let collected = Collected::new(page_limit(limit), before);
    let query = query(search);
    look(db, (sql, (&query, Type::TEXT)), search, collected).await
}

/// Looks at messages until there are enough: `sql` gives those that come next, of `among` ($1), below a
/// row ($2), so many ($3).
async fn look(
    db: &Client,
    (sql, among): (&str, Parameter<'_>),
    search: &Search,
    mut collected: Collected,
) -> Result<Found, StoreError> {
    while collected.has_room() {
        let (below, stride) = (integer(collected.below()), row_limit(STRIDE));
        let parameters: [Parameter<'_>; 3] =
            [among.clone(), (&below, Type::INT8), (&stride, Type::INT8)];
        let rows = db.query_typed(sql, &parameters).await?;
        collected.add(matching(search, &rows)?, rows.len() < STRIDE);
    }
    Ok(collected.page())
}

/// What is found in one conversation, whose messages are looked at one by one. `None`: there is none such.
pub(super) async fn search_conversation(
    db: &Client,
    search: &Search,
    id: ConversationId,
    before: Option<u64>,
    limit: usize,
) -> Result<Option<Found>, StoreError> {
    let conversation = db
        .query_typed_opt(
            "SELECT row FROM conversation WHERE id = $1",
            params![id.uuid() => UUID],
        )
        .await?;
    let Some(conversation) = conversation else {
        return Ok(None);
    };
    let conversation: i64 = conversation.try_get(0)?;
    let sql = concat!(
        "SELECT ",
        message_columns!(),
        ", m.row
         FROM (SELECT * FROM message
             WHERE conversation_row = $1 AND position < COALESCE(
                 (SELECT position FROM message WHERE row = $2 AND conversation_row = $1),
                 9223372036854775807)
             ORDER BY position DESC LIMIT $3) m
         JOIN conversation c ON c.row = m.conversation_row
         JOIN channel h ON h.row = c.channel_row
         WHERE m.row < $2
         ORDER BY m.position DESC"
    );
    let collected = Collected::new(page_limit(limit), before);
    let found = look(db, (sql, (&conversation, Type::INT8)), search, collected);
    found.await.map(Some)
}

/// What is asked of the index: all the words, wherever they are.
fn query(search: &Search) -> String {
    let term = |term: &Term| {
        let words: Vec<String> = term.words.iter().map(|word| format!("'{word}'")).collect();
        let star = if term.open_end { ":*" } else { "" };
        format!("{}{star}", words.join(" & "))
    };
    let terms: Vec<String> = search.terms.iter().map(term).collect();
    terms.join(" & ")
}

/// Messages that were looked at, by their rows, and those of them that match.
fn matching(search: &Search, rows: &[Row]) -> Result<Vec<(u64, Option<Message>)>, StoreError> {
    let looked_at = rows.iter().map(|row| {
        let found = match row.try_get::<_, Option<uuid::Uuid>>(0)? {
            Some(_) => Some(message(row)?),
            None => None,
        };
        let found = found.filter(|found| search.matches(&found.content.text));
        Ok((number(row, MESSAGE_WIDTH)?, found))
    });
    looked_at.collect()
}
