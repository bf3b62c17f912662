//! STOMP frames over a WebSocket, in both directions.

use std::time::Duration;

use axum::extract::ws::{Message as WsMessage, WebSocket};
use tokio::time::timeout;

use super::stomp::{Decoder, Frame, FrameError, Version, encode};

/// Time that one frame may take to be written.
const WRITE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    socket: WebSocket,
    decoder: Decoder,
    /// What was negotiated; `None` before.
    version: Option<Version>,
}

/// Why a socket is closed.
pub(super) enum End {
    /// The client is told by an `ERROR` frame.
    Error(String),
    /// The client is gone, or said goodbye.
    Quiet,
}

impl End {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self::Error(message.into())
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Error(error.to_string())
    }
}

impl Connection {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            version: None,
        }
    }

    /// Waits for the first frame.
    pub(super) async fn first_frame(&mut self) -> Result<Frame, End> {
        loop {
            self.hear().await?;
            if let Some(frame) = self.next_frame()? {
                return Ok(frame);
            }
        }
    }

    /// The next frame of what was heard, if it is complete.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, End> {
        Ok(self.decoder.next(self.version)?)
    }

    /// Waits until the client says something, a heart-beat included. Cancel safety: nothing is lost.
    pub(super) async fn hear(&mut self) -> Result<(), End> {
        let Some(Ok(message)) = self.socket.recv().await else {
            return Err(End::Quiet);
        };
        match message {
            WsMessage::Text(text) => self.decoder.push(text.as_bytes()),
            WsMessage::Binary(bytes) => self.decoder.push(&bytes),
            WsMessage::Ping(_) | WsMessage::Pong(_) => {}
            WsMessage::Close(_) => return Err(End::Quiet),
        }
        Ok(())
    }

    /// Answers a `CONNECT` that asked for this version; it is spoken from now on.
    pub(super) async fn connected(
        &mut self,
        version: Version,
        headers: &[(&str, &str)],
    ) -> Result<(), End> {
        self.version = Some(version);
        self.send_frame("CONNECTED", headers, "").await
    }

    /// Sends the receipt that the client asked for in `frame`, if it did.
    pub(super) async fn receipt(&mut self, frame: &Frame) -> Result<(), End> {
        match frame.header("receipt") {
            Some(receipt) => {
                let headers = [("receipt-id", receipt)];
                self.send_frame("RECEIPT", &headers, "").await
            }
            None => Ok(()),
        }
    }

    pub(super) async fn send_frame(
        &mut self,
        command: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(), End> {
        let version = self.version.unwrap_or(Version::V1_2);
        let text = encode(version, command, headers, body);
        self.send(WsMessage::Text(text.into())).await
    }

    pub(super) async fn send(&mut self, message: WsMessage) -> Result<(), End> {
        let sent = timeout(WRITE_MAX, self.socket.send(message)).await;
        sent.map_err(|_| End::Quiet)?.map_err(|_| End::Quiet)
    }

    /// Says why it is the end, if the client does not know, and closes.
    pub(super) async fn close(&mut self, because: Result<(), End>) {
        if let Err(End::Error(message)) = because {
            let headers = [
                ("message", message.as_str()),
                ("content-type", "text/plain"),
            ];
            // A client that is gone needs no answer.
            let _ = self.send_frame("ERROR", &headers, &message).await;
        }
        let _ = self.send(WsMessage::Close(None)).await;
    }
}
