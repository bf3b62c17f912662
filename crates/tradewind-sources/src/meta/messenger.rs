//! What Messenger and Instagram post: one node for each thing that happened, in lists by account.

use serde_json::Value;
use tradewind_model::{Content, Postback, Sender, SenderType, Source};
use tradewind_store::{ReceiptKind, ReceiptOf};

use super::{
    OURS,
    echoes::Echoes,
    json::{is_true, items, object, text, time},
    shape,
};
use crate::{Inbound, InboundMessage, InboundReceipt};

/// Whose posts are read.
pub(super) struct Network<'a> {
    pub(super) source: Source,
    /// Our own app there, if the settings say.
    pub(super) app_id: Option<&'a str>,
    pub(super) echoes: &'a Echoes,
}

/// One account of a network: a page, or a professional account at Instagram.
struct Account<'a> {
    network: &'a Network<'a>,
    id: String,
}

/// What is known and of no interest, by the key that says what it is.
const PASSED_OVER: [&str; 18] = [
    "reaction",
    "message_edit",
    "typing",
    "optin",
    "optout",
    "referral",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "app_roles",
    "account_linking",
    "policy_enforcement",
    "policy-enforcement",
    "game_play",
    "messaging_feedback",
    "response_feedback",
    "messaging_customer_information",
    "message_context",
];

/// Reads the entries of a post, in their order.
pub(super) fn read(network: &Network<'_>, entries: &[Value]) -> Vec<Inbound> {
    let mut found = Vec::new();
    for entry in entries {
        let Some(id) = text(entry, "id") else {
            found.push(Inbound::Skipped("no_account"));
            continue;
        };
        let account = Account { network, id };
        // What happened while another app had the conversation is in `standby`.
        for list in ["messaging", "standby"] {
            found.extend(
                items(entry, list)
                    .iter()
                    .flat_map(|node| account.read(node)),
            );
        }
        for change in items(entry, "changes") {
            // The dashboard's button for a test puts the node of a message here.
            found.extend(match object(change, "value") {
                Some(node) if object(node, "sender").is_some() => account.read(node),
                _ => vec![Inbound::Skipped("change")],
            });
        }
    }
    found
}

impl Account<'_> {
    fn read(&self, node: &Value) -> Vec<Inbound> {
        if let Some(message) = object(node, "message") {
            vec![self.message(node, message)]
        } else if let Some(postback) = object(node, "postback") {
            vec![self.postback(node, postback)]
        } else if let Some(delivery) = object(node, "delivery") {
            self.receipts(node, &ReceiptKind::Delivered, delivery)
        } else if let Some(read) = object(node, "read") {
            self.receipts(node, &ReceiptKind::Read, read)
        } else {
            let known = PASSED_OVER.iter().find(|key| node.get(**key).is_some());
            vec![Inbound::Skipped(known.copied().unwrap_or("not_understood"))]
        }
    }

    fn message(&self, node: &Value, message: &Value) -> Inbound {
        if is_true(message, "is_deleted") {
            return Inbound::Skipped("unsend");
        }
        let (contact, sender) = if is_true(message, "is_echo") {
            if self.is_own(node, message) {
                return Inbound::Skipped("own_echo");
            }
            // Without an app it was written by hand, in the inbox of the page.
            let author = text(message, "app_id").or_else(|| party(node, "sender"));
            let contact = party(node, "recipient");
            let sender = author.map(|id| Sender {
                id,
                kind: SenderType::SourceUser,
            });
            (contact, sender)
        } else {
            let contact = party(node, "sender");
            let sender = contact.clone().map(by_contact);
            (contact, sender)
        };
        let (Some(contact), Some(sender)) = (contact, sender) else {
            return Inbound::Skipped("no_contact");
        };
        let content = shape::content(node, message);
        self.found(node, message, contact, sender, content)
    }

    fn postback(&self, node: &Value, postback: &Value) -> Inbound {
        let Some(contact) = party(node, "sender") else {
            return Inbound::Skipped("no_contact");
        };
        let referral = object(postback, "referral").or_else(|| object(node, "referral"));
        let content = Content {
            text: text(postback, "title").unwrap_or_default(),
            attachments: Vec::new(),
            postback: Some(Postback {
                payload: text(postback, "payload"),
                referral: referral.map(Value::to_string),
                kind: None,
            }),
        };
        let sender = by_contact(contact.clone());
        self.found(node, postback, contact, sender, content)
    }

    fn found(
        &self,
        node: &Value,
        said: &Value,
        contact: String,
        sender: Sender,
        content: Content,
    ) -> Inbound {
        Inbound::Message(Box::new(InboundMessage {
            source: self.network.source.clone(),
            source_channel_id: self.id.clone(),
            contact,
            sender,
            content,
            sent_at: time(node, "timestamp"),
            id_name: node.to_string(),
            key: text(said, "mid"),
            profile: None,
        }))
    }

    /// Whether an echo is of something that was sent from here.
    fn is_own(&self, node: &Value, message: &Value) -> bool {
        let app_id = text(message, "app_id");
        let by_app = app_id.is_some() && app_id.as_deref() == self.network.app_id;
        let metadata = text(message, "metadata");
        let by_metadata = metadata.is_some_and(|text| text.starts_with(OURS));
        by_app || by_metadata || app_id.is_none() && self.network.echoes.knows(node)
    }

    /// Messenger names messages, and a time until which all have arrived: a receipt that came before we knew
    /// what it calls a message is made good by a later time. Instagram names the last that was read.
    fn receipts(&self, node: &Value, kind: &ReceiptKind, told: &Value) -> Vec<Inbound> {
        let mids = items(told, "mids").iter().filter_map(Value::as_str);
        let mut mids: Vec<_> = mids.map(str::to_owned).collect();
        mids.extend(text(told, "mid"));
        let named = (!mids.is_empty()).then_some(ReceiptOf::SourceIds(mids));
        let until = party(node, "sender").zip(time(told, "watermark"));
        let until = until.map(|(contact, at)| ReceiptOf::Until { contact, at });
        let receipt = |of| {
            Inbound::Receipt(InboundReceipt {
                source: self.network.source.clone(),
                source_channel_id: self.id.clone(),
                of,
                kind: kind.clone(),
            })
        };
        let found: Vec<_> = named.into_iter().chain(until).map(receipt).collect();
        if found.is_empty() {
            return vec![Inbound::Skipped("receipt_of_nothing")];
        }
        found
    }
}

/// The id of the sender or recipient.
fn party(node: &Value, key: &str) -> Option<String> {
    text(node.get(key)?, "id")
}

fn by_contact(id: String) -> Sender {
    Sender {
        id,
        kind: SenderType::SourceContact,
    }
}

#[cfg(test)]
mod tests;
