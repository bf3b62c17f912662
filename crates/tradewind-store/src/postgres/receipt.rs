//! What sources tell of messages that they took: a function of the schema.

use tokio_postgres::Client;
use tradewind_model::{ChannelId, Conversation, Timestamp};

use super::row::{number, params, text};
use crate::{NewReceipt, ReceiptKind, ReceiptOf, StoreError, receipt::RECEIPTS_MAX};

pub(super) async fn take_receipt(
    db: &Client,
    now: Timestamp,
    new: &NewReceipt,
) -> Result<u64, StoreError> {
    let (mut message, mut source_ids, mut conversation, mut until) = (None, None, None, None);
    match &new.of {
        ReceiptOf::Message(id) => message = Some(id.uuid()),
        ReceiptOf::SourceIds(ids) => {
            let at_most = usize::try_from(RECEIPTS_MAX).unwrap_or(usize::MAX);
            let ids = ids.iter().take(at_most).map(|id| text(id));
            source_ids = Some(ids.collect::<Vec<_>>());
        }
        ReceiptOf::Until { contact, at } => {
            conversation = Some(Conversation::id_of(new.channel_id, contact).uuid());
            until = Some(at.as_millisecond());
        }
    }
    let reason = match &new.kind {
        ReceiptKind::Failed { reason } => Some(text(reason)),
        _ => None,
    };
    let row = db
        .query_typed_one(
            "SELECT take_receipt($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                now.as_millisecond() => INT8,
                new.channel_id.uuid() => UUID,
                message => UUID,
                source_ids => TEXT_ARRAY,
                conversation => UUID,
                until => INT8,
                i32::from(new.kind.way()) => INT4,
                reason => TEXT,
                i64::from(RECEIPTS_MAX) => INT8,
            ],
        )
        .await?;
    number(&row, 0)
}

pub(super) async fn has_sent(
    db: &Client,
    channel: ChannelId,
    id: &str,
) -> Result<bool, StoreError> {
    let row = db
        .query_typed_one(
            "SELECT cardinality(receipt_rows($1, NULL, $2, NULL, NULL, NULL, $3)) > 0",
            params![
                channel.uuid() => UUID,
                vec![text(id)] => TEXT_ARRAY,
                i64::from(RECEIPTS_MAX) => INT8,
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}
