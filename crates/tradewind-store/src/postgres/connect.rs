//! Connections: how they are made, pooled, and thrown away when nobody knows what state they are in.

use std::{fmt, fs, net::IpAddr, ops::Deref, time::Duration};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool as Objects, PoolError, RecyclingMethod,
    Runtime,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::time::timeout;
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode, TargetSessionAttrs},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::hosts::{Carried, Hosts};
use crate::{OpenError, StoreError, crash};

/// How long a new connection may take, and how long a caller waits for one of the pool.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const POOL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long one verb may take, and one that reads or removes much. What is slower meets a server or a
/// network that hangs.
pub(super) const VERB_MAX: Duration = Duration::from_secs(5);
pub(super) const LONG_MAX: Duration = Duration::from_secs(30);
/// A node that hangs in the middle of a transaction, or is cut off there, holds its rows no longer.
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '3s'";
/// The same for what reads at one moment. Statements made up for one filter are not worth compiling.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL idle_in_transaction_session_timeout = '3s'; SET LOCAL jit = off";
/// How long sent data may stay unacknowledged, and a connection silent, before it is given up.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// Where the database is.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=…`; several hosts are tried in turn until one
    /// takes writes. The connection is encrypted and the server's certificate verified, unless it says
    /// `sslmode=disable` or all hosts are this machine; `sslrootcert=FILE` names who signs it instead of the
    /// system's authorities.
    pub url: String,
    /// Connections at most, without the two that listen and renew.
    pub connections: usize,
    /// How long a node that says nothing is believed to be alive: so much later others serve its part.
    /// At least a second.
    pub lease: Duration,
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address holds a password.
        f.debug_struct("PostgresSettings")
            .field("connections", &self.connections)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// How to connect.
#[derive(Clone)]
pub(super) struct Address(Hosts);

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let (url, root) = split(url);
        let mut config: Config = url.parse().map_err(OpenError::Address)?;
        if config.get_ssl_mode() == SslMode::Prefer {
            config.ssl_mode(default_mode(config.get_hosts()));
        }
        let configure = |config: &mut Config| {
            config
                .application_name("tradewind")
                .connect_timeout(CONNECT_MAX)
                .keepalives_idle(UNACKNOWLEDGED_MAX)
                .keepalives_interval(Duration::from_secs(1))
                .keepalives_retries(4)
                .tcp_user_timeout(UNACKNOWLEDGED_MAX)
                .target_session_attrs(TargetSessionAttrs::ReadWrite);
        };
        let tls = MakeRustlsConnect::new(tls(root.as_deref())?);
        Ok(Self(Hosts::new(&config, configure, tls)))
    }

    /// A connection of one's own, which somebody has to carry.
    pub(super) async fn connect(&self) -> Result<(Client, Carried), StoreError> {
        within(CONNECT_MAX, async { Ok(self.0.connect().await?) }).await
    }
}

/// What `sslmode=prefer`, the default, comes to. Encrypting without verifying, as libpq does then, would
/// protect from nobody who can read the network: so it is verified, but on the way to this machine.
fn default_mode(hosts: &[Host]) -> SslMode {
    let is_here = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    };
    if hosts.iter().all(is_here) {
        SslMode::Disable
    } else {
        SslMode::Require
    }
}

/// Takes out of an address what the library does not know: `sslrootcert`, and the two names of `sslmode`
/// that ask for what is always done.
fn split(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut root = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => root = Some(file.to_owned()),
            Some(("sslmode", "verify-full" | "verify-ca")) => kept.push("sslmode=require"),
            _ => kept.push(pair),
        }
    }
    if kept.is_empty() {
        return (base.to_owned(), root);
    }
    (format!("{base}?{}", kept.join("&")), root)
}

fn tls(root: Option<&str>) -> Result<ClientConfig, OpenError> {
    let Some(file) = root else {
        return ClientConfig::with_platform_verifier().map_err(|error| OpenError::Certificates {
            file: "the system's".to_owned(),
            source: error.into(),
        });
    };
    let failed = |source| OpenError::Certificates {
        file: file.to_owned(),
        source,
    };
    let text = fs::read(file).map_err(|error| failed(error.into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| failed(error.into()))?;
        roots
            .add(certificate)
            .map_err(|error| failed(error.into()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is no certificate in it".into()));
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Connections that wait for work.
#[derive(Clone)]
pub(super) struct Pool(Objects);

impl Pool {
    pub(super) fn new(address: &Address, connections: usize) -> Result<Self, OpenError> {
        // The hosts know all of it.
        let manager = Manager::from_connect(
            Config::new(),
            address.0.clone(),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Objects::builder(manager)
            .max_size(connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_WAIT_MAX))
            .create_timeout(Some(CONNECT_MAX))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    let checked = timeout(CONNECT_MAX, durable(client)).await;
                    let checked = checked.map_err(|_| HookError::message("it does not answer"))?;
                    checked.map_err(HookError::message)
                })
            }))
            .build();
        pool.map(Self)
            .map_err(|error| OpenError::Pool(error.into()))
    }

    pub(super) async fn get(&self) -> Result<Connection, StoreError> {
        Ok(Connection {
            object: Some(self.0.get().await?),
            is_idle: false,
        })
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// Refuses a session whose commits may be lost with the server.
async fn durable(client: &Client) -> Result<(), String> {
    let row = client
        .query_typed_one("SELECT current_setting('synchronous_commit')", &[])
        .await
        .map_err(|error| error.to_string())?;
    let setting: String = row.try_get(0).map_err(|error| error.to_string())?;
    if setting == "off" {
        return Err(
            "synchronous_commit is off, so what is acknowledged could be lost: turn it on for \
             tradewind's role (ALTER ROLE … SET synchronous_commit = on)"
                .to_owned(),
        );
    }
    Ok(())
}

/// A connection that goes back to the pool once its work is known to be over, and is closed otherwise:
/// a caller that went away may leave a statement or a transaction behind.
pub(crate) struct Connection {
    object: Option<Object>,
    is_idle: bool,
}

impl Connection {
    /// One connection to this address, in no pool.
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        let pool = Pool::new(&Address::parse(url)?, 1)?;
        Ok(pool.get().await?)
    }

    /// Gives it back after work that ended so. After trouble with the server it is closed.
    pub(super) fn release<T>(mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.is_idle = !matches!(outcome, Err(StoreError::Unavailable(_)));
        if !self.is_idle
            && let Some(object) = &self.object
            && let Some(pool) = Object::pool(object)
        {
            // Those that wait lead to the same server: each would have to be waited for in its turn.
            pool.retain(|_, _| false);
        }
        outcome
    }

    /// Commits what `work`, begun after [`Self::begin`], came to, or takes it back.
    pub(super) async fn end<T>(&self, worked: Result<T, StoreError>) -> Result<T, StoreError> {
        match worked {
            Ok(value) => {
                crash::point("before_commit");
                self.batch_execute("COMMIT").await?;
                crash::point("after_commit");
                Ok(value)
            }
            Err(error) => {
                self.batch_execute("ROLLBACK").await?;
                Err(error)
            }
        }
    }

    pub(super) async fn begin_reading(&self) -> Result<(), StoreError> {
        Ok(self.batch_execute(BEGIN_READING).await?)
    }

    /// There is nothing to commit.
    pub(super) async fn end_reading(&self) -> Result<(), StoreError> {
        Ok(self.batch_execute("ROLLBACK").await?)
    }

    pub(super) async fn begin(&self) -> Result<(), StoreError> {
        Ok(self.batch_execute(BEGIN).await?)
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        match &self.object {
            Some(object) => object,
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.is_idle
        {
            drop(Object::take(object));
        }
    }
}

/// Gives `work` no more time than this.
pub(super) async fn within<T>(
    at_most: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(at_most, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unavailable(
            "the database does not answer".into(),
        )),
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Closed => Self::Closed,
            PoolError::Backend(error) => Self::Unavailable(error.into()),
            error => Self::Unavailable(error.into()),
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if is_passing(&error) {
            Self::Unavailable(error.into())
        } else {
            Self::Broken(error.into())
        }
    }
}

/// Whether the same statement may succeed later, or at another server.
pub(super) fn is_passing(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        // Not said by the server: the connection is at fault, unless a value could not be read.
        return error.is_closed()
            || std::error::Error::source(error)
                .is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    // Connections, conflicts, resources, intervention, system: PostgreSQL's documentation, appendix A.
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57" | "58")
        || [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::LOCK_NOT_AVAILABLE,
        ]
        .contains(code)
}
