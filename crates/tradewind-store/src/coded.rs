//! The codes of enumerations in columns of both backends: part of the schema, added to, never changed.

use tradewind_model::{DeliveryState, EntryKind, Receipt, Scope, SenderType, TagColor};

/// A value of an enumeration, which a column holds as a small number.
pub(crate) trait Coded: Copy + 'static {
    const ALL: &'static [Self];

    fn code(self) -> i64;

    /// The value with this code.
    fn of(code: i64) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.code() == code)
    }
}

impl Coded for SenderType {
    const ALL: &'static [Self] = &Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::SourceContact => 0,
            Self::SourceUser => 1,
            Self::AppUser => 2,
        }
    }
}

impl Coded for DeliveryState {
    const ALL: &'static [Self] = &[Self::Pending, Self::Delivered, Self::Failed];

    fn code(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Delivered => 1,
            Self::Failed => 2,
        }
    }
}

impl Coded for Receipt {
    const ALL: &'static [Self] = &[Self::Delivered, Self::Read];

    fn code(self) -> i64 {
        match self {
            Self::Delivered => 0,
            Self::Read => 1,
        }
    }
}

impl Coded for EntryKind {
    const ALL: &'static [Self] = &Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::Received => 0,
            Self::SendRequested => 1,
            Self::Sent => 2,
            Self::SendFailed => 3,
            Self::ChannelConnected => 4,
            Self::ChannelDisconnected => 5,
            Self::ConversationChanged => 6,
            Self::ReceiptDelivered => 7,
            Self::ReceiptRead => 8,
        }
    }
}

impl Coded for Scope {
    const ALL: &'static [Self] = &Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::Read => 0,
            Self::Agent => 1,
            Self::Admin => 2,
        }
    }
}

impl Coded for TagColor {
    const ALL: &'static [Self] = &Self::ALL;

    fn code(self) -> i64 {
        match self {
            Self::Red => 0,
            Self::Green => 1,
            Self::Blue => 2,
            Self::Purple => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Coded, DeliveryState, EntryKind, Receipt, Scope, SenderType, TagColor};

    #[test]
    fn every_code_stands_for_one_value() {
        fn codes<T: Coded>() -> Vec<i64> {
            T::ALL.iter().map(|value| value.code()).collect()
        }
        assert_eq!(codes::<SenderType>(), [0, 1, 2]);
        assert_eq!(codes::<DeliveryState>(), [0, 1, 2]);
        assert_eq!(codes::<Receipt>(), [0, 1]);
        assert_eq!(codes::<EntryKind>(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(codes::<Scope>(), [0, 1, 2]);
        assert_eq!(codes::<TagColor>(), [0, 1, 2, 3]);
    }
}
