//! Connections that are kept open between requests.
//!
//! They cost descriptors, so each is closed after a while without use, and there are never more than a
//! fixed number of them, however many endpoints there are. Those of a webhook that is gone or has moved
//! end the same way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;
use url::Origin;

use super::connection::Connection;

/// Longest time that a connection is kept open without a request.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Connections that are kept open, to all hosts together.
const KEPT_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Pool {
    per_host_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Those of a host in the order in which they were given back.
    connections: HashMap<Origin, Vec<(Connection, Instant)>>,
    count: usize,
    /// Whether a task looks after the old ones.
    swept: bool,
}

impl Pool {
    pub(super) fn new(per_host_max: usize) -> Self {
        Self {
            per_host_max,
            kept: Mutex::default(),
        }
    }

    /// The connection to `origin` that was used last and is still open.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.lock().pop(origin)?;
            if since.elapsed() < IDLE_MAX && connection.is_ready().await {
                return Some(connection);
            }
        }
    }

    pub(super) fn give(self: &Arc<Self>, origin: &Origin, connection: Connection) {
        let mut kept = self.lock();
        if kept.count >= KEPT_MAX {
            return;
        }
        let given = (connection, Instant::now());
        match kept.connections.get_mut(origin) {
            Some(others) if others.len() >= self.per_host_max => return,
            Some(others) => others.push(given),
            None => drop(kept.connections.insert(origin.clone(), vec![given])),
        }
        kept.count += 1;
        if !std::mem::replace(&mut kept.swept, true) {
            let pool = Arc::downgrade(self);
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with the pool, and nobody waits for it"
            )]
            tokio::spawn(sweep(pool));
        }
    }

    /// Closes all, so that their descriptors can be used otherwise.
    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.connections.clear();
        kept.count = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn pop(&mut self, origin: &Origin) -> Option<(Connection, Instant)> {
        let popped = self.connections.get_mut(origin)?.pop()?;
        self.count -= 1;
        Some(popped)
    }

    /// Closes those that are too old, and says whether any are left.
    fn sweep(&mut self) -> bool {
        self.connections.retain(|_, connections| {
            connections.retain(|(_, since)| since.elapsed() < IDLE_MAX);
            !connections.is_empty()
        });
        self.count = self.connections.values().map(Vec::len).sum();
        self.swept = self.count > 0;
        self.swept
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_MAX / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.lock().sweep() {
            return;
        }
    }
}
