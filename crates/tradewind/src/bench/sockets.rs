//! Visitors' pages: sockets that wait for messages of their conversations.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use super::{
    clock,
    latency::{Latency, Spans},
    load::Visitors,
    part::{self, Orders, Said},
    text::Stamp,
};
use crate::lifecycle::Tasks;

/// Sockets that are opened at once.
const OPENINGS_MAX: usize = 64;

/// Whose sockets, and where.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pages {
    pub(super) server: std::net::SocketAddr,
    pub(super) visitors: Visitors,
}

/// What the sockets have got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) messages: u64,
    /// Sockets that the server closed.
    pub(crate) closed: u64,
    /// From when each message was to be sent to its arrival.
    pub(crate) latency: Latency,
}

struct Ears {
    messages: u64,
    closed: u64,
    spans: Spans,
}

/// What a socket is given to read into; the library's own would take a gigabyte for all.
const BUFFER_BYTES: usize = 4 << 10;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens all, says that they are open, and at each order what they have got.
pub(super) async fn run(pages: Pages, mut orders: Orders) -> anyhow::Result<()> {
    let ears = Arc::new(Mutex::new(Ears {
        messages: 0,
        closed: 0,
        spans: Spans::new()?,
    }));
    let tasks = Tasks::default();
    let opened = stream::iter(0..pages.visitors.conversations)
        .map(|conversation| open(&pages, conversation))
        .buffer_unordered(OPENINGS_MAX)
        .try_for_each(|socket| {
            tasks.spawn(listen(socket, Arc::clone(&ears)));
            std::future::ready(Ok(()))
        });
    opened.await?;
    part::say(&Said::Ready)?;
    while orders.recv().await.is_some() {
        let heard = {
            let ears = ears.lock().unwrap_or_else(PoisonError::into_inner);
            Heard {
                messages: ears.messages,
                closed: ears.closed,
                latency: ears.spans.latency(),
            }
        };
        part::say(&Said::Heard(heard))?;
    }
    Ok(())
}

/// A socket that is subscribed.
async fn open(pages: &Pages, conversation: u32) -> anyhow::Result<Socket> {
    let token = pages.visitors.token(conversation);
    let mut request = format!("ws://{}/ws.chatplugin", pages.server).into_client_request()?;
    let offered = "v12.stomp".parse()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", offered);
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES);
    let (mut socket, _) = connect_async_with_config(request, Some(config), true).await?;
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{token}\n\n\0");
    ask(&mut socket, connect, "CONNECTED").await?;
    let subscribe = "SUBSCRIBE\nid:0\ndestination:/user/queue/message\nreceipt:1\n\n\0";
    ask(&mut socket, subscribe.to_owned(), "RECEIPT").await?;
    Ok(socket)
}

async fn ask(socket: &mut Socket, frame: String, expected: &str) -> anyhow::Result<()> {
    socket.send(Message::text(frame)).await?;
    let answer = socket.next().await.context("a socket was closed")??;
    let answer = answer.into_text()?;
    ensure!(
        answer.starts_with(expected),
        "a socket got {answer:?} instead of {expected}"
    );
    Ok(())
}

async fn listen(mut socket: Socket, ears: Arc<Mutex<Ears>>) {
    while let Some(Ok(message)) = socket.next().await {
        let now = clock::now();
        if let Some(stamp) = Stamp::find(&message.into_data()) {
            let mut ears = ears.lock().unwrap_or_else(PoisonError::into_inner);
            ears.messages += 1;
            ears.spans.add(now.saturating_sub(stamp.at));
        }
    }
    ears.lock().unwrap_or_else(PoisonError::into_inner).closed += 1;
}
