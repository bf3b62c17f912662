//! The one connection that writes, and its thread.
//!
//! Group commit: the thread takes whatever has gathered while it was busy, runs it in one transaction
//! and answers each caller after the commit, so that many callers share one sync and a single one
//! never waits for company. A batch that fails is rolled back and its writes are run one by one, each
//! with an outcome of its own, so that a bad write cannot fail its neighbours.
//!
//! Nothing here knows what is written.

use std::{
    cell::Cell,
    fmt, io,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
    sync::{Arc, PoisonError, RwLock},
    thread,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};
use tradewind_model::Sequence;

use super::open::Directory;
use crate::StoreError;

/// Writes taken into one transaction at most: bounds how long the first of them waits.
const BATCH_MAX: usize = 512;
/// Writes that may wait, enough to fill the next batch while one commits. A caller beyond it waits.
const QUEUE_MAX: usize = 1024;

const _: () = assert!(QUEUE_MAX >= BATCH_MAX);

/// Hands writes to the thread. Dropping it, like [`Self::close`], lets the thread finish what waits.
pub(super) struct Writer {
    jobs: RwLock<Option<mpsc::Sender<Box<dyn Job>>>>,
    signals: Arc<Signals>,
    /// Fails once the thread has ended and its files are closed.
    ended: watch::Receiver<()>,
}

/// What others are told after a commit.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) head: watch::Sender<Sequence>,
    pub(super) webhooks_changed: watch::Sender<u64>,
}

/// The open transaction, and what is to be told once it has committed.
pub(super) struct Batch<'c> {
    tx: Transaction<'c>,
    head: Cell<Option<Sequence>>,
    webhook_changes: Cell<u64>,
}

impl Writer {
    /// Starts the thread, which owns the connection and the lock on the directory until it ends.
    pub(super) fn start(
        connection: Connection,
        directory: Directory,
        head: Sequence,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let (ending, ended) = watch::channel(());
        let signals = Arc::new(Signals {
            head: watch::Sender::new(head),
            webhooks_changed: watch::Sender::new(0),
        });
        let told = Arc::clone(&signals);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                run(connection, queue, &told);
                drop(directory);
                drop(ending);
            })?;
        Ok(Self {
            jobs: RwLock::new(Some(jobs)),
            signals,
            ended,
        })
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Runs `write` and returns its value once it is durable. It may run twice, in different
    /// transactions of which at most one commits.
    ///
    /// Cancel safety: when the caller goes away, the write still happens as a whole or not at all.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Batch<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (done, outcome) = oneshot::channel();
        let job = Waiting {
            write,
            value: None,
            done,
        };
        let jobs = self.jobs().ok_or(StoreError::Closed)?;
        jobs.send(Box::new(job))
            .await
            .map_err(|_| StoreError::Closed)?;
        drop(jobs);
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Refuses further writes and returns once those that wait are answered and the files are closed.
    pub(super) async fn close(&self) {
        drop(
            self.jobs
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    fn jobs(&self) -> Option<mpsc::Sender<Box<dyn Job>>> {
        self.jobs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Batch<'_> {
    /// Says that the log now ends with `sequence`.
    pub(super) fn appended(&self, sequence: Sequence) {
        self.head.set(Some(sequence));
    }

    /// Says that a webhook was subscribed or unsubscribed.
    pub(super) fn webhook_changed(&self) {
        self.webhook_changes.set(self.webhook_changes.get() + 1);
    }
}

impl Deref for Batch<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.tx
    }
}

/// A write that waits, whatever its value is.
trait Job: Send {
    fn run(&mut self, batch: &Batch<'_>) -> Result<(), StoreError>;

    /// Tells the caller what became of the last run.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Waiting<T, F> {
    write: F,
    /// What the last run returned.
    value: Option<T>,
    done: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Waiting<T, F>
where
    T: Send,
    F: Fn(&Batch<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, batch: &Batch<'_>) -> Result<(), StoreError> {
        // A mistake in one write must not take the thread, and with it all writing, down.
        let value = catch_unwind(AssertUnwindSafe(|| (self.write)(batch)))
            .unwrap_or_else(|_| Err(StoreError::Broken("a write panicked".into())))?;
        self.value = Some(value);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (outcome, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(error), _) => Err(error),
            (Ok(()), None) => unreachable!("a batch commits only after each of its writes ran"),
        };
        // A caller that went away does not want to know.
        let _ = self.done.send(answer);
    }
}

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Box<dyn Job>>, signals: &Signals) {
    let mut jobs = Vec::with_capacity(BATCH_MAX);
    while queue.blocking_recv_many(&mut jobs, BATCH_MAX) > 0 {
        if jobs.len() > 1 && commit(&mut connection, &mut jobs, signals).is_ok() {
            for job in jobs.drain(..) {
                job.answer(Ok(()));
            }
        }
        for mut job in jobs.drain(..) {
            let outcome = commit(&mut connection, slice::from_mut(&mut job), signals);
            job.answer(outcome);
        }
    }
    if let Err(error) = finish(connection) {
        tracing::warn!(
            error = %error,
            "the database was closed without a checkpoint; the next start does it"
        );
    }
}

fn commit(
    connection: &mut Connection,
    jobs: &mut [Box<dyn Job>],
    signals: &Signals,
) -> Result<(), StoreError> {
    let batch = Batch {
        tx: connection.transaction_with_behavior(TransactionBehavior::Immediate)?,
        head: Cell::new(None),
        webhook_changes: Cell::new(0),
    };
    for job in jobs {
        job.run(&batch)?;
    }
    batch.tx.commit()?;

    if let Some(head) = batch.head.get() {
        signals.head.send_modify(|newest| *newest = head);
    }
    if batch.webhook_changes.get() > 0 {
        signals
            .webhooks_changed
            .send_modify(|count| *count += batch.webhook_changes.get());
    }
    Ok(())
}

/// Brings the log of the database back into its file and closes it.
fn finish(connection: Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)
}

#[cfg(test)]
mod tests;
