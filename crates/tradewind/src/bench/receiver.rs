//! The webhook's endpoint: takes everything at once, and keeps the ledger.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{
    clock,
    latency::{Latency, Spans},
    ledger::{Ledger, Tally},
    part::{self, Orders, Said},
    text::Stamp,
    wire,
};

/// Begins a phase: the ledger is empty.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Reset {
    pub(super) phase: u64,
    pub(super) conversations: u32,
    /// How many webhooks there are; the path of each says which it is.
    pub(super) webhooks: usize,
    /// Conversations whose numbers this divides are refused; 0: none.
    pub(super) refused: u32,
}

/// What came since the last [`Reset`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stats {
    pub(super) tally: Tally,
    /// Requests that were refused.
    pub(super) refused: u64,
    /// When the last new message came.
    pub(super) last_at: u64,
    /// From when each was to be sent to its arrival.
    pub(super) latency: Latency,
}

#[derive(Debug)]
struct Receiver {
    /// One for each webhook.
    ledgers: Vec<Ledger>,
    refuse: u32,
    refused: u64,
    spans: Spans,
    last_at: u64,
}

/// Runs until there are no orders any more.
pub(super) async fn run(orders: Orders) -> anyhow::Result<()> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    part::say(&Said::Listens(listener.local_addr()?))?;
    let receiver = Arc::new(Mutex::new(Receiver {
        ledgers: Vec::new(),
        refuse: 0,
        refused: 0,
        spans: Spans::new()?,
        last_at: 0,
    }));
    let open = || {
        let receiver = Arc::clone(&receiver);
        move |request| answer(Arc::clone(&receiver), request)
    };
    wire::serve(listener, open, orders).await;
    Ok(())
}

async fn answer(
    receiver: Arc<Mutex<Receiver>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return wire::failed();
    };
    let body = body.to_bytes();
    let mut receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = match head.uri.path() {
        "/stats" => serde_json::to_vec(&receiver.stats()),
        "/reset" => serde_json::from_slice(&body).map(|reset| {
            receiver.reset(reset);
            Vec::new()
        }),
        path => {
            let webhook = path.trim_start_matches('/').parse();
            if !receiver.take(webhook.unwrap_or_default(), &body) {
                return wire::failed();
            }
            Ok(Vec::new())
        }
    };
    match answer {
        Ok(answer) => Response::new(Full::new(answer.into())),
        Err(_) => wire::failed(),
    }
}

impl Receiver {
    /// `false`: it is to be refused.
    fn take(&mut self, webhook: usize, body: &[u8]) -> bool {
        let now = clock::now();
        let stamp = Stamp::find(body);
        let is_refused =
            |stamp: Stamp| self.refuse > 0 && stamp.conversation.is_multiple_of(self.refuse);
        if stamp.is_some_and(is_refused) {
            self.refused += 1;
            return false;
        }
        let sent_at = stamp.map_or(now, |stamp| stamp.at);
        let Some(ledger) = self.ledgers.get_mut(webhook) else {
            return false;
        };
        if ledger.take(stamp) {
            self.last_at = now;
            self.spans.add(now.saturating_sub(sent_at));
        }
        true
    }

    fn reset(&mut self, reset: Reset) {
        let ledger = || Ledger::new(reset.phase, reset.conversations);
        self.ledgers = std::iter::repeat_with(ledger)
            .take(reset.webhooks)
            .collect();
        self.refuse = reset.refused;
        self.refused = 0;
        self.spans.clear();
        self.last_at = 0;
    }

    fn stats(&self) -> Stats {
        Stats {
            tally: self
                .ledgers
                .iter()
                .fold(Tally::default(), |sum, ledger| sum.plus(ledger.tally())),
            refused: self.refused,
            last_at: self.last_at,
            latency: self.spans.latency(),
        }
    }
}
