//! A visitor's socket: STOMP over WebSocket at `/ws.chatplugin`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message as WsMessage, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tradewind_model::{ChannelId, ConversationId, LogEntry};
use tradewind_sources::chat_plugin::{Purpose, Session};

use crate::{
    api::{auth, error::ApiError, view::MessageView},
    app::{App, ConnectionPermit},
    live::{
        hub::Listening,
        stomp::{Decoder, FRAME_BYTES_MAX, Frame, FrameError, Version},
    },
};

/// Where a visitor hears of messages.
const QUEUE: &str = "/user/queue/message";
/// Time that a client has from opening the socket to its `CONNECT`.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Subscriptions on one socket.
const SUBSCRIPTIONS_MAX: usize = 16;
/// Heart-beats go as often as a client wants within these.
const HEART_BEAT_MIN: Duration = Duration::from_secs(1);
const HEART_BEAT_MAX: Duration = Duration::from_mins(1);
/// How often a client without heart-beats is pinged.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Silence of this many of its intervals means that a client is gone.
const SILENT_INTERVALS_MAX: u32 = 3;
/// Room for what is read from a socket at first, enough for most frames; it grows with what comes. Each
/// open page costs that much.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Time that one frame may take to be written.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// What a frame for the visitor carries.
#[derive(Debug, Serialize)]
struct Update {
    conversation_id: ConversationId,
    channel_id: ChannelId,
    message: MessageView,
}

/// Why a socket is closed.
enum End {
    /// The client is told by an `ERROR` frame.
    Error(String),
    /// The client is gone, or said goodbye.
    Quiet,
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Error(error.to_string())
    }
}

pub(crate) async fn chat_plugin(
    State(app): State<App>,
    place: Option<Extension<ConnectionPermit>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return ApiError::NotWebSocket.into_response();
    };
    let protocols = ["v12.stomp", "v11.stomp", "v10.stomp"];
    let upgrade = upgrade
        .protocols(protocols)
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX);
    // One keeps shutdown waiting until the socket is closed, the other its place among the connections.
    let permit = app.tasks.permit();
    upgrade.on_upgrade(async move |socket| {
        let mut connection = Connection {
            socket,
            decoder: Decoder::default(),
            version: None,
        };
        if let Err(End::Error(message)) = connection.serve(&app).await {
            connection.refuse(&message).await;
        }
        let _ = timeout(WRITE_MAX, connection.socket.send(WsMessage::Close(None))).await;
        drop((permit, place));
    })
}

struct Connection {
    socket: WebSocket,
    decoder: Decoder,
    /// What was negotiated; `None` before.
    version: Option<Version>,
}

/// A client after its `CONNECT`.
struct Visitor {
    conversation: ConversationId,
    /// Ids of its subscriptions to the queue.
    subscriptions: Vec<String>,
    listening: Option<Listening>,
    pace: Pace,
    /// Number of the next `MESSAGE` on this socket.
    next_message: u64,
}

/// Who beats how often.
struct Pace {
    /// We send something at least this often.
    send_every: Duration,
    /// What we send when we have nothing to say.
    beat: WsMessage,
    /// After this much silence the client is gone.
    silence_max: Duration,
}

impl Connection {
    async fn serve(&mut self, app: &App) -> Result<(), End> {
        let connect = timeout(CONNECT_MAX, self.first_frame());
        let connect = connect
            .await
            .map_err(|_| End::Error("no CONNECT in time".to_owned()))??;
        let (session, pace) = self.accept(app, &connect).await?;
        let conversation =
            tradewind_model::Conversation::id_of(session.channel_id, &session.id.to_string());
        let mut visitor = Visitor {
            conversation,
            subscriptions: Vec::new(),
            listening: None,
            pace,
            next_message: 1,
        };
        let mut heard_at = Instant::now();
        let mut beat_at = heard_at + visitor.pace.send_every;
        loop {
            // What came with the last message, the CONNECT's included, is answered before the next.
            while let Some(frame) = self.decoder.next(self.version)? {
                self.answer(app, &mut visitor, &frame).await?;
            }
            tokio::select! {
                biased;
                () = app.tasks.stopping() => return Ok(()),
                incoming = self.socket.recv() => {
                    heard_at = Instant::now();
                    self.take(incoming)?;
                }
                entry = next(&mut visitor.listening) => {
                    let entry = entry.ok_or(End::Error("too slow: read on after reconnecting".to_owned()))?;
                    self.tell(&mut visitor, &entry).await?;
                    beat_at = Instant::now() + visitor.pace.send_every;
                }
                () = tokio::time::sleep_until(beat_at) => {
                    self.send(visitor.pace.beat.clone()).await?;
                    beat_at = Instant::now() + visitor.pace.send_every;
                }
                () = tokio::time::sleep_until(heard_at + visitor.pace.silence_max) => return Err(End::Quiet),
            }
        }
    }

    async fn first_frame(&mut self) -> Result<Frame, End> {
        loop {
            let incoming = self.socket.recv().await;
            self.take(incoming)?;
            if let Some(frame) = self.decoder.next(None)? {
                return Ok(frame);
            }
        }
    }

    /// Checks the `CONNECT` and answers it.
    async fn accept(&mut self, app: &App, frame: &Frame) -> Result<(Session, Pace), End> {
        if !matches!(frame.command.as_str(), "CONNECT" | "STOMP") {
            return Err(End::Error("the first frame must be CONNECT".to_owned()));
        }
        let version = Version::negotiate(frame.header("accept-version")).ok_or(End::Error(
            "supported protocol versions are 1.0, 1.1 and 1.2".to_owned(),
        ))?;
        let token = frame
            .header("Authorization")
            .or_else(|| frame.header("authorization"));
        let token = token.map(auth::strip_bearer).unwrap_or_default();
        let session = app
            .session_tokens
            .verify(token, Purpose::Visit, app.clock.now())
            .map_err(|error| End::Error(format!("401 Unauthorized: {error}")))?;
        let (pace, heart_beat) = negotiate_heart_beat(frame.header("heart-beat"));
        let mut headers = vec![
            ("version", version.name()),
            ("heart-beat", heart_beat.as_str()),
        ];
        if version == Version::V1_0 {
            headers.push(("session", "visitor"));
        }
        self.version = Some(version);
        self.send_frame(&Frame::new("CONNECTED", &headers)).await?;
        Ok((session, pace))
    }

    async fn answer(&mut self, app: &App, visitor: &mut Visitor, frame: &Frame) -> Result<(), End> {
        match frame.command.as_str() {
            "SUBSCRIBE" => subscribe(app, visitor, frame)?,
            "UNSUBSCRIBE" => unsubscribe(visitor, frame),
            "DISCONNECT" => {
                self.receipt(frame).await?;
                return Err(End::Quiet);
            }
            "SEND" => return Err(End::Error("write by POST /chatplugin.send".to_owned())),
            _ => return Err(End::Error("this frame has no meaning here".to_owned())),
        }
        self.receipt(frame).await
    }

    async fn receipt(&mut self, frame: &Frame) -> Result<(), End> {
        match frame.header("receipt") {
            Some(receipt) => {
                self.send_frame(&Frame::new("RECEIPT", &[("receipt-id", receipt)]))
                    .await
            }
            None => Ok(()),
        }
    }

    async fn tell(&mut self, visitor: &mut Visitor, entry: &LogEntry) -> Result<(), End> {
        let Some(message) = entry.message() else {
            return Ok(());
        };
        let update = Update {
            conversation_id: message.conversation_id,
            channel_id: message.channel_id,
            message: MessageView::new(message),
        };
        let body = serde_json::to_string(&update).map_err(|error| End::Error(error.to_string()))?;
        for subscription in &visitor.subscriptions {
            let number = visitor.next_message.to_string();
            visitor.next_message += 1;
            let mut frame = Frame::new(
                "MESSAGE",
                &[
                    ("destination", QUEUE),
                    ("subscription", subscription),
                    ("message-id", &number),
                    ("content-type", "application/json"),
                ],
            );
            frame.body.clone_from(&body);
            self.send_frame(&frame).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, message: &str) {
        let mut frame = Frame::new(
            "ERROR",
            &[("message", message), ("content-type", "text/plain")],
        );
        message.clone_into(&mut frame.body);
        let _ = self.send_frame(&frame).await;
    }

    /// Hands what came in to the decoder.
    fn take(&mut self, incoming: Option<Result<WsMessage, axum::Error>>) -> Result<(), End> {
        let Some(Ok(message)) = incoming else {
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

    async fn send_frame(&mut self, frame: &Frame) -> Result<(), End> {
        let text = frame.encode(self.version.unwrap_or(Version::V1_2));
        self.send(WsMessage::Text(text.into())).await
    }

    async fn send(&mut self, message: WsMessage) -> Result<(), End> {
        let sent = timeout(WRITE_MAX, self.socket.send(message)).await;
        sent.map_err(|_| End::Quiet)?.map_err(|_| End::Quiet)
    }
}

fn subscribe(app: &App, visitor: &mut Visitor, frame: &Frame) -> Result<(), End> {
    let destination = frame.header("destination").unwrap_or_default();
    if destination != QUEUE {
        return Err(End::Error(format!("there is only the destination {QUEUE}")));
    }
    if visitor.subscriptions.len() >= SUBSCRIPTIONS_MAX {
        return Err(End::Error(format!(
            "at most {SUBSCRIPTIONS_MAX} subscriptions"
        )));
    }
    // STOMP 1.0 has subscriptions without an id, known by their destination.
    let id = frame.header("id").unwrap_or(destination).to_owned();
    if !visitor.subscriptions.contains(&id) {
        visitor.subscriptions.push(id);
    }
    let listen = || app.hub.listen(visitor.conversation);
    visitor.listening.get_or_insert_with(listen);
    Ok(())
}

fn unsubscribe(visitor: &mut Visitor, frame: &Frame) {
    let id = frame
        .header("id")
        .or_else(|| frame.header("destination"))
        .unwrap_or_default();
    visitor.subscriptions.retain(|other| other != id);
    if visitor.subscriptions.is_empty() {
        visitor.listening = None;
    }
}

/// Each side beats as often as the other wants, but not more often than it can (STOMP 1.2,
/// "Heart-beating"). Gives the pace, and the `heart-beat` header that says what we offer.
fn negotiate_heart_beat(client: Option<&str>) -> (Pace, String) {
    let (can, wants) = client
        .and_then(|header| header.split_once(','))
        .unwrap_or(("0", "0"));
    let interval = |text: &str| match text.trim().parse() {
        Ok(0) | Err(_) => None,
        Ok(ms) => Some(Duration::from_millis(ms).clamp(HEART_BEAT_MIN, HEART_BEAT_MAX)),
    };
    let (sends, hears) = (interval(can), interval(wants));
    let pace = Pace {
        send_every: hears.unwrap_or(PING_EVERY),
        beat: match hears {
            Some(_) => WsMessage::Text("\n".into()),
            None => WsMessage::Ping(Bytes::new()),
        },
        silence_max: sends
            .unwrap_or(PING_EVERY)
            .saturating_mul(SILENT_INTERVALS_MAX),
    };
    let offer = HEART_BEAT_MIN.as_millis();
    (pace, format!("{offer},{offer}"))
}

async fn next(listening: &mut Option<Listening>) -> Option<Arc<LogEntry>> {
    match listening {
        Some(listening) => listening.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PING_EVERY, negotiate_heart_beat};

    #[test]
    fn heart_beats_are_as_often_as_the_client_wants() {
        let pace = |header| {
            let (pace, _) = negotiate_heart_beat(header);
            (pace.send_every, pace.silence_max)
        };
        let seconds = Duration::from_secs;
        assert_eq!(pace(Some("4000,10000")), (seconds(10), seconds(12)));
        assert_eq!(pace(Some("1,1")), (seconds(1), seconds(3)));
        let often = seconds(60);
        assert_eq!(pace(Some("4294967295,4294967295")), (often, often * 3));
        assert_eq!(pace(Some("0,0")), (PING_EVERY, PING_EVERY * 3));
        assert_eq!(pace(None), (PING_EVERY, PING_EVERY * 3));
        assert_eq!(pace(Some("nonsense")), (PING_EVERY, PING_EVERY * 3));
    }
}
