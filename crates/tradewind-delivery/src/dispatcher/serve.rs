//! Which drivers there are to be.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use tradewind_model::{Webhook, WebhookId, WebhookStatus};
use tradewind_store::{ConsumerId, ConsumerState, Replay, Start, Store, StoreError};

use super::{Dispatcher, REPLAYS_MAX, Running, Serving, Subscription, WEBHOOKS_MAX};
use crate::{
    attempt::Consumer as _, lanes::Limits, replay::ReplayConsumer, view::Ask,
    webhook::WebhookConsumer,
};

/// Of the attempts that a webhook may have at once, the share that a replay gets beside it.
const REPLAY_SHARE: usize = 4;
/// Consumers that are opened at once.
const OPENED_MAX: usize = 16;

impl Dispatcher {
    /// Makes the running drivers those that the store asks for.
    pub(super) async fn refresh(&mut self) -> Result<(), StoreError> {
        let mut paused = Vec::new();
        let mut served = Vec::new();
        for (webhook, generation) in self.context.store.list_webhooks(WEBHOOKS_MAX).await? {
            let id = ConsumerId::Webhook(webhook.id);
            match webhook.status {
                WebhookStatus::Unsubscribed => self.retire(&id).await,
                WebhookStatus::Subscribed if webhook.paused => paused.push(id),
                WebhookStatus::Subscribed => served.push((webhook, generation)),
            }
        }
        let mut opened = self.open_those_that_wait(&served).await;
        for (webhook, generation) in served {
            let opened = opened.remove(&ConsumerId::Webhook(webhook.id));
            self.serve(webhook, generation, opened).await?;
        }
        self.refresh_replays(&mut paused).await?;
        self.pause(paused, None).await;
        Ok(())
    }

    /// Asks where those stand that nobody serves yet, many at once: after a change of shards that is all
    /// of them.
    async fn open_those_that_wait(
        &self,
        served: &[(Webhook, u64)],
    ) -> HashMap<ConsumerId, Result<ConsumerState, StoreError>> {
        let ids = served
            .iter()
            .map(|(webhook, _)| ConsumerId::Webhook(webhook.id))
            .filter(|id| !self.running.contains_key(id));
        let opened: Vec<_> = ids
            .map(|id| open(Arc::clone(&self.context.store), id))
            .collect();
        stream::iter(opened)
            .buffer_unordered(OPENED_MAX)
            .collect()
            .await
    }

    /// `opened` is where it stands, if that was asked already.
    async fn serve(
        &mut self,
        webhook: Webhook,
        generation: u64,
        opened: Option<Result<ConsumerState, StoreError>>,
    ) -> Result<(), StoreError> {
        let id = ConsumerId::Webhook(webhook.id);
        let asked = Subscription {
            webhook: webhook.id,
            generation,
        };
        if let Some(running) = self.running.get_mut(&id)
            && running.subscription == Some(asked)
            && let Some(serving) = &mut running.webhook
        {
            let is_moved = serving.webhook.url != webhook.url;
            serving.follow(webhook);
            if let Some(window) = self.windows.find(&id) {
                window.stand.change(serving.consumer.interest());
            }
            if is_moved {
                self.tell_of_move(asked.webhook).await;
            }
            return Ok(());
        }
        let before = self.paused.remove(&id);
        self.retire(&id).await;
        let clock = Arc::clone(&self.context.clock);
        let consumer = match WebhookConsumer::new(&webhook, self.transport.clone(), clock) {
            Ok(consumer) => Arc::new(consumer),
            Err(error) => {
                tracing::error!(webhook.id = %webhook.id, %error, "a stored webhook is wrong; nothing is sent to it");
                return Ok(());
            }
        };
        let state = match opened {
            Some(opened) => opened?,
            None => self.context.store.open_consumer(&id, Start::Head).await?,
        };
        // It may have begun anew since it was listed.
        let subscription = Subscription {
            generation: state.generation,
            ..asked
        };
        let is_moved = before.is_some_and(|before| before != webhook.url);
        let serving = Serving {
            consumer: Arc::clone(&consumer),
            webhook,
        };
        let roles = (Some(serving), Some(subscription));
        self.start(consumer, state, self.context.limits, roles);
        if is_moved {
            self.tell_of_move(asked.webhook).await;
        }
        Ok(())
    }

    /// Tells those who send to a webhook that it is elsewhere now. A driver that has just ended need not
    /// be told.
    async fn tell_of_move(&self, webhook: WebhookId) {
        let of_it = |running: &Running| {
            let subscription = running.subscription.as_ref();
            subscription.is_some_and(|subscription| subscription.webhook == webhook)
        };
        let running = self.running.iter().filter(|(_, running)| of_it(running));
        for (id, _) in running {
            if let Some(window) = self.windows.find(id) {
                let _ = window.asks.send(Ask::EndpointChanged).await;
            }
        }
    }

    /// Replays run while their webhook does, one after the other, so that they do not add up at the
    /// endpoint. Those that are to stop are added to `paused`.
    async fn refresh_replays(&mut self, paused: &mut Vec<ConsumerId>) -> Result<(), StoreError> {
        let replays = self.context.store.list_replays(REPLAYS_MAX).await?;
        let asked: HashSet<_> = replays
            .iter()
            .map(|replay| ConsumerId::Replay(replay.id))
            .collect();
        let ended = |id: &&ConsumerId| matches!(id, ConsumerId::Replay(_)) && !asked.contains(id);
        let ended: Vec<_> = self.running.keys().filter(ended).cloned().collect();
        for id in ended {
            self.retire(&id).await;
        }
        self.done.retain(|id| asked.contains(id));
        let mut busy = HashSet::new();
        for replay in replays {
            let id = ConsumerId::Replay(replay.id);
            let webhook = ConsumerId::Webhook(replay.webhook);
            let serving = self
                .serving(&webhook)
                .filter(|_| !paused.contains(&webhook));
            let Some((consumer, subscription)) = serving else {
                paused.push(id);
                continue;
            };
            let is_first = busy.insert(replay.webhook);
            if is_first && !self.done.contains(&id) && !self.running.contains_key(&id) {
                self.start_replay(replay, consumer, subscription).await?;
            }
        }
        Ok(())
    }

    /// How a webhook is served now.
    fn serving(&self, webhook: &ConsumerId) -> Option<(Arc<WebhookConsumer>, Subscription)> {
        let running = self.running.get(webhook)?;
        let consumer = &running.webhook.as_ref()?.consumer;
        Some((Arc::clone(consumer), running.subscription?))
    }

    async fn start_replay(
        &mut self,
        replay: Replay,
        webhook: Arc<WebhookConsumer>,
        subscription: Subscription,
    ) -> Result<(), StoreError> {
        let store = &self.context.store;
        let failed = if replay.range.failed {
            let failed = store.set_aside_by(replay.webhook, replay.created_at);
            Some(failed.await?.into_iter().collect())
        } else {
            None
        };
        let id = ConsumerId::Replay(replay.id);
        let state = match store.open_consumer(&id, Start::Head).await {
            // It ended meanwhile.
            Err(StoreError::NotFound) => return Ok(()),
            state => state?,
        };
        let limits = Limits {
            in_flight_max: (self.context.limits.in_flight_max / REPLAY_SHARE).max(1),
            loop_max: 0,
            tells_delivered: true,
            ..self.context.limits
        };
        let consumer = Arc::new(ReplayConsumer::new(replay, webhook, failed));
        self.start(consumer, state, limits, (None, Some(subscription)));
        Ok(())
    }
}

async fn open(
    store: Arc<dyn Store>,
    id: ConsumerId,
) -> (ConsumerId, Result<ConsumerState, StoreError>) {
    let state = store.open_consumer(&id, Start::Head).await;
    (id, state)
}

impl Serving {
    /// The next attempt uses what the store says now.
    fn follow(&mut self, webhook: Webhook) {
        if self.webhook != webhook
            && let Err(error) = self.consumer.update(&webhook)
        {
            tracing::error!(webhook.id = %webhook.id, %error, "a stored webhook is wrong; its old target stays");
        }
        self.webhook = webhook;
    }
}
