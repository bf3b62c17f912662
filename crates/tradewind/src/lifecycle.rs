//! Starts the tasks of the process and ends them in order.

use std::time::Duration;

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Longest time that shutdown waits for what is in flight.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(8);

/// The tasks of the process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    failed: CancellationToken,
}

impl Tasks {
    /// Runs `task` until it ends. If it does before shutdown, by a panic or not, the process stops: a
    /// server without its deliveries must not look healthy.
    pub(crate) fn spawn_service(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let tasks = self.clone();
        let handle = self.tracker.spawn(task);
        self.tracker.spawn(async move {
            let ended = handle.await;
            if !tasks.is_stopping() || ended.is_err() {
                // Before anything that could fail, such as the log.
                tasks.failed.cancel();
                tasks.begin_stop();
                tracing::error!(
                    task = name,
                    panicked = ended.is_err(),
                    "a task ended by itself; stopping"
                );
            }
        });
    }

    /// Runs `work` that shutdown waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// While it lives, shutdown waits.
    pub(crate) fn permit(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Resolves when shutdown begins.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// A token that is cancelled when shutdown begins.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Whether a task ended that should not have.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_cancelled()
    }

    /// Stops, and waits for all tasks up to [`DRAIN_MAX`]. Returns whether they ended.
    pub(crate) async fn shut_down(&self) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(DRAIN_MAX, self.tracker.wait())
            .await
            .is_ok()
    }
}
