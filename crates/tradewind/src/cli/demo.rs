//! `tradewind demo`: the server and a bot that knows nothing of it but the public API.

mod bot;
mod messenger;
mod steps;

use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use messenger::Messenger;

use crate::{
    cli::{DemoOptions, DemoSource, output},
    server::{Server, Signals},
    settings::{self, Flags, Settings},
};

/// Longest time of one call of the bot to the API.
pub(super) const CALL_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(options: &DemoOptions) -> anyhow::Result<()> {
    output::start_logs(settings::log_filter()?.as_deref().unwrap_or("warn"))?;
    let flags = Flags {
        listen: Some(options.listen),
        data: Some(options.data.clone()),
        // The bot listens on this machine, which webhooks reach only where they are allowed to.
        webhook_allow: vec!["127.0.0.1/32".parse().context("the bot's network")?],
        ..Flags::default()
    };
    let signals = Signals::listen()?;
    // Whatever database the settings name is not the demo's to write to.
    let settings = Settings {
        database: None,
        ..Settings::load(&flags)?
    };
    let mut messenger = match options.source {
        DemoSource::ChatPlugin => None,
        DemoSource::Facebook => Some(Messenger::start().await?),
    };
    let settings = match &messenger {
        Some(messenger) => messenger.configure(settings)?,
        None => settings,
    };
    let (observer, attempts) = steps::observer();
    let server = Server::start(&settings, Some(observer)).await?;
    let token = server.admin_token.as_ref().with_context(|| {
        format!(
            "the admin token of {0} is not known: put it into {0}/token, or name another --data",
            options.data.display()
        )
    })?;
    let api = Api::new(
        &format!("http://{}", reachable(server.address)),
        token.expose_secret(),
    )?;
    let bot = bot::listen(api.clone(), server.tasks()).await?;
    bot.subscribe(&api).await?;
    let page = match &mut messenger {
        Some(messenger) => messenger.open(&api, server.tasks()).await?,
        None => open_chat(&api).await?,
    };
    output::say(&format!("Write to the bot:  {page}"));
    output::say("Every step is shown here. Ctrl-C ends the demo.");
    steps::print(&server, attempts);
    if let Some(messenger) = &messenger {
        messenger.greet().await?;
    }
    server.run_until_stopped(signals).await
}

/// Connects a chat channel. Answers with the address of its page.
async fn open_chat(api: &Api) -> anyhow::Result<String> {
    let channel =
        json!({"source": "chat_plugin", "source_channel_id": "demo", "name": "Tradewind demo"});
    let channel = api.call("channels.connect", &channel).await?;
    let id = channel["id"]
        .as_str()
        .context("channels.connect answered without an id")?;
    Ok(format!("{}/chat/{id}", api.base))
}

/// Where this machine reaches a server that listens on `address`.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// The public API as a client sees it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(CALL_MAX)
            .build()?;
        Ok(Self {
            client,
            base: base.to_owned(),
            token: token.to_owned(),
        })
    }

    pub(super) async fn call(&self, verb: &str, body: &Value) -> anyhow::Result<Value> {
        self.call_with_key(verb, body, None).await
    }

    /// A call that can be repeated without harm.
    pub(super) async fn call_with_key(
        &self,
        verb: &str,
        body: &Value,
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .client
            .post(format!("{}/{verb}", self.base))
            .bearer_auth(&self.token)
            .json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        anyhow::ensure!(
            status.is_success(),
            "{verb}: {}",
            answer["message"].as_str().unwrap_or("failed")
        );
        Ok(answer)
    }
}
