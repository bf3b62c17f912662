//! Hearing of what other nodes wrote, by notification: a connection of its own that listens.
//!
//! A notification can be lost with its connection, and a pooler that gives each transaction another
//! connection passes none on. So what it would have said is also looked up, when a connection is new and
//! every few seconds.

use std::{future::poll_fn, mem, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tokio_postgres::{AsyncMessage, Client, Notification};
use tradewind_model::Sequence;
use uuid::Uuid;

use super::{
    connect::{Address, within},
    head::Head,
    log,
    row::{number, params, sequence},
};
use crate::StoreError;

/// Channels of notifications. Those of the log are in the schema.
const LOG: &str = "tradewind_log";
const WEBHOOKS: &str = "tradewind_webhooks";
const LEASES: &str = "tradewind_leases";
/// How often what was missed is looked up.
const LOOK: Duration = Duration::from_secs(5);
/// Until the next try to connect.
const RECONNECT: Duration = Duration::from_secs(1);
/// Notifications that wait to be looked at; what does not fit is looked up later.
const HEARD_MAX: usize = 1_024;

/// What others are told.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// Tells what this node said from what others did.
    pub(super) node: Uuid,
    pub(super) head: Head,
    pub(super) webhooks_changed: watch::Sender<u64>,
    /// Shards may be free.
    pub(super) leases_changed: Arc<Notify>,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Listener(Mutex<JoinSet<()>>);

impl Signals {
    pub(super) async fn of(db: &Client) -> Result<Self, StoreError> {
        let named = db.query_typed_one("SELECT gen_random_uuid()", &[]).await?;
        Ok(Self {
            node: named.try_get(0)?,
            head: Head::new(log::head(db).await?),
            webhooks_changed: watch::Sender::new(0),
            leases_changed: Arc::default(),
        })
    }

    /// Tells the other nodes, with the commit, that webhooks or replays changed.
    pub(super) async fn tell_others(&self, db: &Client) -> Result<(), StoreError> {
        db.query_typed(
            "UPDATE changed SET webhooks = webhooks + 1 RETURNING pg_notify($1, $2)",
            params![WEBHOOKS => TEXT, self.node.to_string() => TEXT],
        )
        .await?;
        Ok(())
    }

    /// Tells this one.
    pub(super) fn tell_here(&self) {
        self.webhooks_changed.send_modify(|count| *count += 1);
    }

    fn heard(&self, said: &Notification) {
        if said.channel() == LOG {
            if let Ok(newest) = said.payload().parse() {
                self.head.advance(Sequence(newest));
            }
        } else if said.channel() == LEASES {
            self.leases_changed.notify_one();
        } else if said.payload() != self.node.to_string() {
            self.tell_here();
        }
    }
}

impl Listener {
    /// Returns once it listens: nothing that is written from then on is missed.
    pub(super) async fn start(address: Address, signals: Signals) -> Result<Self, StoreError> {
        let first = Ear::open(&address).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(signals.head.clone().wake_late());
        tasks.spawn(async move {
            let mut ear = Some(first);
            let mut is_away = false;
            loop {
                let error = match ear.take() {
                    Some(ear) => listen(ear, &signals, mem::take(&mut is_away)).await,
                    None => match Ear::open(&address).await {
                        Ok(opened) => {
                            ear = Some(opened);
                            continue;
                        }
                        Err(error) => error,
                    },
                };
                if !mem::replace(&mut is_away, true) {
                    tracing::warn!(
                        error = %error,
                        "the database does not tell of what other nodes do; trying again"
                    );
                }
                sleep(RECONNECT).await;
            }
        });
        Ok(Self(Mutex::new(tasks)))
    }

    pub(super) async fn close(&self) {
        self.0.lock().await.shutdown().await;
    }
}

/// A connection that listens.
struct Ear {
    client: Client,
    heard: mpsc::Receiver<Notification>,
    /// Carries the connection.
    _carrier: JoinSet<()>,
}

impl Ear {
    async fn open(address: &Address) -> Result<Self, StoreError> {
        let (client, mut connection) = address.connect().await?;
        let (tell, heard) = mpsc::channel(HEARD_MAX);
        let mut carrier = JoinSet::new();
        carrier.spawn(async move {
            while let Some(Ok(said)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(said) = said {
                    let _ = tell.try_send(said);
                }
            }
        });
        let listen = format!("LISTEN {LOG}; LISTEN {WEBHOOKS}; LISTEN {LEASES}");
        within(LOOK, async { Ok(client.batch_execute(&listen).await?) }).await?;
        Ok(Self {
            client,
            heard,
            _carrier: carrier,
        })
    }
}

/// Listens until the connection ends. `was_away`: something may have been missed.
async fn listen(mut ear: Ear, signals: &Signals, was_away: bool) -> StoreError {
    if was_away {
        tracing::info!("the database tells of what other nodes do again");
        signals.tell_here();
    }
    let mut changes = None;
    loop {
        match within(LOOK, look(&ear.client)).await {
            Ok((newest, count)) => {
                if newest < *signals.head.subscribe().borrow() {
                    tracing::error!(%newest, "the database has lost entries that were acknowledged, as a fail-over to a standby that is not synchronous does: restart all nodes, so that they look where it stands");
                }
                signals.head.advance(newest);
                if changes.replace(count).is_some_and(|before| before != count) {
                    signals.tell_here();
                }
            }
            Err(error) => return error,
        }
        let look = Instant::now() + LOOK;
        while let Ok(said) = timeout_at(look, ear.heard.recv()).await {
            match said {
                Some(said) => signals.heard(&said),
                None => return StoreError::Unavailable("the connection ended".into()),
            }
        }
    }
}

/// How far the log goes, and how often webhooks or replays have changed.
async fn look(db: &Client) -> Result<(Sequence, u64), StoreError> {
    let row = db
        .query_typed_one(
            "SELECT c.sequence, w.webhooks FROM counter c, changed w",
            &[],
        )
        .await?;
    Ok((sequence(&row, 0)?, number(&row, 1)?))
}

/// What a verb came to, and whether it changed webhooks or replays.
pub(super) type Changed<T> = (T, bool);
