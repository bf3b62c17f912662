//! The server as a process, and a client for its API.

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    process::{Process, binary},
    visitor::Visitor,
};

pub(crate) const TOKEN: &str = "test-token-of-the-black-box";

/// A server on a directory of its own. Dropping it kills the process and removes the directory.
pub(crate) struct Server {
    pub(crate) data: PathBuf,
    pub(crate) address: SocketAddr,
    /// What it said first: where it listens.
    pub(crate) greeting: String,
    client: reqwest::Client,
    process: Process,
    name: &'static str,
    configure: Configure,
    directory: TempDir,
}

type Configure = Box<dyn Fn(&mut Command) -> &mut Command>;

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The answer as JSON, which must be a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// The header as text, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Server {
    /// A server whose webhooks may reach this machine.
    pub(crate) async fn start() -> Self {
        Self::start_with(|command| command.args(["--webhook-allow", "127.0.0.0/8"])).await
    }

    pub(crate) async fn start_with(
        configure: impl Fn(&mut Command) -> &mut Command + 'static,
    ) -> Self {
        Self::start_as("serve", configure).await
    }

    /// A server on a directory that exists, and stays.
    pub(crate) async fn start_on(data: &Path) -> Self {
        fn configure(command: &mut Command) -> &mut Command {
            command.args(["--webhook-allow", "127.0.0.0/8"])
        }
        let directory = TempDir::new().unwrap();
        Self::begin("serve", data.to_owned(), directory, Box::new(configure)).await
    }

    /// Starts a command that serves: `serve` or `demo`.
    pub(crate) async fn start_as(
        name: &'static str,
        configure: impl Fn(&mut Command) -> &mut Command + 'static,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        Self::begin(name, data, directory, Box::new(configure)).await
    }

    async fn begin(
        name: &'static str,
        data: PathBuf,
        directory: TempDir,
        configure: Configure,
    ) -> Self {
        let mut command = serving(name, &data, SocketAddr::from(([127, 0, 0, 1], 0)));
        configure(&mut command);
        let (process, greeting, address) = launch(command, directory.path()).await;
        Self {
            data,
            address,
            greeting,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            process,
            name,
            configure,
            directory,
        }
    }

    /// Starts it again as before, on the same port and directory.
    pub(crate) async fn start_again(&mut self) {
        let mut command = serving(self.name, &self.data, self.address);
        (self.configure)(&mut command);
        (self.process, self.greeting, _) = launch(command, self.directory.path()).await;
    }

    /// Starts it again although it may die before it listens; whether it lives.
    pub(crate) async fn start_again_if_it_lives(&mut self) -> bool {
        let mut command = serving(self.name, &self.data, self.address);
        (self.configure)(&mut command);
        self.process = Process::start(command, &self.directory.path().join("stderr"));
        self.process.line_if_it_lives().await.is_some()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Calls an endpoint with the admin token.
    pub(crate) async fn call(&self, verb: &str, body: Value) -> Answer {
        self.call_as(TOKEN, verb, body).await
    }

    /// Calls an endpoint with this token.
    pub(crate) async fn call_as(&self, token: &str, verb: &str, body: Value) -> Answer {
        let headers = [("authorization", token)];
        self.try_call(verb, &body, &headers).await.unwrap()
    }

    /// Calls an endpoint with these headers; fails when the connection does.
    pub(crate) async fn try_call(
        &self,
        verb: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.request(Method::POST, verb, &all, body.to_string())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], "").await.unwrap()
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.client.request(method, self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.timeout(Duration::from_secs(30)).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            text: response.text().await?,
        })
    }

    /// Connects a chat channel and gives its id.
    pub(crate) async fn connect_channel(&self) -> String {
        let channel = json!({"source": "chat_plugin", "source_channel_id": "shop", "name": "Shop"});
        let channel = self.call("channels.connect", channel).await.ok();
        channel["id"].as_str().unwrap().to_owned()
    }

    /// A new visitor who has written this, and the id of the conversation.
    pub(crate) async fn converse(&self, text: &str) -> (Visitor, String) {
        let channel = self.connect_channel().await;
        let visitor = Visitor::arrive(self, &channel).await;
        visitor.write(self, text).await;
        let list = self.call("conversations.list", json!({})).await.ok();
        let conversation = list["data"][0]["id"].as_str().unwrap().to_owned();
        (visitor, conversation)
    }

    /// Subscribes the default webhook and gives its secret.
    pub(crate) async fn subscribe(&self, url: &str) -> String {
        let webhook = self
            .call("webhooks.subscribe", json!({ "url": url }))
            .await
            .ok();
        webhook["api_secret"].as_str().unwrap().to_owned()
    }
}

fn serving(name: &str, data: &Path, listen: SocketAddr) -> Command {
    let mut command = binary();
    command
        .arg(name)
        .args(["--listen", &listen.to_string()])
        .arg("--data")
        .arg(data)
        .env("TRADEWIND_API_TOKEN", TOKEN)
        .env("TRADEWIND_LOG", "error");
    command
}

/// Starts it and waits until it says where it listens.
async fn launch(command: Command, directory: &Path) -> (Process, String, SocketAddr) {
    let mut process = Process::start(command, &directory.join("stderr"));
    let greeting = process.line().await;
    let address = greeting
        .split_once("http://")
        .and_then(|(_, rest)| rest.split('/').next()?.parse().ok())
        .unwrap_or_else(|| panic!("it said {greeting:?}"));
    (process, greeting, address)
}
