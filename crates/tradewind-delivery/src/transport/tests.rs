//! Exchanges with endpoints that answer byte by byte as they are told.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tradewind_model::Timestamp;

use super::{Exchange, RESPONSE_KEPT_MAX, Trace, Transport, TransportLimits, connect, fault};
use crate::{
    attempt::FailureClass::{self, Connect, Dns, Internal, Response, Timeout, Tls},
    guard::Guard,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BODY: &str = r#"{"text":"hello"}"#;

/// Takes connections until the test ends, and counts requests.
struct Endpoint {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// A connection of the client, as the endpoint sees it.
struct Visit {
    /// 1 for the first.
    number: usize,
    stream: TcpStream,
    requests: Arc<AtomicUsize>,
}

type Playing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl Endpoint {
    #[expect(clippy::disallowed_methods, reason = "a test has no tasks to wait for")]
    async fn start(script: impl Fn(Visit) -> Playing + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (
            Arc::clone(&endpoint.connections),
            Arc::clone(&endpoint.requests),
        );
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let visit = Visit {
                    number: connections.fetch_add(1, Ordering::SeqCst) + 1,
                    stream,
                    requests: Arc::clone(&requests),
                };
                // Whether the client has gone meanwhile is of no interest.
                tokio::spawn(script(visit));
            }
        });
        endpoint
    }

    /// One that answers each request with these bytes, and then closes.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut visit| {
            let answer = Arc::clone(&answer);
            Box::pin(async move {
                visit.request().await?;
                visit.stream.write_all(&answer).await?;
                visit.stream.shutdown().await?;
                visit.gone().await
            })
        })
        .await
    }

    /// One that begins its answer with `start` and repeats `part` for ever.
    async fn endless(start: &'static str, part: Vec<u8>) -> Self {
        let part: Arc<[u8]> = part.into();
        Self::start(move |mut visit| {
            let part = Arc::clone(&part);
            Box::pin(async move {
                visit.request().await?;
                visit.stream.write_all(start.as_bytes()).await?;
                loop {
                    visit.stream.write_all(&part).await?;
                }
            })
        })
        .await
    }

    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.connections), count(&self.requests))
    }
}

impl Visit {
    /// Reads a request to its end.
    async fn request(&mut self) -> io::Result<()> {
        let mut read = Vec::new();
        while !read.ends_with(BODY.as_bytes()) {
            if self.stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Waits until the client closes, so that what was written is not lost to a reset.
    async fn gone(&mut self) -> io::Result<()> {
        while self.stream.read(&mut [0; 512]).await? > 0 {}
        Ok(())
    }

    /// Closes with a reset.
    fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}

fn transport() -> Transport {
    transport_within(Duration::from_secs(10))
}

fn transport_within(deadline: Duration) -> Transport {
    let guard = Guard::new(&["127.0.0.0/8".parse().unwrap()]);
    let limits = TransportLimits {
        deadline,
        ..TransportLimits::default()
    };
    Transport::new(guard, limits).unwrap()
}

async fn post(transport: &Transport, address: SocketAddr) -> Exchange {
    post_to(transport, &format!("http://{address}/hook?a=b")).await
}

async fn post_to(transport: &Transport, url: &str) -> Exchange {
    let endpoint = super::Endpoint::new(url.parse().unwrap());
    let body = Bytes::from_static(BODY.as_bytes());
    transport
        .post(&endpoint, HeaderMap::new(), body, Timestamp::UNIX_EPOCH)
        .await
}

/// The status, or the class of the failure and its detail.
fn result(exchange: &Exchange) -> Result<u16, (FailureClass, String)> {
    match &exchange.result {
        Ok(reply) => Ok(reply.status.as_u16()),
        Err(failure) => Err((failure.class, failure.detail.clone())),
    }
}

#[track_caller]
fn assert_failed(exchange: &Exchange, class: FailureClass, part: &str) {
    match result(exchange) {
        Err((found, detail)) => {
            assert_eq!(found, class, "{detail}");
            assert!(detail.contains(part), "{detail}");
        }
        Ok(status) => panic!("{status}"),
    }
}

#[tokio::test]
async fn a_trace_tells_the_phases_of_a_new_connection_and_of_one_that_is_used_again() {
    let endpoint = Endpoint::start(|mut visit| {
        Box::pin(async move {
            loop {
                visit.request().await?;
                visit.stream.write_all(OK.as_bytes()).await?;
            }
        })
    })
    .await;
    let transport = transport();
    let url = format!("http://localhost:{}/", endpoint.address.port());
    let Exchange { result, trace } = post_to(&transport, &url).await;
    assert_eq!(result.unwrap().status, 200);
    assert!(trace.dns.is_some() && trace.connect.is_some() && trace.first_byte.is_some());
    let phases = trace.dns.unwrap() + trace.connect.unwrap() + trace.first_byte.unwrap();
    assert!(phases <= trace.total, "{trace:?}");
    let told = (trace.address, trace.reused, trace.tls, trace.response);
    assert_eq!(told, (Some("loopback"), false, None, b"ok".to_vec()));

    let Exchange { result, trace } = post_to(&transport, &url).await;
    assert_eq!(result.unwrap().status, 200);
    let again = Trace {
        address: Some("loopback"),
        reused: true,
        first_byte: trace.first_byte,
        total: trace.total,
        response: b"ok".to_vec(),
        ..Trace::default()
    };
    assert_eq!(trace, again);
    assert!(trace.first_byte.is_some());
    assert_eq!(endpoint.counts(), (1, 2));
}

#[tokio::test]
async fn every_whole_answer_counts_with_its_status() {
    for (answer, status) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            205,
        ),
        (
            "HTTP/1.1 206 Partial Content\r\ncontent-length: 1\r\n\r\nx",
            206,
        ),
        ("HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n", 299),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", 304),
        ("HTTP/1.1 600 \r\ncontent-length: 0\r\n\r\n", 600),
        ("HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n", 999),
        // The end of the connection is the end of such a body.
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
            202,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
        ),
        (
            "HTTP/1.1 200 OK\r\nx-text: \u{fc}\u{1f600}\r\ncontent-length: 0\r\n\r\n",
            200,
        ),
    ] {
        let endpoint = Endpoint::answering(answer).await;
        let exchange = post(&transport(), endpoint.address).await;
        assert_eq!(result(&exchange), Ok(status), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_whole_response_is_a_failure_in_clear_words() {
    let no_http = "not an HTTP/1.1 response";
    for (answer, part) in [
        ("", "without an answer"),
        ("HTTP/1.1 200 OK\r\n", "within the head"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
            "within the body",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            "within the body",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
            "not well-formed",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nok",
            "not well-formed",
        ),
        ("hello, this is HTTP/0.9\r\n", no_http),
        ("HTTP/1.1 0 Zero\r\n\r\n", no_http),
        ("HTTP/1.1 099 Low\r\n\r\n", no_http),
        ("HTTP/1.1 1000 High\r\n\r\n", no_http),
        ("HTTP/2 200\r\n\r\n", no_http),
        ("HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n", no_http),
        ("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", no_http),
        ("HTTP/1.1 200 OK\r\n: nameless\r\n\r\n", no_http),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            no_http,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", no_http),
    ] {
        let endpoint = Endpoint::answering(answer).await;
        let exchange = post(&transport(), endpoint.address).await;
        assert_failed(&exchange, Response, part);
        assert_eq!(endpoint.counts(), (1, 1), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_has_no_end_or_too_much_in_it_is_a_failure() {
    let start = "HTTP/1.1 200 OK\r\n";
    let many = "x: y\r\n".repeat(100_000);
    let long = format!("x: {}\r\n", "y".repeat(1 << 20));
    for answer in [
        format!("{start}{many}\r\n"),
        format!("{start}{long}\r\n"),
        format!("{start}{}\r\n", "x: y\r\n".repeat(101)),
        format!("HTTP/1.1 200 {}\r\n\r\n", "O".repeat(1 << 20)),
    ] {
        let endpoint = Endpoint::answering(answer).await;
        let exchange = post(&transport(), endpoint.address).await;
        assert_failed(&exchange, Response, "the head of the answer is longer");
    }
    for (start, part) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"),
        (start, "x: y\r\n"),
    ] {
        let endpoint = Endpoint::endless(start, part.into()).await;
        let exchange = post(&transport(), endpoint.address).await;
        assert_failed(&exchange, Response, "the head of the answer is longer");
    }
}

#[tokio::test]
async fn of_a_body_without_end_a_part_is_read_and_the_status_decides() {
    for (start, part) in [
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 1 << 16]),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
            vec![b'x'; 1 << 16],
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n".repeat(1_000),
        ),
        // A gzip bomb is as long as what comes over the wire.
        (
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n",
            vec![b'x'; 1 << 16],
        ),
    ] {
        let endpoint = Endpoint::endless(start, part).await;
        let transport = transport();
        let exchange = post(&transport, endpoint.address).await;
        assert_eq!(result(&exchange), Ok(200), "{start}");
        assert_eq!(exchange.trace.response, vec![b'x'; RESPONSE_KEPT_MAX]);
        post(&transport, endpoint.address).await;
        assert_eq!(endpoint.counts(), (2, 2), "the connection is not kept");
    }
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_read_to_its_end_and_of_a_longer_one_nothing_is_awaited() {
    let limit = TransportLimits::default().body_bytes_max;
    for (sent, connections) in [(limit, 1), (limit + 1, 2)] {
        let endpoint = Endpoint::start(move |mut visit| {
            Box::pin(async move {
                loop {
                    visit.request().await?;
                    // What is promised beyond the limit never comes.
                    let promised = sent + 9 * (sent - limit);
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {promised}\r\n\r\n");
                    visit.stream.write_all(head.as_bytes()).await?;
                    visit.stream.write_all(&vec![b'x'; sent]).await?;
                }
            })
        })
        .await;
        let transport = transport();
        for _ in 0..2 {
            let exchange = post(&transport, endpoint.address).await;
            assert_eq!(result(&exchange), Ok(200));
        }
        assert_eq!(endpoint.counts(), (connections, 2));
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_within_a_body_is_a_failure_that_knows_the_status() {
    let endpoint = Endpoint::start(|mut visit| {
        Box::pin(async move {
            visit.request().await?;
            let part = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
            visit.stream.write_all(part).await?;
            // The rest is lost with what it sent, so the client has to have read it.
            tokio::time::sleep(Duration::from_millis(300)).await;
            visit.reset()
        })
    })
    .await;
    let exchange = post(&transport(), endpoint.address).await;
    assert_failed(&exchange, Response, "within the body");
    assert_eq!(exchange.result.unwrap_err().status, Some(200));
    assert_eq!(exchange.trace.response, b"ok");
}

#[tokio::test]
async fn the_deadline_covers_the_whole_answer_however_slowly_it_comes() {
    for (start, part) in [
        ("", "no answer"),
        ("HTTP/1.1 200 OK\r\nx: ", "no answer"),
        ("HTTP/1.1 200 OK\r\n\r\n", "no complete answer"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
            "no complete answer",
        ),
    ] {
        let drips = !start.is_empty();
        let endpoint = Endpoint::start(move |mut visit| {
            Box::pin(async move {
                visit.request().await?;
                visit.stream.write_all(start.as_bytes()).await?;
                if !drips {
                    return visit.gone().await;
                }
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    visit.stream.write_all(b"x").await?;
                }
            })
        })
        .await;
        let transport = transport_within(Duration::from_millis(300));
        let exchange = post(&transport, endpoint.address).await;
        assert_failed(&exchange, Timeout, part);
        assert!(exchange.trace.total < Duration::from_secs(2));
        assert_eq!(endpoint.counts(), (1, 1));
    }
}

/// Answers the first request and ends the connection when the second has come, before which it says
/// `last`.
async fn ending_when_used_again(last: &'static str, reset: bool) -> Endpoint {
    Endpoint::start(move |mut visit| {
        Box::pin(async move {
            visit.request().await?;
            visit.stream.write_all(OK.as_bytes()).await?;
            visit.request().await?;
            visit.stream.write_all(last.as_bytes()).await?;
            if reset { visit.reset() } else { Ok(()) }
        })
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_ends_unanswered_costs_one_repetition_and_no_attempt() {
    for reset in [false, true] {
        let endpoint = ending_when_used_again("", reset).await;
        let transport = transport();
        for _ in 0..2 {
            let exchange = post(&transport, endpoint.address).await;
            assert_eq!(result(&exchange), Ok(200), "{reset}");
            assert!(!exchange.trace.reused && exchange.trace.connect.is_some());
        }
        assert_eq!(endpoint.counts(), (2, 3));
    }
}

#[tokio::test]
async fn nothing_is_repeated_once_a_byte_of_the_answer_was_read() {
    for reset in [false, true] {
        let endpoint = ending_when_used_again("H", reset).await;
        let transport = transport();
        post(&transport, endpoint.address).await.result.unwrap();
        let exchange = post(&transport, endpoint.address).await;
        // With a reset, the byte may be lost before it is read; then a repetition is right.
        if reset && exchange.result.is_ok() {
            continue;
        }
        assert_failed(&exchange, Response, "within the head");
        assert!(exchange.trace.reused);
        assert_eq!(endpoint.counts(), (1, 2));
    }
}

#[tokio::test]
async fn nothing_is_repeated_more_than_once() {
    let endpoint = Endpoint::start(|mut visit| {
        Box::pin(async move {
            visit.request().await?;
            if visit.number == 1 {
                visit.stream.write_all(OK.as_bytes()).await?;
                visit.request().await?;
            }
            Ok(())
        })
    })
    .await;
    let transport = transport();
    post(&transport, endpoint.address).await.result.unwrap();
    let exchange = post(&transport, endpoint.address).await;
    assert_failed(&exchange, Response, "without an answer");
    assert_eq!(endpoint.counts(), (2, 3));
}

#[tokio::test]
async fn a_connection_that_the_endpoint_wants_closed_or_has_closed_is_not_used_again() {
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let says_more = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more";
    let leaves = OK;
    for answer in [closing, says_more, leaves] {
        let endpoint = Endpoint::start(move |mut visit| {
            Box::pin(async move {
                visit.request().await?;
                visit.stream.write_all(answer.as_bytes()).await?;
                if answer == leaves {
                    // Half of the connection stays open.
                    visit.stream.shutdown().await?;
                }
                visit.gone().await
            })
        })
        .await;
        let transport = transport();
        for _ in 0..2 {
            let exchange = post(&transport, endpoint.address).await;
            assert_eq!(result(&exchange), Ok(200), "{answer}");
            assert_eq!(exchange.trace.response, b"ok");
        }
        assert_eq!(endpoint.counts(), (2, 2));
    }
}

#[tokio::test]
async fn connections_are_kept_up_to_the_limit_and_closed_when_descriptors_are_needed() {
    let endpoint = Endpoint::start(|mut visit| {
        Box::pin(async move {
            loop {
                visit.request().await?;
                visit.stream.write_all(OK.as_bytes()).await?;
            }
        })
    })
    .await;
    let guard = transport().guard().clone();
    let limits = TransportLimits {
        idle_connections_max: 3,
        ..TransportLimits::default()
    };
    let transport = Transport::new(guard, limits).unwrap();
    for connections in [5, 7] {
        let all = (0..5).map(|_| post(&transport, endpoint.address));
        for exchange in futures_util::future::join_all(all).await {
            assert_eq!(result(&exchange), Ok(200));
        }
        assert_eq!(endpoint.counts().0, connections);
    }
    transport.pool.clear();
    post(&transport, endpoint.address).await.result.unwrap();
    assert_eq!(endpoint.counts().0, 8);
}

/// A listener whose queue is full: further connections to it are neither made nor refused.
async fn swallowing() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(connected.unwrap());
    }
    (address, waiting, listener)
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn an_address_that_swallows_packets_delays_the_others_little() {
    let (swallowing, _waiting, _listener) = swallowing().await;
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = (open.local_addr().unwrap(), open);
    let closed = closed().await;
    let started = tokio::time::Instant::now();
    let (_, address) = connect::dial(&[swallowing, closed, open.0]).await.unwrap();
    assert_eq!(address, open.0);
    assert!(started.elapsed() < Duration::from_secs(1));
    let error = connect::dial(&[closed, closed]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_failure_before_the_request_tells_its_phase() {
    let (swallowing, _waiting, _listener) = swallowing().await;
    let transport = transport_within(Duration::from_millis(300));
    let exchange = post(&transport, swallowing).await;
    assert_failed(&exchange, Connect, "no connection within 0.3 s");
    assert_eq!(exchange.trace.connect, None);

    let closed = closed().await;
    let exchange = post(&transport, closed).await;
    assert_failed(&exchange, Connect, "refused");

    // It accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let exchange = post_to(&transport, &url).await;
    assert_failed(&exchange, Tls, "did not end");
    assert!(exchange.trace.connect.is_some() && exchange.trace.tls.is_none());

    let exchange = post_to(&transport, "http://nowhere.invalid/").await;
    assert_failed(&exchange, Dns, "host name");

    let blocked = post_to(&transport, "http://10.0.0.1/").await;
    assert_failed(
        &blocked,
        FailureClass::Blocked,
        "--webhook-allow 10.0.0.1/32",
    );
    assert_eq!(blocked.trace.address, Some("private"));
}

#[test]
fn want_of_descriptors_or_ports_is_not_the_endpoints_fault() {
    for (kind, part) in [
        (io::Error::from_raw_os_error(24), "file descriptor"),
        (io::Error::from_raw_os_error(23), "file descriptor"),
        (io::ErrorKind::AddrNotAvailable.into(), "no free port"),
        (io::ErrorKind::OutOfMemory.into(), "cannot make"),
    ] {
        let failure = fault::of_connect(&kind);
        assert_eq!(failure.class, Internal);
        assert!(failure.detail.contains(part), "{}", failure.detail);
        let lookup = crate::guard::LookupError::Failed(kind);
        assert_eq!(fault::of_lookup(&lookup).class, Internal);
    }
}

#[tokio::test]
async fn a_redirect_is_told_shortened_and_without_what_may_be_secret() {
    let long = format!("https://example.com/{}", "ü".repeat(200));
    for (location, told) in [
        (
            "https://user:password@example.com:8443/next?token=secret#part",
            " to https://example.com:8443/next, which is not followed",
        ),
        ("/next?token=secret", " to /next, which is not followed"),
        ("//other/a#secret", " to //other/a, which is not followed"),
        (&*long, "%C3%BC"),
    ] {
        let answer = format!(
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        );
        let endpoint = Endpoint::answering(answer).await;
        let reply = post(&transport(), endpoint.address).await.result.unwrap();
        let words = reply.describe();
        assert!(words.contains(told) && words.len() < 300, "{words}");
        assert!(
            !words.contains("secret") && !words.contains("password"),
            "{words}"
        );
    }
    let endpoint = Endpoint::answering(OK.replace("\r\nco", "\r\nlocation: /x\r\nco")).await;
    let reply = post(&transport(), endpoint.address).await.result.unwrap();
    assert_eq!(reply.describe(), "the endpoint answered 200 OK");
}
