//! A running Tradewind: builds the components, accepts connections, and ends in order.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tradewind_delivery::{
    attempt::{Consumer, Observer},
    dispatcher::Dispatcher,
    driver::Context,
    guard::Guard,
    transport::{Transport, TransportLimits},
};
use tradewind_model::{Clock, OsRandom, Random, Scope, SystemClock, Token, TokenId};
use tradewind_sources::{Replies, chat_plugin};
use tradewind_store::{SqliteStore, Store};

use crate::{
    api::{self, auth},
    app::{App, Parts},
    lifecycle::Tasks,
    live::hub::Hub,
    settings::Settings,
    upkeep,
};

/// The file in the data directory that keeps the first admin token.
const TOKEN_FILE: &str = "token";
/// Time that a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// How long to wait when no connection can be accepted, such as when file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr().context("cannot listen")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let store = SqliteStore::open(&settings.data, Arc::clone(&clock))?;
        let store: Arc<dyn Store> = Arc::new(store);
        let (admin_token, token_is_new) = admin_token(settings, &*store, &*clock, &*random).await?;
        let key = store
            .secret(chat_plugin::SECRET_NAME, random.secret())
            .await?;

        let tasks = Tasks::default();
        let guard = Guard::new(&settings.webhook_allow);
        let limits = TransportLimits {
            deadline: settings.attempt_deadline(),
            ..TransportLimits::default()
        };
        let transport = Transport::new(guard.clone(), limits).context("no HTTP client")?;
        let providers = tradewind_sources::all();
        let replies = providers.iter().map(|provider| {
            let replies = Replies::new(Arc::clone(provider), Arc::clone(&store));
            Arc::new(replies) as Arc<dyn Consumer>
        });
        let context = Context {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            limits: settings.limits(),
            observer,
        };
        let (dispatcher, handle) = Dispatcher::new(context, transport, replies.collect());
        let hub = Hub::default();
        tasks.spawn_service("deliveries", dispatcher.run(tasks.stop_token()));
        tasks.spawn_service(
            "live updates",
            hub.clone().run(Arc::clone(&store), tasks.stop_token()),
        );
        let sweep = upkeep::run(Arc::clone(&store), settings.retention(), tasks.stop_token());
        tasks.spawn_service("upkeep", sweep);

        let app = App::new(Parts {
            store: Arc::clone(&store),
            clock,
            random,
            tasks: tasks.clone(),
            dispatcher: handle,
            guard,
            hub,
            providers,
            session_tokens: chat_plugin::SessionTokens::new(key),
            fixed_token: settings.api_token.as_ref().map(auth::FixedToken::new),
            body_bytes_max: settings.server.body_bytes_max,
        });
        let router = api::router(app, Duration::from_secs(settings.server.request_seconds));
        let accept = accept(
            listener,
            router,
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
    pub(crate) async fn run_until_stopped(self) -> anyhow::Result<()> {
        tokio::select! {
            () = signalled() => {}
            () = self.tasks.stopping() => {}
        }
        let ended = tokio::select! {
            ended = self.tasks.shut_down() => ended,
            () = signalled() => false,
        };
        if !ended {
            tracing::warn!("not all work ended in time; events that were in flight are sent again");
        }
        self.store.close().await;
        if self.tasks.has_failed() {
            Err(Broken.into())
        } else {
            Ok(())
        }
    }
}

/// Resolves at SIGTERM or Ctrl-C.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// The admin token in plain, if it is known, and whether it was made now.
///
/// The first start makes one, unless the settings name it. The file is written and synced before the
/// store knows the token, so that a crash between the two leaves a token that the next start takes.
async fn admin_token(
    settings: &Settings,
    store: &dyn Store,
    clock: &dyn Clock,
    random: &dyn Random,
) -> anyhow::Result<(Option<SecretString>, bool)> {
    if let Some(token) = &settings.api_token {
        let text = token.expose_secret();
        anyhow::ensure!(
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()),
            "api_token: must be one or more visible ASCII characters without spaces"
        );
        return Ok((Some(token.clone()), false));
    }
    let path = settings.data.join(TOKEN_FILE);
    let kept = std::fs::read_to_string(&path)
        .ok()
        .map(|text| text.trim().to_owned());
    if store.has_tokens().await? {
        return Ok((kept.map(SecretString::from), false));
    }
    let text = match kept.filter(|text| !text.is_empty()) {
        Some(text) => text,
        None => {
            let text = format!("tw_{}", URL_SAFE_NO_PAD.encode(random.secret()));
            write_private(&path, &text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            text
        }
    };
    let token = Token {
        id: TokenId::fresh(clock, random),
        name: "first admin token".to_owned(),
        scope: Scope::Admin,
        expires_at: None,
    };
    store.put_token(token, auth::hash(&text)).await?;
    Ok((Some(text.into()), true))
}

/// Writes a file that only its owner can read, and waits until it is on the disk.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// Accepts connections until shutdown. The connections end by themselves, and shutdown waits for them.
async fn accept(listener: TcpListener, router: Router, connections_max: usize, tasks: Tasks) {
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let accepted = tokio::select! {
            biased;
            () = tasks.stopping() => break,
            accepted = next => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, _))) => serve(stream, permit, router.clone(), &tasks),
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => unreachable!("the semaphore is never closed"),
        }
    }
}

fn serve(stream: TcpStream, permit: OwnedSemaphorePermit, router: Router, tasks: &Tasks) {
    // Answers are small and written at once; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX);
    let service = TowerToHyperService::new(router);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let stopping = tasks.stop_token();
    tasks.spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // A client that goes away, or speaks something else, is no event of the server's.
        let ended = stopping.run_until_cancelled(connection.as_mut()).await;
        if ended.is_none() {
            // The request under way is answered, and no further one is read.
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        drop(permit);
    });
}
