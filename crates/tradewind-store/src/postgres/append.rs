//! Writing the log: messages that are stored and messages that were settled.
//!
//! Group commit: what gathers while one statement is under way is the next one's. Each is a transaction
//! that the server begins and ends, so a node that dies, hangs or is cut off holds nobody up. A batch
//! that a bad write fails is run again, write by write.

mod statements;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
};
use tradewind_model::{Clock, MessageId, Sequence};

use super::{
    connect::{Pool, VERB_MAX, within},
    head::Head,
};
use crate::{Appended, NewMessage, Settlement, StoreError};
use statements::{append, settle};

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
    pub(super) fn start(pool: Pool, clock: Arc<dyn Clock>, head: Head) -> Self {
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
    head: Head,
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
        let done = within(VERB_MAX, append(&db, self.clock.now(), messages)).await;
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
        let done = within(VERB_MAX, settle(&db, self.clock.now(), settled)).await;
        let (outcomes, head) = db.release(done)?;
        self.tell(Some(head));
        Ok(outcomes)
    }

    /// Wakes who reads the log, here at once; other nodes are told by the server.
    fn tell(&self, newest: Option<Sequence>) {
        if let Some(newest) = newest {
            self.head.advance(newest);
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
