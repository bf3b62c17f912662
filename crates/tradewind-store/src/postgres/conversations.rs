//! The verbs of [`Conversations`].

use async_trait::async_trait;
use tradewind_model::{Conversation, ConversationId, Filter, Search, Tag, TagColor, TagId};

use super::{
    PostgresStore,
    connect::{LONG_MAX, VERB_MAX, within},
    conversation, listing, note,
    search::{index_messages, newest, search_all, search_conversation},
};
use crate::{
    ConversationCursor, ConversationPage, Conversations, Found, MessageCursor, MessagePage, Note,
    Noted, StoreError,
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

    async fn search_messages(
        &self,
        search: Search,
        conversation: Option<ConversationId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<Found>, StoreError> {
        if let Some(id) = conversation {
            return on!(self, LONG_MAX, db => {
                search_conversation(&db, &search, id, before, limit)
            });
        }
        let newest = on!(self, db => newest(&db))?;
        while within_transaction!(self, db => index_messages(&db, newest))? {}
        on!(self, LONG_MAX, db => search_all(&db, &search, before, limit)).map(Some)
    }

    async fn index_messages(&self) -> Result<bool, StoreError> {
        within_transaction!(self, db => index_messages(&db, u64::MAX))
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
