//! One open connection to an endpoint, which carries one request at a time.
//!
//! It has no task of its own: whoever waits for an answer does the reading and writing meanwhile. That
//! saves three wake-ups between threads for each event. While it is kept for the next request, nothing
//! is done on it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http1::{self, Builder, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{
    HEAD_BYTES_MAX,
    stream::{Allowance, Socket, Stream},
};

/// Longest wait for a connection that was given back to be ready for the next request: it only has to
/// notice that the last one is over.
const READY_MAX: Duration = Duration::from_millis(100);

/// Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    carrier: Carrier,
    allowance: Allowance,
    allowed: usize,
    /// The kind of the address at the other end.
    address: &'static str,
}

/// Reads and writes while something else is waited for.
#[derive(Debug)]
struct Carrier(Option<Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>>);

impl Carrier {
    /// Waits for `wanted`, which what is read or written here brings about.
    async fn carry<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        poll_fn(|context| {
            if let Some(connection) = &mut self.0
                && let Poll::Ready(ended) = Pin::new(&mut **connection).poll(context)
            {
                // Whoever waits is told the error too.
                drop(ended);
                self.0 = None;
            }
            wanted.as_mut().poll(context)
        })
        .await
    }
}

impl Connection {
    pub(super) async fn new(socket: Socket, address: &'static str) -> hyper::Result<Self> {
        let allowance = Allowance::new(AtomicUsize::new(HEAD_BYTES_MAX));
        let stream = TokioIo::new(Stream::new(socket, Allowance::clone(&allowance)));
        let (sender, carrier) = Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(stream)
            .await?;
        Ok(Self {
            sender,
            carrier: Carrier(Some(Box::new(carrier))),
            allowance,
            allowed: HEAD_BYTES_MAX,
            address,
        })
    }

    pub(super) fn address(&self) -> &'static str {
        self.address
    }

    /// Whether it is known by now that it can carry no other request: the other end closes it.
    pub(super) fn is_over(&mut self) -> bool {
        let Self {
            sender, carrier, ..
        } = self;
        let ready = carrier.carry(sender.ready()).now_or_never();
        matches!(ready, Some(Err(_)))
    }

    /// Whether it can carry another request. Cancel safety: it can be asked again.
    pub(super) async fn is_ready(&mut self) -> bool {
        let Self {
            sender, carrier, ..
        } = self;
        let mut ready = pin!(carrier.carry(sender.ready()));
        let ready = match ready.as_mut().now_or_never() {
            Some(ready) => Ok(ready),
            None => tokio::time::timeout(READY_MAX, ready).await,
        };
        matches!(ready, Ok(Ok(())))
    }

    /// Lets the next answer be of so many bytes.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.allowed = bytes;
        self.allowance.store(bytes, Ordering::Relaxed);
    }

    /// Whether what [`Self::allow`] allowed is used up.
    pub(super) fn is_spent(&self) -> bool {
        self.allowance.load(Ordering::Relaxed) == 0
    }

    pub(super) fn nothing_was_read(&self) -> bool {
        self.allowance.load(Ordering::Relaxed) == self.allowed
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        self.carrier.carry(answer).await
    }

    /// The next part of the body of the answer; `None` at its end.
    pub(super) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<hyper::Result<Frame<Bytes>>> {
        self.carrier.carry(body.frame()).await
    }
}
