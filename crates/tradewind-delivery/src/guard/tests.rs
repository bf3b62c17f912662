//! Which addresses are refused, however they are written.

use super::{Guard, UrlError, V4_FORBIDDEN, V6_FORBIDDEN};
use ipnet::IpNet;
use std::net::SocketAddr;

fn refused(guard: &Guard, url: &str) -> bool {
    matches!(guard.parse_url(url), Err(UrlError::Forbidden(_)))
}

#[test]
fn the_tables_are_networks() {
    for (net, _) in V4_FORBIDDEN.iter().chain(&V6_FORBIDDEN) {
        net.parse::<IpNet>().unwrap();
    }
}

#[test]
fn addresses_inside_are_refused_however_they_are_written() {
    let guard = Guard::default();
    for host in [
        "127.0.0.1",
        "127.254.254.254",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "%31%32%37.0.0.1",
        "[::]",
        "[::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        "[2001::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[::ffff:0:7f00:1]",
        "[2a00::5efe:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[fd00::5efe:808:808]",
        "[fe80::5efe:808:808]",
        "[ff02::200:5efe:808:808]",
        "[2001:db8::5efe:808:808]",
        "[64:ff9b:1::5efe:808:808]",
        "[2620:4f:8000::1]",
    ] {
        assert!(refused(&guard, &format!("http://{host}/hook")), "{host}");
    }
}

#[test]
fn public_addresses_pass() {
    let guard = Guard::default();
    for host in [
        "8.8.8.8",
        "172.32.0.1",
        "[2606:4700::1111]",
        "[64:ff9b::808:808]",
        "[::ffff:8.8.8.8]",
        "example.com",
    ] {
        guard.parse_url(&format!("https://{host}/hook")).unwrap();
    }
}

#[test]
fn a_url_is_http_with_a_host_and_no_credentials() {
    let guard = Guard::default();
    for bad in [
        "",
        "hook",
        "file:///etc/passwd",
        "gopher://example.com",
        "ftp://example.com",
        "unix:/run/x",
        "http://",
        "http://public@127.0.0.1",
        "http://a:b@example.com",
        "http://[fe80::1%25eth0]/",
        &format!("http://example.com/{}", "a".repeat(2_048)),
    ] {
        assert!(guard.parse_url(bad).is_err(), "{bad}");
    }
    assert!(refused(&guard, "http://127.0.0.1#@example.com"));
}

#[test]
fn the_operator_can_allow_a_network() {
    let guard = Guard::new(&["127.0.0.0/8".parse().unwrap()]);
    for host in ["127.0.0.1", "127.1", "[::ffff:127.0.0.1]"] {
        assert!(!refused(&guard, &format!("http://{host}/hook")), "{host}");
    }
    assert!(refused(&guard, "http://10.0.0.1/hook"));
    let error = guard
        .parse_url("http://10.0.0.1/hook")
        .unwrap_err()
        .to_string();
    assert!(error.contains("--webhook-allow 10.0.0.1/32"), "{error}");
}

#[test]
fn one_forbidden_address_refuses_the_name() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let guard = Guard::default();
    assert!(guard.choose(vec![]).is_err());
    assert!(
        guard
            .choose(vec![at("8.8.8.8:0"), at("10.0.0.1:0")])
            .is_err()
    );
    assert_eq!(guard.choose(vec![at("8.8.8.8:0")]).unwrap().len(), 1);
    let guard = Guard::new(&["127.0.0.1/32".parse().unwrap()]);
    assert_eq!(
        guard
            .choose(vec![at("[::1]:0"), at("127.0.0.1:0")])
            .unwrap(),
        [at("127.0.0.1:0")]
    );
}
