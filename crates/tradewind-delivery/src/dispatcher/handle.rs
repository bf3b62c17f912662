//! What the rest of the program holds of the dispatcher.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};
use tradewind_model::{ConversationId, WebhookId};
use tradewind_store::ConsumerId;

use crate::{
    driver::Window,
    lanes::LaneStatus,
    tail::Tail,
    view::{Ask, View},
};

/// Asks the dispatcher to look again, and running consumers how they do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DispatcherHandle {
    requests: mpsc::Sender<oneshot::Sender<()>>,
    windows: Windows,
    tail: Tail,
}

/// Where each running consumer can be looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows(Arc<Mutex<HashMap<ConsumerId, Window>>>);

impl Windows {
    pub(super) fn put(&self, id: ConsumerId, window: Window) {
        self.lock().insert(id, window);
    }

    pub(super) fn remove(&self, id: &ConsumerId) {
        self.lock().remove(id);
    }

    pub(super) fn find(&self, id: &ConsumerId) -> Option<Window> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConsumerId, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DispatcherHandle {
    pub(super) fn new(
        requests: mpsc::Sender<oneshot::Sender<()>>,
        windows: Windows,
        tail: Tail,
    ) -> Self {
        Self {
            requests,
            windows,
            tail,
        }
    }

    /// The end of the log as the dispatcher reads it, for others who follow it: it is read once for all.
    /// It grows while the dispatcher runs.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Returns once deliveries follow what the store says of webhooks now: after an unsubscribe,
    /// nothing more is started. When the dispatcher ends meanwhile, nothing is started either.
    pub async fn refresh(&self) {
        let (done, applied) = oneshot::channel();
        if self.requests.send(done).await.is_ok() {
            let _ = applied.await;
        }
    }

    /// How a webhook does; `None` while nothing is sent to it by this node.
    pub fn view(&self, webhook: WebhookId) -> Option<View> {
        let window = self.windows.find(&ConsumerId::Webhook(webhook))?;
        let mut view = window.view.borrow().clone();
        // A driver that waits is not told of what it does not want.
        let read_to = window.stand.passed().unwrap_or(view.status.read_to);
        view.status.read_to = view.status.read_to.max(read_to);
        Some(view)
    }

    /// Where a conversation stands with a webhook; `None` while nothing of it is sent by this node.
    pub async fn lane(&self, webhook: WebhookId, lane: ConversationId) -> Option<LaneStatus> {
        let window = self.windows.find(&ConsumerId::Webhook(webhook))?;
        let (answer, answered) = oneshot::channel();
        window.asks.send(Ask::Lane(lane, answer)).await.ok()?;
        answered.await.ok()
    }
}
