//! A bot: connecting it, sending by it, and the files that were sent to it.

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tradewind_model::{AttachmentKind, Message, Source};

use super::{
    PATH,
    api::{BotApi, Problem, bot_of},
    hooks::Hooks,
    outgoing::{self, Part},
    source,
};
use crate::{
    Account, AskError, Connected, Pace, Provider, SendError, Sent, Tools, Wish,
    config::TelegramConfig,
    json::{object, text},
    parts::Parts,
};

/// What Telegram is to tell us: nothing of what would only be passed over.
const UPDATES: [&str; 2] = ["message", "callback_query"];

/// What is in a file, by how its name ends: Telegram does not say it.
const TYPES: [(&str, &str); 11] = [
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("m4a", "audio/mp4"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("png", "image/png"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
];

pub(super) struct Bots {
    api: BotApi,
    hooks: Hooks,
    public_url: Option<String>,
    parts: Parts,
}

impl Bots {
    pub(super) fn new(config: &TelegramConfig, tools: &Tools) -> Self {
        Self {
            api: BotApi::new(tools.client.clone(), config.api_url.clone()),
            hooks: Hooks::new(tools.hook_key),
            public_url: tools.public_url.clone(),
            parts: Parts::default(),
        }
    }

    /// Makes Telegram post what the bot is sent here, and nowhere else any more.
    /// Sends a part; answers how Telegram calls what it took.
    async fn send_part(
        &self,
        token: &SecretString,
        chat: &str,
        part: &Part,
    ) -> Result<Option<String>, SendError> {
        match self.call_for(token, chat, part).await {
            // A group that has become a large one is the same people in another chat.
            Err(Problem::Refused(refusal)) if refusal.moved_to.is_some() => {
                let chat = refusal.moved_to.unwrap_or_default();
                self.call_for(token, &chat, part).await
            }
            answer => answer,
        }
        .map_err(Problem::of_message)
    }

    async fn call_for(
        &self,
        token: &SecretString,
        chat: &str,
        part: &Part,
    ) -> Result<Option<String>, Problem> {
        let mut body = part.body.clone();
        body["chat_id"] = chat
            .parse::<i64>()
            .map_or_else(|_| chat.into(), Value::from);
        let taken = self.api.call(token, part.method, &body).await?;
        let message = text(&taken, "message_id");
        let chat = object(&taken, "chat").and_then(|chat| text(chat, "id"));
        let chat = chat.unwrap_or_else(|| body["chat_id"].to_string());
        Ok(message.map(|message| format!("{chat}:{message}")))
    }
}

#[async_trait]
impl Provider for Bots {
    fn source(&self) -> Source {
        source()
    }

    fn default_channel_name(&self) -> &'static str {
        "Telegram bot"
    }

    fn takes(&self, kind: AttachmentKind) -> bool {
        kind != AttachmentKind::Link
    }

    /// A bot may send 30 messages in any second: 5 at once and 25 more. Of the one a second that a chat takes,
    /// Telegram lets some more pass at once, and then says how long to wait.
    fn pace(&self) -> Option<Pace> {
        Some(Pace {
            every: Duration::from_millis(40),
            burst: 5,
        })
    }

    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        let Some(token) = wish.token else {
            return Err(AskError::invalid("token", "is required"));
        };
        if bot_of(token.expose_secret()).is_none() {
            let why = "must be that of a bot, as BotFather gives it: 110201543:AAHdqTcv…";
            return Err(AskError::invalid("token", why));
        }
        if self.public_url.is_none() {
            return Err(AskError::NotConfigured("public_url"));
        }
        let bot = self.api.call(&token, "getMe", &json!({})).await;
        let bot = bot.map_err(Problem::of_given_token)?;
        let Some(id) = text(&bot, "id") else {
            let why = "Telegram does not say which bot it is of";
            return Err(AskError::Unavailable(why.to_owned()));
        };
        let username = text(&bot, "username");
        if let Some(wished) = &wish.source_channel_id {
            check_id(wished, &id, username.as_deref())?;
        }
        let name = text(&bot, "first_name").or_else(|| username.map(|name| format!("@{name}")));
        Ok(Connected {
            source_channel_id: id,
            name: wish.name.or(name),
            image_url: wish.image_url,
            token: Some(token),
        })
    }

    async fn subscribe(&self, account: &Account) -> Result<(), AskError> {
        let bot = account.channel.source_channel_id.as_str();
        let Some(public_url) = &self.public_url else {
            return Err(AskError::NotConfigured("public_url"));
        };
        let token = account.token.as_ref().ok_or(AskError::NotFound)?;
        let base = public_url.trim_end_matches('/');
        let hook = json!({
            "url": format!("{base}{PATH}/{bot}"),
            "secret_token": self.hooks.word(bot),
            "allowed_updates": UPDATES,
        });
        self.api.call(token, "setWebhook", &hook).await?;
        Ok(())
    }

    async fn disconnect(&self, account: &Account) -> Result<(), AskError> {
        let Some(token) = &account.token else {
            return Ok(());
        };
        self.api.call(token, "deleteWebhook", &json!({})).await?;
        Ok(())
    }

    async fn send(&self, account: &Account, message: &Message) -> Result<Sent, SendError> {
        let Some(token) = &account.token else {
            let reason = "the channel was connected without a token".to_owned();
            return Err(SendError::TokenRefused { reason });
        };
        let parts = outgoing::parts(&message.content);
        let chat = message.contact_source_id.as_str();
        let send = async |part| self.send_part(token, chat, part).await;
        self.parts
            .send(message.id, parts.len(), |part| send(&parts[part]))
            .await
    }

    async fn media(
        &self,
        account: &Account,
        reference: &str,
    ) -> Result<reqwest::Response, AskError> {
        let token = account.token.as_ref().ok_or(AskError::NotFound)?;
        let asked = json!({"file_id": reference});
        let file = self.api.call(token, "getFile", &asked).await;
        let file = file.map_err(Problem::of_file)?;
        let path = text(&file, "file_path").ok_or(AskError::NotFound)?;
        let mut response = self.api.open(token, &path).await?;
        if let Some(kind) = type_of(&path) {
            let kind = HeaderValue::from_static(kind);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }
}

/// Checks that the bot is the one that was meant, by its id or by its name.
fn check_id(wished: &str, id: &str, username: Option<&str>) -> Result<(), AskError> {
    let name = wished.strip_prefix('@').unwrap_or(wished);
    let is_name = username.is_some_and(|username| username.eq_ignore_ascii_case(name));
    if wished == id || is_name {
        return Ok(());
    }
    let why = match username {
        Some(username) => {
            format!("must be {id} or @{username}, or left out: the token is of this bot")
        }
        None => format!("must be {id}, or left out: the token is of this bot"),
    };
    Err(AskError::invalid("source_channel_id", why))
}

fn type_of(path: &str) -> Option<&'static str> {
    let (_, end) = path.rsplit_once('.')?;
    let found = TYPES
        .iter()
        .find(|(known, _)| end.eq_ignore_ascii_case(known));
    found.map(|(_, kind)| *kind)
}
