//! The one connection that writes, and its thread.
//!
//! Group commit: the thread takes whatever has gathered while it was busy, runs it in one transaction
//! and answers each caller after the commit, so that many callers share one sync. Commits begin at least
//! [`PACE`] apart; a write after a pause does not wait. A batch that fails is rolled back and its writes
//! are run one by one, each with an outcome of its own, so that a bad write cannot fail its neighbours;
//! but when it is the disk that fails, nobody is tried again. Nothing here knows what is written.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};
use tradewind_model::{LogEntry, MessageId, Sequence};

use super::{
    fault::{Fault, Faults},
    open::Directory,
    recent::{Fate, Recent},
    token::KeptTokens,
    wal::Wal,
};
use crate::{StoreError, crash};

/// Writes taken into one transaction at most: bounds how long the first of them waits.
const BATCH_MAX: usize = 512;
/// Writes that may wait, enough to fill the next batch while one commits. A caller beyond it waits.
const QUEUE_MAX: usize = 1024;

/// From the beginning of a commit to that of the next, at least. Without it a moderate load commits nearly
/// each write alone, as fast as the disk syncs, and each commit has its own cost in CPU, the kernel's and
/// the disk driver's included. Where a sync takes longer than this, nobody waits for it.
pub(super) const PACE: Duration = Duration::from_micros(400);

/// How often a disk that failed is tried while nobody asks for anything.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

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
    pub(super) tokens: KeptTokens,
    pub(super) recent: Recent,
}

/// The open transaction, and what is to be told once it has committed.
pub(super) struct Batch<'c> {
    tx: Transaction<'c>,
    written: RefCell<Vec<Arc<LogEntry>>>,
    settled: RefCell<Vec<(Sequence, Fate)>>,
    advanced: RefCell<Vec<(MessageId, Fate)>>,
    has_swept: Cell<bool>,
    webhook_changes: Cell<u64>,
    has_token_change: Cell<bool>,
}

impl Writer {
    /// Starts the thread, which owns the connections and the lock on the directory until it ends.
    pub(super) fn start(
        connection: Connection,
        checkpointer: Connection,
        directory: Directory,
        head: Sequence,
        faults: Arc<Faults>,
        pace: Duration,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let (ending, ended) = watch::channel(());
        let signals = Arc::new(Signals {
            head: watch::Sender::new(head),
            webhooks_changed: watch::Sender::new(0),
            tokens: KeptTokens::default(),
            recent: Recent::default(),
        });
        let thread = Thread {
            connection,
            signals: Arc::clone(&signals),
            wal: Wal::new(checkpointer, Arc::clone(&faults))?,
            faults,
            pace,
            not_before: Instant::now(),
        };
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                thread.run(queue);
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
    /// With what the log ends, if this transaction wrote to it.
    pub(super) fn newest(&self) -> Option<Sequence> {
        self.written.borrow().last().map(|entry| entry.sequence)
    }

    /// Says that the log now ends with `entry`.
    pub(super) fn appended(&self, entry: LogEntry) {
        self.written.borrow_mut().push(Arc::new(entry));
    }

    /// Says what became of the message whose first entry has this sequence.
    pub(super) fn settled(&self, first: Sequence, fate: Fate) {
        self.settled.borrow_mut().push((first, fate));
    }

    /// Says what a receipt made of a message.
    pub(super) fn advanced(&self, id: MessageId, fate: Fate) {
        self.advanced.borrow_mut().push((id, fate));
    }

    /// Says that entries were removed from the log.
    pub(super) fn swept(&self) {
        self.has_swept.set(true);
    }

    /// Says that a webhook, a replay or a source came, went or changed.
    pub(super) fn webhook_changed(&self) {
        self.webhook_changes.set(self.webhook_changes.get() + 1);
    }

    /// Says that a token was stored.
    pub(super) fn token_changed(&self) {
        self.has_token_change.set(true);
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

/// What the thread owns.
struct Thread {
    connection: Connection,
    signals: Arc<Signals>,
    faults: Arc<Faults>,
    wal: Wal,
    /// From the beginning of a commit to that of the next, at least.
    pace: Duration,
    /// When the next one may begin.
    not_before: Instant,
}

impl Thread {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while self.receive(&mut queue, &mut jobs) {
            self.take(&mut jobs);
            self.wal.tend(&self.connection);
        }
        let _ = self.wal.settle(&self.connection);
        self.wal.close();
        if let Err(error) = finish(self.connection) {
            tracing::warn!(
                error = %error,
                "the database was closed without a checkpoint; the next start does it"
            );
        }
    }

    /// Waits for work; `false` when there will be none.
    fn receive(
        &mut self,
        queue: &mut mpsc::Receiver<Box<dyn Job>>,
        jobs: &mut Vec<Box<dyn Job>>,
    ) -> bool {
        while self.wal.is_unsettled() && queue.is_empty() && !queue.is_closed() {
            thread::sleep(SETTLE_PAUSE);
            let _ = self.wal.settle(&self.connection);
        }
        // What comes meanwhile gathers, and wakes nobody.
        thread::sleep(self.not_before.saturating_duration_since(Instant::now()));
        let has_work = queue.blocking_recv_many(jobs, BATCH_MAX) > 0;
        self.not_before = Instant::now() + self.pace;
        has_work
    }

    /// Runs what has gathered and answers everyone: together, or one by one if a write is at fault.
    /// When it is the disk, all have the same answer, as each would fail the same way.
    fn take(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        let mut fault = self.wal.prepare(&self.connection).err();
        if fault.is_none() && jobs.len() > 1 {
            match self.commit(jobs) {
                Ok(()) => jobs.drain(..).for_each(|job| job.answer(Ok(()))),
                Err(error) => fault = concerns_all(&error),
            }
        }
        for mut job in jobs.drain(..) {
            let outcome = match fault {
                Some(fault) => Err(fault.into()),
                None => self.commit(slice::from_mut(&mut job)),
            };
            fault = fault.or_else(|| concerns_all(outcome.as_ref().err()?));
            job.answer(outcome);
        }
        if let Some(fault) = fault {
            self.faults.refused(fault);
        }
    }

    /// Commits the writes in one transaction, or none of them.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let committed = commit(&mut self.connection, jobs, &self.signals);
        match &committed {
            Ok(()) => self.faults.write_worked(),
            Err(error) => match Fault::behind(error) {
                Some(fault @ Fault::Read(_)) => self.faults.read_failed(fault),
                // A lock was met before anything was begun.
                Some(Fault::Locked) | None => {}
                Some(fault) => {
                    self.faults.note(fault);
                    self.wal.failed(&self.connection);
                }
            },
        }
        committed
    }
}

/// The fault that any other write would meet too.
fn concerns_all(error: &StoreError) -> Option<Fault> {
    Fault::behind(error).filter(|fault| fault.concerns_all())
}

fn commit(
    connection: &mut Connection,
    jobs: &mut [Box<dyn Job>],
    signals: &Signals,
) -> Result<(), StoreError> {
    let batch = Batch {
        tx: connection.transaction_with_behavior(TransactionBehavior::Immediate)?,
        written: RefCell::default(),
        settled: RefCell::default(),
        advanced: RefCell::default(),
        has_swept: Cell::default(),
        webhook_changes: Cell::new(0),
        has_token_change: Cell::new(false),
    };
    for job in jobs {
        job.run(&batch)?;
    }
    crash::point("before_commit");
    batch.tx.commit()?;
    crash::point("after_commit");

    if batch.has_swept.get() {
        signals.recent.forget();
    }
    let written = batch.written.into_inner();
    if let Some(head) = written.last().map(|entry| entry.sequence) {
        signals.recent.add(written);
        for (first, fate) in batch.settled.into_inner() {
            signals.recent.settle(first, &fate);
        }
        for (id, fate) in batch.advanced.into_inner() {
            signals.recent.advance(id, &fate);
        }
        signals.head.send_modify(|newest| *newest = head);
    }
    if batch.webhook_changes.get() > 0 {
        signals
            .webhooks_changed
            .send_modify(|count| *count += batch.webhook_changes.get());
    }
    if batch.has_token_change.get() {
        signals.tokens.forget();
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
