//! Makes connections to where the guard allows them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rustls::{ClientConfig, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{Trace, TrustError, connection::Connection, fault, stream::Socket};
use crate::{
    attempt::{Failure, FailureClass},
    guard::{Guard, LookupError},
};

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How long an address is tried alone before the next one is tried too.
const STAGGER: Duration = Duration::from_millis(250);

pub(super) struct Connector {
    guard: Guard,
    tls: TlsConnector,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(guard: Guard) -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            guard,
            tls: Arc::new(config).into(),
        })
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Connects to the host of `url`, and notes in `trace` how each phase went.
    pub(super) async fn connect(
        &self,
        url: &Url,
        trace: &mut Trace,
    ) -> Result<Connection, Failure> {
        let addresses = self.resolve(url, trace).await?;
        let started = Instant::now();
        let (stream, address) = dial(&addresses)
            .await
            .map_err(|error| fault::of_connect(&error))?;
        trace.connect = Some(started.elapsed());
        let address = Guard::kind(address.ip());
        trace.address = Some(address);
        let socket = if url.scheme() == "https" {
            let started = Instant::now();
            let socket = self.encrypt(url, stream).await?;
            trace.tls = Some(started.elapsed());
            socket
        } else {
            Socket::Plain(stream)
        };
        Connection::new(socket, address)
            .await
            .map_err(|error| fault::of_head(&error, false))
    }

    async fn resolve(&self, url: &Url, trace: &mut Trace) -> Result<Vec<SocketAddr>, Failure> {
        let started = Instant::now();
        let addresses = self.guard.addresses(url).await;
        if url.domain().is_some() {
            trace.dns = Some(started.elapsed());
        }
        let blocked = match &addresses {
            Err(LookupError::Forbidden(forbidden)) => Some(forbidden.address),
            _ => None,
        };
        let first = addresses.as_ref().ok().and_then(|found| found.first());
        trace.address = first.map(SocketAddr::ip).or(blocked).map(Guard::kind);
        addresses.map_err(|error| fault::of_lookup(&error))
    }

    async fn encrypt(&self, url: &Url, stream: TcpStream) -> Result<Socket, Failure> {
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            Some(Host::Ipv4(address)) => Some(ServerName::IpAddress(address.into())),
            Some(Host::Ipv6(address)) => Some(ServerName::IpAddress(address.into())),
            None => None,
        };
        let name = name.ok_or_else(|| {
            Failure::new(
                FailureClass::Tls,
                "no certificate can be for this host name",
            )
        })?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(|error| fault::of_handshake(&error))?;
        Ok(Socket::Tls(Box::new(stream)))
    }
}

/// Connects to the first of `addresses` that answers. The next one is tried when one fails or takes
/// long, so that an address that swallows packets costs little time and not the attempt.
pub(super) async fn dial(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut rest = addresses.iter().copied().take(ADDRESSES_MAX).peekable();
    let mut trying = FuturesUnordered::new();
    let mut worst = None;
    loop {
        trying.extend(rest.next().map(connect));
        tokio::select! {
            biased;
            tried = trying.next() => match tried {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) if fault::is_ours(&error) => return Err(error),
                Some(Err(error)) => worst = Some(error),
                None => return Err(worst.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())),
            },
            () = tokio::time::sleep(STAGGER), if rest.peek().is_some() => (),
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(address).await.map_err(|error| {
        // What a machine without IPv6 says of every such address: that is not a lack of ports.
        if address.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable {
            return io::ErrorKind::NetworkUnreachable.into();
        }
        error
    })?;
    // An event is one small write that waits for nothing.
    stream.set_nodelay(true)?;
    Ok((stream, address))
}
