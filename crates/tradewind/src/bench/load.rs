//! The load generator: visitors who write, each message after the one before was answered.
//!
//! Closed: each connection sends its next when its last was answered; that finds the highest rate. Open:
//! messages are due at fixed times whatever the server does, and are stamped with those, so that one that
//! had to wait for a slow answer counts with its wait.

use std::{collections::VecDeque, iter::Cycle, net::SocketAddr, vec};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use serde::{Deserialize, Serialize};
use tradewind_model::{ChannelId, Clock as _, SessionId, SystemClock};
use tradewind_sources::chat_plugin::{Purpose, Session, SessionTokens};
use uuid::Uuid;

use super::{
    clock::{self, Timer},
    latency::{Latency, Spans},
    part::{self, Orders, Said},
    text::Stamp,
    wire::{self, Sender},
};
use crate::lifecycle::Tasks;

/// Tokens that are kept; those of further conversations are made for each message.
const TOKENS_MAX: u32 = 10_000;
/// Connections of an open load; what is due when all are in use waits, and counts with its wait.
const OPEN_CONNECTIONS_MAX: usize = 512;

/// What to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Connections are spread over them.
    pub(super) servers: Vec<SocketAddr>,
    pub(super) visitors: Visitors,
    pub(super) phase: u64,
    pub(super) pace: Pace,
    /// Nanoseconds after which nothing more is sent.
    pub(super) span: u64,
    /// Messages after which nothing more is sent.
    pub(super) messages: u64,
}

/// Who writes: one conversation each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Visitors {
    /// The key of the server's tokens.
    pub(super) key: [u8; 32],
    pub(super) channel_id: ChannelId,
    /// The first of them; the others follow.
    pub(super) first: u32,
    pub(super) conversations: u32,
    /// How long a text is.
    pub(super) text_bytes: usize,
}

impl Visitors {
    /// Who writes in a conversation; the same in every phase.
    pub(super) fn session(&self, conversation: u32) -> Session {
        Session {
            id: SessionId::from_uuid(Uuid::from_u128(u128::from(conversation) + 1)),
            channel_id: self.channel_id,
        }
    }

    /// The token that says so.
    pub(super) fn token(&self, conversation: u32) -> String {
        let session = self.session(conversation);
        SessionTokens::new(self.key).issue(session, Purpose::Visit, SystemClock.now())
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// So many connections, each as fast as it is answered.
    Closed(usize),
    /// So many messages a second.
    Open(u64),
}

/// What was sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Loaded {
    pub(super) accepted: u64,
    pub(super) first_sent_at: u64,
    pub(super) last_answered_at: u64,
    /// From when each was to be sent to its answer.
    pub(super) answers: Latency,
    /// From when each was to be sent to when it was: whether the generator kept its schedule.
    pub(super) lateness: Latency,
    /// Why it ended early, if it did.
    pub(super) fault: Option<String>,
}

/// Prepares, says so, sends at the next order, says what it sent, and stays until there are no orders.
pub(super) async fn run(plan: Plan, mut orders: Orders) -> anyhow::Result<()> {
    let mut load = Load::new(plan).await?;
    part::say(&Said::Ready)?;
    if orders.recv().await.is_none() {
        return Ok(());
    }
    let loaded = tokio::select! {
        loaded = load.run() => loaded?,
        _ = orders.recv() => return Ok(()),
    };
    part::say(&Said::Loaded(loaded))?;
    while orders.recv().await.is_some() {}
    Ok(())
}

struct Load {
    plan: Plan,
    kept: Vec<HeaderValue>,
    host: HeaderValue,
    /// Who gets the next connection.
    servers: Cycle<vec::IntoIter<SocketAddr>>,
    /// The number that was sent last, of each conversation.
    numbers: Vec<u32>,
    /// Conversations without a message under way; the one that waits longest goes next.
    idle: VecDeque<u32>,
    connections: Vec<Sender>,
    /// Connections that may still be opened.
    room: usize,
    answers: Spans,
    lateness: Spans,
    tasks: Tasks,
}

/// A message that was answered, or not.
struct Ended {
    conversation: u32,
    at: u64,
    result: anyhow::Result<Sender>,
}

impl Load {
    async fn new(plan: Plan) -> anyhow::Result<Self> {
        let tasks = Tasks::default();
        let (open, room) = match plan.pace {
            Pace::Closed(connections) => (connections, 0),
            Pace::Open(_) => (64, OPEN_CONNECTIONS_MAX - 64),
        };
        let mut connections = Vec::with_capacity(open);
        let mut servers = plan.servers.clone().into_iter().cycle();
        for server in servers.by_ref().take(open) {
            connections.push(wire::connect(server, &tasks).await?);
        }
        let host = plan.servers.first().context("no server")?.to_string();
        let Visitors {
            first,
            conversations,
            ..
        } = plan.visitors;
        let mut load = Self {
            kept: Vec::new(),
            host: HeaderValue::from_str(&host)?,
            servers,
            numbers: vec![0; usize::try_from(conversations)?],
            idle: (0..conversations).collect(),
            connections,
            room,
            answers: Spans::new()?,
            lateness: Spans::new()?,
            tasks,
            plan,
        };
        let kept = (0..conversations.min(TOKENS_MAX)).map(|place| load.issue(first + place));
        load.kept = kept.collect::<Result<_, _>>()?;
        Ok(load)
    }

    async fn run(&mut self) -> anyhow::Result<Loaded> {
        let timer = Timer::new()?;
        let started = clock::now();
        let end = started + self.plan.span;
        let mut sent = 0;
        let mut loaded = Loaded {
            accepted: 0,
            first_sent_at: started,
            last_answered_at: started,
            answers: Latency::default(),
            lateness: Latency::default(),
            fault: None,
        };
        let mut under_way = FuturesUnordered::new();
        let mut set = None;
        loop {
            let now = clock::now();
            let mut due = None;
            while sent < self.plan.messages {
                let at = match self.plan.pace {
                    Pace::Closed(_) => now,
                    Pace::Open(rate) => started + sent * 1_000_000_000 / rate,
                };
                if at >= end || loaded.fault.is_some() {
                    break;
                }
                if at > now {
                    due = Some(at);
                    break;
                }
                let Some(exchange) = self.start(at)? else {
                    break;
                };
                under_way.push(exchange);
                sent += 1;
            }
            if let Some(at) = due {
                if set != due {
                    timer.set(at)?;
                    set = due;
                }
            } else if under_way.is_empty() {
                break;
            }
            tokio::select! {
                Some(ended) = under_way.next() => self.take(ended, &mut loaded),
                rung = timer.rings(), if due.is_some() => rung?,
            }
        }
        loaded.answers = self.answers.latency();
        loaded.lateness = self.lateness.latency();
        Ok(loaded)
    }

    /// Sends the next message, which was due at `at`. `None`: every conversation or connection is busy.
    fn start(&mut self, at: u64) -> anyhow::Result<Option<impl Future<Output = Ended> + use<>>> {
        // The server closes those that were without a request for long.
        while self.connections.pop_if(|last| last.is_closed()).is_some() {
            self.room += 1;
        }
        if self.connections.is_empty() && self.room == 0 {
            return Ok(None);
        }
        let Some(conversation) = self.idle.pop_front() else {
            return Ok(None);
        };
        let request = self.request(conversation, at)?;
        let connection = self.connections.pop();
        if connection.is_none() {
            self.room -= 1;
        }
        self.lateness.add(clock::now().saturating_sub(at));
        let server = self.servers.next().context("no server")?;
        let tasks = self.tasks.clone();
        Ok(Some(async move {
            let result = exchange(connection, request, server, tasks).await;
            Ended {
                conversation,
                at,
                result,
            }
        }))
    }

    fn take(&mut self, ended: Ended, loaded: &mut Loaded) {
        match ended.result {
            Ok(connection) => {
                let now = clock::now();
                loaded.accepted += 1;
                loaded.last_answered_at = now;
                self.answers.add(now.saturating_sub(ended.at));
                self.connections.push(connection);
                self.idle.push_back(ended.conversation);
            }
            Err(error) => {
                loaded.fault.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn request(&mut self, conversation: u32, at: u64) -> anyhow::Result<Request<Full<Bytes>>> {
        let place = usize::try_from(conversation)?;
        let conversation = self.plan.visitors.first + conversation;
        let number = self
            .numbers
            .get_mut(place)
            .context("no such conversation")?;
        *number += 1;
        let stamp = Stamp {
            phase: self.plan.phase,
            conversation,
            number: *number,
            at,
        };
        let bytes = self.plan.visitors.text_bytes;
        let mut body = String::with_capacity(bytes + 32);
        body.push_str(r#"{"message":{"text":""#);
        stamp.render(bytes, &mut body);
        body.push_str(r#""}}"#);
        let token = match self.kept.get(place) {
            Some(token) => token.clone(),
            None => self.issue(conversation)?,
        };
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = hyper::Uri::from_static("/chatplugin.send");
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, token);
        Ok(request)
    }

    fn issue(&self, conversation: u32) -> anyhow::Result<HeaderValue> {
        let token = self.plan.visitors.token(conversation);
        Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
    }
}

/// One request, which must be answered with 200. Gives the connection back.
async fn exchange(
    connection: Option<Sender>,
    request: Request<Full<Bytes>>,
    server: SocketAddr,
    tasks: Tasks,
) -> anyhow::Result<Sender> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => wire::connect(server, &tasks).await?,
    };
    let (status, body) = wire::ask(&mut connection, request)
        .await
        .context("a message was not answered")?;
    ensure!(
        status == hyper::StatusCode::OK,
        "a message was answered with {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(connection)
}
