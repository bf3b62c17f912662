//! The record of attempts: batched, compact, kept for a while, and dropped by whole files.
//!
//! Nothing depends on it, and it is made so: a delivery hands its record over and goes on, whatever
//! becomes of it. A thread of its own gathers for a moment, writes what came in one transaction, and
//! never syncs it, so that a crash of the machine may cost the newest records. What does not fit the
//! queue, or cannot be written, is dropped and counted.
//!
//! The files are small databases of their own, in a directory beside the store's ([`keeper`]).

mod file;
mod keeper;
mod read;
mod segment;

use std::{
    io, mem,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot, watch},
    task,
};
use tradewind_model::Clock;

use crate::{
    AttemptPage, AttemptQuery, AttemptRecord, StoreError,
    attempt::{ATTEMPT_QUEUE_MAX, shortened},
};
use keeper::{Keeper, Limits};
use segment::Place;

/// The directory, in the store's.
const DIRECTORY: &str = "attempts";
/// How many may wait before the thread is woken early.
const FULL: usize = ATTEMPT_QUEUE_MAX / 8;
/// Room for so many is kept while none wait.
const SPARE_MAX: usize = 2 * FULL;
/// How long the thread lets records gather, once there is one: each transaction costs as much as ten.
const GATHER_MAX: Duration = Duration::from_millis(100);
/// Listings at once: one may read all the files.
const LISTINGS_MAX: usize = 2;
/// Hands records to the thread. Dropping it waits until those handed over are written.
#[derive(Debug)]
pub(super) struct Attempts {
    shared: Arc<Shared>,
    /// Fails once the thread has ended and its files are closed.
    ended: watch::Receiver<()>,
    thread: Option<JoinHandle<()>>,
    listings: Semaphore,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    woken: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<AttemptRecord>,
    requests: Vec<Request>,
    /// Nothing more is taken.
    closed: bool,
}

/// What the thread is asked for. It answers once everything recorded before is written.
#[derive(Debug)]
enum Request {
    /// Where the records are, the newest first.
    Places(oneshot::Sender<Vec<Place>>),
    /// Drops what is older than this many milliseconds since 1970, and says how many files that were.
    DropBefore(i64, oneshot::Sender<u64>),
    /// A file cannot be read.
    Unreadable(Place, String),
}

impl Attempts {
    /// Starts the thread. The directory and the files are its business: it goes on without, if need be.
    pub(super) fn start(mut directory: PathBuf, clock: Arc<dyn Clock>) -> io::Result<Self> {
        directory.push(DIRECTORY);
        let shared = Arc::new(Shared::default());
        let (ending, ended) = watch::channel(());
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("store-attempts".into())
            .spawn(move || {
                let end = End(&told);
                let mut keeper = Keeper::open(directory, Limits::default(), clock.now());
                let mut records = Vec::new();
                while run(&told, &mut keeper, &mut records, &*clock) {}
                keeper.close();
                drop(end);
                drop(ending);
            })?;
        Ok(Self {
            shared,
            ended,
            thread: Some(thread),
            listings: Semaphore::new(LISTINGS_MAX),
        })
    }

    pub(super) fn record(&self, record: AttemptRecord) {
        let record = shortened(record);
        let mut state = self.shared.state();
        if state.closed || state.records.len() >= ATTEMPT_QUEUE_MAX {
            drop(state);
            self.shared.drop_records(1);
            return;
        }
        state.records.push(record);
        let waiting = state.records.len();
        drop(state);
        // Between the two the thread sleeps on, which is what makes a record cheap.
        if waiting == 1 || waiting == FULL {
            self.shared.woken.notify_one();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    pub(super) async fn list(&self, query: AttemptQuery) -> Result<AttemptPage, StoreError> {
        let permit = self.listings.acquire().await;
        let places = self.ask(Request::Places).await?;
        let shared = Arc::clone(&self.shared);
        let listing = task::spawn_blocking(move || {
            let unreadable = |place, why| shared.request(Request::Unreadable(place, why));
            read::list(&places, &query, unreadable)
        });
        let page = listing.await.map_err(|error| {
            if error.is_cancelled() {
                StoreError::Closed
            } else {
                StoreError::Broken(error.into())
            }
        });
        drop(permit);
        page
    }

    /// Drops the files whose records are all older than that; how many.
    pub(super) async fn drop_before(&self, cutoff_ms: i64) -> Result<u64, StoreError> {
        self.ask(|done| Request::DropBefore(cutoff_ms, done)).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.shared.request(request(done));
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Refuses further records and returns once those that wait are written and the files are closed.
    pub(super) async fn close(&self) {
        self.shared.close();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // It has told about a panic by itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_records(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Once closed, whoever asks is not answered.
    fn request(&self, request: Request) {
        let mut state = self.state();
        if !state.closed {
            state.requests.push(request);
            self.woken.notify_one();
        }
    }

    fn close(&self) {
        self.state().closed = true;
        self.woken.notify_one();
    }

    /// Waits for something to do: puts what has come into `records`, whose room is for what comes next.
    /// `None`: there is nothing more.
    fn wait(&self, records: &mut Vec<AttemptRecord>) -> Option<Vec<Request>> {
        let idle = |state: &mut State| {
            state.records.is_empty() && state.requests.is_empty() && !state.closed
        };
        let gathering = |state: &mut State| {
            state.records.len() < FULL && state.requests.is_empty() && !state.closed
        };
        let state = self.woken.wait_while(self.state(), idle);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let waited = self.woken.wait_timeout_while(state, GATHER_MAX, gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut state.records, records);
        let requests = mem::take(&mut state.requests);
        let is_over = state.closed && records.is_empty() && requests.is_empty();
        (!is_over).then_some(requests)
    }
}

/// Refuses what comes after the thread has ended, however it did.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.close();
        let mut state = self.0.state();
        state.requests.clear();
        let lost = mem::take(&mut state.records).len();
        drop(state);
        self.0.drop_records(lost);
    }
}

/// One round of the thread. Whether there will be another. `records` is empty before and after; its room
/// stays, so that it is not asked for anew, doubling, some ten times a second.
fn run(
    shared: &Shared,
    keeper: &mut Keeper,
    records: &mut Vec<AttemptRecord>,
    clock: &dyn Clock,
) -> bool {
    let Some(requests) = shared.wait(records) else {
        return false;
    };
    shared.drop_records(keeper.write(records, clock.now()));
    records.clear();
    records.shrink_to(SPARE_MAX);
    for request in requests {
        // Whoever asked and went away does not want to know.
        match request {
            Request::Places(done) => {
                let _ = done.send(keeper.places());
            }
            Request::DropBefore(cutoff_ms, done) => {
                let _ = done.send(keeper.drop_before(cutoff_ms));
            }
            Request::Unreadable(place, why) => keeper.set_aside(place.number, &why),
        }
    }
    true
}

#[cfg(test)]
mod tests;
