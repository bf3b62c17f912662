//! A part of the log that is brought to a webhook once more.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use tokio::time::Instant;
use tradewind_model::{LogEntry, Sequence, WebhookId};
use tradewind_store::{ConsumerId, Replay, crash};

use crate::{
    attempt::{Consumer, Report},
    webhook::WebhookConsumer,
};

/// A replay as a consumer of the log. It sends what its webhook would, to where its webhook does.
#[derive(Debug)]
pub struct ReplayConsumer {
    replay: Replay,
    webhook: Arc<WebhookConsumer>,
    /// What was set aside when it was asked for, if it is for those only.
    failed: Option<HashSet<Sequence>>,
}

impl ReplayConsumer {
    pub fn new(
        replay: Replay,
        webhook: Arc<WebhookConsumer>,
        failed: Option<HashSet<Sequence>>,
    ) -> Self {
        Self {
            replay,
            webhook,
            failed,
        }
    }
}

#[async_trait]
impl Consumer for ReplayConsumer {
    fn id(&self) -> ConsumerId {
        ConsumerId::Replay(self.replay.id)
    }

    fn webhook(&self) -> Option<WebhookId> {
        Some(self.replay.webhook)
    }

    fn passed_at(&self) -> Option<Instant> {
        self.webhook.passed_at()
    }

    fn wants(&self, entry: &LogEntry) -> bool {
        let failed = self.failed.as_ref();
        entry.sequence <= self.replay.to
            && self.replay.range.contains(entry)
            && failed.is_none_or(|failed| failed.contains(&entry.sequence))
            && self.webhook.wants(entry)
    }

    async fn attempt(&self, entry: &LogEntry) -> Report {
        crash::point("replay");
        self.webhook.attempt(entry).await
    }

    fn end(&self) -> Option<Sequence> {
        Some(self.replay.to)
    }
}
