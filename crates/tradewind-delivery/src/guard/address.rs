//! Tells what kind an address is.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use ipnet::IpNet;

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

/// What `address` is, if it is not a public one.
pub(super) fn forbidden_kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4_kind(address),
        IpAddr::V6(address) => v6_kind(address),
    }
}

fn v4_kind(address: Ipv4Addr) -> Option<&'static str> {
    kind_in(&V4_KINDS, address.into())
}

fn v6_kind(address: Ipv6Addr) -> Option<&'static str> {
    // First, as a 6to4 prefix can have an ISATAP address within: both are judged then.
    if let Some(kind) = tunnelled_v4(address).and_then(v4_kind) {
        return Some(kind);
    }
    if let Some(embedded) = embedded_v4(address) {
        return v4_kind(embedded);
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
