//! Accepts connections and speaks HTTP on them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, http::header};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;

use crate::{api::auth::Peer, app::ConnectionPermit, lifecycle::Tasks, routes::Routes};

/// Time that a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// Time that a client may leave an answer unread before its connection is closed.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long to wait when no connection can be accepted, such as when file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until shutdown. The connections end by themselves, and shutdown waits for them.
pub(crate) async fn accept(
    listener: TcpListener,
    routes: Routes,
    connections_max: usize,
    tasks: Tasks,
) {
    let permits = Arc::new(Semaphore::new(connections_max));
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let accepted = tokio::select! {
            biased;
            () = tasks.stopping() => break,
            accepted = next => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, peer))) => {
                let place = (permit, Peer { address: peer.ip() });
                serve(stream, place, routes.clone(), &tasks);
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => unreachable!("the semaphore is never closed"),
        }
    }
}

fn serve(
    stream: TcpStream,
    (permit, peer): (OwnedSemaphorePermit, Peer),
    routes: Routes,
    tasks: &Tasks,
) {
    // Answers are small and written at once; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD_MAX));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX);
    let permit = ConnectionPermit(Arc::new(permit));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        // Only who becomes something else than HTTP keeps the place.
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(permit.clone());
        }
        let answer = routes.clone().answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = builder
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    let stopping = tasks.stop_token();
    tasks.spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // A client that goes away, or speaks something else, is no event of the server's.
        let ended = stopping.run_until_cancelled(connection.as_mut()).await;
        if ended.is_none() {
            // The request under way is answered, and no further one is read.
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    });
}
