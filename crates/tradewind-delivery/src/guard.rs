//! Decides to which addresses a connection may be made.
//!
//! A webhook's URL comes from a user, and a request from inside a network reaches what a request from
//! outside does not. So every address is judged before a connection to it is made: literal ones here
//! and when the URL is given, names when they resolve, and the connection goes to the very addresses
//! that were judged. Redirects, the third way in, are not followed at all.

mod address;
mod lookup;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use url::{Host, Url};

pub use lookup::LOOKUP_MAX;
use lookup::Lookups;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// Ports of services that are not HTTP but can be made to do harm by what looks like it: a server that
/// reads lines skips those of the request and obeys those of the event.
const PORTS_FORBIDDEN: [u16; 23] = [
    19, 21, 22, 23, 25, 53, 110, 111, 143, 389, 445, 465, 587, 873, 993, 995, 2049, 3306, 5432,
    6379, 6667, 9200, 11211,
];

/// Which addresses may be connected to. Cheap to clone; clones share their lookups.
#[derive(Clone, Debug)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
    lookups: Lookups,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// An address that must not be connected to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    pub address: IpAddr,
    /// What the address is: "private", "loopback" …
    pub kind: &'static str,
    /// The port, if that and not the address is why.
    pub port: Option<u16>,
    /// Whether a name led there. Then the text does not say the address: who gives a name must not
    /// learn from us what a resolver inside makes of it.
    pub is_named: bool,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind, .. } = self;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        // These two are the same everywhere, and most often what a first try leads to.
        let is_known = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        let is_told = !self.is_named || is_known.contains(address);
        match self.port {
            Some(port) => write!(
                f,
                "port {port} is not open to webhooks, as it is of a service other than HTTP"
            )?,
            None if is_told => write!(f, "the {kind} address {address} is not open to webhooks")?,
            None => write!(
                f,
                "the name leads to a {kind} address, which is not open to webhooks"
            )?,
        }
        f.write_str("; to permit it, start tradewind with --webhook-allow ")?;
        if is_told {
            write!(f, "{address}/{bits}")
        } else {
            f.write_str("and its network, which the log tells")
        }
    }
}

/// Why a host cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("{0}")]
    Forbidden(Forbidden),
    #[error("the host name has no address")]
    Empty,
    #[error("the host name could not be looked up")]
    Failed(#[source] std::io::Error),
    #[error("the lookup of the host name took longer than {} s", LOOKUP_MAX.as_secs())]
    Timeout,
}

/// Why a text is no URL that events can be sent to. Fits after "url: ".
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("must be an absolute URL such as https://example.com/hook")]
    Syntax(#[from] url::ParseError),
    #[error("must start with https:// or http://")]
    Scheme,
    #[error("must name a host")]
    NoHost,
    #[error("must not contain a user name or password: put credentials into `headers`")]
    Credentials,
    #[error("must be at most {URL_BYTES_MAX} bytes long")]
    TooLong,
    #[error("{0}")]
    Forbidden(Forbidden),
}

impl Guard {
    /// A guard that forbids all but public addresses and those in `allowed`.
    pub fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
            lookups: Lookups::default(),
        }
    }

    /// What kind of address it is: "public", or why no webhook reaches it unless the operator allows it.
    pub fn kind(address: IpAddr) -> &'static str {
        address::forbidden_kind(address).unwrap_or("public")
    }

    /// Parses a URL and judges its host if that is an address. Names are judged when they resolve.
    pub fn parse_url(&self, text: &str) -> Result<Url, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.host().is_none() {
            return Err(UrlError::NoHost);
        }
        self.judge_host(&url).map_err(UrlError::Forbidden)?;
        Ok(url)
    }

    /// The addresses that may be connected to for `url`, with their port.
    ///
    /// One forbidden address among those of a name refuses the name as a whole, as a public name has no
    /// reason to point inside; unless the operator allowed others of its addresses, which are then used
    /// alone.
    pub async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, LookupError> {
        let port = port_of(url);
        if let Some(address) = literal(url) {
            self.judge(address, port).map_err(LookupError::Forbidden)?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = url.domain().ok_or(LookupError::Empty)?;
        let found = self.lookups.find(host).await?;
        let found = found.iter().map(SocketAddr::ip).collect();
        let chosen = self.choose(found, port).inspect_err(|error| {
            if let LookupError::Forbidden(Forbidden { address, kind, .. }) = error {
                tracing::info!(%host, %address, kind, "a webhook's host name leads to an address that is not open");
            }
        })?;
        let chosen = chosen.into_iter();
        Ok(chosen
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    /// Judges the host of `url` if it is an address. Names are judged when they resolve.
    fn judge_host(&self, url: &Url) -> Result<(), Forbidden> {
        literal(url).map_or(Ok(()), |address| self.judge(address, port_of(url)))
    }

    fn judge(&self, address: IpAddr, port: u16) -> Result<(), Forbidden> {
        if self.is_allowed(address) {
            return Ok(());
        }
        let kind = address::forbidden_kind(address);
        let port = Some(port).filter(|port| kind.is_none() && PORTS_FORBIDDEN.contains(port));
        if kind.is_none() && port.is_none() {
            return Ok(());
        }
        Err(Forbidden {
            address,
            kind: kind.unwrap_or("public"),
            port,
            is_named: false,
        })
    }

    fn choose(&self, found: Vec<IpAddr>, port: u16) -> Result<Vec<IpAddr>, LookupError> {
        if found.is_empty() {
            return Err(LookupError::Empty);
        }
        let refused = found
            .iter()
            .find_map(|address| self.judge(*address, port).err());
        let Some(refused) = refused else {
            return Ok(found);
        };
        let allowed = found
            .into_iter()
            .filter(|address| self.is_allowed(*address));
        let allowed: Vec<_> = allowed.collect();
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        Err(LookupError::Forbidden(Forbidden {
            is_named: true,
            ..refused
        }))
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.allowed
            .iter()
            .any(|net| net.contains(&address) || net.contains(&canonical))
    }
}

/// The host, if it is an address however it is written.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn port_of(url: &Url) -> u16 {
    // Both schemes that a URL of a webhook can have know theirs.
    url.port_or_known_default().unwrap_or_default()
}

#[cfg(test)]
mod tests;
