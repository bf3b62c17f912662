//! What Google posts: messages of contacts, suggestions they tapped, receipts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha512;
use tradewind_model::{
    Attachment, AttachmentKind, Content, MessageId, Postback, Sender, SenderType, Timestamp,
    UNSUPPORTED_TEXT,
};
use tradewind_store::{ReceiptKind, ReceiptOf};

use super::source;
use crate::{
    Inbound, InboundMessage, InboundReceipt, Inlet, Posted, Profile, Refused, config::GoogleConfig,
    json,
};

const HEADER: &str = "x-goog-signature";
/// Where Google keeps pictures of contacts. Their signed address comes as the text of a message.
const PICTURES: &str = "https://storage.googleapis.com/";
const PICTURE_SIGNATURE: &str = "x-goog-signature=";

pub(super) struct GoogleInlet {
    partner_key: Option<SecretString>,
}

impl GoogleInlet {
    pub(super) fn new(config: &GoogleConfig) -> Self {
        let partner_key = config.partner_key.clone();
        Self { partner_key }
    }
}

impl Inlet for GoogleInlet {
    fn path(&self) -> &'static str {
        "/google"
    }

    fn receive(&self, posted: &Posted<'_>) -> Result<Vec<Inbound>, Refused> {
        let key = self.partner_key.as_ref();
        let key = key.ok_or(Refused::NotConfigured("google.partner_key"))?;
        if !is_right(key, posted) {
            return Err(Refused::Signature);
        }
        Ok(read(posted.body))
    }
}

fn is_right(key: &SecretString, posted: &Posted<'_>) -> bool {
    let signature = posted.headers.get(HEADER);
    let Some(Ok(signature)) = signature.map(|value| STANDARD.decode(value.as_bytes())) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key.expose_secret().as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(posted.body);
    mac.verify_slice(&signature).is_ok()
}

/// One event: what it is about, and one of several keys that say what happened.
struct Event<'a> {
    json: &'a Value,
    body: &'a str,
    agent: &'a str,
    conversation: &'a str,
}

fn read(body: &[u8]) -> Vec<Inbound> {
    let skipped = |why| vec![Inbound::Skipped(why)];
    let Some(json) = json::posted(body) else {
        return skipped("no json");
    };
    let body = &*String::from_utf8_lossy(body);
    let agent = json["agent"].as_str().and_then(agent);
    let conversation = filled(&json["conversationId"]);
    let (Some(agent), Some(conversation)) = (agent, conversation) else {
        return skipped("no conversation");
    };
    let event = Event {
        json: &json,
        body,
        agent,
        conversation,
    };
    event.read()
}

/// `brands/B/agents/A` is the agent `A`.
fn agent(name: &str) -> Option<&str> {
    match name.split('/').collect::<Vec<_>>()[..] {
        ["brands", _, "agents", agent] if !agent.is_empty() => Some(agent),
        _ => None,
    }
}

fn filled(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

impl Event<'_> {
    fn read(&self) -> Vec<Inbound> {
        let json = self.json;
        if json["message"].is_object() {
            return vec![self.message(&json["message"]["messageId"], said(&json["message"]))];
        }
        if json["suggestionResponse"].is_object() {
            return vec![self.message(&json["requestId"], tapped(&json["suggestionResponse"]))];
        }
        if let Some(receipts) = json["receipts"]["receipts"].as_array() {
            return receipts.iter().map(|one| self.receipt(one)).collect();
        }
        let known = [
            ("userStatus", "status of a user"),
            ("surveyResponse", "answer to a survey"),
            ("authenticationResponse", "answer to a login"),
        ];
        let found = known.into_iter().find(|(key, _)| json[*key].is_object());
        let why = found.map_or("an event that is not known", |(_, why)| why);
        vec![Inbound::Skipped(why)]
    }

    fn message(&self, key: &Value, content: Content) -> Inbound {
        let key = filled(key).or(filled(&self.json["requestId"]));
        let name = filled(&self.json["context"]["userInfo"]["displayName"]);
        Inbound::Message(Box::new(InboundMessage {
            source: source(),
            source_channel_id: self.agent.to_owned(),
            contact: self.conversation.to_owned(),
            sender: Sender {
                id: self.conversation.to_owned(),
                kind: SenderType::SourceContact,
            },
            content,
            sent_at: time(&self.json["sendTime"]),
            id_name: self.body.to_owned(),
            key: key.map(str::to_owned),
            profile: name.map(Profile::of_name),
        }))
    }

    fn receipt(&self, receipt: &Value) -> Inbound {
        let kind = match receipt["receiptType"].as_str() {
            Some("DELIVERED") => ReceiptKind::Delivered,
            Some("READ") => ReceiptKind::Read,
            _ => return Inbound::Skipped("a receipt that is not known"),
        };
        // `conversations/C/messages/M`, where `M` is what we called the message.
        let name = receipt["message"].as_str().unwrap_or_default();
        let id = name.rsplit('/').next().unwrap_or_default();
        let of = match id.parse::<MessageId>() {
            Ok(id) => ReceiptOf::Message(id),
            Err(_) => ReceiptOf::SourceIds(vec![id.to_owned()]),
        };
        Inbound::Receipt(InboundReceipt {
            source: source(),
            source_channel_id: self.agent.to_owned(),
            of,
            kind,
        })
    }
}

fn said(message: &Value) -> Content {
    let text = message["text"].as_str().unwrap_or(UNSUPPORTED_TEXT);
    if !is_picture(text) {
        return Content::text(text);
    }
    Content {
        attachments: vec![Attachment {
            kind: AttachmentKind::Image,
            url: text.to_owned(),
            name: None,
            mime_type: None,
        }],
        ..Content::default()
    }
}

fn is_picture(text: &str) -> bool {
    text.starts_with(PICTURES)
        && !text.contains(char::is_whitespace)
        && text.to_ascii_lowercase().contains(PICTURE_SIGNATURE)
}

fn tapped(suggestion: &Value) -> Content {
    let text = |key: &str| suggestion[key].as_str().map(str::to_owned);
    Content {
        postback: Some(Postback {
            payload: text("postbackData"),
            referral: None,
            kind: text("type"),
        }),
        ..Content::text(text("text").unwrap_or_default())
    }
}

/// To the millisecond, as all times are kept.
fn time(value: &Value) -> Option<Timestamp> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    Timestamp::from_millisecond(time.as_millisecond()).ok()
}
