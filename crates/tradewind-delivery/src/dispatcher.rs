//! Starts and ends the drivers: one for each source's replies, one for each subscribed webhook, and
//! one for each replay.
//!
//! The store says which sources, webhooks and replays there are; a change wakes this task, and it compares. A
//! webhook that was unsubscribed and subscribed again has a new generation, and its old driver ends
//! before the new one starts, so that two never serve the same lanes.
//!
//! The store also says which shards of lanes this node is to serve. When that changes, all drivers end
//! and start anew with what is theirs then; and only then are other nodes told that they may have the
//! rest.

mod handle;
mod hold;
mod serve;

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tradewind_model::{Webhook, WebhookId};
use tradewind_store::{ConsumerId, ConsumerState, Holding, StoreError};

use crate::{
    attempt::{Consumer, Repliers},
    driver::{Context, Driver, End, Exit},
    lanes::Limits,
    tail::Tail,
    transport::Transport,
    webhook::WebhookConsumer,
};
use handle::Windows;

pub use handle::DispatcherHandle;

/// Webhooks that are served at most, and replays.
pub const WEBHOOKS_MAX: usize = 10_000;
pub const REPLAYS_MAX: usize = 1_000;
/// Requests to look again that may wait.
const REFRESH_QUEUE_MAX: usize = 64;
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub struct Dispatcher {
    context: Context,
    tail: Tail,
    transport: Transport,
    repliers: Arc<dyn Repliers>,
    /// Who carries replies since the last look.
    replying: HashMap<ConsumerId, Arc<dyn Consumer>>,
    /// What is this node's to serve.
    holding: Holding,
    /// Replays that are done as far as they are this node's.
    done: HashSet<ConsumerId>,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    running: HashMap<ConsumerId, Running>,
    /// Where webhooks that are paused were sent to.
    paused: HashMap<ConsumerId, String>,
    windows: Windows,
    stop: CancellationToken,
}

/// A driver that has ended by itself, with what is left to be done in the store.
struct Left {
    id: ConsumerId,
    exit: Exit,
    subscription: Option<Subscription>,
}

/// A driver at work.
struct Running {
    end: End,
    task: JoinHandle<Exit>,
    /// What it serves, if that is a webhook.
    webhook: Option<Serving>,
    /// Whose subscription ends when its endpoint asks for it.
    subscription: Option<Subscription>,
}

/// A webhook's subscription as it was when a driver started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subscription {
    webhook: WebhookId,
    generation: u64,
}

struct Serving {
    consumer: Arc<WebhookConsumer>,
    webhook: Webhook,
}

impl Dispatcher {
    pub fn new(
        context: Context,
        transport: Transport,
        repliers: Arc<dyn Repliers>,
    ) -> (Self, DispatcherHandle) {
        let (requesting, requests) = mpsc::channel(REFRESH_QUEUE_MAX);
        let windows = Windows::default();
        let tail = Tail::new(*context.store.head().borrow());
        let handle = DispatcherHandle::new(requesting, windows.clone(), tail.clone());
        let dispatcher = Self {
            tail,
            context,
            transport,
            repliers,
            replying: HashMap::new(),
            holding: Holding::nothing(),
            done: HashSet::new(),
            requests,
            running: HashMap::new(),
            paused: HashMap::new(),
            windows,
            stop: CancellationToken::new(),
        };
        (dispatcher, handle)
    }

    /// Runs until `stop`, then ends all drivers and returns when they have. Ends early if a driver
    /// does that should not, which only a mistake in the program can cause: nobody may believe that it
    /// delivers.
    pub async fn run(mut self, stop: CancellationToken) {
        self.stop = stop.child_token();
        let mut changed = self.context.store.webhooks_changed();
        let mut holding = self.context.store.join();
        let mut is_new = true;
        let mut asked: Vec<oneshot::Sender<()>> = Vec::new();
        // What a driver that has ended left to be done in the store.
        let mut left: Vec<Left> = Vec::new();
        let mut tail = self.follow_log();
        while !stop.is_cancelled() {
            changed.mark_unchanged();
            if mem::take(&mut is_new) {
                let now = holding.borrow_and_update().clone();
                if self.hold(now).await {
                    // Done with what was served until now: it is seen again with what is served next.
                    left.retain(|ended| ended.exit != Exit::Done);
                }
            }
            let retry_at = match self.look(&mut left).await {
                Ok(()) => {
                    for done in asked.drain(..) {
                        // Who asked may have gone away.
                        let _: Result<(), ()> = done.send(());
                    }
                    None
                }
                Err(error) => {
                    // Shards that change hands in the middle are no trouble.
                    if !holding.has_changed().unwrap_or(false) {
                        tracing::error!(%error, "deliveries could not be started; tried again");
                    }
                    Some(Instant::now() + STORE_PAUSE)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.requests.recv() => asked.push(done),
                Ok(()) = changed.changed() => {}
                Ok(()) = holding.changed() => is_new = true,
                (id, exit) = ended(&mut self.running) => {
                    let subscription = self.forget(&id);
                    match exit {
                        Some(exit) if exit.is_expected_of(&id) => {
                            left.push(Left { id, exit, subscription });
                        }
                        _ => {
                            tracing::error!("a delivery task ended by itself");
                            break;
                        }
                    }
                }
                _ = &mut tail => {
                    tracing::error!("the log is no longer followed");
                    break;
                }
                () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
            }
        }
        self.end_all().await;
        wait_for(tail).await;
    }

    /// Does what ended drivers left, and makes the running ones those that the store asks for.
    async fn look(&mut self, left: &mut Vec<Left>) -> Result<(), StoreError> {
        while let Some(ended) = left.last() {
            self.finish(ended).await?;
            if let Some(Left {
                id,
                exit: Exit::Done,
                ..
            }) = left.pop()
            {
                self.done.insert(id);
            }
        }
        if self.holds_nothing() {
            return Ok(());
        }
        self.refresh_replies().await?;
        self.refresh().await
    }

    /// Records that a consumer is done. One that is only stale is replaced by the next look.
    async fn finish(&self, ended: &Left) -> Result<(), StoreError> {
        let store = &self.context.store;
        match (&ended.exit, &ended.id, &ended.subscription) {
            (Exit::Done, ConsumerId::Replay(id), _) => store.end_replay(*id).await,
            (
                Exit::Gone(because),
                _,
                Some(Subscription {
                    webhook,
                    generation,
                }),
            ) => {
                tracing::warn!(webhook.id = %webhook, because, "a webhook is unsubscribed, as its endpoint asks for it");
                store
                    .end_subscription(*webhook, *generation, because.clone())
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Starts the task that reads what is new.
    fn follow_log(&self) -> JoinHandle<()> {
        let store = Arc::clone(&self.context.store);
        spawn(self.tail.clone().run(store, self.stop.clone()))
    }

    fn start(
        &mut self,
        consumer: Arc<dyn Consumer>,
        state: ConsumerState,
        limits: Limits,
        (webhook, subscription): (Option<Serving>, Option<Subscription>),
    ) {
        let id = consumer.id();
        let context = Context {
            limits,
            ..self.context.clone()
        };
        let lease = self.holding.lease.clone();
        let (driver, window) = Driver::new(context, &self.tail, consumer, state, lease);
        let end = End {
            stop: self.stop.child_token(),
            hurry: CancellationToken::new(),
            retired: CancellationToken::new(),
        };
        let running = Running {
            end: end.clone(),
            task: spawn(driver.run(end)),
            webhook,
            subscription,
        };
        self.windows.put(id.clone(), window);
        self.running.insert(id, running);
    }

    /// Ends a driver. Nothing is sent by it any more once this returns.
    async fn retire(&mut self, id: &ConsumerId) {
        self.windows.remove(id);
        self.paused.remove(id);
        if let Some(running) = self.running.remove(id) {
            running.end.retired.cancel();
            wait_for(running.task).await;
        }
    }

    /// Ends drivers in order, so that nothing is sent twice when they go on. All at once: each may take
    /// as long as its attempts, or as `at_most` says.
    async fn pause(&mut self, ids: Vec<ConsumerId>, at_most: Option<Duration>) {
        let mut ending = Vec::new();
        for id in ids {
            self.windows.remove(&id);
            if let Some(running) = self.running.remove(&id) {
                running.end.stop.cancel();
                ending.push((running.task, running.end.hurry));
                let url = running.webhook.map(|serving| serving.webhook.url);
                self.paused.extend(url.map(|url| (id, url)));
            }
        }
        let hurry_at = at_most.map(|at_most| Instant::now() + at_most);
        for (mut task, hurry) in ending {
            if let Some(at) = hurry_at
                && tokio::time::timeout_at(at, &mut task).await.is_err()
            {
                hurry.cancel();
            }
            wait_for(task).await;
        }
    }

    /// A driver has ended; answers with the subscription that it served.
    fn forget(&mut self, id: &ConsumerId) -> Option<Subscription> {
        self.windows.remove(id);
        self.running.remove(id)?.subscription
    }

    async fn end_all(self) {
        self.stop.cancel();
        for running in self.running.into_values() {
            wait_for(running.task).await;
        }
    }
}

/// Waits until a task has ended. One that was seen to end cannot be awaited again.
async fn wait_for<T>(task: JoinHandle<T>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

/// Resolves when a driver has ended: which, and how; no exit is a panic.
async fn ended(running: &mut HashMap<ConsumerId, Running>) -> (ConsumerId, Option<Exit>) {
    let tasks: Vec<_> = running
        .iter_mut()
        .map(|(id, running)| {
            let id = id.clone();
            (&mut running.task).map(move |exit| (id, exit.ok()))
        })
        .collect();
    if tasks.is_empty() {
        return std::future::pending().await;
    }
    let (ended, ..) = futures_util::future::select_all(tasks).await;
    ended
}

/// The drivers' tasks are waited for by [`Dispatcher::end_all`], not by a tracker of the whole process.
#[expect(
    clippy::disallowed_methods,
    reason = "every handle is kept and awaited by the dispatcher"
)]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}
