//! Runs one consumer: reads the log, makes the attempts, saves the progress.
//!
//! All decisions are those of [`Lanes`]; here is only what they cost: I/O, time and random bits. One
//! task serves one consumer, and everything it waits for is in one set of futures, so no two of its
//! steps ever race. No transaction is open while anything is on the wire.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tradewind_model::{Clock, ConversationId, LogEntry, Random, Sequence, Timestamp};
use tradewind_store::{ConsumerState, LogPage, Progress, Store, StoreError};

use crate::{
    attempt::{Attempt, Consumer, Observer},
    chain::chain,
    lanes::{Action, Lanes, Limits},
};

/// Entries of the log that are read at once.
const READ_MAX: usize = 512;
/// Their weight in bytes.
const READ_WEIGHT_MAX: usize = 4 << 20;
/// How long progress gathers before it is saved. After a crash, what was delivered since is sent again.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// How long to leave the store alone when it failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long attempts in flight may go on when the consumer is stopped.
const DRAIN_MAX: Duration = Duration::from_secs(7);

/// What every driver needs. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub limits: Limits,
    pub observer: Option<Observer>,
}

/// Something that a driver waited for has ended.
enum Ended {
    Attempt(Box<Attempt>),
    LogRead(Result<LogPage, StoreError>),
    LaneRead(ConversationId, Result<LogPage, StoreError>),
    Saved(Progress, Result<bool, StoreError>),
}

/// How a driver is told to end.
#[derive(Clone, Debug)]
pub struct End {
    /// In order: attempts in flight end and count, progress is saved.
    pub stop: CancellationToken,
    /// At once: nothing is sent any more, what is in flight is dropped, and nothing is saved.
    pub retired: CancellationToken,
}

/// How a driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was told to.
    Ended,
    /// The consumer was restarted in a new generation, which is not this driver's to serve.
    Stale,
}

/// Reading the log on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LogRead {
    UnderWay,
    /// `more`: the last read stopped at its limits, or failed.
    Ended {
        more: bool,
    },
}

pub struct Driver {
    context: Context,
    consumer: Arc<dyn Consumer>,
    generation: u64,
    lanes: Lanes,
    head: watch::Receiver<Sequence>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    log_read: LogRead,
    /// The head of the log when it was last read.
    looked_at: Sequence,
    saving: bool,
    /// Progress that could not be saved and will be again.
    unsaved: Option<Progress>,
    /// When changes are saved next, if there are any.
    save_at: Option<Instant>,
    /// Until when the store is left alone.
    store_pause: Option<Instant>,
    /// The consumer was restarted elsewhere: nothing that is known here counts any more.
    stale: bool,
    /// Time that only moves forward, whatever happens to the clock.
    started: (Timestamp, Instant),
}

impl Driver {
    pub fn new(context: Context, consumer: Arc<dyn Consumer>, state: ConsumerState) -> Self {
        let now = context.clock.now();
        let generation = state.generation;
        Self {
            lanes: Lanes::new(context.limits, state, now),
            head: context.store.head(),
            context,
            consumer,
            generation,
            under_way: FuturesUnordered::new(),
            log_read: LogRead::Ended { more: true },
            looked_at: Sequence::START,
            saving: false,
            unsaved: None,
            save_at: None,
            store_pause: None,
            stale: false,
            started: (now, Instant::now()),
        }
    }

    /// Brings entries to the consumer until it is told to end.
    pub async fn run(mut self, end: End) -> Exit {
        let End { stop, retired } = end;
        let work = async {
            while !stop.is_cancelled() && !self.stale {
                // Look at the head before reading, so that no news falls between the two.
                let head = *self.head.borrow_and_update();
                self.start_work(head);
                let wake = self.next_wake();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    Some(ended) = self.under_way.next() => self.take_all(ended),
                    Ok(()) = self.head.changed() => {}
                    () = sleep_until(wake) => {}
                }
            }
            self.drain().await;
            if self.stale { Exit::Stale } else { Exit::Ended }
        };
        // Dropping the work drops what is in flight.
        retired
            .run_until_cancelled(work)
            .await
            .unwrap_or(Exit::Ended)
    }

    /// Lets attempts in flight end and saves what they came to.
    async fn drain(&mut self) {
        let attempts = async {
            while self.lanes.in_flight() > 0 && !self.stale {
                let Some(ended) = self.under_way.next().await else {
                    break;
                };
                self.take(ended);
            }
        };
        if tokio::time::timeout(DRAIN_MAX, attempts).await.is_err() {
            tracing::warn!(consumer = %self.consumer.id(), "attempts still in flight are given up; they are made again");
        }
        while self.saving {
            let Some(ended) = self.under_way.next().await else {
                break;
            };
            self.take(ended);
        }
        self.lanes.hold_all(self.now());
        while let Some(progress) = self.next_progress().filter(|_| !self.stale) {
            match self.context.store.save_progress(progress).await {
                Ok(current) => self.stale = !current,
                Err(error) => {
                    tracing::warn!(consumer = %self.consumer.id(), error = %chain(&error), "progress was not saved; some events are sent again");
                    return;
                }
            }
        }
    }

    /// Starts all that can be started now.
    fn start_work(&mut self, head: Sequence) {
        for action in self.lanes.step(self.now()) {
            match action {
                Action::Attempt { entry, number } => self.start_attempt(entry, number),
                Action::ReadLane {
                    conversation,
                    from,
                    to,
                } => {
                    self.start_lane_read(conversation, from, to);
                }
            }
        }
        let paused = self.store_pause.is_some_and(|until| until > Instant::now());
        if paused {
            return;
        }
        self.store_pause = None;
        let wanted = match self.log_read {
            LogRead::UnderWay => false,
            LogRead::Ended { more } => more || head > self.looked_at,
        };
        if wanted && self.lanes.room() > 0 {
            self.looked_at = head;
            self.start_log_read();
        }
        if !self.saving && (self.unsaved.is_some() || self.lanes.has_changes()) {
            let at = *self
                .save_at
                .get_or_insert_with(|| Instant::now() + SAVE_EVERY);
            if at <= Instant::now() {
                self.start_save();
            }
        }
    }

    fn start_attempt(&mut self, entry: Arc<LogEntry>, number: u32) {
        let consumer = Arc::clone(&self.consumer);
        self.under_way.push(Box::pin(async move {
            let started = Instant::now();
            let outcome = consumer.attempt(&entry).await;
            Ended::Attempt(Box::new(Attempt {
                consumer: consumer.id(),
                message_id: entry.message.id,
                conversation_id: entry.message.conversation_id,
                number,
                duration: started.elapsed(),
                outcome,
            }))
        }));
    }

    fn start_lane_read(&mut self, conversation: ConversationId, from: Sequence, to: Sequence) {
        let store = Arc::clone(&self.context.store);
        let pause = self.store_pause;
        let Limits {
            lane_entries_max: limit,
            lane_weight_max: weight_max,
            ..
        } = self.context.limits;
        self.under_way.push(Box::pin(async move {
            if pause.is_some() {
                sleep_until(pause).await;
            }
            let page = store.read_lane(conversation, from, to, limit, weight_max);
            let page = page.await;
            Ended::LaneRead(conversation, page)
        }));
    }

    fn start_log_read(&mut self) {
        self.log_read = LogRead::UnderWay;
        let store = Arc::clone(&self.context.store);
        let after = self.lanes.read_to();
        let limit = self.lanes.room().min(READ_MAX);
        self.under_way.push(Box::pin(async move {
            Ended::LogRead(store.read_log(after, limit, READ_WEIGHT_MAX).await)
        }));
    }

    fn start_save(&mut self) {
        let Some(progress) = self.next_progress() else {
            return;
        };
        self.saving = true;
        self.save_at = None;
        let store = Arc::clone(&self.context.store);
        self.under_way.push(Box::pin(async move {
            let saved = store.save_progress(progress.clone()).await;
            Ended::Saved(progress, saved)
        }));
    }

    /// What could not be saved before comes first: later changes build on it.
    fn next_progress(&mut self) -> Option<Progress> {
        if let Some(progress) = self.unsaved.take() {
            return Some(progress);
        }
        let changes = self.lanes.take_changes()?;
        Some(Progress {
            consumer: self.consumer.id(),
            generation: self.generation,
            cursor: changes.cursor,
            held: changes.held,
            released: changes.released,
        })
    }

    /// Takes `ended` and whatever else has ended by now, so that one step starts work for all of it.
    fn take_all(&mut self, ended: Ended) {
        self.take(ended);
        while let Some(Some(ended)) = futures_util::FutureExt::now_or_never(self.under_way.next()) {
            self.take(ended);
        }
    }

    fn take(&mut self, ended: Ended) {
        match ended {
            Ended::Attempt(attempt) => self.take_attempt(&attempt),
            Ended::LogRead(page) => {
                let more = page.as_ref().map_or(true, |page| page.more);
                self.log_read = LogRead::Ended { more };
                if let Some(page) = self.page(page) {
                    self.lanes.extend(self.wanted(page.entries), page.read_to);
                }
            }
            Ended::LaneRead(conversation, page) => match self.page(page) {
                Some(page) => {
                    let entries = self.wanted(page.entries);
                    self.lanes
                        .lane_read(conversation, entries, page.read_to, page.more);
                }
                None => self.lanes.lane_read_failed(conversation),
            },
            Ended::Saved(progress, saved) => self.take_saved(progress, saved),
        }
    }

    fn take_attempt(&mut self, attempt: &Attempt) {
        if let Some(observer) = &self.context.observer {
            observer(attempt);
        }
        attempt.log();
        let jitter = self.context.random.unit();
        let now = self.now();
        self.lanes
            .finished(attempt.conversation_id, &attempt.outcome, now, jitter);
    }

    fn take_saved(&mut self, progress: Progress, saved: Result<bool, StoreError>) {
        self.saving = false;
        match saved {
            Ok(true) => {}
            Ok(false) => self.stale = true,
            Err(error) => {
                self.store_failed(&error);
                self.unsaved = Some(progress);
            }
        }
    }

    fn page(&mut self, page: Result<LogPage, StoreError>) -> Option<LogPage> {
        page.inspect_err(|error| self.store_failed(error)).ok()
    }

    fn store_failed(&mut self, error: &StoreError) {
        tracing::error!(consumer = %self.consumer.id(), error = %chain(error), "the store failed a delivery; it is asked again");
        self.store_pause = Some(Instant::now() + STORE_PAUSE);
    }

    fn wanted(&self, entries: Vec<LogEntry>) -> Vec<Arc<LogEntry>> {
        entries
            .into_iter()
            .filter(|entry| self.consumer.wants(entry))
            .map(Arc::new)
            .collect()
    }

    fn next_wake(&self) -> Option<Instant> {
        let lanes = self.lanes.next_wake().map(|at| {
            let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
            Instant::now() + wait
        });
        // A save waits for the one before it, and while the store is left alone.
        let save_waits = self.saving || self.store_pause.is_some();
        let save = self.save_at.filter(|_| !save_waits);
        [lanes, save, self.store_pause].into_iter().flatten().min()
    }

    fn now(&self) -> Timestamp {
        let (at, instant) = self.started;
        at.checked_add(instant.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// Waits until `at`; for ever if there is no such time.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
