//! Google Business Messages: chats that begin in Search and Maps.
//!
//! Google closed the service in July 2024; this is for what still speaks its protocol, and is as small as that
//! allows: texts in both directions, suggestions that were tapped, receipts.

mod inlet;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use http::{StatusCode, header};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tradewind_delivery::attempt::{Failure, FailureClass};
use tradewind_model::{Message, Source};
use url::Url;

use self::{inlet::GoogleInlet, token::Tokens};
use crate::{
    Account, Answer, AskError, Client, Connected, Provider, SendError, Sent, Sources, Tools, Wish,
    config::{ApiUrl, GoogleConfig},
};

/// Characters of Google's words that are kept of why it refused.
const REASON_CHARS_MAX: usize = 300;

/// Adds the source, and the path where Google posts.
pub(crate) fn add(sources: &mut Sources, config: &GoogleConfig, tools: &Tools) {
    sources.providers.push(Arc::new(Google::new(config, tools)));
    sources.inlets.push(Arc::new(GoogleInlet::new(config)));
}

struct Google {
    api_url: ApiUrl,
    client: Client,
    tokens: Tokens,
    verifies: bool,
    sends: bool,
}

impl Google {
    fn new(config: &GoogleConfig, tools: &Tools) -> Self {
        Self {
            api_url: config.api_url.clone(),
            client: tools.client.clone(),
            verifies: config.partner_key.is_some(),
            sends: config.service_account.is_some(),
            tokens: Tokens::new(config, tools),
        }
    }

    fn url(&self, conversation: &str) -> Option<Url> {
        let mut url = Url::parse(self.api_url.as_str()).ok()?;
        let path = ["conversations", conversation, "messages"];
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        Some(url)
    }
}

#[async_trait]
impl Provider for Google {
    fn source(&self) -> Source {
        source()
    }

    fn default_channel_name(&self) -> &'static str {
        "Google Business Messages"
    }

    /// Google is told where to post in its console. Without a service account a channel can only receive; with
    /// one, Google is asked whether it knows it, and a clear no is told at once.
    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        let connected = Connected::as_wished(wish)?;
        if connected.source_channel_id.contains('/') {
            let why = "must be the id of an agent, which is the last part of its name";
            return Err(AskError::invalid("source_channel_id", why));
        }
        if !self.verifies {
            return Err(AskError::NotConfigured("google.partner_key"));
        }
        if self.sends
            && let Err(SendError::Final { reason } | SendError::TokenRefused { reason }) =
                self.tokens.get().await
        {
            return Err(AskError::Refused(reason));
        }
        Ok(Connected {
            token: None,
            ..connected
        })
    }

    async fn send(&self, _: &Account, message: &Message) -> Result<Sent, SendError> {
        let Some(url) = self.url(&message.contact_source_id) else {
            unreachable!("the settings' address is one that has a path");
        };
        let token = self.tokens.get().await?;
        // The id is ours, so that Google knows a message that comes again.
        let id = message.id.to_string();
        let body = json!({
            "messageId": id,
            "text": message.content.text,
            "representative": {"representativeType": "HUMAN"},
        });
        let request = self.client.request(Method::POST, url.as_str());
        let request = request
            .bearer_auth(token.expose_secret())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer = self.client.ask(request).await;
        let answer = answer.map_err(SendError::Retry)?;
        match answer.status {
            status if status.is_success() || status == StatusCode::CONFLICT => Ok(Sent {
                source_message_id: Some(id),
            }),
            StatusCode::UNAUTHORIZED => {
                self.tokens.forget();
                Err(SendError::Retry(answer.failure(reason(&answer))))
            }
            _ => Err(refusal(&answer)),
        }
    }
}

fn source() -> Source {
    Source::named("google")
}

/// What an answer that is no success means for a message.
fn refusal(answer: &Answer) -> SendError {
    let reason = reason(answer);
    if answer.is_passing() {
        SendError::Retry(answer.failure(reason))
    } else {
        SendError::Final { reason }
    }
}

/// Google's words of why it refused; its status if it has none.
fn reason(answer: &Answer) -> String {
    let problem: Value = answer.json().unwrap_or_default();
    let error = &problem["error"];
    let words = [&error["message"], &problem["error_description"], error];
    let words = words
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
    let words: String = words.chars().take(REASON_CHARS_MAX).collect();
    let status = answer.status.as_u16();
    match words.as_str() {
        "" => format!("status {status}"),
        words => format!("status {status}: {words}"),
    }
}

/// An answer that is a success and does not say what it should.
fn not_understood(what: &str) -> SendError {
    let detail = format!("{what} of Google is not understood");
    SendError::Retry(Failure::new(FailureClass::Response, detail))
}
