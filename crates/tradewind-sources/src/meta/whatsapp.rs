//! What `WhatsApp` posts: changes of a business's phone numbers.

mod content;

use serde_json::Value;
use tradewind_model::{Channel, ChannelId, MessageId, Sender, SenderType, Source};
use tradewind_store::{ReceiptKind, ReceiptOf};

use self::content::Said;
use super::{
    OURS,
    json::{items, object, text, time},
};
use crate::{Inbound, InboundMessage, InboundReceipt, MediaLinks, Profile};

/// The phone number that a change is about.
struct Number<'a> {
    source: &'a Source,
    media: &'a MediaLinks,
    id: String,
    channel: ChannelId,
}

/// Reads the entries of a post, in their order.
pub(super) fn read(source: &Source, media: &MediaLinks, entries: &[Value]) -> Vec<Inbound> {
    let mut found = Vec::new();
    for change in entries.iter().flat_map(|entry| items(entry, "changes")) {
        let value = change.get("value").unwrap_or(&Value::Null);
        // The second name is that of the time before the cloud.
        let about = ["metadata", "whatsapp_business_api_data"];
        let about = about.iter().find_map(|key| object(value, key));
        let Some(id) = about.and_then(|about| text(about, "phone_number_id")) else {
            found.push(Inbound::Skipped("change"));
            continue;
        };
        let number = Number {
            source,
            media,
            channel: Channel::id_of(source, &id),
            id,
        };
        match change.get("field").and_then(Value::as_str) {
            Some("messages") => number.read(value, &mut found),
            Some("smb_message_echoes") => {
                let echoes = items(value, "message_echoes").iter();
                found.extend(echoes.map(|echo| number.echo(echo)));
            }
            _ => found.push(Inbound::Skipped("change")),
        }
    }
    found
}

impl Number<'_> {
    fn read(&self, value: &Value, found: &mut Vec<Inbound>) {
        let contacts = items(value, "contacts");
        let messages = items(value, "messages").iter();
        found.extend(messages.map(|message| self.message(message, contacts)));
        found.extend(
            items(value, "statuses")
                .iter()
                .map(|status| self.status(status)),
        );
        if !items(value, "errors").is_empty() {
            found.push(Inbound::Skipped("errors"));
        }
    }

    fn message(&self, message: &Value, contacts: &[Value]) -> Inbound {
        if text(message, "group_id").is_some() {
            // An answer would go to the author alone.
            return Inbound::Skipped("group");
        }
        // Who has taken a user name may be without a number.
        let contact = text(message, "from").or_else(|| text(message, "from_user_id"));
        let Some(contact) = contact else {
            return Inbound::Skipped("no_contact");
        };
        let sender = Sender {
            id: contact.clone(),
            kind: SenderType::SourceContact,
        };
        let profile = profile(&contact, contacts);
        self.found(message, contact, sender, profile)
    }

    /// What was written in the app on the phone of the business.
    fn echo(&self, echo: &Value) -> Inbound {
        let contact = text(echo, "to").or_else(|| text(echo, "to_user_id"));
        let (Some(contact), Some(author)) = (contact, text(echo, "from")) else {
            return Inbound::Skipped("no_contact");
        };
        let sender = Sender {
            id: author,
            kind: SenderType::SourceUser,
        };
        self.found(echo, contact, sender, None)
    }

    fn found(
        &self,
        message: &Value,
        contact: String,
        sender: Sender,
        profile: Option<Profile>,
    ) -> Inbound {
        let file = |id: &str| self.media.url(self.channel, id);
        let content = match content::read(message, &file) {
            Said::Content(content) => content,
            Said::Nothing(what) => return Inbound::Skipped(what),
        };
        Inbound::Message(Box::new(InboundMessage {
            source: self.source.clone(),
            source_channel_id: self.id.clone(),
            contact,
            sender,
            content,
            sent_at: time(message, "timestamp"),
            id_name: text(message, "id").unwrap_or_else(|| message.to_string()),
            key: None,
            profile,
        }))
    }

    fn status(&self, status: &Value) -> Inbound {
        let kind = match status.get("status").and_then(Value::as_str) {
            Some("sent") => ReceiptKind::Sent,
            Some("delivered") => ReceiptKind::Delivered,
            // A voice message that was played was seen before.
            Some("read" | "played") => ReceiptKind::Read,
            Some("failed") => ReceiptKind::Failed {
                reason: reason(status),
            },
            _ => return Inbound::Skipped("status"),
        };
        let ours = text(status, "biz_opaque_callback_data");
        let ours = ours.and_then(|data| data.strip_prefix(OURS)?.parse::<MessageId>().ok());
        let of = match (ours, text(status, "id")) {
            (Some(id), _) => ReceiptOf::Message(id),
            (None, Some(id)) => ReceiptOf::SourceIds(vec![id]),
            (None, None) => return Inbound::Skipped("receipt_of_nothing"),
        };
        Inbound::Receipt(InboundReceipt {
            source: self.source.clone(),
            source_channel_id: self.id.clone(),
            of,
            kind,
        })
    }
}

/// What came along about the contact.
fn profile(contact: &str, contacts: &[Value]) -> Option<Profile> {
    let is = |about: &Value| {
        let id = |key| text(about, key).is_some_and(|id| id == contact);
        id("wa_id") || id("user_id")
    };
    // A number is not written the same way everywhere, but who is alone is meant.
    let about = match contacts {
        [one] => one,
        several => several.iter().find(|about| is(about))?,
    };
    let profile = object(about, "profile")?;
    let name = text(profile, "name").or_else(|| text(profile, "username"))?;
    Some(Profile::of_name(&name))
}

/// Why a message did not arrive, in `WhatsApp`'s words.
fn reason(status: &Value) -> String {
    let Some(error) = items(status, "errors").first() else {
        return "WhatsApp could not deliver it, and does not say why".to_owned();
    };
    let what = text(error, "title").or_else(|| text(error, "message"));
    let details = object(error, "error_data").and_then(|data| text(data, "details"));
    let mut reason = what.unwrap_or_else(|| "WhatsApp could not deliver it".to_owned());
    if let Some(details) = details.filter(|details| *details != reason) {
        reason = format!("{reason}: {details}");
    }
    match text(error, "code") {
        Some(code) => format!("{reason} (code {code})"),
        None => reason,
    }
}

#[cfg(test)]
mod tests;
