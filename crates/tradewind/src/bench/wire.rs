//! Bare HTTP/1.1 connections, for the parts that shall cost as little as they can.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::part::Orders;
use crate::lifecycle::Tasks;

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Opens a connection, which `tasks` drives.
pub(super) async fn connect(address: SocketAddr, tasks: &Tasks) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tasks.spawn(async move {
        // Whoever waits for an answer hears of it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends a request when the connection is ready for it, and reads the whole answer.
pub(super) async fn ask(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(StatusCode, Bytes)> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, body))
}

/// Answers requests until there are no orders any more. `open` makes what answers those of one connection.
pub(super) async fn serve<H, F>(
    listener: TcpListener,
    mut open: impl FnMut() -> H,
    mut orders: Orders,
) where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let tasks = Tasks::default();
    loop {
        let accepted = tokio::select! {
            order = orders.recv() => match order {
                Some(_) => continue,
                None => return,
            },
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let answer = open();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tasks.spawn(async move {
            let _ = connection.await;
        });
    }
}

pub(super) fn failed() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
