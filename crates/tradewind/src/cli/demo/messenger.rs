//! The demo's Messenger: a stand-in for Meta, and a page that plays the app of a contact.
//!
//! What the contact writes is posted and signed as Meta does it; what the server sends to the Graph API is what
//! the contact sees. Receipts come as from a phone that is looked at.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Html,
    routing::{get, post},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tradewind_model::{Clock as _, SystemClock};
use tradewind_sources::config::{ApiUrl, MetaConfig};
use tradewind_stand_in::{StandIn, graph};

use super::Api;
use crate::{cli::output, lifecycle::Tasks, settings::Settings};

/// A page that the stand-in knows: a flower shop.
const PAGE_ID: &str = "101";
const CONTACT_ID: &str = "7129043388105551";
const APP_ID: &str = "490217735561";
const APP_SECRET: &str = "the demo's app secret";
const FIRST_WORDS: &str = "Hello! Is anybody there?";

const HTML: &str = include_str!("../../../assets/demo/messenger.html");
/// Lines of the conversation that the page can show.
const LINES_MAX: usize = 1_000;
/// How often the contact's phone looks for answers.
const LOOK: Duration = Duration::from_millis(100);
/// How long after its arrival an answer is read.
const READING: Duration = Duration::from_millis(600);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Messenger {
    stand_in: Arc<StandIn>,
    client: reqwest::Client,
    lines: Arc<Mutex<Lines>>,
    /// Where the server listens.
    base: String,
}

#[derive(Default)]
struct Lines {
    shown: VecDeque<Line>,
    count: u64,
}

#[derive(Clone, Serialize)]
struct Line {
    number: u64,
    /// `contact` or `page`.
    from: &'static str,
    text: String,
}

impl Messenger {
    pub(super) async fn start() -> anyhow::Result<Self> {
        Ok(Self {
            stand_in: Arc::new(StandIn::start().await.context("no port for Messenger")?),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(super::CALL_MAX)
                .build()?,
            lines: Arc::default(),
            base: String::new(),
        })
    }

    /// The settings of a server for which the stand-in is Meta.
    pub(super) fn configure(&self, settings: Settings) -> anyhow::Result<Settings> {
        Ok(Settings {
            meta: MetaConfig {
                app_id: Some(APP_ID.to_owned()),
                app_secret: Some(APP_SECRET.into()),
                verify_token: None,
                api_url: ApiUrl::try_from(format!("{}/graph", self.stand_in.url()))?,
            },
            ..settings
        })
    }

    /// Connects the page and opens the app. Answers with the address of the app.
    pub(super) async fn open(&mut self, api: &Api, tasks: &Tasks) -> anyhow::Result<String> {
        self.base.clone_from(&api.base);
        let page = json!({
            "source": "facebook",
            "source_channel_id": PAGE_ID,
            "token": "what Meta gave the page's owner",
        });
        api.call("channels.connect", &page).await?;
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("no port for the contact's app")?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/", get(async || Html(HTML)))
            .route("/lines/{after}", get(lines))
            .route("/say", post(say))
            .with_state(self.clone());
        let stopping = tasks.clone();
        tasks.spawn(async move {
            let serve = axum::serve(listener, router);
            let stopped = async move { stopping.stopping().await };
            let _ = serve.with_graceful_shutdown(stopped).await;
        });
        let (phone, stopping) = (self.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = phone.look() => {}
                () = stopping.stopping() => {}
            }
        });
        Ok(format!("http://{address}"))
    }

    /// The contact says hello.
    pub(super) async fn greet(&self) -> anyhow::Result<()> {
        self.say(FIRST_WORDS.to_owned()).await
    }

    /// The contact writes.
    async fn say(&self, text: String) -> anyhow::Result<()> {
        let now = SystemClock.now().as_millisecond();
        let mid = format!("m_demo_{now}_{}", self.lines().count);
        let message = graph::text_message(PAGE_ID, CONTACT_ID, &mid, &text, now);
        self.lines().add("contact", text);
        self.post(&message).await
    }

    /// Posts as Meta does.
    async fn post(&self, event: &Value) -> anyhow::Result<()> {
        let body = event.to_string();
        let response = self
            .client
            .post(format!("{}/facebook", self.base))
            .header("Content-Type", "application/json")
            .header(
                "X-Hub-Signature-256",
                graph::signature(APP_SECRET, body.as_bytes()),
            )
            .body(body)
            .send()
            .await?;
        let status = response.status();
        ensure!(status.is_success(), "the server answered {status}");
        Ok(())
    }

    /// Shows what was sent to the contact, and tells that it has arrived and is read.
    async fn look(&self) {
        let mut seen = 0;
        loop {
            let sent = self.stand_in.calls_to("/me/messages");
            for call in &sent[seen.min(sent.len())..] {
                let call = call.json();
                let text = call["message"]["text"].as_str().unwrap_or_default();
                self.lines().add("page", text.to_owned());
                if let Err(error) = self.receive().await {
                    output::error(&format!("a receipt was not taken: {error:#}"));
                }
            }
            seen = sent.len();
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn receive(&self) -> anyhow::Result<()> {
        let now = || SystemClock.now().as_millisecond();
        tokio::time::sleep(LOOK).await;
        self.post(&graph::delivery(PAGE_ID, CONTACT_ID, &[], now()))
            .await?;
        tokio::time::sleep(READING).await;
        self.post(&graph::read(PAGE_ID, CONTACT_ID, now())).await
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn add(&mut self, from: &'static str, text: String) {
        if self.shown.len() >= LINES_MAX {
            self.shown.pop_front();
        }
        self.count += 1;
        self.shown.push_back(Line {
            number: self.count,
            from,
            text,
        });
    }
}

async fn lines(State(messenger): State<Messenger>, Path(after): Path<u64>) -> Json<Vec<Line>> {
    let lines = messenger.lines();
    let new = lines.shown.iter().filter(|line| line.number > after);
    Json(new.cloned().collect())
}

async fn say(State(messenger): State<Messenger>, text: String) -> StatusCode {
    if text.trim().is_empty() {
        return StatusCode::BAD_REQUEST;
    }
    match messenger.say(text).await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            output::error(&format!("the server did not take the message: {error:#}"));
            StatusCode::BAD_GATEWAY
        }
    }
}
