//! Conversations, what was said in them, and what people note about them.

use async_trait::async_trait;
use tradewind_model::{Conversation, ConversationId, Filter, Search, Tag, TagColor, TagId};

use crate::{ConversationCursor, ConversationPage, Found, MessageCursor, MessagePage, StoreError};

/// What somebody does to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Has read all its messages.
    Read,
    /// The tag need not be there.
    Tag(TagId),
    Untag(TagId),
    Set {
        key: String,
        value: String,
    },
    Remove {
        key: String,
    },
    /// Says what the contact is called and looks like; what is `None` is not known.
    Contact {
        first_name: Option<String>,
        last_name: Option<String>,
        avatar_url: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// So it is now, whether or not it was before.
    Done,
    /// There is no such conversation.
    NotFound,
    /// It has as many tags, or as many keys, as it may have.
    Full,
}

/// Tags on one conversation, and keys of its metadata, at most.
pub const NOTES_MAX: u64 = 100;
/// Characters of a value that filters look at.
pub(crate) const FOLDED_CHARS_MAX: usize = 256;

#[async_trait]
pub trait Conversations {
    /// Conversations, or those that match a filter, the one whose last message arrived latest first.
    /// `limit` is 1 to 1,000.
    ///
    /// Who follows [`ConversationPage::next`] from the first page to the end is shown each conversation that
    /// was there at the beginning exactly once, while messages arrive. (What changes so that it begins or
    /// ceases to match the filter meanwhile may be there or not.) Those that moved up come out of order.
    async fn list_conversations(
        &self,
        filter: Option<Filter>,
        cursor: Option<ConversationCursor>,
        limit: usize,
    ) -> Result<ConversationPage, StoreError>;

    async fn find_conversation(
        &self,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError>;

    /// Messages of a conversation, oldest first. `None`: there is no such conversation. `limit` is 1
    /// to 1,000. [`MessageCursor::Newest`] asks for the last page.
    async fn list_messages(
        &self,
        conversation: ConversationId,
        cursor: Option<MessageCursor>,
        limit: usize,
    ) -> Result<Option<MessagePage>, StoreError>;

    /// Messages in which a search finds what it looks for, the newest first, below the message with the row
    /// `before`; of one conversation, or of all. Every message that was stored before the call is looked at.
    /// `None`: there is no such conversation. `limit` is 1 to 1,000. A page may hold less and yet lead on.
    async fn search_messages(
        &self,
        search: Search,
        conversation: Option<ConversationId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<Found>, StoreError>;

    /// Prepares a bounded number of messages for searches, which would otherwise wait for that. Whether
    /// there are more.
    async fn index_messages(&self) -> Result<bool, StoreError>;

    /// Notes something about a conversation, and appends an entry that says so
    /// ([`tradewind_model::EntryKind::ConversationChanged`]) if that changed it.
    async fn note(&self, conversation: ConversationId, note: Note) -> Result<Noted, StoreError>;

    /// Makes a tag. `false`: there are `max` already.
    async fn create_tag(&self, tag: Tag, max: u64) -> Result<bool, StoreError>;

    /// Renames or recolours a tag; what is `None` stays. `false`: there is no such tag.
    async fn update_tag(
        &self,
        id: TagId,
        name: Option<String>,
        color: Option<TagColor>,
    ) -> Result<bool, StoreError>;

    /// Forgets a tag; conversations keep its id. `false`: there is no such tag.
    async fn delete_tag(&self, id: TagId) -> Result<bool, StoreError>;

    /// Tags in the order in which they were made. Bounded by `limit`.
    async fn list_tags(&self, limit: usize) -> Result<Vec<Tag>, StoreError>;
}

/// A text as filters compare it: in lower case, and not endless.
pub(crate) fn folded(text: &str) -> String {
    let lower = text.to_lowercase();
    without_zero(&lower)
        .chars()
        .take(FOLDED_CHARS_MAX)
        .collect()
}

/// A text with another character for the one at which `SQLite` ends the texts that it compares with
/// patterns.
pub(crate) fn without_zero(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The name by which filters find a contact: its words, a blank apart.
pub(crate) fn folded_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    let names = [first, last].into_iter().flatten();
    let words: Vec<_> = names.flat_map(str::split_whitespace).collect();
    (!words.is_empty()).then(|| folded(&words.join(" ")))
}
