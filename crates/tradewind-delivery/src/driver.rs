//! Runs one consumer: reads the log, makes the attempts, saves the progress.
//!
//! All decisions are those of [`Lanes`]; here is only what they cost: I/O, time and random bits. One
//! task serves one consumer, and everything it waits for is in one set of futures, so no two of its
//! steps ever race. No transaction is open while anything is on the wire.

mod start;
mod take;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tradewind_model::{Clock, ConversationId, Random, Timestamp};
use tradewind_store::{ConsumerState, Lease, LogPage, Progress, Store, StoreError};

use crate::{
    attempt::{Attempt, Consumer, Observer},
    chain::chain,
    due::Due,
    lanes::{Lanes, Limits},
    tail::{Follower, Stand, Tail},
    time::span,
    view::{Ask, Tally, View},
};

/// Entries of the log that are read at once.
const READ_MAX: usize = 512;
/// Their weight in bytes.
const READ_WEIGHT_MAX: usize = 4 << 20;
/// How long progress gathers before it is saved. After a crash, what was delivered since is sent again.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// How long the store may take to save before a node that others may replace delivers nothing further:
/// they would deliver all of it again.
const UNSAVED_MAX: Duration = Duration::from_secs(1);
/// How long to leave the store alone when it failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long attempts in flight may go on when the consumer is stopped.
const DRAIN_MAX: Duration = Duration::from_secs(7);
/// Questions that may wait for a driver.
const ASKS_MAX: usize = 64;

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
    /// While it ends in order: what is still in flight is given up.
    pub hurry: CancellationToken,
    /// At once: nothing is sent any more, what is in flight is dropped, and nothing is saved.
    pub retired: CancellationToken,
}

/// How a driver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was told to.
    Ended,
    /// The consumer was restarted in a new generation, which is not this driver's to serve; or its shards
    /// are no longer this node's.
    Stale,
    /// The consumer has all it wanted.
    Done,
    /// The endpoint wants nothing any more; why, in words.
    Gone(String),
}

/// What others hold of a running driver.
#[derive(Clone, Debug)]
pub struct Window {
    pub view: watch::Receiver<View>,
    pub asks: mpsc::Sender<Ask>,
    pub stand: Stand,
}

/// Reading the log on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LogRead {
    /// The store is being read.
    UnderWay,
    /// There may be more.
    Open,
    /// There is nothing more; the tail tells when there is.
    Ended,
}

pub struct Driver {
    context: Context,
    consumer: Arc<dyn Consumer>,
    generation: u64,
    due: Due,
    lease: Lease,
    lanes: Lanes,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    follower: Follower,
    log_read: LogRead,
    saving: bool,
    /// Since when progress waits for the store.
    unsaved_since: Option<Instant>,
    /// Progress that could not be saved and will be again.
    unsaved: Option<Progress>,
    /// When changes are saved next, if there are any.
    save_at: Option<Instant>,
    /// Until when the store is left alone.
    store_pause: Option<Instant>,
    /// When something was last seen to have passed at the endpoint.
    passed_at: Option<Instant>,
    /// Why the driver ends by itself.
    exit: Option<Exit>,
    view: watch::Sender<View>,
    asks: mpsc::Receiver<Ask>,
    /// Time that only moves forward, whatever happens to the clock.
    started: (Timestamp, Instant),
}

impl Driver {
    pub fn new(
        context: Context,
        tail: &Tail,
        consumer: Arc<dyn Consumer>,
        state: ConsumerState,
        lease: Lease,
    ) -> (Self, Window) {
        let now = context.clock.now();
        let generation = state.generation;
        let due = Due::new(state.share.clone());
        let lanes = Lanes::new(context.limits, state, now);
        let (view, seen) = watch::channel(View {
            shards: due.share().holder.shards,
            status: lanes.status(),
            tally: Tally::default(),
        });
        let (asking, asks) = mpsc::channel(ASKS_MAX);
        let follower = tail.follow(consumer.interest());
        let stand = follower.stand().clone();
        let driver = Self {
            lanes,
            context,
            consumer,
            generation,
            due,
            lease,
            under_way: FuturesUnordered::new(),
            follower,
            log_read: LogRead::Open,
            saving: false,
            unsaved_since: None,
            unsaved: None,
            save_at: None,
            store_pause: None,
            passed_at: None,
            exit: None,
            view,
            asks,
            started: (now, Instant::now()),
        };
        let window = Window {
            view: seen,
            asks: asking,
            stand,
        };
        (driver, window)
    }

    /// Brings entries to the consumer until it is told to end.
    pub async fn run(mut self, end: End) -> Exit {
        let End {
            stop,
            hurry,
            retired,
        } = end;
        let work = async {
            while !stop.is_cancelled() && self.exit.is_none() {
                self.start_work();
                self.show();
                if self.exit.is_some() {
                    break;
                }
                if self.has_come_to_its_end() {
                    return Exit::Done;
                }
                let wake = self.next_wake();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    Some(ended) = self.under_way.next() => self.take_all(ended),
                    Some(ask) = self.asks.recv() => self.answer(ask),
                    () = self.follower.news(), if self.log_read == LogRead::Ended => {
                        self.log_read = LogRead::Open;
                    }
                    () = sleep_until(wake) => {}
                }
            }
            if self.exit.is_none() {
                self.drain(&hurry).await;
            }
            self.exit.take().unwrap_or(Exit::Ended)
        };
        // Dropping the work drops what is in flight.
        retired
            .run_until_cancelled(work)
            .await
            .unwrap_or(Exit::Ended)
    }

    /// Whether the consumer has an end, and the log was read up to it.
    fn has_read_all(&self) -> bool {
        let end = self.consumer.end();
        end.is_some_and(|end| self.lanes.read_to() >= end)
    }

    /// Whether the consumer has an end, and everything up to it is delivered or set aside and saved.
    fn has_come_to_its_end(&self) -> bool {
        self.has_read_all()
            && self.lanes.is_empty()
            && !self.lanes.has_changes()
            && !self.saving
            && self.unsaved.is_none()
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Lane(conversation, _) if !self.due.share().has(conversation) => {}
            Ask::Lane(conversation, answer) => {
                self.pass_over();
                // Who asked may have gone away.
                let _ = answer.send(self.lanes.lane_status(conversation));
            }
            Ask::EndpointChanged => self.lanes.endpoint_changed(self.now()),
        }
    }

    /// What went by without being wanted counts as read.
    fn pass_over(&mut self) {
        if let Some(to) = self.follower.stand().passed() {
            self.lanes.extend(Vec::new(), to, self.now());
        }
    }

    fn show(&self) {
        let status = self.lanes.status();
        self.view.send_if_modified(|view| {
            let changed = view.status != status;
            view.status = status;
            changed
        });
    }

    /// Lets attempts in flight end and saves what they came to.
    async fn drain(&mut self, hurry: &CancellationToken) {
        let attempts = async {
            while self.lanes.in_flight() > 0 && self.exit.is_none() {
                let Some(ended) = self.under_way.next().await else {
                    break;
                };
                self.take(ended);
            }
        };
        let attempts = hurry.run_until_cancelled(attempts);
        if !matches!(
            tokio::time::timeout(DRAIN_MAX, attempts).await,
            Ok(Some(()))
        ) {
            tracing::warn!(consumer = %self.consumer.id(), "attempts still in flight are given up; they are made again");
        }
        while self.saving {
            let Some(ended) = self.under_way.next().await else {
                break;
            };
            self.take(ended);
        }
        self.pass_over();
        self.lanes.hold_all(self.now());
        while self.exit.is_none()
            && let Some(progress) = self.next_progress()
        {
            match self.context.store.save_progress(progress).await {
                Ok(true) => {}
                Ok(false) => self.exit = Some(Exit::Stale),
                Err(error) => {
                    tracing::warn!(consumer = %self.consumer.id(), error = %chain(&error), "progress was not saved; some events are sent again");
                    return;
                }
            }
        }
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
            holder: self.due.share().holder,
            cursor: changes.cursor,
            backed_off_since: changes.backed_off_since,
            held: changes.held,
            released: changes.released,
            set_aside: changes.set_aside,
            redelivered: changes.delivered,
        })
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = self.now();
        let lanes = self.lanes.next_wake(now);
        let lanes = lanes.filter(|_| !self.waits_for_save());
        let lanes = lanes.map(|at| Instant::now() + span(now, at));
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
