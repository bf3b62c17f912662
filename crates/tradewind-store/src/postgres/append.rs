//! Writing the log: messages that are stored and messages that were settled.
//!
//! Group commit: what gathers while one statement is under way is the next one's. Each is a transaction
//! that the server begins and ends, so a node that dies, hangs or is cut off holds nobody up. A batch
//! that a bad write fails is run again, write by write.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_postgres::{Client, Row};
use tradewind_model::{Clock, DeliveryState, Message, MessageId, Sequence, Timestamp};

use super::{
    connect::{Pool, within},
    row::{code, id, message, message_columns, number, params, read_text, sequence, source, text},
};
use crate::{
    Appended, NewMessage, Origin, Settlement, StoreError, crash,
    page::{json_text, whole_milliseconds},
};

/// Writes taken into one statement at most: bounds how long the first of them waits.
const BATCH_MAX: usize = 512;
/// Bytes of contents in one statement, beyond which no further write is taken into it.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Writes that may wait, enough to fill the next batch while one commits. A caller beyond it waits.
const QUEUE_MAX: usize = 1_024;

const _: () = assert!(QUEUE_MAX >= BATCH_MAX);

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// Hands writes to the task.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: RwLock<Option<mpsc::Sender<Job>>>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
enum Job {
    Append(Box<NewMessage>, Answer<Appended>),
    Settle(MessageId, Settlement, Answer<bool>),
}

impl Writer {
    pub(super) fn start(pool: Pool, clock: Arc<dyn Clock>, head: watch::Sender<Sequence>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let task = Task { pool, clock, head };
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(queue));
        Self {
            jobs: RwLock::new(Some(jobs)),
            tasks: Mutex::new(tasks),
        }
    }

    /// Cancel safety: when the caller goes away, the write still happens as a whole or not at all.
    pub(super) async fn append(&self, message: NewMessage) -> Result<Appended, StoreError> {
        self.ask(|answer| Job::Append(Box::new(message), answer))
            .await
    }

    pub(super) async fn settle(
        &self,
        message: MessageId,
        settlement: Settlement,
    ) -> Result<bool, StoreError> {
        self.ask(|answer| Job::Settle(message, settlement, answer))
            .await
    }

    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let jobs = self
            .jobs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(StoreError::Closed)?;
        jobs.send(job(answer))
            .await
            .map_err(|_| StoreError::Closed)?;
        drop(jobs);
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Refuses further writes and returns once those that wait are answered.
    pub(super) async fn close(&self) {
        drop(
            self.jobs
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        // A task tells about a panic by itself.
        while self.tasks.lock().await.join_next().await.is_some() {}
    }
}

struct Task {
    pool: Pool,
    clock: Arc<dyn Clock>,
    head: watch::Sender<Sequence>,
}

impl Task {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut jobs, BATCH_MAX).await > 0 {
            let mut appends = Vec::new();
            let mut settles = Vec::new();
            let mut bytes = 0;
            for job in jobs.drain(..) {
                match job {
                    Job::Append(message, answer) => {
                        bytes += message.content.text.len();
                        appends.push((*message, answer));
                        if bytes > BATCH_BYTES_MAX {
                            self.append(std::mem::take(&mut appends)).await;
                            bytes = 0;
                        }
                    }
                    Job::Settle(message, settlement, answer) => {
                        settles.push(((message, settlement), answer));
                    }
                }
            }
            self.append(appends).await;
            self.settle(settles).await;
        }
    }

    async fn append(&self, jobs: Vec<(NewMessage, Answer<Appended>)>) {
        let (messages, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let mut outcomes = self.try_append(&messages).await;
        if let Err(StoreError::Broken(_)) = outcomes
            && messages.len() > 1
        {
            for (message, answer) in messages.iter().zip(answers) {
                let outcome = self.try_append(std::slice::from_ref(message)).await;
                let _ =
                    answer.send(outcome.and_then(|mut one| one.pop().ok_or(StoreError::Closed)));
            }
            return;
        }
        answer_all(&mut outcomes, answers);
    }

    async fn try_append(&self, messages: &[NewMessage]) -> Result<Vec<Appended>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let db = self.pool.get().await?;
        let done = within(append(&db, self.clock.now(), messages)).await;
        let (appended, newest) = db.release(done)?;
        self.tell(newest);
        Ok(appended)
    }

    async fn settle(&self, jobs: Vec<((MessageId, Settlement), Answer<bool>)>) {
        if jobs.is_empty() {
            return;
        }
        let (settled, answers): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let mut outcomes = self.try_settle(&settled).await;
        answer_all(&mut outcomes, answers);
    }

    async fn try_settle(
        &self,
        settled: &[(MessageId, Settlement)],
    ) -> Result<Vec<bool>, StoreError> {
        let db = self.pool.get().await?;
        let done = within(settle(&db, self.clock.now(), settled)).await;
        let (outcomes, head) = db.release(done)?;
        self.tell(Some(head));
        Ok(outcomes)
    }

    /// Wakes who reads the log, here at once; other nodes are told by the server.
    fn tell(&self, newest: Option<Sequence>) {
        if let Some(newest) = newest {
            super::listen::advance(&self.head, newest);
        }
    }
}

/// Gives each its outcome, or all the same error.
fn answer_all<T>(outcomes: &mut Result<Vec<T>, StoreError>, answers: Vec<Answer<T>>) {
    match outcomes {
        Ok(outcomes) => {
            for (outcome, answer) in outcomes.drain(..).zip(answers) {
                // A caller that went away does not want to know.
                let _ = answer.send(Ok(outcome));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(same(error)));
            }
        }
    }
}

/// The error once more, in words.
fn same(error: &StoreError) -> StoreError {
    let words = |error: &(dyn std::error::Error + Send + Sync)| {
        match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
        .into()
    };
    match error {
        StoreError::Unavailable(error) => StoreError::Unavailable(words(&**error)),
        StoreError::Broken(error) => StoreError::Broken(words(&**error)),
        StoreError::Closed => StoreError::Closed,
        StoreError::NotFound => StoreError::NotFound,
    }
}

/// Stores messages; what each came to, and the newest entry that was appended.
async fn append(
    db: &Client,
    now: Timestamp,
    messages: &[NewMessage],
) -> Result<(Vec<Appended>, Option<Sequence>), StoreError> {
    let arrays = Arrays::of(messages)?;
    crash::point("before_commit");
    let rows = arrays.append(db, now).await?;
    crash::point("after_commit");
    let mut repeats = Vec::new();
    for row in &rows {
        if row.try_get::<_, i16>(0)? == 1 {
            repeats.push(row.try_get::<_, i64>(1)?);
        }
    }
    let mut repeated = find_messages(db, &repeats).await?.into_iter();
    let mut newest = None;
    let mut outcomes = Vec::with_capacity(rows.len());
    for (new, row) in messages.iter().zip(&rows) {
        outcomes.push(match row.try_get::<_, i16>(0)? {
            0 => {
                newest = Some(sequence(row, 1)?);
                Appended::Stored(stored(new, row)?)
            }
            1 => Appended::Repeated(repeated.next().ok_or(StoreError::NotFound)?),
            2 => Appended::KeyReused,
            3 => Appended::ConversationNotFound,
            4 => Appended::ChannelNotFound,
            5 => Appended::ChannelDisconnected,
            _ => {
                return Err(StoreError::Broken(
                    "a conversation cannot change its channel".into(),
                ));
            }
        });
    }
    Ok((outcomes, newest))
}

/// Messages, a column an array.
#[derive(Default)]
struct Arrays {
    ids: Vec<uuid::Uuid>,
    conversations: Vec<uuid::Uuid>,
    channels: Vec<Option<uuid::Uuid>>,
    contacts: Vec<Option<String>>,
    sender_kinds: Vec<i16>,
    sender_ids: Vec<String>,
    contents: Vec<String>,
    sent_at: Vec<i64>,
    scopes: Vec<Option<String>>,
    keys: Vec<Option<String>>,
    hashes: Vec<Option<Vec<u8>>>,
}

impl Arrays {
    fn of(messages: &[NewMessage]) -> Result<Self, StoreError> {
        let mut arrays = Self::default();
        for new in messages {
            let (channel, contact) = match &new.origin {
                Origin::Source {
                    channel_id,
                    contact_source_id,
                } => (Some(channel_id.uuid()), Some(text(contact_source_id))),
                Origin::Api => (None, None),
            };
            let key = new.idempotency.as_ref();
            arrays.ids.push(new.id.uuid());
            arrays.conversations.push(new.conversation_id.uuid());
            arrays.channels.push(channel);
            arrays.contacts.push(contact);
            arrays.sender_kinds.push(code(new.sender.kind));
            arrays.sender_ids.push(text(&new.sender.id));
            arrays.contents.push(json_text(&new.content)?);
            arrays.sent_at.push(new.sent_at.as_millisecond());
            arrays.scopes.push(key.map(|key| text(&key.scope)));
            arrays.keys.push(key.map(|key| text(&key.key)));
            arrays.hashes.push(key.map(|key| key.request_hash.to_vec()));
        }
        Ok(arrays)
    }

    async fn append(&self, db: &Client, now: Timestamp) -> Result<Vec<Row>, StoreError> {
        let rows = db
            .query_typed(
                "SELECT outcome, message_row, message_position, channel_id, source, contact_source_id
                 FROM append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                params![
                    now.as_millisecond() => INT8,
                    self.ids => UUID_ARRAY,
                    self.conversations => UUID_ARRAY,
                    self.channels => UUID_ARRAY,
                    self.contacts => TEXT_ARRAY,
                    self.sender_kinds => INT2_ARRAY,
                    self.sender_ids => TEXT_ARRAY,
                    self.contents => TEXT_ARRAY,
                    self.sent_at => INT8_ARRAY,
                    self.scopes => TEXT_ARRAY,
                    self.keys => TEXT_ARRAY,
                    self.hashes => BYTEA_ARRAY,
                ],
            )
            .await?;
        Ok(rows)
    }
}

/// A new message as it will be read back.
fn stored(new: &NewMessage, row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: new.id,
        conversation_id: new.conversation_id,
        channel_id: id(row, 3)?,
        source: source(row, 4)?,
        contact_source_id: read_text(row, 5)?,
        position: number(row, 2)?,
        sender: new.sender.clone(),
        content: new.content.clone(),
        state: match new.origin {
            Origin::Source { .. } => DeliveryState::Delivered,
            Origin::Api => DeliveryState::Pending,
        },
        sent_at: whole_milliseconds(new.sent_at),
    })
}

/// Messages by their rows, each as often as it is named, in that order.
async fn find_messages(db: &Client, rows: &[i64]) -> Result<Vec<Message>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let found = db
        .query_typed(
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM UNNEST($1::INT8[]) WITH ORDINALITY AS n (row, place)
                  JOIN message m ON m.row = n.row
                  JOIN conversation c ON c.row = m.conversation_row
                  JOIN channel h ON h.row = c.channel_row
                  ORDER BY n.place"
            ),
            params![rows => INT8_ARRAY],
        )
        .await?;
    found.iter().map(message).collect()
}

async fn settle(
    db: &Client,
    now: Timestamp,
    settled: &[(MessageId, Settlement)],
) -> Result<(Vec<bool>, Sequence), StoreError> {
    let ids: Vec<_> = settled.iter().map(|(id, _)| id.uuid()).collect();
    let state = |settlement: &Settlement| match settlement {
        Settlement::Sent => code(DeliveryState::Delivered),
        Settlement::Failed { .. } => code(DeliveryState::Failed),
    };
    let states: Vec<i16> = settled.iter().map(|(_, it)| state(it)).collect();
    let reason = |settlement: &Settlement| match settlement {
        Settlement::Sent => None,
        Settlement::Failed { reason } => Some(text(reason)),
    };
    let reasons: Vec<Option<String>> = settled.iter().map(|(_, it)| reason(it)).collect();
    crash::point("before_commit");
    let rows = db
        .query_typed(
            "SELECT settled FROM settle_messages($1, $2, $3, $4)",
            params![
                now.as_millisecond() => INT8,
                ids => UUID_ARRAY,
                states => INT2_ARRAY,
                reasons => TEXT_ARRAY,
            ],
        )
        .await?;
    crash::point("after_commit");
    let outcomes = rows.iter().map(|row| Ok(row.try_get(0)?));
    let outcomes = outcomes.collect::<Result<_, StoreError>>()?;
    Ok((outcomes, super::log::head(db).await?))
}
