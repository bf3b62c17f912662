//! A client of the live updates: STOMP frames as text over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::{
    SOON,
    server::{Server, TOKEN},
};

/// A header of a frame, empty if it has none of that name.
pub(crate) fn header<'a>(frame: &'a str, name: &str) -> &'a str {
    let (head, _) = frame.split_once("\n\n").unwrap();
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers
        .find(|(other, _)| *other == name)
        .map_or("", |(_, value)| value)
}

/// The body of a frame as JSON.
pub(crate) fn body(frame: &str) -> Value {
    let (_, body) = frame.split_once("\n\n").unwrap();
    serde_json::from_str(body.trim_end_matches('\0')).unwrap()
}

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The sub-protocol that the server chose.
    pub(crate) protocol: String,
}

impl Socket {
    /// A visitor's socket that has said nothing yet.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::open_at(server, "ws.chatplugin", None).await
    }

    /// A socket at this path that has said nothing yet, with this token in the HTTP request.
    pub(crate) async fn open_at(server: &Server, path: &str, token: Option<&str>) -> Self {
        let url = format!("ws://{}/{path}", server.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        let offered = "v10.stomp, v11.stomp, v12.stomp".parse().unwrap();
        headers.insert("sec-websocket-protocol", offered);
        if let Some(token) = token {
            headers.insert("authorization", token.parse().unwrap());
        }
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

    /// An agent's socket whose `CONNECT` was accepted, and the cursor it was given.
    pub(crate) async fn connect_agent(server: &Server, token: &str) -> (Self, String) {
        let mut socket = Self::open_at(server, "ws.communication", None).await;
        let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{token}\n\n\0");
        socket.send(&connect).await;
        let connected = socket.frame().await;
        assert!(connected.starts_with("CONNECTED\n"), "{connected}");
        (socket, header(&connected, "cursor").to_owned())
    }

    /// An agent's socket that hears these destinations from now on; each is its subscription's id too.
    pub(crate) async fn agent(server: &Server, destinations: &[&str]) -> Self {
        let (mut socket, _) = Self::connect_agent(server, TOKEN).await;
        for destination in destinations {
            socket.subscribe_to(destination, destination).await;
        }
        socket
    }

    /// Subscribes to a visitor's queue under this id, and waits until the server has.
    pub(crate) async fn subscribe(&mut self, id: &str) {
        self.subscribe_to(id, "/user/queue/message").await;
    }

    /// Subscribes under this id, and waits until the server has.
    pub(crate) async fn subscribe_to(&mut self, id: &str, destination: &str) {
        self.ask(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}"))
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

    /// What the next frame, which must be a `MESSAGE`, tells: its destination and its body.
    pub(crate) async fn told(&mut self) -> (String, Value) {
        let frame = self.frame().await;
        assert!(frame.starts_with("MESSAGE\n"), "{frame}");
        (header(&frame, "destination").to_owned(), body(&frame))
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
