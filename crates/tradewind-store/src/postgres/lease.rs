//! Which shards this node serves: asked for, renewed and handed over.
//!
//! One function of the schema does all of it, each time under a lock: nodes that are done are forgotten,
//! and each takes free shards or gives up some until all have about the same number. It is called every
//! second or so, and when somebody freed shards.
//!
//! Two clocks are at work and never compared. The server's says when a node is dead to the others; this
//! machine's, started before each renewal, says when this node has to think so itself, which is earlier.

use std::time::Duration;

use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tradewind_model::Shards;

use super::{
    connect::{Address, Pool, within},
    consumer::bits,
    listen::Signals,
    row::{number, params},
};
use crate::{Holder, Holding, Lease, OpenError, StoreError, page::integer};

/// Of a lease's length: how often it is renewed, and how much earlier than the others a node gives itself
/// up, for attempts to be dropped and for clocks that run unevenly.
const PART: u32 = 5;
/// How many such parts a renewal may take.
const RENEWAL_PARTS: u32 = 2;
/// How long leaving may take: if it is not done by then, the lease runs out.
const LEAVE_MAX: Duration = Duration::from_millis(500);

/// Holds this node's shards.
pub(super) struct Leases {
    pool: Pool,
    signals: Signals,
    holding: watch::Sender<Holding>,
    /// What was last said to be served; nothing until somebody joins.
    served: watch::Sender<Option<Shards>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Leases {
    pub(super) fn start(
        address: &Address,
        lasts: Duration,
        signals: Signals,
    ) -> Result<Self, OpenError> {
        // Of its own: a renewal must not wait for others' work.
        let pool = Pool::new(address, 1)?;
        let holding = watch::Sender::new(Holding::unclaimed());
        let served = watch::Sender::new(None);
        let task = Task {
            pool: pool.clone(),
            signals: signals.clone(),
            holding: holding.clone(),
            lasts,
            lease: Lease::until(Instant::now().into_std()),
            valid_until: Instant::now(),
            maybe_served: Shards::NONE,
            is_failing: false,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(served.subscribe()));
        Ok(Self {
            pool,
            signals,
            holding,
            served,
            tasks: Mutex::new(tasks),
        })
    }

    pub(super) fn join(&self) -> watch::Receiver<Holding> {
        self.holding.send_replace(Holding::nothing());
        self.gave_up(Shards::NONE);
        self.holding.subscribe()
    }

    pub(super) fn gave_up(&self, kept: Shards) {
        self.served.send_replace(Some(kept));
    }

    /// For whom a consumer is opened now.
    pub(super) fn holder(&self) -> Result<Holder, StoreError> {
        let holder = self.holding.borrow().holder;
        let is_known = self
            .served
            .borrow()
            .is_none_or(|said| said == holder.shards);
        if holder.shards.is_empty() || !is_known {
            // Who asks has not yet heard what this node serves now, and would serve what it may lose again.
            return Err(StoreError::Unavailable(
                "this node is about to serve other shards".into(),
            ));
        }
        Ok(holder)
    }

    /// Others may have all of it at once.
    pub(super) async fn leave(&self) {
        self.tasks.lock().await.shutdown().await;
        if self.served.borrow().is_none() {
            return;
        }
        let leave = async {
            let db = self.pool.get().await?;
            let left = db
                .query_typed(
                    "SELECT leave_leases($1)",
                    params![self.signals.node => UUID],
                )
                .await;
            db.release(left.map(drop).map_err(StoreError::from))
        };
        if !matches!(timeout(LEAVE_MAX, leave).await, Ok(Ok(()))) {
            tracing::debug!("the shards of this node are free once its lease has run out");
        }
        self.pool.close();
    }
}

struct Task {
    pool: Pool,
    signals: Signals,
    holding: watch::Sender<Holding>,
    /// How long a node is believed to be alive after a renewal.
    lasts: Duration,
    lease: Lease,
    valid_until: Instant,
    /// All that may still be served here, as far as nobody said otherwise.
    maybe_served: Shards,
    is_failing: bool,
}

impl Task {
    async fn run(mut self, mut served: watch::Receiver<Option<Shards>>) {
        // Fails only when the store is gone, and this task with it.
        let _ = served.wait_for(Option::is_some).await;
        loop {
            self.tend().await;
            let freed = self.signals.leases_changed.clone();
            tokio::select! {
                () = freed.notified() => {}
                Ok(()) = served.changed() => {}
                () = sleep_until(self.at_latest(Instant::now() + self.lasts / PART)) => {}
            }
            let said = *served.borrow_and_update();
            if said == Some(self.holding.borrow().holder.shards) {
                self.maybe_served = self.holding.borrow().holder.shards;
            }
        }
    }

    /// Renews once. When that fails for too long, nothing is served any more.
    async fn tend(&mut self) {
        let began = Instant::now();
        // Also after this process was stopped for longer than the lease.
        self.check(began);
        let end = self.at_latest(began + self.lasts / PART * RENEWAL_PARTS);
        let renewed = within(end.duration_since(began), self.renew()).await;
        match renewed {
            Ok(holder) => {
                // An answer can be seen late, when this process was stopped meanwhile.
                self.check(Instant::now());
                self.valid_until = began + self.lasts - self.lasts / PART;
                self.lease.renew(self.valid_until.into_std());
                if self.is_failing {
                    tracing::info!("takes part in the deliveries again");
                }
                self.is_failing = false;
                self.publish(holder);
            }
            Err(error) => {
                if !self.is_failing {
                    tracing::warn!(error = %error, "this node's part of the deliveries could not be renewed; trying again");
                }
                self.is_failing = true;
                self.check(Instant::now());
            }
        }
    }

    /// `at`, or earlier when the lease runs out before.
    fn at_latest(&self, at: Instant) -> Instant {
        if self.lease.is_valid() {
            at.min(self.valid_until)
        } else {
            at
        }
    }

    /// Serves nothing when the lease has run out.
    fn check(&mut self, now: Instant) {
        if self.valid_until <= now {
            // Who still has the one that ended goes on with nothing.
            self.lease = Lease::until(now.into_std());
            self.publish(Holder::NOBODY);
        }
    }

    fn publish(&mut self, holder: Holder) {
        let is_new = self.holding.borrow().holder != holder;
        if is_new {
            self.maybe_served = self.maybe_served.or(holder.shards);
            tracing::info!(
                shards = holder.shards.count(),
                term = holder.term,
                "serves this many shards of 64"
            );
            self.holding.send_replace(Holding {
                holder,
                lease: self.lease.clone(),
            });
        }
    }

    async fn renew(&self) -> Result<Holder, StoreError> {
        let db = self.pool.get().await?;
        let asked = db
            .query_typed_one(
                "SELECT kept, term FROM tend_leases($1, $2, $3)",
                params![
                    self.signals.node => UUID,
                    integer(u64::try_from(self.lasts.as_millis()).unwrap_or(u64::MAX)) => INT8,
                    bits(self.maybe_served) => INT8,
                ],
            )
            .await;
        let row = db.release(asked.map_err(StoreError::from))?;
        let kept: i64 = row.try_get(0)?;
        Ok(Holder {
            shards: Shards::from_bits(kept.cast_unsigned()),
            term: number(&row, 1)?,
        })
    }
}
