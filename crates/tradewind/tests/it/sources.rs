//! Sources: what providers post becomes messages, once each; what is answered reaches them.
//!
//! The providers are played by a stand-in; the server is the real one.

mod facebook;
mod google;
mod instagram;
mod own;
mod telegram;
mod twilio;
mod whatsapp;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tradewind_stand_in::{Call, StandIn};

use crate::support::{
    SOON,
    receiver::{Delivery, Receiver},
    server::{Answer, Server},
    text, until_some,
};

pub(crate) const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const APP_ID: &str = "1234567890";
pub(crate) const VERIFY_TOKEN: &str = "a word of my choice";
pub(crate) const TWILIO_ACCOUNT: &str = "ACffffffffffffffffffffffffffffffff";
pub(crate) const TWILIO_TOKEN: &str = "89abcdef0123456789abcdef01234567";
pub(crate) const PARTNER_KEY: &str = "a partner's key";
pub(crate) const PUBLIC_URL: &str = "https://chat.example.com";

/// A server with accounts at all providers, and a webhook that hears all.
pub(crate) struct Desk {
    pub(crate) stand_in: StandIn,
    pub(crate) server: Server,
    pub(crate) receiver: Receiver,
    /// Where and at which pass the server dies by itself, from its next start on.
    crash_at: Arc<Mutex<Option<String>>>,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With further variables.
    pub(crate) async fn open_with(more: &[(&'static str, &'static str)]) -> Self {
        let stand_in = StandIn::start().await.unwrap();
        let url = stand_in.url();
        let more = more.to_vec();
        let crash_at = Arc::new(Mutex::new(None::<String>));
        let crash = Arc::clone(&crash_at);
        let server = Server::start_with(move |command| {
            command
                .args(["--webhook-allow", "127.0.0.0/8"])
                .env("TRADEWIND_META__API_URL", format!("{url}/graph"))
                .env("TRADEWIND_META__APP_ID", APP_ID)
                .env("TRADEWIND_META__APP_SECRET", APP_SECRET)
                .env("TRADEWIND_META__VERIFY_TOKEN", VERIFY_TOKEN)
                .env("TRADEWIND_TWILIO__API_URL", format!("{url}/twilio"))
                .env("TRADEWIND_TWILIO__ACCOUNT_SID", TWILIO_ACCOUNT)
                .env("TRADEWIND_TWILIO__AUTH_TOKEN", TWILIO_TOKEN)
                .env("TRADEWIND_GOOGLE__PARTNER_KEY", PARTNER_KEY)
                .env("TRADEWIND_TELEGRAM__API_URL", format!("{url}/telegram"))
                .env("TRADEWIND_PUBLIC_URL", PUBLIC_URL)
                .envs(more.iter().copied())
                .envs(
                    crash
                        .lock()
                        .unwrap()
                        .iter()
                        .map(|at| ("TRADEWIND_CRASH_AT", at)),
                )
        })
        .await;
        let receiver = Receiver::start().await;
        server.subscribe(&receiver.url()).await;
        Self {
            stand_in,
            server,
            receiver,
            crash_at,
        }
    }

    pub(crate) fn crash_at(&self, point: Option<&str>) {
        *self.crash_at.lock().unwrap() = point.map(str::to_owned);
    }

    /// Connects a channel and gives its id.
    pub(crate) async fn connect(&self, source: &str, id: &str, token: &str) -> String {
        let channel = json!({"source": source, "source_channel_id": id, "token": token});
        let channel = self.server.call("channels.connect", channel).await.ok();
        text(&channel["id"])
    }

    /// Posts as a provider does, with these headers.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let posted = self
            .server
            .request(Method::POST, path, headers, body.to_owned());
        posted.await.unwrap()
    }

    pub(crate) async fn events(&self, count: usize) -> Vec<Delivery> {
        self.receiver.wait_for(count, SOON).await
    }

    /// What was skipped, refused, not known …
    pub(crate) async fn stats(&self) -> Value {
        self.server.call("sources.stats", json!({})).await.ok()
    }

    pub(crate) async fn answer(&self, conversation: &str, text: &str) -> Value {
        let send = json!({"conversation_id": conversation, "message": {"text": text}});
        self.server.call("messages.send", send).await.ok()
    }

    pub(crate) async fn messages(&self, conversation: &str) -> Vec<Value> {
        let list = json!({"conversation_id": conversation, "page_size": 100});
        let list = self.server.call("messages.list", list).await.ok();
        list["data"].as_array().unwrap().clone()
    }

    /// Waits until a message is as `is` says.
    pub(crate) async fn message_that(
        &self,
        conversation: &str,
        id: &Value,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = std::time::Instant::now();
        loop {
            let messages = self.messages(conversation).await;
            let message = messages.iter().find(|message| message["id"] == *id);
            if let Some(message) = message.filter(|message| is(message)) {
                return message.clone();
            }
            assert!(started.elapsed() < SOON, "in vain: {messages:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the provider was called so often.
    pub(crate) async fn calls(&self, path: &str, count: usize) -> Vec<Call> {
        let look = || {
            let calls = self.stand_in.calls_to(path);
            (calls.len() >= count).then_some(calls)
        };
        let describe = || format!("{count} calls to {path}, got {:?}", self.stand_in.calls());
        until_some(SOON, look, describe).await
    }
}
