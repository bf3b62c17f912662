//! Endpoints that are broken, slow or malicious: each attempt at them ends with a clear class, and
//! everything else goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
};

use crate::support::{
    SOON,
    raw::{Arrival, Raw, Step},
    server::Server,
    tls::{self, Authority},
    until_some,
    visitor::Visitor,
};

/// Longest wait for what comes after a deadline and the first wait of the schedule.
const LATER: Duration = Duration::from_secs(20);

const KEPT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CLOSED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// A server that logs its failed attempts.
async fn server() -> Server {
    server_within("15").await
}

/// A server that gives an endpoint so many seconds.
async fn server_within(seconds: &'static str) -> Server {
    Server::start_with(move |command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        let command = command.env("TRADEWIND_LOG", "info");
        command.env("TRADEWIND_DELIVERY__TIMEOUT_SECONDS", seconds)
    })
    .await
}

/// The lines about failed attempts at this message, or in this conversation.
fn failures(server: &Server, id: &str) -> Vec<String> {
    let log = server.log();
    let failed = log
        .lines()
        .filter(|line| line.contains("an attempt failed") && line.contains(id));
    failed.map(str::to_owned).collect()
}

/// Waits until the log tells of such an attempt.
async fn failure(server: &Server, id: &str) -> String {
    let found = || failures(server, id).into_iter().next();
    until_some(SOON, found, || server.log()).await
}

/// What an endpoint does with an event when it first comes, and the class of failure that is; of a
/// success, none.
struct Case {
    name: &'static str,
    class: Option<&'static str>,
    steps: Vec<Step>,
}

/// An answer after which the endpoint closes the connection.
fn says(name: &'static str, class: Option<&'static str>, answer: &str) -> Case {
    Case {
        name,
        class,
        steps: vec![Step::send(answer), Step::Close],
    }
}

fn goes_on(name: &'static str, class: Option<&'static str>, start: &str, then: Step) -> Case {
    Case {
        name,
        class,
        steps: vec![Step::send(start), then],
    }
}

fn whole_answers() -> Vec<Case> {
    let empty = "content-length: 0\r\n\r\n";
    let status =
        |name, class, line: &str| says(name, class, &format!("HTTP/1.1 {line}\r\n{empty}"));
    let failed = Some("status");
    vec![
        status("204", None, "204 No Content"),
        status("205", None, "205 Reset Content"),
        status("206", None, "206 Partial Content"),
        status("299", None, "299 Odd"),
        status("304", failed, "304 Not Modified"),
        status("404", failed, "404 Not Found"),
        status("413", failed, "413 Content Too Large"),
        status("600", failed, "600 Odd"),
        status("999", failed, "999 Odd"),
        status(
            "to inside",
            failed,
            "307 Temporary Redirect\r\nlocation: http://169.254.169.254/",
        ),
        status(
            "to a loop",
            failed,
            "308 Permanent Redirect\r\nlocation: /hook",
        ),
        status(
            "to a file",
            failed,
            "302 Found\r\nlocation: file:///etc/passwd",
        ),
        status(
            "other protocol",
            failed,
            "101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade",
        ),
        says(
            "bytes beyond ascii",
            None,
            &format!("HTTP/1.1 200 OK\r\nx: \u{fc}\r\n{empty}"),
        ),
        says(
            "early hints",
            None,
            &format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n{empty}"),
        ),
        says(
            "until the end",
            None,
            "HTTP/1.0 200 OK\r\n\r\nuntil the connection ends",
        ),
    ]
}

fn broken_answers() -> Vec<Case> {
    let failed = Some("response");
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}transfer-encoding: chunked\r\n\r\n");
    let many = "x: y\r\n".repeat(100_000);
    let long = "y".repeat(1 << 20);
    vec![
        says("nothing", failed, ""),
        says("a status line", failed, ok),
        says("http 0.9", failed, "hello\r\n"),
        says("status 0", failed, "HTTP/1.1 0 Zero\r\n\r\n"),
        says("status 99", failed, "HTTP/1.1 099 Low\r\n\r\n"),
        says("a nul", failed, &format!("{ok}x: a\0b\r\n\r\n")),
        says("many headers", failed, &format!("{ok}{many}\r\n")),
        says("a long header", failed, &format!("{ok}x: {long}\r\n\r\n")),
        says("a bad chunk", failed, &format!("{chunked}zz\r\nok\r\n")),
        says(
            "a huge chunk",
            failed,
            &format!("{chunked}fffffffffffffffff\r\nok\r\n"),
        ),
        says("no last chunk", failed, &format!("{chunked}2\r\nok\r\n")),
        says(
            "half a body",
            failed,
            &format!("{ok}content-length: 9\r\n\r\nok"),
        ),
        goes_on(
            "a reset",
            failed,
            &format!("{ok}content-length: 9\r\n\r\nok"),
            Step::Reset,
        ),
        goes_on(
            "100 for ever",
            failed,
            "",
            Step::send("HTTP/1.1 100 Continue\r\n\r\n").for_ever(),
        ),
        goes_on(
            "103 for ever",
            failed,
            "",
            Step::send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").for_ever(),
        ),
    ]
}

fn slow_answers() -> Vec<Case> {
    let late = Some("timeout");
    let ok = "HTTP/1.1 200 OK\r\n";
    vec![
        goes_on("no answer", late, "", Step::Hold),
        goes_on(
            "a head by drops",
            late,
            &format!("{ok}x: "),
            Step::Drip("y"),
        ),
        goes_on(
            "informed by drops",
            late,
            "",
            Step::Drip("HTTP/1.1 100 Continue\r\n\r\n"),
        ),
        goes_on(
            "a body by drops",
            late,
            &format!("{ok}\r\n"),
            Step::Drip("x"),
        ),
        goes_on(
            "a body that does not come",
            late,
            &format!("{ok}content-length: 10000000000\r\n\r\n"),
            Step::Hold,
        ),
    ]
}

fn endless_answers() -> Vec<Case> {
    let ok = "HTTP/1.1 200 OK\r\n";
    let mut bomb = vec![0_u8; 1 << 16];
    bomb[..3].copy_from_slice(&[0x1f, 0x8b, 8]);
    vec![
        goes_on(
            "ten gigabytes",
            None,
            &format!("{ok}content-length: 10000000000\r\n\r\n"),
            Step::Flood(vec![b'x'; 1 << 16]),
        ),
        goes_on(
            "no end",
            None,
            &format!("{ok}\r\n"),
            Step::Flood(vec![b'x'; 1 << 16]),
        ),
        goes_on(
            "tiny chunks",
            None,
            &format!("{ok}transfer-encoding: chunked\r\n\r\n"),
            Step::Flood(b"1\r\nx\r\n".repeat(1_000)),
        ),
        goes_on(
            "a bomb",
            None,
            &format!("{ok}content-encoding: gzip\r\n\r\n"),
            Step::Flood(bomb),
        ),
        goes_on(
            "a failing flood",
            Some("status"),
            "HTTP/1.1 500 Error\r\n\r\n",
            Step::Flood(vec![b'x'; 1 << 16]),
        ),
    ]
}

/// Plays all cases at once on one webhook, each as a conversation.
async fn survives(server: Server, cases: Vec<Case>) {
    let plays: Vec<_> = cases
        .iter()
        .map(|case| (case.name, case.steps.clone()))
        .collect();
    let endpoint = Raw::start(move |arrival, before| {
        let came = before.iter().any(|other| other.id() == arrival.id());
        let play = plays.iter().find(|(name, _)| *name == arrival.text());
        match play {
            Some((_, steps)) if !came => steps.clone(),
            // No connection is used again, so that what ends unanswered is not repeated at once.
            _ => vec![Step::send(CLOSED), Step::Close],
        }
    })
    .await;
    let channel = server.connect_channel().await;
    server.subscribe(&endpoint.url()).await;
    let mut visitors = Vec::new();
    for case in &cases {
        let visitor = Visitor::arrive(&server, &channel).await;
        visitor.write(&server, case.name).await;
        visitors.push(visitor);
    }
    let other = Visitor::arrive(&server, &channel).await;
    other.write(&server, "meanwhile").await;
    endpoint.wait_for("meanwhile", 1, SOON).await;
    for (case, visitor) in cases.iter().zip(&visitors) {
        let after = format!("after {}", case.name);
        visitor.write(&server, &after).await;
        endpoint.wait_for(&after, 1, LATER).await;
        let came = endpoint.wait_for(case.name, 1, SOON).await;
        let failures = failures(&server, came[0].id());
        let Some(class) = case.class else {
            assert_eq!(
                (came.len(), failures.len()),
                (1, 0),
                "{}: {failures:?}",
                case.name
            );
            continue;
        };
        assert_eq!(
            (came.len(), failures.len()),
            (2, 1),
            "{}: {failures:?}",
            case.name
        );
        let class = format!("class=\"{class}\"");
        assert!(failures[0].contains(&class), "{}: {failures:?}", case.name);
        assert_eq!(came[0].id(), came[1].id());
        assert!(came[1].at - came[0].at >= Duration::from_secs(1));
    }
    assert_eq!(server.get("health").await.status, 200);
}

#[tokio::test]
async fn the_status_of_a_whole_answer_decides() {
    survives(server().await, whole_answers()).await;
}

#[tokio::test]
async fn an_answer_that_is_no_whole_response_is_a_failure_and_nothing_else_suffers() {
    survives(server().await, broken_answers()).await;
}

#[tokio::test]
async fn slow_answers_end_at_the_deadline() {
    survives(server_within("1").await, slow_answers()).await;
}

#[tokio::test]
async fn endless_answers_end_at_the_limit() {
    survives(server().await, endless_answers()).await;
}

#[tokio::test]
async fn a_request_says_no_more_than_it_must() {
    let server = server().await;
    let endpoint = Raw::start(|_, _| vec![Step::send(KEPT)]).await;
    server
        .subscribe(&format!("http://{}/a%20b/c?d=e#f", endpoint.address))
        .await;
    let (visitor, _) = server.converse("one").await;
    visitor.write(&server, "two").await;
    let first = endpoint.wait_for("one", 1, SOON).await.remove(0);
    assert!(
        first.head.starts_with("POST /a%20b/c?d=e HTTP/1.1\r\n"),
        "{}",
        first.head
    );
    let mut names: Vec<_> = first
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .collect();
    names.sort_unstable();
    let value = |name: &str| {
        names
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| *value)
    };
    assert_eq!(value("host"), Some(&*endpoint.address.to_string()));
    assert_eq!(value("accept-encoding"), Some("identity"));
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
            "x-airy-content-signature",
        ],
        "no Expect, no cookies, no Accept"
    );
    let second = endpoint.wait_for("two", 1, SOON).await.remove(0);
    assert_eq!(second.connection, 1, "the connection is used again");
}

#[tokio::test]
async fn a_kept_connection_that_ends_unanswered_is_no_failed_attempt() {
    let server = server().await;
    let endpoint = Raw::start(|arrival, before| {
        let on_this = |other: &&Arrival| other.connection == arrival.connection;
        if before.iter().filter(on_this).count() == 0 {
            vec![Step::send(KEPT)]
        } else {
            vec![Step::Close]
        }
    })
    .await;
    server.subscribe(&endpoint.url()).await;
    let (visitor, _) = server.converse("one").await;
    endpoint.wait_for("one", 1, SOON).await;
    for text in ["two", "three"] {
        visitor.write(&server, text).await;
        let came = endpoint.wait_for(text, 2, SOON).await;
        assert_eq!(came[0].id(), came[1].id());
        assert_eq!(came[0].connection + 1, came[1].connection);
    }
    assert!(
        !server.log().contains("an attempt failed"),
        "{}",
        server.log()
    );
}

/// Takes connections and says this to each, whatever comes.
async fn blurting(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4_096]).await;
                let _ = stream.write_all(bytes).await;
                while stream.read(&mut [0; 512]).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_without_good_tls_gets_nothing_and_is_told_apart() {
    let authority = Authority::new();
    let directory = tempfile::TempDir::new().unwrap();
    let trusted = directory.path().join("authority.pem");
    std::fs::write(&trusted, authority.pem()).unwrap();
    let server = Server::start_with(move |command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        let command = command
            .env("TRADEWIND_LOG", "info")
            .env("SSL_CERT_FILE", &trusted);
        command.env("TRADEWIND_DELIVERY__TIMEOUT_SECONDS", "2")
    })
    .await;
    let accept = |_: &Arrival, _: &[Arrival]| vec![Step::send(KEPT)];
    let bad = [
        (authority.server("localhost", 2020, 2021), "has expired"),
        (authority.server("localhost", 3020, 3021), "not valid yet"),
        (
            authority.server("other.example", 2020, 3020),
            "for another host name",
        ),
        (tls::self_signed(), "signed by itself"),
    ];
    let mut endpoints = Vec::new();
    let mut ports = Vec::new();
    for (tls, words) in bad {
        let endpoint = Raw::start_tls(tls, accept).await;
        ports.push((endpoint.address.port(), words));
        endpoints.push(endpoint);
    }
    // A server that speaks TLS 1.0 only says so by this alert.
    ports.push((
        blurting(b"\x15\x03\x01\x00\x02\x02\x46").await,
        "version 1.2 or newer",
    ));
    ports.push((
        blurting(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        "expect http://",
    ));
    ports.push((
        blurting(b"").await,
        "the TLS handshake did not end within 2 s",
    ));

    let channel = server.connect_channel().await;
    for (port, words) in &ports {
        server
            .subscribe(&format!("https://localhost:{port}/"))
            .await;
        let message = Visitor::arrive(&server, &channel)
            .await
            .write(&server, words)
            .await;
        let line = failure(&server, message["id"].as_str().unwrap()).await;
        assert!(
            line.contains("class=\"tls\"") && line.contains(words),
            "{line}"
        );
    }
    assert!(
        endpoints
            .iter()
            .all(|endpoint| endpoint.arrivals().is_empty())
    );

    let good = Raw::start_tls(authority.server("localhost", 2020, 3020), accept).await;
    server
        .subscribe(&format!("https://localhost:{}/", good.address.port()))
        .await;
    for (_, words) in ports {
        good.wait_for(words, 1, LATER).await;
    }
}

#[tokio::test]
async fn an_update_to_an_address_inside_is_refused_and_leaves_the_webhook_as_it_was() {
    let server = server().await;
    let endpoint = Raw::start(|_, _| vec![Step::send(KEPT)]).await;
    server.subscribe(&endpoint.url()).await;
    for url in [
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0xa9fea9fe/",
        "http://[::ffff:10.0.0.1]/",
        "http://8.8.8.8:6379/",
        "gopher://127.0.0.1/",
    ] {
        let update = json!({"url": url, "headers": {"X-New": "1"}});
        let answer = server.call("webhooks.subscribe", update).await;
        assert_eq!(answer.status, 400, "{url}");
        let says_why = answer.text.contains("--webhook-allow") || answer.text.contains("http://");
        assert!(says_why, "{}", answer.text);
    }
    let info = server.call("webhooks.info", json!({})).await.ok();
    assert_eq!(
        (&info["url"], &info["headers"]),
        (&json!(endpoint.url()), &json!({}))
    );
    server.converse("still here").await;
    endpoint.wait_for("still here", 1, SOON).await;
}

/// What was allowed when it was given is refused when it is so no more, and the event waits.
async fn is_judged_again(host: &str) {
    let open = Arc::new(AtomicBool::new(true));
    let is_open = Arc::clone(&open);
    let mut server = Server::start_with(move |command| {
        if is_open.load(Ordering::SeqCst) {
            command.args(["--webhook-allow", "127.0.0.0/8"]);
        }
        command.env("TRADEWIND_LOG", "info")
    })
    .await;
    let endpoint = Raw::start(|_, _| vec![Step::send(KEPT)]).await;
    let url = format!("http://{host}:{}/", endpoint.address.port());
    server.subscribe(&url).await;
    for opened in [false, true] {
        open.store(opened, Ordering::SeqCst);
        server.terminate().await;
        server.ended(SOON).await;
        server.start_again().await;
        if opened {
            endpoint.wait_for("refused at first", 1, LATER).await;
        } else {
            let (_, conversation) = server.converse("refused at first").await;
            let line = failure(&server, &conversation).await;
            assert!(line.contains("class=\"blocked\""), "{line}");
            assert!(endpoint.arrivals().is_empty());
        }
    }
}

#[tokio::test]
async fn an_address_is_judged_at_every_connection_and_not_only_when_it_is_given() {
    is_judged_again("127.0.0.1").await;
}

#[tokio::test]
async fn a_name_is_judged_at_every_connection_and_not_only_when_it_is_given() {
    is_judged_again("localhost").await;
}

/// Sets how many files the process may have open.
async fn limit_files(pid: u32, files: usize) {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={files}:")])
        .status()
        .await
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn want_of_file_descriptors_delays_and_is_not_the_endpoints_fault() {
    let server = server().await;
    let endpoint = Raw::start(|_, _| vec![Step::send(CLOSED), Step::Close]).await;
    server.subscribe(&endpoint.url()).await;
    let (visitor, _) = server.converse("before").await;
    endpoint.wait_for("before", 1, SOON).await;
    let pid = server.pid();
    // Numbers below the limit that are free would still be given.
    limit_files(pid, 1).await;
    let message = visitor.write(&server, "without").await;
    let line = failure(&server, message["id"].as_str().unwrap()).await;
    assert!(
        line.contains("class=\"internal\"") && line.contains("file descriptor"),
        "{line}"
    );
    limit_files(pid, 1_024).await;
    let came = endpoint.wait_for("without", 1, LATER).await;
    assert_eq!(came.len(), 1);
}

#[tokio::test]
async fn no_secret_is_logged_whatever_is_logged() {
    let server = Server::start_with(|command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command.env("TRADEWIND_LOG", "trace")
    })
    .await;
    let endpoint = Raw::start(|_, before| {
        let moved = "HTTP/1.1 302 Found\r\nlocation: https://u:hidden-1@example.com/?hidden-2\r\nset-cookie: hidden-3\r\ncontent-length: 8\r\n\r\nhidden-4";
        vec![Step::send(if before.is_empty() { moved } else { KEPT })]
    })
    .await;
    let subscription = json!({
        "url": format!("http://{}/?key=hidden-5", endpoint.address),
        "headers": {"Authorization": "Bearer hidden-6"},
    });
    let webhook = server.call("webhooks.subscribe", subscription).await.ok();
    let secret = webhook["api_secret"].as_str().unwrap();
    server.converse("hidden-7").await;
    let came = endpoint.wait_for("hidden-7", 2, SOON).await;
    let log = server.log();
    assert!(
        log.contains("https://example.com/, which is not followed"),
        "{log}"
    );
    let signature = came[0]
        .head
        .lines()
        .find_map(|line| line.strip_prefix("webhook-signature: v1,"));
    for hidden in ["hidden-", secret, signature.unwrap()] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}
