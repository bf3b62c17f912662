//! Plays the providers: one small server that answers as their APIs do, and signs posts as they do.
//!
//! Each provider is below a path of its own: `URL/graph`, `URL/twilio`, `URL/google`, `URL/telegram`. What is
//! called is written down. By itself it takes everything that a provider would take; [`StandIn::script`] makes
//! it refuse, wait or break off for the next calls.

mod call;
pub mod google;
pub mod graph;
pub mod telegram;
pub mod twilio;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use tokio::{net::TcpListener, task::JoinHandle};

pub use call::{Call, Reply};

/// Longest body that is read, in bytes.
const BODY_MAX: usize = 4 << 20;
/// Calls that are kept; the oldest goes first.
const CALLS_MAX: usize = 100_000;

/// A running stand-in. It ends when it is dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    state: Shared,
    server: JoinHandle<()>,
}

/// What calls are to be answered by, instead of what the provider would say.
#[derive(Clone, Debug)]
pub struct Script {
    /// Calls whose path contains this.
    pub path: String,
    /// How many of them.
    pub times: usize,
    /// How long each waits before it is answered.
    pub delay: Duration,
    /// `None`: what the provider would say.
    pub reply: Option<Reply>,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    calls: VecDeque<Call>,
    scripts: Vec<Script>,
    /// Calls that were answered, ever: what ids are made of.
    count: u64,
}

impl StandIn {
    /// Starts one on a port of its own on the loopback address.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Shared::default();
        let router = Router::new().fallback(answer).with_state(state.clone());
        let serve = async move {
            // It ends with its task.
            let _: io::Result<()> = axum::serve(listener, router).await;
        };
        Ok(Self {
            address,
            state,
            server: spawn(serve),
        })
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was called until now, the oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().calls.iter().cloned().collect()
    }

    /// The calls whose path contains `path`.
    pub fn calls_to(&self, path: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.path.contains(path));
        calls
    }

    /// Answers calls otherwise. Of several that fit, the one that was given first counts.
    pub fn script(&self, script: Script) {
        self.state.lock().scripts.push(script);
    }

    /// Refuses the next `times` calls whose path contains `path`.
    pub fn refuse(&self, path: &str, times: usize, reply: Reply) {
        self.script(Script {
            path: path.to_owned(),
            times,
            delay: Duration::ZERO,
            reply: Some(reply),
        });
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Writes a call down, and says its number and what it is to be answered by.
    fn take(&mut self, call: &Call) -> (u64, Option<Script>) {
        if self.calls.len() >= CALLS_MAX {
            self.calls.pop_front();
        }
        self.calls.push_back(call.clone());
        self.count += 1;
        let fits = |script: &Script| script.times > 0 && call.path.contains(&script.path);
        let script = self.scripts.iter_mut().find(|script| fits(script));
        let script = script.map(|script| {
            script.times -= 1;
            script.clone()
        });
        (self.count, script)
    }
}

async fn answer(State(state): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = Call::new(&parts, &body);
    let (number, script) = state.lock().take(&call);
    let mut reply = None;
    if let Some(script) = script {
        tokio::time::sleep(script.delay).await;
        reply = script.reply;
    }
    let reply = reply.unwrap_or_else(|| usual(&call, number));
    let mut response = (reply.status, Bytes::from(reply.body)).into_response();
    response.headers_mut().extend(reply.headers);
    response
}

/// What the provider would say. `number` is unique to the call.
fn usual(call: &Call, number: u64) -> Reply {
    let (provider, path) = call.split();
    let reply = match provider {
        "graph" => graph::answer(call, path, number),
        "twilio" => twilio::answer(call, path, number),
        "google" => google::answer(call, path, number),
        "telegram" => telegram::answer(call, path, number),
        _ => None,
    };
    reply.unwrap_or_else(|| Reply::status(StatusCode::NOT_FOUND))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is no part of the server, and its handle is kept and ended"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}
