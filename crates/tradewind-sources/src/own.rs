//! Sources that somebody else connects: whatever is to be sent is posted to their connector as an action call,
//! which says what to do and is signed as webhooks are.

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use tradewind_delivery::{
    attempt::{Failure, FailureClass},
    chain::chain,
    sign::{self, Key},
    transport::{Endpoint, Exchange, Transport},
    webhook::common_headers,
};
use tradewind_model::{
    AttachmentKind, ChannelId, Clock, Content, ConversationId, Message, MessageId, Source, WireTime,
};
use tradewind_store::OwnSource;

use crate::{Account, Accounts, Provider, SendError, Sent, Vault, VaultError, tidy_reason};

/// What begins the names of sources that Tradewind has itself, or may have.
const TAKEN: [&str; 8] = [
    "chat_plugin",
    "facebook",
    "instagram",
    "whatsapp",
    "telegram",
    "twilio",
    "google",
    "test",
];

/// Speaks with the connector of one source.
pub struct Own {
    source: OwnSource,
    /// Where it takes calls, and what signs them.
    target: Target,
    accounts: Accounts,
    transport: Transport,
    clock: Arc<dyn Clock>,
}

enum Target {
    Ready {
        endpoint: Box<Endpoint>,
        key: Key,
    },
    /// It takes no messages.
    None,
    /// What is stored of it cannot be used here.
    Broken(String),
}

impl Own {
    /// Of a source as it is stored. Its calls go through `transport`.
    pub fn new(
        source: OwnSource,
        accounts: Accounts,
        transport: Transport,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            target: Target::of(&source, &accounts.vault),
            source,
            accounts,
            transport,
            clock,
        }
    }

    /// Whether a source of one's own may be called so: not as one of Tradewind's, nor so that events would
    /// not tell them apart.
    pub fn may_be_called(source: &Source) -> bool {
        let name = source.name().replace('.', "_");
        let is_like = |taken: &str| name == taken || source.name().split('.').next() == Some(taken);
        !TAKEN.into_iter().any(is_like) && !name.starts_with("twilio_")
    }

    /// Seals the token of a source, as the store keeps it.
    pub fn seal(
        vault: &Vault,
        source: &Source,
        token: &SecretString,
    ) -> Result<String, VaultError> {
        vault.seal(&owner(source), token)
    }

    /// What is posted for a message.
    async fn call(&self, message: &Message) -> Result<String, SendError> {
        let id = message.conversation_id;
        let found = self.accounts.store.find_conversation(id).await;
        let found = found.map_err(|error| {
            retry(format!(
                "the conversation could not be read: {}",
                chain(&error)
            ))
        })?;
        let Some(conversation) = found else {
            return Err(SendError::Final {
                reason: "the conversation is not there any more".to_owned(),
            });
        };
        let call = Call {
            r#type: "message.send",
            payload: Payload {
                message: MessageToSend {
                    id: message.id,
                    source_recipient_id: &message.contact_source_id,
                    content: &message.content,
                    sent_at: message.sent_at.as_millisecond().to_string(),
                },
                conversation: InConversation {
                    id,
                    channel_id: message.channel_id,
                    source_conversation_id: &message.contact_source_id,
                    created_at: WireTime(conversation.created_at),
                },
            },
        };
        serde_json::to_string(&call).map_err(|error| retry(error.to_string()))
    }
}

impl Target {
    fn of(source: &OwnSource, vault: &Vault) -> Self {
        let Some(url) = &source.action_url else {
            return Self::None;
        };
        let url = match url.parse() {
            Ok(url) => url,
            Err(error) => {
                return Self::Broken(format!("the stored action_endpoint is wrong: {error}"));
            }
        };
        match vault.open(&owner(&source.source), &source.sealed_token) {
            Ok(token) => Self::Ready {
                endpoint: Box::new(Endpoint::new(url)),
                key: Key::new(token.expose_secret()),
            },
            Err(error) => Self::Broken(format!("the source's token cannot be read: {error}")),
        }
    }
}

/// For whom the token of a source is sealed.
fn owner(source: &Source) -> String {
    format!("source {source}")
}

/// An action call. Keys come in the order of the fields.
#[derive(Serialize)]
struct Call<'a> {
    r#type: &'static str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    message: MessageToSend<'a>,
    conversation: InConversation<'a>,
}

#[derive(Serialize)]
struct MessageToSend<'a> {
    id: MessageId,
    source_recipient_id: &'a str,
    content: &'a Content,
    /// Milliseconds since 1970.
    sent_at: String,
}

#[derive(Serialize)]
struct InConversation<'a> {
    id: ConversationId,
    channel_id: ChannelId,
    source_conversation_id: &'a str,
    created_at: WireTime,
}

#[async_trait]
impl Provider for Own {
    fn source(&self) -> Source {
        self.source.source.clone()
    }

    fn default_channel_name(&self) -> &str {
        let name = self.source.name.as_deref();
        name.unwrap_or_else(|| self.source.source.name())
    }

    /// Whether it does is for its connector to say, which can refuse the message.
    fn takes(&self, _: AttachmentKind) -> bool {
        true
    }

    async fn send(&self, _: &Account, message: &Message) -> Result<Sent, SendError> {
        let (endpoint, key) = match &self.target {
            Target::Ready { endpoint, key } => (endpoint, key),
            Target::Broken(why) => return Err(retry(why)),
            Target::None => {
                return Err(SendError::Final {
                    reason: "the source takes no messages: it has no action_endpoint".to_owned(),
                });
            }
        };
        let body = self.call(message).await?;
        let now = self.clock.now();
        let mut headers = common_headers();
        let id = message.id.to_string();
        sign::add_headers(&mut headers, &[key], &id, now.as_second(), body.as_bytes())
            .map_err(|error| retry(error.to_string()))?;
        let exchange = self
            .transport
            .post(endpoint, headers, body.into(), now)
            .await;
        judge(exchange)
    }
}

fn retry(why: impl Into<String>) -> SendError {
    SendError::Retry(Failure::new(FailureClass::Internal, why))
}

/// What a connector's answer means.
fn judge(exchange: Exchange) -> Result<Sent, SendError> {
    let reply = exchange.result.map_err(SendError::Retry)?;
    let said: Value = serde_json::from_slice(&exchange.trace.response).unwrap_or_default();
    if reply.status.is_success() {
        let source_message_id = match &said["source_message_id"] {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        };
        return Ok(Sent { source_message_id });
    }
    let later = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if reply.status.is_client_error() && !later.contains(&reply.status) {
        let error = said["error"].as_str();
        let reason = error.map_or_else(|| reply.describe(), tidy_reason);
        return Err(SendError::Final { reason });
    }
    Err(SendError::Retry(Failure {
        status: Some(reply.status.as_u16()),
        retry_after: reply.retry_after,
        // Behind one connector there are many accounts.
        lane_only: reply.status == StatusCode::TOO_MANY_REQUESTS,
        ..Failure::new(FailureClass::Status, reply.describe())
    }))
}

#[cfg(test)]
mod tests;
