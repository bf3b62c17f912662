//! Searching messages for words.
//!
//! What is stored is not indexed at once: that would cost each message more than all else. It is done in
//! batches, when there is little else to do, or when somebody searches, who waits for it: so what was
//! acknowledged is found. The index says where words may be; whether a message is what was looked for, its
//! own text says, and so none is found that is not there any more.

mod index;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _};
use tokio::task;
use tradewind_model::{
    Content, ConversationId, Message, Search,
    search::{Term, words_of},
};
use uuid::Uuid;

use super::{
    conversation::message_at,
    readers::Readers,
    row::{Json, get, message},
};
use crate::{
    Found, StoreError,
    page::{integer, page_limit, row_limit},
    search::{Collected, INDEXED_BYTES_MAX, INDEXED_MAX, LOOKED_AT_MAX},
};
use index::{Batch, Index, Mark, is_damage};

/// In the store's directory.
const FILE: &str = "search.db";
/// Messages that are looked at, at once, on the way to a page.
const STRIDE: usize = 200;

/// The index, which is opened when it is first asked for.
#[derive(Clone, Debug)]
pub(super) struct Words(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    index: Mutex<State>,
    /// Held by who adds to it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum State {
    Unopened,
    Open(Index),
    Closed,
}

impl Words {
    pub(super) fn beside(directory: &Path) -> Self {
        Self(Arc::new(Shared {
            path: directory.join(FILE),
            index: Mutex::new(State::Unopened),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// Adds the next messages, and forgets some of those that were removed. Whether there are more.
    pub(super) async fn add(&self, readers: &Readers) -> Result<bool, StoreError> {
        Ok(self.add_up_to(readers, u64::MAX).await? == Added::More)
    }

    async fn add_up_to(&self, readers: &Readers, to: u64) -> Result<Added, StoreError> {
        let turn = self.0.turn.lock().await;
        let mark = self.with(|index| index.mark()).await?;
        if mark.row >= to {
            return Ok(Added::All);
        }
        let (batch, swept) = readers.read(move |db| next_batch(db, mark)).await?;
        let more = batch.more;
        if batch.anew || !batch.added.is_empty() {
            self.with(move |index| index.add(&batch)).await?;
        }
        let more = self.clean(readers, mark.cleaned_row, swept).await? || more;
        drop(turn);
        Ok(if more { Added::More } else { Added::All })
    }

    /// Forgets messages that were removed. Whether there are more.
    async fn clean(&self, readers: &Readers, from: u64, swept: u64) -> Result<bool, StoreError> {
        if from >= swept {
            return Ok(false);
        }
        let limit = row_limit(INDEXED_MAX);
        let rows = self
            .with(move |index| index.rows(from, swept, limit))
            .await?;
        let full = rows.len() == INDEXED_MAX;
        let last = rows.last().and_then(|row| u64::try_from(*row).ok());
        let cleaned = if full { last.unwrap_or(swept) } else { swept };
        let gone = readers.read(move |db| Ok(gone(db, rows)?)).await?;
        self.with(move |index| index.remove(&gone, cleaned)).await?;
        Ok(full)
    }

    /// What is found below `before`, the newest first.
    pub(super) async fn search(
        &self,
        readers: &Readers,
        search: Search,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let newest = readers.read(|db| Ok(newest(db)?)).await?;
        while self.add_up_to(readers, newest).await? == Added::More {}
        let search = Arc::new(search);
        let query = query(&search);
        let mut collected = Collected::new(page_limit(limit), before);
        while collected.has_room() {
            let (query, below) = (query.clone(), integer(collected.below()));
            let stride = row_limit(STRIDE);
            let rows = self.with(move |index| index.find(&query, below, stride));
            let rows = rows.await?;
            let is_end = rows.len() < STRIDE;
            let search = Arc::clone(&search);
            let found = readers.read(move |db| Ok(matching(db, &search, rows)?));
            collected.add(found.await?, is_end);
        }
        Ok(collected.page())
    }

    /// Works with the index. One that is damaged is made anew.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Index) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.0);
        let working = task::spawn_blocking(move || {
            let mut state = shared.index.lock().unwrap_or_else(PoisonError::into_inner);
            let done = open(&mut state, &shared.path)?.map(work);
            if let Some(Err(error)) = &done
                && is_damage(error)
            {
                tracing::warn!(%error, "the index of messages is damaged and made anew");
                *state = State::Unopened;
                let _ = index::remove(&shared.path);
            }
            done.ok_or(StoreError::Closed)?.map_err(again)
        });
        match working.await {
            Ok(done) => done,
            Err(error) if error.is_cancelled() => Err(StoreError::Closed),
            Err(error) => Err(StoreError::Broken(error.into())),
        }
    }

    /// Waits for who works with it, and closes the file.
    pub(super) async fn close(&self) {
        let shared = Arc::clone(&self.0);
        let closing = task::spawn_blocking(move || {
            *shared.index.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed;
        });
        // It has told about a panic by itself.
        let _ = closing.await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    All,
    More,
}

/// The index, opened if need be; `None`: it is closed.
fn open<'s>(state: &'s mut State, path: &Path) -> Result<Option<&'s mut Index>, StoreError> {
    if let State::Unopened = state {
        let opened = match Index::open(path) {
            Ok(index) if index.is_sound() => index,
            Ok(_) => anew(path)?,
            Err(error) if is_damage(&error) => anew(path)?,
            Err(error) => return Err(error.into()),
        };
        *state = State::Open(opened);
    }
    Ok(match state {
        State::Open(index) => Some(index),
        _ => None,
    })
}

fn anew(path: &Path) -> Result<Index, StoreError> {
    index::remove(path).map_err(|error| StoreError::Unavailable(error.into()))?;
    Ok(Index::open(path)?)
}

/// A damaged index is there again for the next call.
fn again(error: rusqlite::Error) -> StoreError {
    if is_damage(&error) {
        StoreError::Unavailable(error.into())
    } else {
        error.into()
    }
}

/// What is to be added after `mark`, and up to which message removed ones were swept.
fn next_batch(db: &Connection, mark: Mark) -> Result<(Batch, u64), StoreError> {
    let known = db
        .prepare_cached("-- next_batch\n SELECT id FROM message WHERE row = ?1")?
        .query_row([integer(mark.row)], |row| row.get::<_, Uuid>(0))
        .optional()?;
    let swept: u64 = db
        .prepare_cached("-- next_batch\n SELECT swept_message_row FROM counter")?
        .query_row([], |row| get(row, 0))?;
    let was_swept = known.is_none() && mark.row <= swept;
    let anew = known != Some(mark.id) && !was_swept;
    let after = if anew { 0 } else { mark.row };
    let mut batch = Batch {
        anew,
        added: Vec::new(),
        more: false,
        mark,
    };
    let mut bytes = 0;
    let mut statement = db.prepare_cached(
        "-- next_batch
         SELECT row, id, content FROM message WHERE row > ?1 ORDER BY row LIMIT ?2",
    )?;
    let limit = row_limit(INDEXED_MAX);
    let mut messages = statement.query((integer(after), limit))?;
    while let Some(row) = messages.next()? {
        let Json(content) = get::<Json<Content>>(row, 2)?;
        batch
            .added
            .push((row.get(0)?, words_of(&content.text).join(" ")));
        batch.mark.row = get(row, 0)?;
        batch.mark.id = row.get(1)?;
        bytes += content.text.len();
        batch.more = batch.added.len() == INDEXED_MAX || bytes > INDEXED_BYTES_MAX;
        if batch.more {
            break;
        }
    }
    Ok((batch, swept))
}

/// Of these messages those that are not there.
fn gone(db: &Connection, mut rows: Vec<i64>) -> rusqlite::Result<Vec<i64>> {
    let mut statement = db.prepare_cached("-- gone\n SELECT 1 FROM message WHERE row = ?1")?;
    let mut failed = Ok(());
    rows.retain(|row| match statement.exists([row]) {
        Ok(exists) => !exists,
        Err(error) => {
            failed = Err(error);
            false
        }
    });
    failed.map(|()| rows)
}

fn newest(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("-- newest_message\n SELECT COALESCE(MAX(row), 0) FROM message")?
        .query_row([], |row| get(row, 0))
}

/// What is asked of the index: all the words, wherever they are.
fn query(search: &Search) -> String {
    let term = |term: &Term| {
        let words: Vec<String> = term
            .words
            .iter()
            .map(|word| format!("\"{word}\""))
            .collect();
        let star = if term.open_end { " *" } else { "" };
        format!("{}{star}", words.join(" AND "))
    };
    let terms: Vec<String> = search.terms.iter().map(term).collect();
    terms.join(" AND ")
}

/// Of these messages each with its row, and those that are there and match.
fn matching(
    db: &Connection,
    search: &Search,
    rows: Vec<i64>,
) -> rusqlite::Result<Vec<(u64, Option<Message>)>> {
    let mut statement = message_at(db)?;
    let looked_at = rows.into_iter().map(|row| {
        let found = statement.query_row([row], message).optional()?;
        let found = found.filter(|found| search.matches(&found.content.text));
        Ok((u64::try_from(row).unwrap_or(0), found))
    });
    looked_at.collect()
}

/// What is found in one conversation, whose messages are looked at one by one. `None`: there is none such.
pub(super) fn search_conversation(
    db: &Connection,
    search: &Search,
    id: ConversationId,
    before: Option<u64>,
    limit: usize,
) -> Result<Option<Found>, StoreError> {
    let last = db
        .prepare_cached(
            "-- search_conversation
             SELECT row, last_message_row FROM conversation WHERE id = ?1",
        )?
        .query_row([id.uuid()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((conversation, last)) = last else {
        return Ok(None);
    };
    let mut collected = Collected::new(page_limit(limit), before);
    let start = super::lane::message_back_from(db, conversation, last, integer(collected.below()))?;
    let mut next = start;
    while collected.has_room() {
        let Some(row) = next else { break };
        collected.add(matching(db, search, vec![row])?, false);
        next = super::lane::message_before(db, conversation, row)?;
    }
    if next.is_none() {
        collected.end();
    }
    Ok(Some(collected.page()))
}

const _: () = assert!(LOOKED_AT_MAX >= STRIDE);
