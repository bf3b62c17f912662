//! Conversations, what was said in them, and what people note about them.

use async_trait::async_trait;
use tradewind_model::{Conversation, ConversationId, Tag, TagColor, TagId};

use crate::{ConversationCursor, MessageCursor, MessagePage, Page, StoreError};

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
pub const FOLDED_CHARS_MAX: usize = 256;

#[async_trait]
pub trait Conversations {
    /// Conversations, the one whose last message arrived latest first. `limit` is 1 to 1,000.
    async fn list_conversations(
        &self,
        cursor: Option<ConversationCursor>,
        limit: usize,
    ) -> Result<Page<Conversation, ConversationCursor>, StoreError>;

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
    text.to_lowercase().chars().take(FOLDED_CHARS_MAX).collect()
}

/// The name by which filters find a contact.
pub(crate) fn folded_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    let names: Vec<_> = [first, last].into_iter().flatten().collect();
    (!names.is_empty()).then(|| folded(&names.join(" ")))
}
