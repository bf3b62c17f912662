//! The verbs of [`Conversations`].

use async_trait::async_trait;
use tradewind_model::{Conversation, ConversationId, Filter, Tag, TagColor, TagId};

use super::{
    PostgresStore,
    connect::{LONG_MAX, VERB_MAX, within},
    conversation, listing, note,
};
use crate::{
    ConversationCursor, ConversationPage, Conversations, MessageCursor, MessagePage, Note, Noted,
    StoreError,
};

#[async_trait]
impl Conversations for PostgresStore {
    async fn list_conversations(
        &self,
        filter: Option<Filter>,
        cursor: Option<ConversationCursor>,
        limit: usize,
    ) -> Result<ConversationPage, StoreError> {
        reading!(self, db => listing::list_conversations(&db, filter.as_ref(), cursor, limit))
    }

    async fn find_conversation(
        &self,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        on!(self, db => conversation::find_conversation(&db, id))
    }

    async fn list_messages(
        &self,
        conversation: ConversationId,
        cursor: Option<MessageCursor>,
        limit: usize,
    ) -> Result<Option<MessagePage>, StoreError> {
        on!(self, db => conversation::list_messages(&db, conversation, cursor, limit))
    }

    async fn note(&self, conversation: ConversationId, note: Note) -> Result<Noted, StoreError> {
        let now = self.clock.now();
        let noted = on!(self, db => note::note(&db, now, conversation, &note))?;
        self.log_changed().await?;
        Ok(noted)
    }

    async fn create_tag(&self, tag: Tag, max: u64) -> Result<bool, StoreError> {
        on!(self, db => note::create_tag(&db, &tag, max))
    }

    async fn update_tag(
        &self,
        id: TagId,
        name: Option<String>,
        color: Option<TagColor>,
    ) -> Result<bool, StoreError> {
        on!(self, db => note::update_tag(&db, id, name.as_deref(), color))
    }

    async fn delete_tag(&self, id: TagId) -> Result<bool, StoreError> {
        on!(self, db => note::delete_tag(&db, id))
    }

    async fn list_tags(&self, limit: usize) -> Result<Vec<Tag>, StoreError> {
        on!(self, db => note::list_tags(&db, limit))
    }
}
