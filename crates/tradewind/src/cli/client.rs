//! What `tail` and `listen` have in common: which events they want, and a client that pulls them.
//!
//! A server that is away comes back: it is asked again, ever less often, and standard error says so
//! once. What it refuses, such as a token, it would refuse again, so that ends the command.

use std::{convert::Infallible, str::FromStr, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use reqwest::{Response, StatusCode, Url, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::{Instant, sleep};
use tradewind_delivery::chain::chain;
use tradewind_model::ConversationId;

use super::event::Event;
use crate::{cli::output, settings};

/// Where the first start of a server leaves its admin token, if it is started without options.
const TOKEN_FILE: &str = "./tradewind-data/token";
/// How long the server is asked to wait for an event.
const WAIT: Duration = Duration::from_secs(20);
/// Longest time of one call, its wait included.
const PULL_MAX: Duration = Duration::from_secs(35);
/// Longest time of a call that does not wait for anything.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long to leave the server alone after a first failure. Each further one doubles it.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Which server, and as who.
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
pub(crate) struct ServerOptions {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// A token of the API; better as the variable TRADEWIND_TOKEN [default: what
    /// ./tradewind-data/token holds]
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    token: Option<SecretString>,
}

/// Which events to pull, and from where.
#[derive(Debug, Args)]
pub(crate) struct PullOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// Where to begin: now, start (the oldest event that is kept), or a cursor of events.list
    #[arg(long, value_name = "WHERE", default_value = "now")]
    from: Origin,
    /// Only this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
}

/// Where to begin.
#[derive(Clone, Debug)]
enum Origin {
    Start,
    /// `now` is one too, as the server sees it.
    Cursor(String),
}

impl FromStr for Origin {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "start" => Self::Start,
            cursor => Self::Cursor(cursor.to_owned()),
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

/// Pulls events, one answer after the other.
pub(super) struct Puller {
    client: reqwest::Client,
    /// The server, as it was named.
    server: Url,
    endpoint: Url,
    token: SecretString,
    conversation: Option<ConversationId>,
    /// Where the next call goes on. `None`: the oldest event.
    cursor: Option<String>,
    connection: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Untried,
    Up,
    Down,
}

/// Events in the order of the log, and where to go on after them.
pub(super) struct Pulled {
    pub(super) events: Vec<Event>,
    pub(super) cursor: String,
}

/// An answer of `events.list`.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Box<RawValue>>,
    cursor: String,
    #[serde(default)]
    skipped: bool,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    /// The same call may succeed later.
    #[error("{0}")]
    Away(String),
    #[error("events.list: {0}")]
    Refused(String),
}

impl Puller {
    /// Goes on at `cursor`, or else where the options say.
    pub(super) fn new(options: &PullOptions, cursor: Option<String>) -> anyhow::Result<Self> {
        let server = options.server.url.clone();
        let endpoint = options.server.endpoint("events.list")?;
        let from = match &options.from {
            Origin::Start => None,
            Origin::Cursor(cursor) => Some(cursor.clone()),
        };
        let client = http_client(PULL_MAX)?;
        Ok(Self {
            client,
            server,
            endpoint,
            token: options.server.token()?,
            conversation: options.conversation,
            cursor: cursor.or(from),
            connection: Connection::Untried,
        })
    }

    pub(super) fn server(&self) -> &Url {
        &self.server
    }

    pub(super) fn token(&self) -> &SecretString {
        &self.token
    }

    /// Where the next call goes on.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The next answer, which may hold no events. Waits for a server that is away, however long.
    ///
    /// Cancel safety: the call is made again.
    ///
    /// # Errors
    /// When the server refuses the call.
    pub(super) async fn next(&mut self) -> anyhow::Result<Pulled> {
        let mut pause = PAUSE;
        loop {
            // Whether it is there at all is to be known at once.
            let wait = if self.connection == Connection::Up {
                WAIT
            } else {
                Duration::ZERO
            };
            let asked = Instant::now();
            match self.ask(wait).await {
                Ok(answer) => {
                    if asked.elapsed() < wait.min(PAUSE) && self.is_unmoved(&answer) {
                        // It did not wait, as when it stops: it must not be asked again and again.
                        sleep(PAUSE).await;
                    }
                    return self.take(answer);
                }
                Err(AskError::Away(why)) => self.say_away(&why),
                Err(refused @ AskError::Refused(_)) => return Err(refused.into()),
            }
            sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    fn is_unmoved(&self, answer: &Answer) -> bool {
        answer.data.is_empty() && self.cursor.as_ref() == Some(&answer.cursor)
    }

    fn take(&mut self, answer: Answer) -> anyhow::Result<Pulled> {
        if self.connection != Connection::Up {
            self.connection = Connection::Up;
            output::error(&format!("tradewind: connected to {}", self.server));
        }
        if answer.skipped {
            output::error(
                "tradewind: some events were older than the server keeps them, and are missing here",
            );
        }
        let events = answer.data.into_iter().map(Event::parse);
        let events = events.collect::<anyhow::Result<Vec<_>>>()?;
        self.cursor = Some(answer.cursor.clone());
        Ok(Pulled {
            events,
            cursor: answer.cursor,
        })
    }

    fn say_away(&mut self, why: &str) {
        if self.connection != Connection::Down {
            self.connection = Connection::Down;
            let server = &self.server;
            output::error(&format!(
                "tradewind: {server} is away ({why}); it is asked again until it answers"
            ));
        }
    }

    async fn ask(&self, wait: Duration) -> Result<Answer, AskError> {
        let mut body = json!({ "cursor": self.cursor, "wait": wait.as_secs() });
        if let Some(id) = self.conversation {
            body["conversation_id"] = json!(id);
        }
        let away = |error: reqwest::Error| AskError::Away(chain(&error.without_url()));
        let request = self.client.post(self.endpoint.clone());
        let request = request.bearer_auth(self.token.expose_secret()).json(&body);
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let body = read(response).await.map_err(away)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                AskError::Refused(format!("the answer is not understood: {error}"))
            });
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = problem["message"].as_str().map_or_else(
            || format!("{} answered {status}", self.endpoint),
            str::to_owned,
        );
        let passing = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        );
        if passing || status.is_server_error() {
            Err(AskError::Away(said))
        } else {
            Err(AskError::Refused(said))
        }
    }
}

/// Reads an answer. What is longer than any that is right is cut off, and no JSON any more.
async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

fn http_client(at_most: Duration) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(at_most)
        .build()
        .context("no HTTP client")
}

impl ServerOptions {
    /// Calls an endpoint once.
    ///
    /// # Errors
    /// In the server's words, when it refuses.
    pub(crate) async fn call(&self, name: &str, body: &Value) -> anyhow::Result<Value> {
        let request = http_client(CALL_MAX)?.post(self.endpoint(name)?);
        let request = request
            .bearer_auth(self.token()?.expose_secret())
            .json(body);
        let away = |error: reqwest::Error| {
            anyhow!("{} is away: {}", self.url, chain(&error.without_url()))
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let answer: Value = serde_json::from_slice(&read(response).await.map_err(away)?)
            .with_context(|| format!("{} answered {status}, and no JSON", self.url))?;
        let said = answer["message"].as_str().unwrap_or_default();
        ensure!(status.is_success(), "{name}: {said}");
        Ok(answer)
    }

    fn endpoint(&self, name: &str) -> anyhow::Result<Url> {
        let mut endpoint = self.url.clone();
        ensure!(
            matches!(endpoint.scheme(), "http" | "https") && endpoint.has_host(),
            "--url: must start with https:// or http:// and name a host"
        );
        let path = format!("{}/{name}", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        Ok(endpoint)
    }

    /// The token from wherever it is.
    fn token(&self) -> anyhow::Result<SecretString> {
        let named = match self.token.clone() {
            Some(token) => Some(token),
            None => settings::client_token()?,
        };
        let token = match named {
            Some(token) => token,
            None => match std::fs::read_to_string(TOKEN_FILE) {
                Ok(text) => text.trim().into(),
                Err(_) => bail!(
                    "no token: give one by --token or TRADEWIND_TOKEN, or start in a directory that holds {TOKEN_FILE}"
                ),
            },
        };
        let text = token.expose_secret();
        ensure!(
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()),
            "the token must be one or more visible ASCII characters without spaces"
        );
        Ok(token)
    }
}
