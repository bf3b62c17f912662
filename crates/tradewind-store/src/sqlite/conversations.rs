//! The verbs of [`Conversations`].

use std::sync::Arc;

use async_trait::async_trait;
use tradewind_model::{Conversation, ConversationId, Filter, Search, Tag, TagColor, TagId};

use super::{SqliteStore, conversation, listing, note, search::search_conversation};
use crate::{
    ConversationCursor, ConversationPage, Conversations, Found, MessageCursor, MessagePage, Note,
    Noted, StoreError, page::row_limit,
};

#[async_trait]
impl Conversations for SqliteStore {
    async fn list_conversations(
        &self,
        filter: Option<Filter>,
        cursor: Option<ConversationCursor>,
        limit: usize,
    ) -> Result<ConversationPage, StoreError> {
        read!(self, db => listing::list_conversations(db, filter.as_ref(), cursor, limit))
    }

    async fn find_conversation(
        &self,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        read!(self, db => conversation::find_conversation(db, id))
    }

    async fn list_messages(
        &self,
        conversation: ConversationId,
        cursor: Option<MessageCursor>,
        limit: usize,
    ) -> Result<Option<MessagePage>, StoreError> {
        read!(self, db => conversation::list_messages(db, conversation, cursor, limit))
    }

    async fn search_messages(
        &self,
        search: Search,
        conversation: Option<ConversationId>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<Found>, StoreError> {
        if let Some(id) = conversation {
            return read!(self, db => search_conversation(db, &search, id, before, limit));
        }
        let found = self.words.search(&self.readers, search, before, limit);
        Ok(Some(found.await?))
    }

    async fn index_messages(&self) -> Result<bool, StoreError> {
        self.words.add(&self.readers).await
    }

    async fn note(&self, conversation: ConversationId, note: Note) -> Result<Noted, StoreError> {
        write!(self, (batch, now) => note::note(batch, now, conversation, &note))
    }

    async fn create_tag(&self, tag: Tag, max: u64) -> Result<bool, StoreError> {
        self.writer
            .write(move |batch| note::create_tag(batch, &tag, max))
            .await
    }

    async fn update_tag(
        &self,
        id: TagId,
        name: Option<String>,
        color: Option<TagColor>,
    ) -> Result<bool, StoreError> {
        self.writer
            .write(move |batch| note::update_tag(batch, id, name.as_deref(), color))
            .await
    }

    async fn delete_tag(&self, id: TagId) -> Result<bool, StoreError> {
        self.writer
            .write(move |batch| note::delete_tag(batch, id))
            .await
    }

    async fn list_tags(&self, limit: usize) -> Result<Vec<Tag>, StoreError> {
        read!(self, db => note::list_tags(db, row_limit(limit)))
    }
}
