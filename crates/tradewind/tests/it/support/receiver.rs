//! A receiver of webhooks that records what comes and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::net::TcpListener;

use super::until_some;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
    /// How it is answered.
    pub(crate) reply: Reply,
}

impl Delivery {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        self.json()["text"].as_str().unwrap().to_owned()
    }

    pub(crate) fn field(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_str()
            .unwrap()
    }
}

/// What to answer: a status, after a while, with headers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) after: Duration,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            after: Duration::ZERO,
            headers: Vec::new(),
        }
    }
}

/// Decides on the answer to the delivery that came, knowing those before it.
type Script = Arc<dyn Fn(&Delivery, &[Delivery]) -> Reply + Send + Sync>;

/// Listens until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    deliveries: Deliveries,
    task: tokio::task::JoinHandle<()>,
}

type Deliveries = Arc<Mutex<Vec<Delivery>>>;

impl Receiver {
    /// One that accepts everything.
    pub(crate) async fn start() -> Self {
        Self::scripted(|_, _| Reply::status(200)).await
    }

    /// One that accepts everything, at this address.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        Self::listen_at(address, |_, _| Reply::status(200)).await
    }

    pub(crate) async fn scripted(
        script: impl Fn(&Delivery, &[Delivery]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    async fn listen_at(
        address: SocketAddr,
        script: impl Fn(&Delivery, &[Delivery]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let deliveries = Deliveries::default();
        let script: Script = Arc::new(script);
        let router = Router::new()
            .fallback(take)
            .with_state((Arc::clone(&deliveries), script));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test has no tasks to wait for")]
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            deliveries,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap().clone()
    }

    /// Those that came after the first `count`.
    pub(crate) fn deliveries_after(&self, count: usize) -> Vec<Delivery> {
        self.deliveries.lock().unwrap()[count..].to_vec()
    }

    pub(crate) fn count(&self) -> usize {
        self.deliveries.lock().unwrap().len()
    }

    /// Waits until `count` deliveries came, and gives all that came.
    pub(crate) async fn wait_for(&self, count: usize, patience: Duration) -> Vec<Delivery> {
        let enough = || (self.count() >= count).then(|| self.deliveries());
        until_some(patience, enough, || {
            format!("{} of {count} deliveries came", self.count())
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State((deliveries, script)): State<(Deliveries, Script)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut delivery = Delivery {
        method: parts.method,
        headers: parts.headers,
        body,
        at: Instant::now(),
        reply: Reply::status(200),
    };
    let reply = {
        let mut deliveries = deliveries.lock().unwrap();
        delivery.reply = script(&delivery, &deliveries);
        let reply = delivery.reply.clone();
        deliveries.push(delivery);
        reply
    };
    tokio::time::sleep(reply.after).await;
    let mut response = StatusCode::from_u16(reply.status).unwrap().into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
