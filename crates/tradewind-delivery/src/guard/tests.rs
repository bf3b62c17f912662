//! Which addresses are refused, however they are written.

use std::{net::IpAddr, time::Duration};

use super::{Guard, LookupError, PORTS_FORBIDDEN, UrlError, lookup::Lookups};

fn refused(guard: &Guard, url: &str) -> bool {
    matches!(guard.parse_url(url), Err(UrlError::Forbidden(_)))
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

fn at(addresses: &[&str]) -> Vec<IpAddr> {
    let parsed = addresses.iter().map(|address| address.parse().unwrap());
    parsed.collect()
}

#[test]
fn one_forbidden_address_refuses_the_name() {
    let guard = Guard::default();
    assert!(guard.choose(vec![], 443).is_err());
    assert!(guard.choose(at(&["8.8.8.8", "10.0.0.1"]), 443).is_err());
    assert_eq!(
        guard.choose(at(&["8.8.8.8"]), 443).unwrap(),
        at(&["8.8.8.8"])
    );
    let guard = Guard::new(&["127.0.0.1/32".parse().unwrap()]);
    assert_eq!(
        guard.choose(at(&["::1", "127.0.0.1"]), 443).unwrap(),
        at(&["127.0.0.1"])
    );
}

#[test]
fn who_gives_a_name_is_not_told_the_address_inside() {
    let guard = Guard::default();
    let told = |address: &str| guard.choose(at(&[address]), 443).unwrap_err().to_string();
    for address in ["10.1.2.3", "169.254.169.254", "fd00::1", "127.0.0.53"] {
        let told = told(address);
        assert!(!told.contains(address), "{told}");
        assert!(
            told.contains(Guard::kind(address.parse().unwrap())),
            "{told}"
        );
        assert!(told.contains("--webhook-allow"), "{told}");
    }
    assert!(told("127.0.0.1").contains("--webhook-allow 127.0.0.1/32"));
    assert!(told("::1").contains("--webhook-allow ::1/128"));
}

#[test]
fn ports_of_other_services_are_open_only_where_the_operator_opened_the_address() {
    let guard = Guard::new(&["1.1.1.0/24".parse().unwrap()]);
    for port in PORTS_FORBIDDEN {
        assert!(refused(&guard, &format!("http://8.8.8.8:{port}/hook")));
        assert!(!refused(&guard, &format!("http://1.1.1.1:{port}/hook")));
        assert!(guard.choose(at(&["8.8.8.8"]), port).is_err());
        assert!(guard.choose(at(&["1.1.1.1"]), port).is_ok());
    }
    for port in [80, 443, 8080, 8443, 3000, 9999] {
        assert!(!refused(&guard, &format!("http://8.8.8.8:{port}/hook")));
    }
    let error = guard.parse_url("http://8.8.8.8:25/hook").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("port 25") && text.contains("--webhook-allow 8.8.8.8/32"),
        "{text}"
    );
}

#[tokio::test]
async fn a_literal_is_judged_and_not_looked_up() {
    let guard = Guard::default();
    let addresses = async |url: &str| guard.addresses(&url.parse().unwrap()).await;
    assert_eq!(
        addresses("https://8.8.8.8/x").await.unwrap(),
        ["8.8.8.8:443".parse().unwrap()]
    );
    assert_eq!(
        addresses("http://[2606:4700::1111]:8080/x").await.unwrap(),
        ["[2606:4700::1111]:8080".parse().unwrap()]
    );
    let inside = addresses("http://2130706433/").await.unwrap_err();
    assert!(matches!(inside, LookupError::Forbidden(_)), "{inside:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_inside_later_is_refused_then() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let rebound = move |_: &str| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let address = if call == 0 { "8.8.8.8:0" } else { "10.0.0.1:0" };
        Ok(vec![address.parse().unwrap()])
    };
    let guard = Guard {
        lookups: Lookups::new(rebound),
        ..Guard::default()
    };
    let url = "https://example.com/".parse().unwrap();
    // What is judged is what is given to connect to, while it is kept as well.
    for _ in 0..2 {
        let judged = guard.addresses(&url).await.unwrap();
        assert_eq!(judged, ["8.8.8.8:443".parse().unwrap()]);
    }
    tokio::time::advance(Duration::from_mins(1)).await;
    let refused = guard.addresses(&url).await.unwrap_err();
    assert!(matches!(refused, LookupError::Forbidden(_)), "{refused:?}");
}
