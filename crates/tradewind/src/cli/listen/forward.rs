//! One attempt to bring an event to the developer's endpoint: the same request as a delivery.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use ipnet::IpNet;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tradewind_delivery::{
    attempt::{Failure, FailureClass},
    guard::Guard,
    sign::{self, Key},
    transport::{Endpoint, Reply, Transport, TransportLimits},
    webhook,
};
use tradewind_model::{Clock as _, SystemClock, Timestamp, WireTime};

use crate::cli::event::Event;

/// Every address: the request is made by who runs the command, who could as well make it by hand.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

pub(super) struct Forwarder {
    endpoint: Endpoint,
    key: Key,
    transport: Transport,
}

pub(super) struct Attempt {
    pub(super) event: Arc<Event>,
    /// 1 for the first.
    pub(super) number: u32,
    ended_at: Timestamp,
    duration: Duration,
    outcome: Result<Reply, Failure>,
}

impl Forwarder {
    pub(super) fn new(url: &str, secret: &SecretString) -> anyhow::Result<Self> {
        let everywhere = EVERYWHERE.iter().map(|net| net.parse::<IpNet>());
        let everywhere = everywhere.collect::<Result<Vec<_>, _>>();
        let guard = Guard::new(&everywhere.context("every address")?);
        let url = guard
            .parse_url(url)
            .map_err(|error| anyhow!("--forward: {error}"))?;
        let transport = Transport::new(guard, TransportLimits::default());
        Ok(Self {
            endpoint: Endpoint::new(url),
            key: Key::new(secret.expose_secret()),
            transport: transport.context("no HTTP client")?,
        })
    }

    pub(super) fn url(&self) -> &Url {
        self.endpoint.url()
    }

    pub(super) async fn attempt(&self, event: Arc<Event>, number: u32) -> Attempt {
        let started = Instant::now();
        let outcome = self.post(&event).await;
        Attempt {
            event,
            number,
            ended_at: SystemClock.now(),
            duration: started.elapsed(),
            outcome,
        }
    }

    async fn post(&self, event: &Event) -> Result<Reply, Failure> {
        let now = SystemClock.now();
        let body = event.body.get().to_owned();
        let mut headers = webhook::common_headers();
        let signed = sign::add_headers(
            &mut headers,
            &[&self.key],
            &event.id.to_string(),
            now.as_second(),
            body.as_bytes(),
        );
        signed.map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
        let post = self
            .transport
            .post(&self.endpoint, headers, body.into(), now);
        post.await.result
    }
}

impl Attempt {
    pub(super) fn is_accepted(&self) -> bool {
        let status = self.outcome.as_ref().map(|reply| reply.status);
        status.is_ok_and(|status| status.is_success())
    }

    /// Time, status, duration and what was sent.
    pub(super) fn line(&self) -> String {
        let result = match &self.outcome {
            Ok(reply) => reply.status.as_u16().to_string(),
            Err(failure) => failure.class.name().to_owned(),
        };
        let ms = self.duration.as_secs_f64() * 1_000.0;
        let at = WireTime(self.ended_at);
        format!("{at}  {result:<8} {ms:>8.1} ms  {}", self.event.title())
    }

    /// Why it was not accepted.
    pub(super) fn reason(&self) -> String {
        match &self.outcome {
            Ok(reply) => format!("the endpoint answered {}", reply.status),
            Err(failure) => failure.detail.clone(),
        }
    }
}
