//! What a receipt does to a message: it only moves it forward.
//!
//! The same rules are in the schema of `PostgreSQL`, as `take_receipt`.

use tradewind_model::{DeliveryState, EntryKind, Receipt};

use crate::{ReceiptKind, Settlement};

/// Messages that one receipt moves, and those of a conversation that it looks at.
pub(crate) const RECEIPTS_MAX: u32 = 100;
/// Bytes of what a source calls a message; a longer one is not kept, as an index has no room for it.
const SOURCE_ID_BYTES_MAX: usize = 512;

impl Settlement {
    /// What the source calls the message, as it is kept.
    pub(crate) fn source_message_id(&self) -> Option<&str> {
        match self {
            Self::Sent { source_message_id } => source_message_id
                .as_deref()
                .filter(|id| (1..=SOURCE_ID_BYTES_MAX).contains(&id.len())),
            Self::Failed { .. } => None,
        }
    }
}

impl ReceiptKind {
    /// How far it says a message has come, as [`way`] counts; a failure is beyond all.
    pub(crate) fn way(&self) -> u8 {
        match self {
            Self::Sent => 1,
            Self::Delivered => 2,
            Self::Read => 3,
            Self::Failed { .. } => 4,
        }
    }
}

/// How far a message of ours has come.
pub(crate) fn way(state: DeliveryState, receipt: Option<Receipt>) -> u8 {
    match (state, receipt) {
        (DeliveryState::Pending, _) => 0,
        (_, None) => 1,
        (_, Some(Receipt::Delivered)) => 2,
        (_, Some(Receipt::Read)) => 3,
    }
}

/// What a message becomes, and the entries that say so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) state: DeliveryState,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) entries: &'static [EntryKind],
}

/// What `kind` makes of a message. `None`: it is late, or says what is known.
pub(crate) fn moved(
    state: DeliveryState,
    receipt: Option<Receipt>,
    kind: &ReceiptKind,
) -> Option<Move> {
    let is_pending = state == DeliveryState::Pending;
    if state == DeliveryState::Failed || way(state, receipt) >= kind.way() {
        return None;
    }
    let delivered = |receipt, entries| {
        Some(Move {
            state: DeliveryState::Delivered,
            receipt,
            entries,
        })
    };
    match (kind, is_pending) {
        (ReceiptKind::Sent, _) => delivered(None, &[EntryKind::Sent]),
        (ReceiptKind::Delivered, true) => delivered(
            Some(Receipt::Delivered),
            &[EntryKind::Sent, EntryKind::ReceiptDelivered],
        ),
        (ReceiptKind::Delivered, false) => {
            delivered(Some(Receipt::Delivered), &[EntryKind::ReceiptDelivered])
        }
        (ReceiptKind::Read, true) => delivered(
            Some(Receipt::Read),
            &[EntryKind::Sent, EntryKind::ReceiptRead],
        ),
        (ReceiptKind::Read, false) => delivered(Some(Receipt::Read), &[EntryKind::ReceiptRead]),
        // The contact had it: it cannot have failed.
        (ReceiptKind::Failed { .. }, _) if receipt.is_some() => None,
        (ReceiptKind::Failed { .. }, _) => Some(Move {
            state: DeliveryState::Failed,
            receipt: None,
            entries: &[EntryKind::SendFailed],
        }),
    }
}
