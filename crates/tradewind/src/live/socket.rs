//! A live socket, from its opening to its end: STOMP over WebSocket, at `/ws.chatplugin` for visitors and
//! at `/ws.communication` for agents.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use tokio::time::{Instant, sleep_until, timeout};
use tradewind_model::Sequence;

use super::{
    connection::{Connection, End},
    hub::Listening,
    pace::Pace,
    role::{Door, Role},
    stomp::{FRAME_BYTES_MAX, Frame, Version},
    update::{Topic, Update},
};
use crate::{
    api::{auth, error::ApiError, events},
    app::{App, ConnectionPermit},
    token,
};

/// Time that a client has from opening the socket to its `CONNECT`.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Subscriptions on one socket.
const SUBSCRIPTIONS_MAX: usize = 16;
/// Room for what is read from a socket at first, enough for most frames; it grows with what comes. Each
/// open page costs that much.
const READ_BUFFER_BYTES: usize = 4 << 10;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(crate) async fn chat_plugin(
    State(app): State<App>,
    place: Option<Extension<ConnectionPermit>>,
    upgrade: Upgrade,
) -> Response {
    open(app, place, upgrade, Door::Visitors)
}

pub(crate) async fn communication(
    State(app): State<App>,
    place: Option<Extension<ConnectionPermit>>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let requested = auth::presented(&headers).map(token::hash);
    open(app, place, upgrade, Door::Agents(requested))
}

fn open(
    app: App,
    place: Option<Extension<ConnectionPermit>>,
    upgrade: Upgrade,
    door: Door,
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
        let mut connection = Connection::new(socket);
        let end = serve(&mut connection, &app, door).await;
        connection.close(end).await;
        drop((permit, place));
    })
}

/// A client after its `CONNECT`.
struct Client {
    role: Role,
    subscriptions: Vec<Subscription>,
    listening: Option<Listening>,
    pace: Pace,
    /// Number of the next `MESSAGE` on this socket.
    next_message: u64,
}

struct Subscription {
    id: String,
    topic: Topic,
    /// It hears what happened after this. All up to here was committed when it began.
    from: Sequence,
}

async fn serve(connection: &mut Connection, app: &App, door: Door) -> Result<(), End> {
    let connect = timeout(CONNECT_MAX, connection.first_frame());
    let connect = connect.await;
    let connect = connect.map_err(|_| End::error("no CONNECT in time"))??;
    // Boxed, as it is needed once, and would be a part of every open socket.
    let mut client = Box::pin(accept(connection, app, &door, &connect)).await?;
    drop((connect, door));
    let mut heard_at = Instant::now();
    let mut beat_at = heard_at + client.pace.send_every;
    loop {
        // What came with the last message, the CONNECT's included, is answered before the next.
        while let Some(frame) = connection.next_frame()? {
            client.answer(connection, app, &frame).await?;
        }
        // Looked at here and not only when the timer rings: it never does while there is much to tell.
        let check_at = client.role.check_at();
        if check_at.is_some_and(|at| at <= Instant::now()) {
            Box::pin(client.role.check_again(app)).await?;
        }
        let next_at = client.role.check_at().map_or(beat_at, |at| at.min(beat_at));
        tokio::select! {
            biased;
            () = app.tasks.stopping() => return Ok(()),
            heard = connection.hear() => {
                heard?;
                heard_at = Instant::now();
            }
            update = next(&mut client.listening) => {
                let update = update.ok_or(End::error("too slow: read on after reconnecting"))?;
                client.tell(connection, &update).await?;
                beat_at = Instant::now() + client.pace.send_every;
            }
            () = sleep_until(next_at) => if next_at == beat_at {
                connection.send(client.pace.beat.clone()).await?;
                beat_at = Instant::now() + client.pace.send_every;
            },
            () = sleep_until(heard_at + client.pace.silence_max) => return Err(End::Quiet),
        }
    }
}

/// Checks the `CONNECT` and answers it.
async fn accept(
    connection: &mut Connection,
    app: &App,
    door: &Door,
    frame: &Frame,
) -> Result<Client, End> {
    if !matches!(frame.command.as_str(), "CONNECT" | "STOMP") {
        return Err(End::error("the first frame must be CONNECT"));
    }
    let version = Version::negotiate(frame.header("accept-version")).ok_or(End::error(
        "supported protocol versions are 1.0, 1.1 and 1.2",
    ))?;
    let token = frame
        .header("Authorization")
        .or_else(|| frame.header("authorization"));
    let role = door.admit(app, token).await?;
    let (pace, heart_beat) = Pace::negotiate(frame.header("heart-beat"));
    // All that happens from here on is after it, and is heard once it is subscribed to.
    let cursor = role
        .is_agent()
        .then(|| events::cursor_after(*app.store.head().borrow()));
    let mut headers = vec![
        ("version", version.name()),
        ("heart-beat", heart_beat.as_str()),
    ];
    headers.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
    if version == Version::V1_0 {
        headers.push(("session", role.name()));
    }
    connection.connected(version, &headers).await?;
    Ok(Client {
        role,
        subscriptions: Vec::new(),
        listening: None,
        pace,
        next_message: 1,
    })
}

impl Client {
    async fn answer(
        &mut self,
        connection: &mut Connection,
        app: &App,
        frame: &Frame,
    ) -> Result<(), End> {
        match frame.command.as_str() {
            "SUBSCRIBE" => self.subscribe(app, frame)?,
            "UNSUBSCRIBE" => self.unsubscribe(app, frame),
            "DISCONNECT" => {
                connection.receipt(frame).await?;
                return Err(End::Quiet);
            }
            "SEND" => return Err(End::error(self.role.writes_elsewhere())),
            _ => return Err(End::error("this frame has no meaning here")),
        }
        connection.receipt(frame).await
    }

    fn subscribe(&mut self, app: &App, frame: &Frame) -> Result<(), End> {
        let destination = frame.header("destination").unwrap_or_default();
        let topic = self.role.find_topic(destination)?;
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(End::Error(format!(
                "at most {SUBSCRIPTIONS_MAX} subscriptions"
            )));
        }
        // STOMP 1.0 has subscriptions without an id, known by their destination.
        let id = frame.header("id").unwrap_or(destination);
        if let Some(other) = self.subscriptions.iter().find(|other| other.id == id) {
            if other.topic == topic {
                return Ok(());
            }
            return Err(End::error("there is another subscription with this id"));
        }
        let topics = self.topics().chain([topic]).collect();
        self.role.listen(&app.hub, topics, &mut self.listening);
        // Only now that it listens: so there is nothing between what was before and what is heard.
        self.subscriptions.push(Subscription {
            id: id.to_owned(),
            topic,
            from: *app.store.head().borrow(),
        });
        Ok(())
    }

    fn unsubscribe(&mut self, app: &App, frame: &Frame) {
        let id = frame
            .header("id")
            .or_else(|| frame.header("destination"))
            .unwrap_or_default();
        self.subscriptions.retain(|other| other.id != id);
        let topics = self.topics().collect();
        self.role.listen(&app.hub, topics, &mut self.listening);
    }

    fn topics(&self) -> impl Iterator<Item = Topic> {
        self.subscriptions.iter().map(|one| one.topic)
    }

    async fn tell(&mut self, connection: &mut Connection, update: &Update) -> Result<(), End> {
        let cursor = update.cursor().filter(|_| self.role.is_agent());
        let cursor = cursor.map(events::cursor_after);
        let destination = self.role.destination(update.topic);
        let hears = |one: &&Subscription| one.topic == update.topic && one.from < update.sequence;
        for subscription in self.subscriptions.iter().filter(hears) {
            for body in update.bodies() {
                let number = self.next_message.to_string();
                self.next_message += 1;
                let headers = [
                    ("destination", destination),
                    ("subscription", &subscription.id),
                    ("message-id", &number),
                    ("content-type", "application/json"),
                    ("cursor", cursor.as_deref().unwrap_or_default()),
                ];
                let count = if cursor.is_some() { 5 } else { 4 };
                let headers = &headers[..count];
                connection.send_frame("MESSAGE", headers, body).await?;
            }
        }
        Ok(())
    }
}

async fn next(listening: &mut Option<Listening>) -> Option<Arc<Update>> {
    match listening {
        Some(listening) => listening.next().await,
        None => std::future::pending().await,
    }
}
