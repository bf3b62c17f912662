//! The two statements that write the log.

use tokio_postgres::{Client, Row};
use tradewind_model::{DeliveryState, Message, MessageId, Sequence, Timestamp};

use crate::columns::message_columns;
use crate::{
    Appended, NewMessage, Origin, Settlement, StoreError, crash,
    page::{Place, json_text, stored},
    postgres::{
        log,
        row::{code, id, message, number, params, read_text, sequence, source, text},
    },
};

/// Stores messages; what each came to, and the newest entry that was appended.
pub(super) async fn append(
    db: &Client,
    now: Timestamp,
    messages: &[NewMessage],
) -> Result<(Vec<Appended>, Option<Sequence>), StoreError> {
    let arrays = Arrays::of(messages)?;
    crash::point("before_commit");
    let rows = arrays.append(db, now).await?;
    crash::point("after_commit");
    let mut repeats = Vec::new();
    for row in &rows {
        if row.try_get::<_, i16>(0)? == 1 {
            repeats.push(row.try_get::<_, i64>(1)?);
        }
    }
    let mut repeated = find_messages(db, &repeats).await?.into_iter();
    let mut newest = None;
    let mut outcomes = Vec::with_capacity(rows.len());
    for (new, row) in messages.iter().zip(&rows) {
        outcomes.push(match row.try_get::<_, i16>(0)? {
            0 => {
                newest = Some(sequence(row, 1)?);
                let place = Place {
                    channel_id: id(row, 3)?,
                    source: source(row, 4)?,
                    contact_source_id: read_text(row, 5)?,
                    position: number(row, 2)?,
                };
                Appended::Stored(stored(new, place))
            }
            1 => Appended::Repeated(repeated.next().ok_or(StoreError::NotFound)?),
            2 => Appended::KeyReused,
            3 => Appended::ConversationNotFound,
            4 => Appended::ChannelNotFound,
            5 => Appended::ChannelDisconnected,
            _ => {
                return Err(StoreError::Broken(
                    "a conversation cannot change its channel".into(),
                ));
            }
        });
    }
    Ok((outcomes, newest))
}

/// Messages, a column an array.
#[derive(Default)]
struct Arrays {
    ids: Vec<uuid::Uuid>,
    conversations: Vec<uuid::Uuid>,
    channels: Vec<Option<uuid::Uuid>>,
    contacts: Vec<Option<String>>,
    sender_kinds: Vec<i16>,
    sender_ids: Vec<String>,
    contents: Vec<String>,
    sent_at: Vec<i64>,
    scopes: Vec<Option<String>>,
    keys: Vec<Option<String>>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl Arrays {
    fn of(messages: &[NewMessage]) -> Result<Self, StoreError> {
        let mut arrays = Self::default();
        for new in messages {
            let (channel, contact) = match &new.origin {
                Origin::Source {
                    channel_id,
                    contact_source_id,
                } => (Some(channel_id.uuid()), Some(text(contact_source_id))),
                Origin::Api => (None, None),
            };
            let key = new.idempotency.as_ref();
            arrays.ids.push(new.id.uuid());
            arrays.conversations.push(new.conversation_id.uuid());
            arrays.channels.push(channel);
            arrays.contacts.push(contact);
            arrays.sender_kinds.push(code(new.sender.kind));
            arrays.sender_ids.push(text(&new.sender.id));
            arrays.contents.push(json_text(&new.content)?);
            arrays.sent_at.push(new.sent_at.as_millisecond());
            arrays.scopes.push(key.map(|key| text(&key.scope)));
            arrays.keys.push(key.map(|key| text(&key.key)));
            arrays.hashes.push(key.map(|key| key.request_hash.to_vec()));
        }
        Ok(arrays)
    }

    async fn append(&self, db: &Client, now: Timestamp) -> Result<Vec<Row>, StoreError> {
        let rows = db
            .query_typed(
                "SELECT outcome, message_row, message_position, channel_id, source, contact_source_id
                 FROM append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                params![
                    now.as_millisecond() => INT8,
                    self.ids => UUID_ARRAY,
                    self.conversations => UUID_ARRAY,
                    self.channels => UUID_ARRAY,
                    self.contacts => TEXT_ARRAY,
                    self.sender_kinds => INT2_ARRAY,
                    self.sender_ids => TEXT_ARRAY,
                    self.contents => TEXT_ARRAY,
                    self.sent_at => INT8_ARRAY,
                    self.scopes => TEXT_ARRAY,
                    self.keys => TEXT_ARRAY,
                    self.hashes => BYTEA_ARRAY,
                ],
            )
            .await?;
        Ok(rows)
    }
}

/// Messages by their rows, each as often as it is named, in that order.
async fn find_messages(db: &Client, rows: &[i64]) -> Result<Vec<Message>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let found = db
        .query_typed(
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM UNNEST($1::INT8[]) WITH ORDINALITY AS n (row, place)
                  JOIN message m ON m.row = n.row
                  JOIN conversation c ON c.row = m.conversation_row
                  JOIN channel h ON h.row = c.channel_row
                  ORDER BY n.place"
            ),
            params![rows => INT8_ARRAY],
        )
        .await?;
    found.iter().map(message).collect()
}

pub(super) async fn settle(
    db: &Client,
    now: Timestamp,
    settled: &[(MessageId, Settlement)],
) -> Result<(Vec<bool>, Sequence), StoreError> {
    let ids: Vec<_> = settled.iter().map(|(id, _)| id.uuid()).collect();
    let state = |settlement: &Settlement| match settlement {
        Settlement::Sent { .. } => code(DeliveryState::Delivered),
        Settlement::Failed { .. } => code(DeliveryState::Failed),
    };
    let states: Vec<i16> = settled.iter().map(|(_, it)| state(it)).collect();
    let reason = |settlement: &Settlement| match settlement {
        Settlement::Sent { .. } => None,
        Settlement::Failed { reason } => Some(text(reason)),
    };
    let reasons: Vec<Option<String>> = settled.iter().map(|(_, it)| reason(it)).collect();
    let source_ids = settled
        .iter()
        .map(|(_, it)| it.source_message_id().map(text));
    let source_ids: Vec<Option<String>> = source_ids.collect();
    crash::point("before_commit");
    let rows = db
        .query_typed(
            "SELECT settled FROM settle_messages($1, $2, $3, $4, $5)",
            params![
                now.as_millisecond() => INT8,
                ids => UUID_ARRAY,
                states => INT2_ARRAY,
                reasons => TEXT_ARRAY,
                source_ids => TEXT_ARRAY,
            ],
        )
        .await?;
    crash::point("after_commit");
    let outcomes = rows.iter().map(|row| Ok(row.try_get(0)?));
    let outcomes = outcomes.collect::<Result<_, StoreError>>()?;
    Ok((outcomes, log::head(db).await?))
}
