//! What Telegram posts: one update at a time, with the word that it was given.

use serde_json::Value;
use tradewind_model::{Channel, ChannelId, Content, Postback, Sender, SenderType};

use super::{
    PATH,
    content::{self, Said},
    hooks::Hooks,
    source,
};
use crate::{
    Inbound, InboundMessage, Inlet, MediaLinks, Posted, Profile, Refused,
    json::{self, items, object, text, time},
};

/// Updates that are no message to the bot, as far as they are known.
const OTHERS: [&str; 13] = [
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "poll",
    "poll_answer",
    "business_message",
    "edited_business_message",
];

pub(super) struct TelegramInlet {
    hooks: Hooks,
}

/// The bot that a post is for.
struct Bot<'a> {
    id: &'a str,
    channel: ChannelId,
    media: &'a MediaLinks,
}

impl TelegramInlet {
    pub(super) fn new(hook_key: [u8; 32]) -> Self {
        Self {
            hooks: Hooks::new(hook_key),
        }
    }
}

impl Inlet for TelegramInlet {
    fn path(&self) -> &'static str {
        PATH
    }

    fn receive(&self, posted: &Posted<'_>) -> Result<Vec<Inbound>, Refused> {
        let id = posted.below;
        if !self.hooks.is_right(id, posted.headers) {
            return Err(Refused::Signature);
        }
        let bot = Bot {
            id,
            channel: Channel::id_of(&source(), id),
            media: posted.media,
        };
        let inbound = match json::posted(posted.body) {
            Some(update) => bot.update(&update),
            None => Inbound::Skipped("unreadable"),
        };
        Ok(vec![inbound])
    }
}

impl Bot<'_> {
    fn update(&self, update: &Value) -> Inbound {
        if let Some(message) = object(update, "message") {
            return self.message(message);
        }
        if let Some(query) = object(update, "callback_query") {
            return self.pressed(query);
        }
        let other = OTHERS.iter().find(|kind| update.get(kind).is_some());
        Inbound::Skipped(other.copied().unwrap_or("update"))
    }

    fn message(&self, message: &Value) -> Inbound {
        let chat = object(message, "chat");
        let contact = chat.and_then(|chat| text(chat, "id"));
        let (Some(chat), Some(contact), Some(id)) = (chat, contact, text(message, "message_id"))
        else {
            return Inbound::Skipped("no_chat");
        };
        let from = object(message, "from");
        let author = from.and_then(|from| text(from, "id"));
        if author.as_deref() == Some(self.id) {
            return Inbound::Skipped("own_message");
        }
        let file = |id: &str| self.media.url(self.channel, id);
        let content = match content::read(message, &file) {
            Said::Content(content) => content,
            Said::Nothing(what) => return Inbound::Skipped(what),
        };
        // Who writes in the name of a group or a channel has no name of their own.
        let in_name_of = object(message, "sender_chat").and_then(|chat| text(chat, "id"));
        let author = in_name_of.or(author).unwrap_or_else(|| contact.clone());
        Inbound::Message(Box::new(InboundMessage {
            sent_at: time(message, "date"),
            id_name: format!("{contact}:{id}"),
            ..self.found(content, chat, (contact, author), from)
        }))
    }

    /// A button below a message of the bot was pressed.
    fn pressed(&self, query: &Value) -> Inbound {
        let message = object(query, "message");
        let chat = message.and_then(|message| object(message, "chat"));
        let contact = chat.and_then(|chat| text(chat, "id"));
        let (Some(message), Some(chat), Some(contact)) = (message, chat, contact) else {
            // The message is one that people send each other through the bot: it is in no chat of the bot's.
            return Inbound::Skipped("button_without_chat");
        };
        let Some(id) = text(query, "id") else {
            return Inbound::Skipped("button_without_id");
        };
        let from = object(query, "from");
        let author = from.and_then(|from| text(from, "id"));
        let author = author.unwrap_or_else(|| contact.clone());
        let data = text(query, "data");
        let content = Content {
            text: label(message, data.as_deref()).unwrap_or_default(),
            attachments: Vec::new(),
            postback: Some(Postback {
                payload: data.or_else(|| text(query, "game_short_name")),
                referral: None,
                kind: Some("callback_query".to_owned()),
            }),
        };
        Inbound::Message(Box::new(InboundMessage {
            id_name: format!("callback_query:{id}"),
            ..self.found(content, chat, (contact, author), from)
        }))
    }

    /// What is the same for both. It has no id yet.
    fn found(
        &self,
        content: Content,
        chat: &Value,
        (contact, author): (String, String),
        from: Option<&Value>,
    ) -> InboundMessage {
        InboundMessage {
            source: source(),
            source_channel_id: self.id.to_owned(),
            contact,
            sender: Sender {
                id: author,
                kind: SenderType::SourceContact,
            },
            content,
            sent_at: None,
            id_name: String::new(),
            key: None,
            profile: profile(chat, from),
        }
    }
}

/// What stands on the button.
fn label(message: &Value, data: Option<&str>) -> Option<String> {
    let data = data?;
    let keyboard = object(message, "reply_markup")?;
    let rows = items(keyboard, "inline_keyboard").iter();
    let mut buttons = rows.filter_map(Value::as_array).flatten();
    let is_it = |button: &&Value| button.get("callback_data").and_then(Value::as_str) == Some(data);
    text(buttons.find(is_it)?, "text")
}

/// A group's title, or the name of the person.
fn profile(chat: &Value, from: Option<&Value>) -> Option<Profile> {
    if let Some(title) = text(chat, "title") {
        return Some(Profile {
            first_name: Some(title),
            ..Profile::default()
        });
    }
    let person = from.unwrap_or(chat);
    let profile = Profile {
        first_name: text(person, "first_name"),
        last_name: text(person, "last_name"),
        avatar_url: None,
    };
    (profile != Profile::default()).then_some(profile)
}
