//! One open connection to an endpoint, which carries one request at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

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
    allowance: Allowance,
    allowed: usize,
    /// The kind of the address at the other end.
    address: &'static str,
    _carrier: AbortOnDropHandle<()>,
}

impl Connection {
    pub(super) async fn new(socket: Socket, address: &'static str) -> hyper::Result<Self> {
        let allowance = Allowance::new(AtomicUsize::new(HEAD_BYTES_MAX));
        let stream = TokioIo::new(Stream::new(socket, Allowance::clone(&allowance)));
        let (sender, carrier) = Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(stream)
            .await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with its connection, which ends with the attempt or the pool"
        )]
        // Its error is told to whoever waits for the answer.
        let carrier = tokio::spawn(async move { drop(carrier.await) });
        Ok(Self {
            sender,
            allowance,
            allowed: HEAD_BYTES_MAX,
            address,
            _carrier: AbortOnDropHandle::new(carrier),
        })
    }

    pub(super) fn address(&self) -> &'static str {
        self.address
    }

    /// Whether it can carry another request. Cancel safety: it can be asked again.
    pub(super) async fn is_ready(&mut self) -> bool {
        let ready = tokio::time::timeout(READY_MAX, self.sender.ready()).await;
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
        self.sender.send_request(request).await
    }
}
