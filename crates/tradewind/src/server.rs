//! A running Tradewind: builds the components, accepts connections, and ends in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tradewind_delivery::{
    attempt::Observer,
    dispatcher::{Dispatcher, DispatcherHandle},
    driver::Context,
    guard::Guard,
    transport::Transport,
};
use tradewind_model::{Clock, OsRandom, Random, SystemClock};
use tradewind_sources::chat_plugin;
use tradewind_store::{PostgresSettings, PostgresStore, SqliteStore, Store};

use crate::{
    api::health::LastLook,
    app::{Access, App, Parts, SourceParts},
    lifecycle::Tasks,
    listener,
    live::feed::Feed,
    routes::Routes,
    settings::Settings,
    token, upkeep,
};

/// Longest time that closing the store may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A mistake in the program ended it; nobody outside is at fault.
#[derive(Debug, thiserror::Error)]
#[error("a part of the server ended by itself; the log says which")]
pub(crate) struct Broken;

/// A server that accepts connections.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// An admin token for this server, if there is one that is known in plain.
    pub(crate) admin_token: Option<SecretString>,
    /// The admin token was made at this start.
    pub(crate) token_is_new: bool,
    store: Arc<dyn Store>,
    tasks: Tasks,
}

impl Server {
    /// Starts everything. `observer` is shown every attempt of a delivery.
    ///
    /// # Errors
    /// For a reason outside the program, in words for who started it: a taken port, a directory that
    /// cannot be written.
    pub(crate) async fn start(
        settings: &Settings,
        observer: Option<Observer>,
    ) -> anyhow::Result<Self> {
        // The port first: a second start by mistake fails before it touches the data.
        let listener = TcpListener::bind(settings.listen.0)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen.0))?;
        let address = listener.local_addr().context("cannot listen")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let store = open_store(settings, Arc::clone(&clock)).await?;
        let (admin_token, token_is_new) =
            token::admin(settings, &*store, &*clock, &*random).await?;
        let key = store
            .secret(chat_plugin::SECRET_NAME, random.secret())
            .await?;

        let tasks = Tasks::default();
        let guard = Guard::new(&settings.networks());
        let transport =
            Transport::new(guard.clone(), settings.transport_limits()).context("no HTTP client")?;
        let sources =
            SourceParts::open(settings, &transport, (&store, &clock, &*random), &tasks).await?;
        let context = Context {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            limits: settings.limits(),
            observer,
        };
        let dispatcher = start_deliveries(&transport, &sources, context, &tasks);
        let (hub, feed) = Feed::new(dispatcher.tail(), Arc::clone(&store), Arc::clone(&clock));
        tasks.spawn_service("live updates", feed.run(tasks.stop_token()));
        let sweep = upkeep::run(Arc::clone(&store), settings.retention(), tasks.stop_token());
        tasks.spawn_service("upkeep", sweep);
        let index = upkeep::index(Arc::clone(&store), tasks.stop_token());
        tasks.spawn_service("search", index);

        let request_max = Duration::from_secs(settings.server.request_seconds);
        let app = App::new(Parts {
            store: Arc::clone(&store),
            clock,
            random,
            tasks: tasks.clone(),
            dispatcher,
            guard,
            transport,
            hub,
            sources,
            session_tokens: chat_plugin::SessionTokens::new(key),
            fixed_token: settings.api_token.as_ref().map(token::FixedToken::new),
            body_bytes_max: settings.server.body_bytes_max,
            text_bytes_max: settings.server.text_bytes_max,
            request_max,
            last_look: LastLook::default(),
            access: Access::of(settings),
        });
        let routes = Routes::all(app, request_max);
        let accept = listener::accept(
            listener,
            routes,
            settings.server.connections_max,
            tasks.clone(),
        );
        tasks.spawn_service("connections", accept);
        Ok(Self {
            address,
            admin_token,
            token_is_new,
            store,
            tasks,
        })
    }

    /// Runs `work` beside the server; shutdown waits for it.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Waits until it is told to stop by a signal, or has to; then ends in order: nothing new is
    /// accepted or sent, what is in flight ends, progress is saved. A second signal ends it at once.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) async fn run_until_stopped(self, mut signals: Signals) -> anyhow::Result<()> {
        tokio::select! {
            () = signals.next() => {}
            () = self.tasks.stopping() => {}
        }
        let end = async {
            if !self.tasks.shut_down().await {
                tracing::warn!(
                    "not all work ended in time; events that were in flight are sent again"
                );
            }
            // What still reads is not waited for: nobody would get its answer any more.
            tokio::time::timeout(CLOSE_MAX, self.store.close()).await
        };
        let closed = tokio::select! {
            closed = end => closed.is_ok(),
            () = signals.next() => false,
        };
        if !closed {
            tracing::warn!("the store was not closed in order; the next start puts it right");
        }
        if self.tasks.has_failed() {
            Err(Broken.into())
        } else {
            Ok(())
        }
    }
}

/// Opens the database that the settings name, or else the one in the data directory.
async fn open_store(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Store>> {
    let Some(url) = &settings.database else {
        return Ok(Arc::new(SqliteStore::open(&settings.data, clock)?));
    };
    let postgres = PostgresSettings {
        url: url.expose_secret().to_owned(),
        connections: settings.server.database_connections,
        lease: Duration::from_secs(settings.server.lease_seconds),
    };
    Ok(Arc::new(PostgresStore::open(&postgres, clock).await?))
}

/// Starts whoever reads the log on: the replies of each source, and the webhooks.
fn start_deliveries(
    transport: &Transport,
    sources: &SourceParts,
    context: Context,
    tasks: &Tasks,
) -> DispatcherHandle {
    let repliers = Arc::new(sources.own.clone());
    let (dispatcher, handle) = Dispatcher::new(context, transport.clone(), repliers);
    tasks.spawn_service("deliveries", dispatcher.run(tasks.stop_token()));
    handle
}

/// SIGTERM and Ctrl-C. From its making on, they no longer kill the process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
