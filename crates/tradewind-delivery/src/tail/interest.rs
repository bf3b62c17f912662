//! What a follower of the log wants, as far as the kind of an entry and its sender tell.

use tradewind_model::{EntryKind, LogEntry, SenderType};
use tradewind_store::Wanted;

/// A set of kinds of entries and senders: one bit for each pair of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interest(u64);

/// Bits of each kind: one for each sender, and one for entries that have none.
const WIDTH: u64 = 4;

impl Interest {
    pub const NOTHING: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    /// That of whoever wants these entries.
    pub fn of(wanted: &Wanted) -> Self {
        let mut interest = Self::NOTHING;
        for kind in &wanted.kinds {
            let senders = SenderType::ALL
                .into_iter()
                .filter(|sender| wanted.senders.is_empty() || wanted.senders.contains(sender));
            let bits = senders.map(|sender| bit(*kind, Some(sender)));
            interest.0 |= bits.fold(bit(*kind, None), |all, bit| all | bit);
        }
        interest
    }

    /// The one kind and sender that an entry is of.
    pub fn in_entry(entry: &LogEntry) -> Self {
        Self(bit(entry.kind, entry.sender()))
    }

    /// Whether the two have anything in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn contains(self, entry: &LogEntry) -> bool {
        self.meets(Self::in_entry(entry))
    }

    /// What either wants.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

fn bit(kind: EntryKind, sender: Option<SenderType>) -> u64 {
    let kind = match kind {
        EntryKind::Received => 0,
        EntryKind::SendRequested => 1,
        EntryKind::Sent => 2,
        EntryKind::SendFailed => 3,
        EntryKind::ChannelConnected => 4,
        EntryKind::ChannelDisconnected => 5,
        EntryKind::ConversationChanged => 6,
        EntryKind::ReceiptDelivered => 7,
        EntryKind::ReceiptRead => 8,
    };
    let sender = match sender {
        None => 0,
        Some(SenderType::SourceContact) => 1,
        Some(SenderType::SourceUser) => 2,
        Some(SenderType::AppUser) => 3,
    };
    1 << (kind * WIDTH + sender)
}
