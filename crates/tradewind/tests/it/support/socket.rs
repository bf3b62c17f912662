//! A client of the live updates: STOMP frames as text over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::{SOON, server::Server};

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The sub-protocol that the server chose.
    pub(crate) protocol: String,
}

impl Socket {
    /// A socket that has said nothing yet.
    pub(crate) async fn open(server: &Server) -> Self {
        let url = format!("ws://{}/ws.chatplugin", server.address);
        let mut request = url.into_client_request().unwrap();
        let offered = "v10.stomp, v11.stomp, v12.stomp".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", offered);
        let (stream, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        let protocol = &response.headers()["sec-websocket-protocol"];
        Self {
            protocol: protocol.to_str().unwrap().to_owned(),
            stream,
        }
    }

    /// A socket whose `CONNECT` with this token was accepted.
    pub(crate) async fn connect(server: &Server, token: &str) -> Self {
        let mut socket = Self::open(server).await;
        let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{token}\n\n\0");
        socket.send(&connect).await;
        let connected = socket.frame().await;
        assert!(connected.starts_with("CONNECTED\n"), "{connected}");
        socket
    }

    /// A connected socket that hears of messages from now on.
    pub(crate) async fn listen(server: &Server, token: &str) -> Self {
        let mut socket = Self::connect(server, token).await;
        socket.subscribe("0").await;
        socket
    }

    /// Subscribes under this id, and waits until the server has.
    pub(crate) async fn subscribe(&mut self, id: &str) {
        let destination = "destination:/user/queue/message";
        self.ask(&format!("SUBSCRIBE\nid:{id}\n{destination}"))
            .await;
    }

    /// Sends a frame without a body, and waits for its receipt.
    pub(crate) async fn ask(&mut self, head: &str) {
        self.send(&format!("{head}\nreceipt:done\n\n\0")).await;
        assert_eq!(self.frame().await, "RECEIPT\nreceipt-id:done\n\n\0");
    }

    /// Sends a text message.
    pub(crate) async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        // The server may have closed the socket, which a test sees when it reads.
        let _ = self.stream.send(message).await;
    }

    /// The next frame; heart-beats and pings are passed over.
    pub(crate) async fn frame(&mut self) -> String {
        loop {
            let text = self.next(SOON).await.expect("a frame, not the end");
            if text != "\n" {
                return text;
            }
        }
    }

    /// The header `message` of the next frame, which must be an `ERROR`.
    pub(crate) async fn error(&mut self) -> String {
        let frame = self.frame().await;
        let head = frame.split("\n\n").next().unwrap_or_default();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("ERROR"), "{frame}");
        let message = lines.find_map(|line| line.strip_prefix("message:"));
        message.expect("an ERROR has a message").to_owned()
    }

    /// Waits for the end; whatever still comes before it is passed over.
    pub(crate) async fn end(&mut self) {
        while self.next(SOON).await.is_some() {}
    }

    /// The next text, heart-beats included; `None` when the socket is closed.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<String> {
        let text = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        let text = tokio::time::timeout(patience, text).await;
        text.expect("something should have come, or the end")
    }
}
