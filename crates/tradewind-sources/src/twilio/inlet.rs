//! What Twilio posts: messages of contacts, and what became of ours.

use serde_json::{Map, Value};
use tradewind_model::{
    Attachment, AttachmentKind, Channel, ChannelId, Content, MessageId, Postback, Sender,
    SenderType, UNSUPPORTED_TEXT,
};
use tradewind_store::{ReceiptKind, ReceiptOf};

use super::{
    MEDIA_FILES_MAX, PATH, Service,
    form::{Form, parameter},
    signature,
};
use crate::{
    Inbound, InboundMessage, InboundReceipt, Inlet, Posted, Profile, Refused, config::TwilioConfig,
};

/// Twilio's API as its posts name it, whatever the settings say.
const KNOWN_API: &str = "https://api.twilio.com";
/// The parameter of the address we give Twilio that says which message of ours it is about.
pub(super) const MESSAGE: &str = "message";

pub(super) struct TwilioInlet {
    config: TwilioConfig,
}

impl Inlet for TwilioInlet {
    fn path(&self) -> &'static str {
        PATH
    }

    fn receive(&self, posted: &Posted<'_>) -> Result<Vec<Inbound>, Refused> {
        let token = self.config.auth_token.as_ref();
        let token = token.ok_or(Refused::NotConfigured("twilio.auth_token"))?;
        let form = Form::read(posted.headers, posted.body);
        if !signature::is_right(token, posted, form.as_ref()) {
            return Err(Refused::Signature);
        }
        let inbound = match form {
            Some(form) => self.read(posted, &form),
            None => Inbound::Skipped("no form"),
        };
        Ok(vec![inbound])
    }
}

impl TwilioInlet {
    pub(super) fn new(config: &TwilioConfig) -> Self {
        let config = config.clone();
        Self { config }
    }

    fn read(&self, posted: &Posted<'_>, form: &Form) -> Inbound {
        let (Some(from), Some(to)) = (form.filled("From"), form.filled("To")) else {
            return Inbound::Skipped("no message");
        };
        if sid(form).is_none() && form.get("Body").is_none() {
            // Calls have these fields too.
            return Inbound::Skipped("no message");
        }
        match status(form) {
            Some(status) => receipt(posted, form, from, status),
            None => self.message(posted, form, from, to),
        }
    }

    fn message(&self, posted: &Posted<'_>, form: &Form, from: &str, to: &str) -> Inbound {
        let Some(service) = Service::of_address(to) else {
            return Inbound::Skipped("another service of twilio");
        };
        let source = service.source();
        let channel = Channel::id_of(&source, to);
        Inbound::Message(Box::new(InboundMessage {
            source,
            source_channel_id: to.to_owned(),
            contact: from.to_owned(),
            sender: Sender {
                id: from.to_owned(),
                kind: SenderType::SourceContact,
            },
            content: self.content(posted, form, channel),
            sent_at: None,
            id_name: String::from_utf8_lossy(posted.body).into_owned(),
            key: sid(form).map(str::to_owned),
            profile: form.filled("ProfileName").map(Profile::of_name),
        }))
    }

    fn content(&self, posted: &Posted<'_>, form: &Form, channel: ChannelId) -> Content {
        let mut attachments: Vec<_> = (0..MEDIA_FILES_MAX)
            .map_while(|number| self.file(posted, form, channel, number))
            .collect();
        attachments.extend(place(form));
        let postback = postback(form);
        let label = form.filled("ButtonText").or(form.filled("ListTitle"));
        let nothing = attachments.is_empty() && postback.is_none();
        let text = match form.filled("Body").or(label) {
            Some(text) => text,
            None if nothing => UNSUPPORTED_TEXT,
            None => "",
        };
        Content {
            text: text.to_owned(),
            attachments,
            postback,
        }
    }

    fn file(
        &self,
        posted: &Posted<'_>,
        form: &Form,
        channel: ChannelId,
        number: usize,
    ) -> Option<Attachment> {
        let url = form.filled(&format!("MediaUrl{number}"))?;
        let mime_type = form.filled(&format!("MediaContentType{number}"));
        let kind = match form.get("MessageType") {
            Some("sticker") => AttachmentKind::Sticker,
            _ => mime_type.map_or(AttachmentKind::File, AttachmentKind::of_mime_type),
        };
        // Twilio may want to be shown the account's token for it.
        let reference = [self.config.api_url.as_str(), KNOWN_API]
            .into_iter()
            .find_map(|api| url.strip_prefix(api).filter(|rest| rest.starts_with('/')));
        let url = match reference {
            Some(reference) => posted.media.url(channel, reference),
            None => url.to_owned(),
        };
        Some(Attachment {
            kind,
            url,
            name: None,
            mime_type: mime_type.map(str::to_owned),
        })
    }
}

fn sid(form: &Form) -> Option<&str> {
    let names = ["MessageSid", "SmsMessageSid", "SmsSid"];
    names.into_iter().find_map(|name| form.filled(name))
}

/// What has become of a message of ours; `None`: it is one of a contact's.
fn status(form: &Form) -> Option<&str> {
    if form.get("EventType") == Some("READ") {
        return Some("read");
    }
    let status = form.filled("MessageStatus").or(form.filled("SmsStatus"))?;
    (!matches!(status, "received" | "receiving")).then_some(status)
}

fn receipt(posted: &Posted<'_>, form: &Form, number: &str, status: &str) -> Inbound {
    let kind = match status {
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => ReceiptKind::Sent,
        "delivered" => ReceiptKind::Delivered,
        "read" => ReceiptKind::Read,
        "undelivered" | "failed" | "canceled" => ReceiptKind::Failed {
            reason: reason(form, status),
        },
        _ => return Inbound::Skipped("a status that is not known"),
    };
    let Some(service) = Service::of_address(number) else {
        return Inbound::Skipped("another service of twilio");
    };
    let of = match (asked_about(posted.url), sid(form)) {
        (Some(id), _) => ReceiptOf::Message(id),
        (None, Some(sid)) => ReceiptOf::SourceIds(vec![sid.to_owned()]),
        (None, None) => return Inbound::Skipped("no message"),
    };
    Inbound::Receipt(InboundReceipt {
        source: service.source(),
        source_channel_id: number.to_owned(),
        of,
        kind,
    })
}

/// Which message of ours the address asks about that we gave Twilio.
fn asked_about(url: &str) -> Option<MessageId> {
    parameter(url, MESSAGE)?.parse().ok()
}

fn reason(form: &Form, status: &str) -> String {
    let code = form.filled("ErrorCode").map(|code| format!("error {code}"));
    let words = form
        .filled("ErrorMessage")
        .or(form.filled("ChannelStatusMessage"));
    let parts = [Some(status.to_owned()), code, words.map(str::to_owned)];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    parts.join(": ")
}

/// A place on earth that the contact shared.
fn place(form: &Form) -> Option<Attachment> {
    let degrees = |name, limit: f64| {
        let text = form.filled(name)?.trim();
        let degrees: f64 = text.parse().ok()?;
        (degrees.abs() <= limit).then_some(text)
    };
    let latitude = degrees("Latitude", 90.0)?;
    let longitude = degrees("Longitude", 180.0)?;
    let names: Vec<_> = ["Label", "Address"]
        .into_iter()
        .filter_map(|name| form.filled(name))
        .collect();
    Some(Attachment {
        kind: AttachmentKind::Location,
        url: format!("geo:{latitude},{longitude}"),
        name: (!names.is_empty()).then(|| names.join(", ")),
        mime_type: None,
    })
}

/// The button or the line of a list that was chosen, and the advertisement that was come in by.
fn postback(form: &Form) -> Option<Postback> {
    let choices = [
        ("quick_reply", "ButtonPayload", "ButtonText"),
        ("list_reply", "ListId", "ListTitle"),
        ("flow_reply", "InteractiveData", "InteractiveData"),
    ];
    let chosen = choices.into_iter().find_map(|(kind, payload, label)| {
        let payload = form.filled(payload);
        (payload.is_some() || form.filled(label).is_some()).then_some((kind, payload))
    });
    let referral = referral(form);
    if chosen.is_none() && referral.is_none() {
        return None;
    }
    Some(Postback {
        payload: chosen.and_then(|(_, payload)| payload).map(str::to_owned),
        referral,
        kind: chosen.map(|(kind, _)| kind.to_owned()),
    })
}

/// What Twilio says of the advertisement, under its own names, as JSON text.
fn referral(form: &Form) -> Option<String> {
    let fields: Map<String, Value> = form
        .beginning("Referral")
        // How many files the advertisement has comes with every message, mostly as 0.
        .filter(|(name, value)| *name != "ReferralNumMedia" && !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    (!fields.is_empty()).then(|| Value::Object(fields).to_string())
}
