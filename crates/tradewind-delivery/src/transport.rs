//! Makes the HTTP request of an attempt, and tells how each of its phases went.
//!
//! One deadline covers everything from the lookup of the name to the last byte of the answer, and one
//! limit all bytes of the answer, its head and what comes before its head included. Connections go only
//! to addresses that the [`Guard`](crate::guard) has judged; redirects are not followed; proxies that the
//! environment names are not used, as a proxy would connect where the guard cannot look.
//!
//! It is HTTP/1.1 over connections of our own, kept open for a while between requests. An endpoint may
//! close such a connection at the very moment a request is sent on it. When not one byte of an answer was
//! read, the request is sent once more on a fresh connection, as part of the same attempt: nothing was
//! answered, and a receiver knows a repetition by its `webhook-id`.

mod connect;
mod connection;
mod endpoint;
mod fault;
mod pool;
mod retry_after;
mod stream;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;
use tradewind_model::Timestamp;
use url::{Position, Url};

use crate::{
    attempt::{Failure, FailureClass},
    guard::Guard,
};
use connect::Connector;
use connection::Connection;
use pool::Pool;

pub use endpoint::Endpoint;

/// Bytes of the head of a response, informational ones before it included.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a response body that are kept for whoever looks at the attempt, unless its reader wants more.
pub const RESPONSE_KEPT_MAX: usize = 1 << 10;

/// What is told of a `Location`, in bytes.
const LOCATION_BYTES_MAX: usize = 200;

#[derive(Clone, Copy, Debug)]
pub struct TransportLimits {
    /// Longest time of a whole exchange.
    pub deadline: Duration,
    /// Bytes of a response body that are read; the rest is left.
    pub body_bytes_max: usize,
    /// Bytes of a response body that are kept, for whoever looks at the attempt.
    pub response_kept_max: usize,
    /// Connections to one host that are kept open between requests.
    pub idle_connections_max: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            body_bytes_max: 64 << 10,
            response_kept_max: RESPONSE_KEPT_MAX,
            idle_connections_max: 64,
        }
    }
}

/// Posts to URLs that users chose. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Transport {
    connector: Arc<Connector>,
    pool: Arc<Pool>,
    limits: TransportLimits,
}

/// The host's roots of trust could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("no TLS certificates to trust")]
pub struct TrustError(#[from] rustls::Error);

/// What came of a request, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub result: Result<Reply, Failure>,
    pub trace: Trace,
}

/// A response whose head and body arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// What the `Retry-After` header asks for, counted from now.
    pub retry_after: Option<Duration>,
    /// Where a redirect points, shortened and without what may be secret; empty if it is none.
    pub location: String,
}

/// What an attempt showed on its way. Phases that did not happen are `None`: those of a connection that
/// was open already, and those that a failure came before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The kind of the address: "public", "loopback", "private" …; never the address itself.
    pub address: Option<&'static str>,
    /// Whether an open connection was used again.
    pub reused: bool,
    /// The lookup of the name; of an address that needs none, `None`.
    pub dns: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    /// From the first byte sent to the head of the answer.
    pub first_byte: Option<Duration>,
    pub total: Duration,
    /// The first bytes of the response body, [`TransportLimits::response_kept_max`] at most.
    pub response: Vec<u8>,
}

/// Why a connection gave no reply.
enum Broken {
    /// It ended before a byte of an answer.
    Unanswered,
    Failed(Failure),
}

impl Transport {
    pub fn new(guard: Guard, limits: TransportLimits) -> Result<Self, TrustError> {
        Ok(Self {
            connector: Arc::new(Connector::new(guard)?),
            pool: Arc::new(Pool::new(limits.idle_connections_max)),
            limits,
        })
    }

    /// The same, with the same connections, that keeps so much of a response body.
    #[must_use]
    pub fn keeping(&self, bytes: usize) -> Self {
        let mut other = self.clone();
        other.limits.response_kept_max = bytes;
        other
    }

    pub fn guard(&self) -> &Guard {
        self.connector.guard()
    }

    /// Posts `body` and reads the answer. `now` dates a `Retry-After` that is a date.
    pub async fn post(
        &self,
        endpoint: &Endpoint,
        headers: HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Exchange {
        let started = Instant::now();
        let mut trace = Trace::default();
        let exchange = Box::pin(self.exchange(endpoint, headers, body, now, &mut trace));
        let result = tokio::time::timeout(self.limits.deadline, exchange).await;
        let result = result.unwrap_or_else(|_| Err(self.late(endpoint.url(), &trace)));
        trace.total = started.elapsed();
        Exchange { result, trace }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        headers: HeaderMap,
        body: Bytes,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Result<Reply, Failure> {
        let request = endpoint.request(headers, body)?;
        if let Some(connection) = self.pool.take(endpoint.origin()).await {
            trace.reused = true;
            trace.address = Some(connection.address());
            match self
                .converse(endpoint, connection, request.clone(), now, trace)
                .await
            {
                Ok(reply) => return Ok(reply),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Unanswered) => *trace = Trace::default(),
            }
        }
        let connection = match self.connector.connect(endpoint.url(), trace).await {
            Ok(connection) => connection,
            Err(failure) => {
                if failure.class == FailureClass::Internal {
                    self.pool.clear();
                }
                return Err(failure);
            }
        };
        match self
            .converse(endpoint, connection, request, now, trace)
            .await
        {
            Ok(reply) => Ok(reply),
            Err(Broken::Failed(failure)) => Err(failure),
            Err(Broken::Unanswered) => Err(fault::unanswered()),
        }
    }

    /// One request and its answer on `connection`, which is kept for others if it can be.
    async fn converse(
        &self,
        endpoint: &Endpoint,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Result<Reply, Broken> {
        let sent = Instant::now();
        connection.allow(HEAD_BYTES_MAX + self.limits.body_bytes_max);
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(_) if connection.nothing_was_read() => return Err(Broken::Unanswered),
            Err(error) => {
                let failure = fault::of_head(&error, connection.is_spent());
                return Err(Broken::Failed(failure));
            }
        };
        trace.first_byte = Some(sent.elapsed());
        let (head, body) = response.into_parts();
        let whole = self.read(body, &mut connection, trace).await;
        let whole = whole.map_err(|failure| {
            Broken::Failed(Failure {
                status: Some(head.status.as_u16()),
                ..failure
            })
        })?;
        if whole && !connection.is_over() {
            self.pool.give(endpoint.origin(), connection);
        }
        Ok(Reply {
            status: head.status,
            retry_after: retry_after::parse(&head.headers, now),
            location: location(head.status, &head.headers),
        })
    }

    /// Reads the body up to the limit, and says whether that was all. Where it was not, the connection
    /// is of no further use: the rest is not drained.
    async fn read(
        &self,
        mut body: Incoming,
        connection: &mut Connection,
        trace: &mut Trace,
    ) -> Result<bool, Failure> {
        let mut read = 0;
        while let Some(frame) = connection.frame(&mut body).await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(_) if connection.is_spent() => return Ok(false),
                Err(error) => return Err(fault::of_body(&error)),
            };
            let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
            let room = self.limits.response_kept_max - trace.response.len();
            trace
                .response
                .extend_from_slice(&data[..data.len().min(room)]);
            read += data.len();
            if read > self.limits.body_bytes_max {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The deadline passed: the class is that of the phase it passed in.
    fn late(&self, url: &Url, trace: &Trace) -> Failure {
        let (class, what) = if trace.first_byte.is_some() {
            (FailureClass::Timeout, "no complete answer")
        } else if trace.reused {
            (FailureClass::Timeout, "no answer")
        } else if trace.address.is_none() {
            (FailureClass::Dns, "no address for the host name")
        } else if trace.connect.is_none() {
            (FailureClass::Connect, "no connection")
        } else if url.scheme() == "https" && trace.tls.is_none() {
            (FailureClass::Tls, "the TLS handshake did not end")
        } else {
            (FailureClass::Timeout, "no answer")
        };
        let seconds = self.limits.deadline.as_secs_f32();
        Failure::new(class, format!("{what} within {seconds} s"))
    }
}

impl Reply {
    /// The answer in words, for whoever wonders why it is not a success.
    pub fn describe(&self) -> String {
        let Self {
            status, location, ..
        } = self;
        if location.is_empty() {
            format!("the endpoint answered {status}")
        } else {
            format!("the endpoint answered {status} to {location}, which is not followed")
        }
    }
}

/// Scheme, host and path of where a redirect points: a query can hold a token.
fn location(status: StatusCode, headers: &HeaderMap) -> String {
    let Some(location) = headers.get(header::LOCATION) else {
        return String::new();
    };
    if !status.is_redirection() {
        return String::new();
    }
    let text = String::from_utf8_lossy(location.as_bytes());
    let shown = match Url::parse(&text) {
        Ok(url) => format!(
            "{}{}",
            &url[..Position::BeforeUsername],
            &url[Position::BeforeHost..Position::AfterPath]
        ),
        Err(_) => text.split(['?', '#']).next().unwrap_or_default().to_owned(),
    };
    let end = shown.floor_char_boundary(LOCATION_BYTES_MAX);
    shown[..end].escape_debug().to_string()
}

#[cfg(test)]
mod tests;
