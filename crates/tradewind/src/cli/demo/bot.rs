//! The demo's bot: hears of messages on its webhook, checks that they come from Tradewind, and answers.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;
use tokio::net::TcpListener;

use super::Api;
use crate::{cli::output, lifecycle::Tasks};

/// A bot that listens and can be subscribed.
pub(super) struct Bot {
    address: SocketAddr,
    secret: Arc<OnceLock<String>>,
}

#[derive(Clone)]
struct Hearing {
    api: Api,
    tasks: Tasks,
    secret: Arc<OnceLock<String>>,
}

/// The parts of an event that the bot needs.
#[derive(Deserialize)]
struct Event {
    conversation_id: String,
    id: String,
    sender: Sender,
    text: String,
}

#[derive(Deserialize)]
struct Sender {
    #[serde(rename = "type")]
    kind: String,
}

/// Starts the bot on a free port.
pub(super) async fn listen(api: Api, tasks: &Tasks) -> anyhow::Result<Bot> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("the bot cannot listen")?;
    let address = listener.local_addr().context("the bot cannot listen")?;
    let secret = Arc::new(OnceLock::new());
    let hearing = Hearing {
        api,
        tasks: tasks.clone(),
        secret: Arc::clone(&secret),
    };
    let router = Router::new().route("/hook", post(hear)).with_state(hearing);
    let stopping = tasks.clone();
    tasks.spawn(async move {
        let serve = axum::serve(listener, router);
        let _ = serve
            .with_graceful_shutdown(async move { stopping.stopping().await })
            .await;
    });
    Ok(Bot { address, secret })
}

impl Bot {
    pub(super) async fn subscribe(&self, api: &Api) -> anyhow::Result<()> {
        let url = format!("http://{}/hook", self.address);
        let webhook = api
            .call("webhooks.subscribe", &json!({ "url": url }))
            .await?;
        let secret = webhook["api_secret"]
            .as_str()
            .context("webhooks.subscribe answered without a secret")?;
        let _ = self.secret.set(secret.to_owned());
        Ok(())
    }
}

/// Takes an event. It is answered at once, and the reply is sent afterwards: a webhook that works before
/// it answers makes everything behind it wait.
async fn hear(State(hearing): State<Hearing>, headers: HeaderMap, body: Bytes) -> StatusCode {
    // Events of an earlier run can come before this run has subscribed; they come again.
    let Some(secret) = hearing.secret.get() else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    if !is_signed(&headers, &body, secret) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<Event>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    // What the bot itself said is an event too.
    if event.sender.kind == "source_contact" {
        hearing.tasks.clone().spawn(answer(hearing.api, event));
    }
    StatusCode::OK
}

/// The event's id as the key: an event that comes twice is answered once.
async fn answer(api: Api, event: Event) {
    let text = format!("You said: {}", event.text);
    let reply = json!({"conversation_id": event.conversation_id, "message": {"text": text}});
    if let Err(error) = api
        .call_with_key("messages.send", &reply, Some(&event.id))
        .await
    {
        output::error(&format!("the bot could not answer: {error:#}"));
    }
}

/// Checks the signature as the Standard Webhooks specification says: version 1, HMAC-SHA256.
fn is_signed(headers: &HeaderMap, body: &[u8], secret: &str) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    ) else {
        return false;
    };
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    let mac = mac
        .chain_update(format!("{id}.{timestamp}."))
        .chain_update(body);
    let is_ours = |signature: &str| {
        let bytes = signature
            .strip_prefix("v1,")
            .and_then(|text| STANDARD.decode(text).ok());
        bytes.is_some_and(|bytes| mac.clone().verify_slice(&bytes).is_ok())
    };
    signatures.split(' ').any(is_ours)
}
