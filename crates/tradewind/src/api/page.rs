//! Pages of lists. A cursor is text that a client hands back as it came; what it says is ours to change.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tradewind_store::{ConversationCursor, MessageCursor};
use utoipa::ToSchema;

use crate::api::error::ApiError;

/// Longest page.
const PAGE_SIZE_MAX: usize = 100;

/// The part of a request that asks for a page.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct PageRequest {
    /// A cursor that this list gave; absent or empty for the first page.
    cursor: Option<String>,
    /// Items of a page: 20 if left out or less than 1, and at most 100.
    page_size: Option<i64>,
}

impl PageRequest {
    pub(crate) fn new(cursor: Option<String>, page_size: Option<i64>) -> Self {
        Self { cursor, page_size }
    }

    /// Absent or less than 1 is `default`; more than a page can hold is the longest page.
    pub(crate) fn size(&self, default: usize) -> usize {
        match self.page_size {
            Some(size) if size > 0 => usize::try_from(size)
                .unwrap_or(PAGE_SIZE_MAX)
                .min(PAGE_SIZE_MAX),
            _ => default,
        }
    }

    /// The cursor, or `None` for the first page.
    pub(crate) fn cursor<C: Cursor>(&self) -> Result<Option<C>, ApiError> {
        let Some(text) = self.cursor.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        decode(text).map(Some).ok_or_else(|| {
            ApiError::invalid(
                "cursor",
                "must be a cursor that response_metadata of this list gave",
            )
        })
    }
}

/// A place in a list as text.
pub(crate) trait Cursor: Sized {
    fn render(self) -> String;
    fn parse(text: &str) -> Option<Self>;
}

/// The cursor as clients get it.
pub(crate) fn encode(cursor: impl Cursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.render())
}

/// The cursor that a client hands back. `None`: it is not one of this list.
pub(crate) fn decode<C: Cursor>(text: &str) -> Option<C> {
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    C::parse(&plain)
}

impl Cursor for ConversationCursor {
    fn render(self) -> String {
        let counted = |matching: Option<u64>| match matching {
            Some(matching) => format!(".{matching}"),
            None => String::new(),
        };
        match self {
            Self::Next {
                below,
                seen,
                matching,
            } => format!("w{below}.{seen}{}", counted(matching)),
            Self::After { above, matching } => format!("a{above}{}", counted(matching)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, numbers) = text.split_at_checked(1)?;
        let numbers = numbers.split('.').map(|number| number.parse().ok());
        let numbers: Option<Vec<u64>> = numbers.collect();
        Some(match (kind, &numbers?[..]) {
            ("w", &[below, seen, ref matching @ ..]) if matching.len() <= 1 => Self::Next {
                below,
                seen,
                matching: matching.first().copied(),
            },
            ("a", &[above, ref matching @ ..]) if matching.len() <= 1 => Self::After {
                above,
                matching: matching.first().copied(),
            },
            _ => return None,
        })
    }
}

impl Cursor for MessageCursor {
    fn render(self) -> String {
        match self {
            Self::From(position) => format!("m{position}"),
            Self::Before(position) => format!("p{position}"),
            Self::Newest => "n".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "n" => Some(Self::Newest),
            _ => match text.split_at_checked(1)? {
                ("m", position) => position.parse().ok().map(Self::From),
                ("p", position) => position.parse().ok().map(Self::Before),
                _ => None,
            },
        }
    }
}

/// A place in the record of changes: those before it.
#[derive(Debug)]
pub(crate) struct AuditCursor(pub(crate) u64);

impl Cursor for AuditCursor {
    fn render(self) -> String {
        format!("u{}", self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        text.strip_prefix('u')?.parse().ok().map(Self)
    }
}

/// A place in what a search finds: below the message with this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SearchCursor {
    pub(crate) before: u64,
}

impl Cursor for SearchCursor {
    fn render(self) -> String {
        format!("s{}", self.before)
    }

    fn parse(text: &str) -> Option<Self> {
        let before = text.strip_prefix('s')?.parse().ok()?;
        Some(Self { before })
    }
}

/// What stands beside the items of a list that only goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NextCursor {
    /// Of the next page; `null` if this is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl NextCursor {
    pub(crate) fn new<C: Cursor>(next: Option<C>) -> Self {
        Self {
            next_cursor: next.map(encode),
        }
    }
}

/// What stands beside the items. Absent cursors are `null`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageMetadata {
    /// Of the page before; `null` if this is the first one.
    #[schema(required)]
    previous_cursor: Option<String>,
    /// Of the next page; `null` if this is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Items that the request asks for; with lists that can be filtered.
    #[serde(skip_serializing_if = "Option::is_none")]
    filtered_total: Option<u64>,
    /// Items there are.
    total: u64,
}

impl PageMetadata {
    pub(crate) fn new<C: Cursor>(previous: Option<C>, next: Option<C>, total: u64) -> Self {
        Self {
            previous_cursor: previous.map(encode),
            next_cursor: next.map(encode),
            filtered_total: None,
            total,
        }
    }

    pub(crate) fn filtered(self, filtered_total: u64) -> Self {
        Self {
            filtered_total: Some(filtered_total),
            ..self
        }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView<T> {
    pub(crate) data: Vec<T>,
    pub(crate) response_metadata: PageMetadata,
}

#[cfg(test)]
mod tests {
    use tradewind_store::{ConversationCursor, MessageCursor};

    use super::{Cursor, PageRequest};

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for cursor in [
            ConversationCursor::Next {
                below: 0,
                seen: 9,
                matching: None,
            },
            ConversationCursor::Next {
                below: 5,
                seen: u64::MAX,
                matching: Some(7),
            },
            ConversationCursor::After {
                above: u64::MAX,
                matching: None,
            },
            ConversationCursor::After {
                above: 0,
                matching: Some(0),
            },
        ] {
            assert_eq!(ConversationCursor::parse(&cursor.render()), Some(cursor));
        }
        for cursor in [
            MessageCursor::From(7),
            MessageCursor::Before(7),
            MessageCursor::Newest,
        ] {
            assert_eq!(MessageCursor::parse(&cursor.render()), Some(cursor));
        }
    }

    #[test]
    fn nonsense_is_no_cursor() {
        for text in ["x", "eDE", "%%%", "YjE.", "ü"] {
            let request = PageRequest::new(Some(text.to_owned()), None);
            assert!(request.cursor::<MessageCursor>().is_err(), "{text}");
        }
        // The first is how they once were.
        for text in [
            "b5", "w", "w5", "w5.", "w1.2.3.4", "a", "a1.2.3", "w-1.2", "é",
        ] {
            assert_eq!(ConversationCursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_page_has_a_size() {
        let size = |asked| PageRequest::new(None, asked).size(20);
        assert_eq!((size(None), size(Some(0)), size(Some(-5))), (20, 20, 20));
        assert_eq!(
            (size(Some(1)), size(Some(100)), size(Some(i64::MAX))),
            (1, 100, 100)
        );
    }
}
