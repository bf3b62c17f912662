//! Several hosts, of which one takes writes: all are asked at once.
//!
//! The library asks one after the other, and waits without limit for what a host says that has taken the
//! connection: one that hangs, or that is cut off, would keep the others from being asked in time.

use std::pin::Pin;

use deadpool_postgres::{ConfigConnectImpl, Connect};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{
    Client, Config, Connection, Error, Socket, config::Host, tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connection, which does something only while somebody waits for it.
pub(super) type Carried = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// One way to connect for each host.
#[derive(Clone)]
pub(super) struct Hosts {
    each: Vec<Config>,
    tls: MakeRustlsConnect,
}

impl Hosts {
    /// `configure` says what is the same for all addresses.
    pub(super) fn new(
        config: &Config,
        configure: impl Fn(&mut Config),
        tls: MakeRustlsConnect,
    ) -> Self {
        let count = config.get_hosts().len().max(config.get_hostaddrs().len());
        let ports = config.get_ports().len();
        // What does not match is refused by the library.
        let mut each = if count > 1 && (ports <= 1 || ports == count) {
            (0..count).map(|at| only(config, at)).collect()
        } else {
            vec![config.clone()]
        };
        each.iter_mut().for_each(configure);
        Self { each, tls }
    }

    /// The first that is connected. Somebody else has to carry the connection.
    pub(super) async fn connect(&self) -> Result<(Client, Carried), Error> {
        first(self.each.iter().cloned().map(|config| {
            let tls = self.tls.clone();
            async move { config.connect(tls).await }
        }))
        .await
    }
}

impl Connect for Hosts {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(first(self.each.iter().cloned().map(|config| {
            let connect = ConfigConnectImpl {
                tls: self.tls.clone(),
            };
            async move { connect.connect(&config).await }
        })))
    }
}

/// The first success, or the last error. The others are dropped.
async fn first<T: Send + 'static>(
    asked: impl Iterator<Item = impl Future<Output = Result<T, Error>> + Send + 'static>,
) -> Result<T, Error> {
    let mut asked: JoinSet<_> = asked.collect();
    loop {
        match asked.join_next().await {
            Some(Ok(Err(_))) if !asked.is_empty() => {}
            Some(Ok(answer)) => return answer,
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            None => unreachable!("there is a host"),
        }
    }
}

/// One of the hosts, with all else that an address can say.
fn only(config: &Config, at: usize) -> Config {
    let mut one = Config::new();
    match config.get_hosts().get(at) {
        Some(Host::Tcp(name)) => _ = one.host(name),
        Some(Host::Unix(path)) => _ = one.host_path(path),
        None => {}
    }
    if let Some(address) = config.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    let ports = config.get_ports();
    if let Some(port) = ports.get(at).or(ports.first()) {
        one.port(*port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    one.ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding());
    one
}
