//! The tables of addresses, and laws that they follow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::{V4_FORBIDDEN, V6_FORBIDDEN, forbidden_kind};

#[test]
fn the_tables_are_networks() {
    for (net, _) in V4_FORBIDDEN.iter().chain(&V6_FORBIDDEN) {
        net.parse::<IpNet>().unwrap();
    }
}

/// What is not public, by the numbers of its first and last address: the registries of special
/// addresses (IANA), written down apart from the tables that are tested.
const V4_INSIDE: [(u32, u32); 15] = [
    (0x0000_0000, 0x00ff_ffff),
    (0x0a00_0000, 0x0aff_ffff),
    (0x6440_0000, 0x647f_ffff),
    (0x7f00_0000, 0x7fff_ffff),
    (0xa9fe_0000, 0xa9fe_ffff),
    (0xac10_0000, 0xac1f_ffff),
    (0xc000_0000, 0xc000_00ff),
    (0xc000_0200, 0xc000_02ff),
    (0xc01f_c400, 0xc01f_c4ff),
    (0xc034_c100, 0xc034_c1ff),
    (0xc058_6300, 0xc058_63ff),
    (0xc0a8_0000, 0xc0a8_ffff),
    (0xc612_0000, 0xc613_ffff),
    (0xc633_6400, 0xc633_64ff),
    (0xcb00_7100, 0xcb00_71ff),
];

fn is_v4_inside(bits: u32) -> bool {
    bits >= 0xe000_0000
        || V4_INSIDE
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&bits))
}

/// Of `2000::/3`, what is not public, without those that carry an IPv4 address.
fn is_v6_inside(bits: u128) -> bool {
    let top = |length: u32| bits >> (128 - length);
    top(3) != 1
        || top(23) == 0x2001_0000 >> 9
        || top(32) == 0x2001_0db8
        || top(48) == 0x2620_004f_8000
        || top(20) == 0x0003_fff0
}

fn is_open(address: impl Into<IpAddr>) -> bool {
    forbidden_kind(address.into()).is_none()
}

/// Numbers that are near an edge of a range as often as anywhere.
fn v4() -> impl Strategy<Value = u32> {
    let edges = proptest::sample::select(V4_INSIDE.to_vec());
    let near = (edges, -2_i64..=2, any::<bool>()).prop_map(|((first, last), step, upper)| {
        let edge = if upper { last } else { first };
        edge.wrapping_add_signed(i32::try_from(step).unwrap())
    });
    prop_oneof![any::<u32>(), near, 0xdfff_fffe_u32..=0xe000_0001]
}

fn with_v4(prefix: u128, bits: u32, shift: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix | u128::from(bits) << shift)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_ipv4_address_is_open_unless_a_registry_says_otherwise(bits in v4()) {
        prop_assert_eq!(is_open(Ipv4Addr::from_bits(bits)), !is_v4_inside(bits));
    }

    #[test]
    fn an_ipv6_address_that_carries_an_ipv4_address_is_what_that_one_is(bits in v4(), low in any::<u64>()) {
        let open = !is_v4_inside(bits);
        // Mapped, translated, NAT64, and 6to4 with any subnet and host.
        prop_assert_eq!(is_open(with_v4(0xffff << 32, bits, 0)), open);
        prop_assert_eq!(is_open(with_v4(0xffff << 48, bits, 0)), open);
        prop_assert_eq!(is_open(with_v4(0x0064_ff9b << 96, bits, 0)), open);
        let six_to_four = with_v4(0x2002 << 112, bits, 80).to_bits() | u128::from(low);
        prop_assert!(open || !is_open(Ipv6Addr::from_bits(six_to_four)));
        // An interface id of ISATAP within it would carry a second one, which is judged as well.
        if low >> 32 & 0xfdff_ffff != 0x5efe {
            prop_assert_eq!(is_open(Ipv6Addr::from_bits(six_to_four)), open);
        }
    }

    #[test]
    fn a_compatible_address_is_never_more_open_than_the_ipv4_address(bits in v4()) {
        prop_assert!(!is_v4_inside(bits) || !is_open(with_v4(0, bits, 0)));
    }

    #[test]
    fn an_isatap_address_is_open_only_if_its_prefix_and_its_ipv4_address_are(
        bits in v4(),
        high in any::<u64>(),
        universal in any::<bool>(),
    ) {
        let interface = if universal { 0x0200_5efe_u64 } else { 0x5efe };
        let address = u128::from(high) << 64 | u128::from(interface) << 32;
        let address = with_v4(address, bits, 0);
        prop_assert!(!is_v4_inside(bits) || !is_open(address));
        // Within 6to4 of a public address, which is judged by its IPv4 address otherwise.
        let six_to_four = 0x2002_0808_0808_u128 << 80 | u128::from(interface) << 32;
        prop_assert_eq!(is_open(with_v4(six_to_four, bits, 0)), !is_v4_inside(bits));
        let public = with_v4(0x2a00_u128 << 112 | u128::from(interface) << 32, bits, 0);
        prop_assert_eq!(is_open(public), !is_v4_inside(bits));
    }

    #[test]
    fn teredo_and_local_nat64_are_closed_whatever_they_carry(low in any::<u128>()) {
        let teredo = 0x2001_0000_u128 << 96 | low >> 32;
        prop_assert!(!is_open(Ipv6Addr::from_bits(teredo)));
        let local = 0x0064_ff9b_0001_u128 << 80 | low >> 48;
        prop_assert!(!is_open(Ipv6Addr::from_bits(local)));
    }

    #[test]
    fn an_ipv6_address_is_open_only_if_it_is_global_and_of_no_special_range(
        bits in any::<u128>(),
        global in any::<bool>(),
    ) {
        let bits = if global { bits >> 3 | 1 << 125 } else { bits };
        let carries = bits >> 112 == 0x2002
            || bits >> 96 == 0x0064_ff9b
            || bits >> 64 == 0
            || bits >> 32 & 0xfdff_ffff == 0x5efe;
        prop_assume!(!carries);
        prop_assert_eq!(is_open(Ipv6Addr::from_bits(bits)), !is_v6_inside(bits));
    }

    #[test]
    fn the_edges_of_special_ranges_are_where_the_registries_put_them(
        (prefix, length) in proptest::sample::select(vec![
            (0x2001_0000_u128 << 96, 23_u32),
            (0x2001_0db8 << 96, 32),
            (0x2620_004f_8000 << 80, 48),
            (0x3fff << 112, 20),
            (0xfc00 << 112, 7),
            (0xfe80 << 112, 10),
            (0xfec0 << 112, 10),
            (0xff00 << 112, 8),
            (0x0100 << 112, 64),
            (0x5f00 << 112, 16),
        ]),
        inside in any::<u128>(),
    ) {
        let last = prefix | u128::MAX >> length;
        for bits in [prefix, last, prefix | inside >> length] {
            prop_assert!(!is_open(Ipv6Addr::from_bits(bits)));
        }
        for bits in [prefix - 1, last.wrapping_add(1)] {
            prop_assert_eq!(is_open(Ipv6Addr::from_bits(bits)), !is_v6_inside(bits));
        }
    }
}
