//! Decides to which addresses a connection may be made.
//!
//! A webhook's URL comes from a user, and a request from inside a network reaches what a request from
//! outside does not. So every address is judged before a connection to it is made: literal ones here
//! and when the URL is given, names when they resolve, and the connection goes to the very addresses
//! that were judged. Redirects, the third way in, are not followed at all.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    sync::{Arc, LazyLock},
    time::Duration,
};

use ipnet::IpNet;
use tokio::sync::Semaphore;
use url::{Host, Url};

/// Longest time that the lookup of a name may take.
pub const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Lookups at the same time: each holds a thread of those that the store reads with too.
const LOOKUPS_MAX: usize = 64;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// Kinds of addresses that no webhook reaches unless the operator allows it.
const V4_FORBIDDEN: [(&str, &str); 17] = [
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "reserved"),
    ("192.52.193.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
];

/// Of IPv6, only global unicast (`2000::/3`) is public at all, and of that not these.
const V6_FORBIDDEN: [(&str, &str); 4] = [
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "documentation"),
    ("2620:4f:8000::/48", "reserved"),
    ("3fff::/20", "documentation"),
];

/// Which addresses may be connected to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
    lookups: Arc<Semaphore>,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// An address that must not be connected to, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    pub address: IpAddr,
    pub kind: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind } = self;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        write!(
            f,
            "the {kind} address {address} is not open to webhooks; to permit it, start tradewind with --webhook-allow {address}/{bits}"
        )
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
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }

    /// # Errors
    /// [`Forbidden`], unless the address is public or allowed.
    pub fn judge(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.is_allowed(address) {
            return Ok(());
        }
        match forbidden_kind(address) {
            None => Ok(()),
            Some(kind) => Err(Forbidden { address, kind }),
        }
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

    /// Judges the host of `url` if it is an address, as a client that resolves names never asks about
    /// those.
    pub fn judge_host(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(address.into()),
            Some(Host::Ipv6(address)) => self.judge(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    /// The addresses of a name that may be connected to.
    ///
    /// One forbidden address among them refuses the name as a whole, as a public name has no reason to
    /// point inside; unless the operator allowed others of its addresses, which are then used alone.
    pub async fn lookup(&self, host: &str) -> Result<Vec<SocketAddr>, LookupError> {
        let found = tokio::time::timeout(LOOKUP_MAX, self.resolve(host.to_owned()));
        self.choose(found.await.map_err(|_| LookupError::Timeout)??)
    }

    /// Asks the system, which blocks a thread for as long as it likes: so a lookup that was given up
    /// still counts.
    async fn resolve(&self, host: String) -> Result<Vec<SocketAddr>, LookupError> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await;
        let lookup = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (host, 0).to_socket_addrs().map(Iterator::collect)
        });
        let found = lookup.await.map_err(std::io::Error::other);
        found.flatten().map_err(LookupError::Failed)
    }

    fn choose(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, LookupError> {
        if found.is_empty() {
            return Err(LookupError::Empty);
        }
        let refused = found
            .iter()
            .find_map(|address| self.judge(address.ip()).err());
        let Some(refused) = refused else {
            return Ok(found);
        };
        let allowed = found
            .into_iter()
            .filter(|address| self.is_allowed(address.ip()));
        let allowed: Vec<_> = allowed.collect();
        if allowed.is_empty() {
            Err(LookupError::Forbidden(refused))
        } else {
            Ok(allowed)
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.allowed
            .iter()
            .any(|net| net.contains(&address) || net.contains(&canonical))
    }
}

/// What `address` is, if it is not a public one.
fn forbidden_kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4_kind(address),
        IpAddr::V6(address) => v6_kind(address),
    }
}

fn v4_kind(address: Ipv4Addr) -> Option<&'static str> {
    kind_in(&V4_KINDS, address.into())
}

fn v6_kind(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(embedded) = embedded_v4(address) {
        return v4_kind(embedded);
    }
    if let Some(kind) = tunnelled_v4(address).and_then(v4_kind) {
        return Some(kind);
    }
    if address.is_unspecified() {
        return Some("unspecified");
    }
    if address.is_loopback() {
        return Some("loopback");
    }
    match address.segments()[0] {
        first if first & 0xe000 == 0x2000 => kind_in(&V6_KINDS, address.into()),
        first if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => Some("private"),
        first if first & 0xffc0 == 0xfe80 => Some("link-local"),
        first if first & 0xff00 == 0xff00 => Some("multicast"),
        _ => Some("reserved"),
    }
}

/// The IPv4 address that `address` is another way of writing, so that it alone decides: mapped,
/// compatible, translated (RFC 2765), NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, _] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(v4_of(high, low))
}

/// The IPv4 address that an ISATAP router (RFC 5214) would send a packet to `address` on to. The prefix
/// is any, and has to be judged too.
fn tunnelled_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(v4_of(high, low)),
        _ => None,
    }
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

type Kinds = Vec<(IpNet, &'static str)>;

/// The tables, parsed once. That every line is a network is held by a test.
static V4_KINDS: LazyLock<Kinds> = LazyLock::new(|| parse_table(&V4_FORBIDDEN));
static V6_KINDS: LazyLock<Kinds> = LazyLock::new(|| parse_table(&V6_FORBIDDEN));

fn parse_table(table: &[(&str, &'static str)]) -> Kinds {
    let parsed = table
        .iter()
        .map(|(net, kind)| Some((net.parse().ok()?, *kind)));
    parsed.flatten().collect()
}

fn kind_in(kinds: &Kinds, address: IpAddr) -> Option<&'static str> {
    let found = kinds.iter().find(|(net, _)| net.contains(&address));
    found.map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests;
