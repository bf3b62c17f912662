//! The connections that read.
//!
//! In WAL mode a reader sees what was committed when its transaction began and neither waits for the
//! writer nor holds it up. Each read is one transaction, so that its statements agree.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, Transaction};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task,
};

use super::{
    fault::{Fault, Faults},
    open::Directory,
};
use crate::StoreError;

/// Reads at the same time. Each holds a thread and a page cache; more would not make two cores faster.
const READERS: u32 = 4;

#[derive(Clone)]
pub(super) struct Readers(Arc<Pool>);

struct Pool {
    idle: Mutex<Vec<Connection>>,
    /// As many permits as there are idle connections.
    permits: Arc<Semaphore>,
    /// Told when a connection comes back.
    returned: Notify,
    count: usize,
    faults: Arc<Faults>,
}

/// A connection that goes back to the pool when dropped, even by a panic.
struct Lent {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    /// Dropped after `connection` is back.
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    pub(super) fn open(directory: &Directory, faults: Arc<Faults>) -> rusqlite::Result<Self> {
        let connections = (0..READERS).map(|_| directory.reader());
        let connections: Vec<_> = connections.collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Pool {
            permits: Arc::new(Semaphore::new(connections.len())),
            returned: Notify::new(),
            count: connections.len(),
            faults,
            idle: Mutex::new(connections),
        })))
    }

    /// Runs `read` in a transaction on a thread that may block. Waits while all connections are lent.
    ///
    /// Cancel safety: when the caller goes away, the read runs to its end and is forgotten.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let mut lent = Lent {
            connection: self.0.idle().pop(),
            pool: Arc::clone(&self.0),
            _permit: permit,
        };
        let reading = task::spawn_blocking(move || {
            let connection = lent.connection.as_mut().ok_or(StoreError::Closed)?;
            read(&connection.transaction()?)
        });
        match reading.await {
            Ok(value) => {
                match value.as_ref().err().and_then(Fault::behind) {
                    Some(fault) => self.0.faults.read_failed(fault),
                    None => self.0.faults.read_worked(),
                }
                value
            }
            Err(error) if error.is_cancelled() => Err(StoreError::Closed),
            Err(error) => Err(StoreError::Broken(error.into())),
        }
    }

    /// Refuses reads that have not begun, waits for those that run and closes the connections.
    pub(super) async fn close(&self) {
        if self.0.permits.is_closed() {
            return;
        }
        self.0.permits.close();
        while self.0.idle().len() < self.0.count {
            self.0.returned.notified().await;
        }
        self.0.idle().clear();
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.idle().extend(self.connection.take());
        self.pool.returned.notify_one();
    }
}
