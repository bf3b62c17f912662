//! Starts and ends the drivers: one for each source's replies, one for each subscribed webhook.
//!
//! The store says which webhooks there are; a change wakes this task, and it compares. A webhook that
//! was unsubscribed and subscribed again has a new generation, and its old driver ends before the new
//! one starts, so that two never serve the same lanes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tradewind_model::{Webhook, WebhookId, WebhookStatus};
use tradewind_store::{ConsumerId, ConsumerState, Start, StoreError};

use crate::{
    attempt::Consumer,
    driver::{Context, Driver, End, Exit},
    transport::Transport,
    webhook::WebhookConsumer,
};

/// Webhooks that are served at most.
pub const WEBHOOKS_MAX: usize = 10_000;
/// Requests to look again that may wait.
const REFRESH_QUEUE_MAX: usize = 64;
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Asks the dispatcher to look again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DispatcherHandle(mpsc::Sender<oneshot::Sender<()>>);

impl DispatcherHandle {
    /// Returns once deliveries follow what the store says of webhooks now: after an unsubscribe,
    /// nothing more is started. When the dispatcher ends meanwhile, nothing is started either.
    pub async fn refresh(&self) {
        let (done, applied) = oneshot::channel();
        if self.0.send(done).await.is_ok() {
            let _ = applied.await;
        }
    }
}

pub struct Dispatcher {
    context: Context,
    transport: Transport,
    sources: Vec<Arc<dyn Consumer>>,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    webhooks: HashMap<WebhookId, Running>,
    replies: Vec<JoinHandle<Exit>>,
    stop: CancellationToken,
}

struct Running {
    consumer: Arc<WebhookConsumer>,
    webhook: Webhook,
    generation: u64,
    retired: CancellationToken,
    task: JoinHandle<Exit>,
}

impl Dispatcher {
    /// `sources` are the consumers that carry replies.
    pub fn new(
        context: Context,
        transport: Transport,
        sources: Vec<Arc<dyn Consumer>>,
    ) -> (Self, DispatcherHandle) {
        let (handle, requests) = mpsc::channel(REFRESH_QUEUE_MAX);
        let dispatcher = Self {
            context,
            transport,
            sources,
            requests,
            webhooks: HashMap::new(),
            replies: Vec::new(),
            stop: CancellationToken::new(),
        };
        (dispatcher, DispatcherHandle(handle))
    }

    /// Runs until `stop`, then ends all drivers and returns when they have. Ends early if a driver
    /// does, which only a mistake in the program can cause: nobody may believe that it delivers.
    pub async fn run(mut self, stop: CancellationToken) {
        self.stop = stop.child_token();
        let mut changed = self.context.store.webhooks_changed();
        let mut asked: Vec<oneshot::Sender<()>> = Vec::new();
        self.start_replies().await;
        while !stop.is_cancelled() {
            changed.mark_unchanged();
            let retry_at = match self.refresh().await {
                Ok(()) => {
                    for done in asked.drain(..) {
                        // Who asked may have gone away.
                        let _: Result<(), ()> = done.send(());
                    }
                    None
                }
                Err(error) => {
                    tracing::error!(%error, "the webhooks could not be read; they are asked for again");
                    Some(Instant::now() + STORE_PAUSE)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.requests.recv() => asked.push(done),
                Ok(()) = changed.changed() => {}
                (id, exit) = ended(&mut self.replies, &mut self.webhooks) => {
                    let stale = id.filter(|_| exit == Some(Exit::Stale));
                    let Some(id) = stale else {
                        tracing::error!("a delivery task ended by itself");
                        break;
                    };
                    // The next look at the webhooks replaces it, if it is still subscribed.
                    self.webhooks.remove(&id);
                }
                () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
            }
        }
        self.end_all().await;
    }

    async fn start_replies(&mut self) {
        for consumer in std::mem::take(&mut self.sources) {
            let Some(state) = self.open_replies(&consumer.id()).await else {
                return;
            };
            let driver = Driver::new(self.context.clone(), consumer, state);
            self.replies.push(spawn(driver.run(self.end())));
        }
    }

    /// Asks until the store answers; `None` once stopping.
    async fn open_replies(&self, id: &ConsumerId) -> Option<ConsumerState> {
        while !self.stop.is_cancelled() {
            match self.context.store.open_consumer(id, Start::Beginning).await {
                Ok(state) => return Some(state),
                Err(error) => {
                    tracing::error!(consumer = %id, %error, "replies cannot start; tried again");
                }
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
        None
    }

    /// Makes the running drivers those that the store asks for.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let webhooks = self.context.store.list_webhooks(WEBHOOKS_MAX).await?;
        for webhook in webhooks {
            match webhook.status {
                WebhookStatus::Unsubscribed => self.retire(webhook.id).await,
                WebhookStatus::Subscribed => self.serve(webhook).await?,
            }
        }
        Ok(())
    }

    async fn serve(&mut self, webhook: Webhook) -> Result<(), StoreError> {
        let id = ConsumerId::Webhook(webhook.id);
        let state = self.context.store.open_consumer(&id, Start::Head).await?;
        if let Some(running) = self.webhooks.get_mut(&webhook.id)
            && running.generation == state.generation
        {
            if running.webhook != webhook
                && let Err(error) = running.consumer.update(&webhook)
            {
                tracing::error!(webhook.id = %webhook.id, %error, "a stored webhook is wrong; its old target stays");
            }
            running.webhook = webhook;
            return Ok(());
        }
        self.retire(webhook.id).await;
        let clock = Arc::clone(&self.context.clock);
        let consumer = match WebhookConsumer::new(&webhook, self.transport.clone(), clock) {
            Ok(consumer) => Arc::new(consumer),
            Err(error) => {
                tracing::error!(webhook.id = %webhook.id, %error, "a stored webhook is wrong; nothing is sent to it");
                return Ok(());
            }
        };
        let generation = state.generation;
        let target: Arc<dyn Consumer> = Arc::<WebhookConsumer>::clone(&consumer);
        let driver = Driver::new(self.context.clone(), target, state);
        let end = self.end();
        let retired = end.retired.clone();
        let task = spawn(driver.run(end));
        let running = Running {
            consumer,
            webhook,
            generation,
            retired,
            task,
        };
        self.webhooks.insert(running.webhook.id, running);
        Ok(())
    }

    /// Ends the driver of a webhook. Nothing is sent to it any more once this returns.
    async fn retire(&mut self, id: WebhookId) {
        if let Some(running) = self.webhooks.remove(&id) {
            running.retired.cancel();
            wait_for(running.task).await;
        }
    }

    /// The end of one more driver: with all others, or alone.
    fn end(&self) -> End {
        End {
            stop: self.stop.clone(),
            retired: CancellationToken::new(),
        }
    }

    async fn end_all(self) {
        self.stop.cancel();
        let webhooks = self.webhooks.into_values().map(|running| running.task);
        for task in self.replies.into_iter().chain(webhooks) {
            wait_for(task).await;
        }
    }
}

/// Waits until a task has ended. One that was seen to end cannot be awaited again.
async fn wait_for(task: JoinHandle<Exit>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

/// Resolves when a driver has ended: with its webhook, if it served one, and how; no exit is a panic.
async fn ended(
    replies: &mut [JoinHandle<Exit>],
    webhooks: &mut HashMap<WebhookId, Running>,
) -> (Option<WebhookId>, Option<Exit>) {
    let webhooks = webhooks.iter_mut();
    let webhooks = webhooks.map(|(id, running)| (Some(*id), &mut running.task));
    let tasks = replies.iter_mut().map(|task| (None, task)).chain(webhooks);
    let tasks: Vec<_> = tasks
        .map(|(id, task)| task.map(move |exit| (id, exit.ok())))
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
fn spawn(task: impl Future<Output = Exit> + Send + 'static) -> JoinHandle<Exit> {
    tokio::spawn(task)
}
