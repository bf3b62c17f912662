//! What an event is: which entries of the log are one, under which id, and its body.
//!
//! Whoever gets events, pushed or pulled, gets these bytes. There are two forms: the flat event of a
//! message, and typed events, of which one entry can be several.

use serde::Serialize;
use serde_json::{Map, Value};
use tradewind_model::{
    Attachment, Channel, ChannelId, Content, ConversationId, DeliveryState, EntryKind, EventType,
    LogEntry, Message, MessageId, Postback, Receipt, Subject, Timestamp, Webhook, WireTime,
};
use tradewind_store::Wanted;

/// An event as it is sent. The same entry always gives the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What a receiver knows it by: the same on every attempt.
    pub id: String,
    pub body: Vec<u8>,
}

/// The body of a flat event: exactly these keys in this order. The last two are there only if the message has
/// them.
#[derive(Debug, Serialize)]
pub struct EventBody<'a> {
    conversation_id: ConversationId,
    id: MessageId,
    sender: EventSender<'a>,
    source: String,
    sent_at: WireTime,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    postback: Option<&'a Postback>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attachments: &'a [Attachment],
}

#[derive(Debug, Serialize)]
struct EventSender<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> EventBody<'a> {
    pub fn new(message: &'a Message) -> Self {
        Self {
            conversation_id: message.conversation_id,
            id: message.id,
            sender: EventSender {
                id: &message.sender.id,
                kind: message.sender.kind.name(),
            },
            source: message.source.event_name(),
            sent_at: WireTime(message.sent_at),
            text: &message.content.text,
            postback: message.content.postback.as_ref(),
            attachments: &message.content.attachments,
        }
    }
}

/// The message of which the entry is a flat event: messages in both directions are, what a contact
/// wrote and what a source has taken of ours.
pub fn flat(entry: &LogEntry) -> Option<&Message> {
    entry.message().filter(|_| entry.kind.is_delivery())
}

/// Which entries a webhook is sent.
pub fn wanted(webhook: &Webhook) -> Wanted {
    let is_wanted = |kind: &EntryKind| {
        if webhook.events.is_empty() {
            kind.is_delivery()
        } else {
            types_of(*kind)
                .iter()
                .any(|kind| webhook.events.contains(kind))
        }
    };
    Wanted {
        kinds: EntryKind::ALL.into_iter().filter(is_wanted).collect(),
        senders: webhook.senders.clone(),
    }
}

/// The typed events that an entry is.
fn types_of(kind: EntryKind) -> &'static [EventType] {
    match kind {
        EntryKind::Received | EntryKind::SendRequested => {
            &[EventType::MessageCreated, EventType::ConversationUpdated]
        }
        EntryKind::Sent | EntryKind::SendFailed => {
            &[EventType::MessageUpdated, EventType::ConversationUpdated]
        }
        EntryKind::ReceiptDelivered | EntryKind::ReceiptRead => &[EventType::MessageUpdated],
        EntryKind::ChannelConnected | EntryKind::ChannelDisconnected => {
            &[EventType::ChannelUpdated]
        }
        EntryKind::ConversationChanged => &[EventType::ConversationUpdated],
    }
}

/// The events that `entry` is for who asked for these types; for none, the flat event.
pub fn render(entry: &LogEntry, types: &[EventType]) -> Result<Vec<Event>, serde_json::Error> {
    if types.is_empty() {
        let event = flat(entry).map(|message| {
            Ok(Event {
                id: message.id.to_string(),
                body: serde_json::to_vec(&EventBody::new(message))?,
            })
        });
        return event.into_iter().collect();
    }
    let of_entry = types_of(entry.kind).iter();
    of_entry
        .filter(|kind| types.contains(kind))
        .map(|kind| typed(entry, *kind))
        .collect()
}

/// A typed event: exactly these keys in this order. Shapes as Airy Core has had them since 2021.
#[derive(Serialize)]
struct TypedBody<P> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Milliseconds since 1970.
    timestamp: i64,
    payload: P,
}

#[derive(Serialize)]
struct MessagePayload<'a> {
    conversation_id: ConversationId,
    channel_id: ChannelId,
    message: MessageBody<'a>,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    id: MessageId,
    content: &'a Content,
    sent_at: WireTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'static str>,
    from_contact: bool,
    source: &'a str,
    metadata: Map<String, Value>,
    sender: TypedSender<'a>,
}

#[derive(Serialize)]
struct TypedSender<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct ConversationPayload<'a> {
    id: ConversationId,
    channel_id: ChannelId,
    created_at: WireTime,
    metadata: Map<String, Value>,
    last_message: MessageBody<'a>,
}

#[derive(Serialize)]
struct ChannelPayload<'a> {
    id: ChannelId,
    source: &'a str,
    source_channel_id: &'a str,
    connected: bool,
    metadata: ChannelMetadata<'a>,
}

#[derive(Serialize)]
struct ChannelMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
}

fn typed(entry: &LogEntry, kind: EventType) -> Result<Event, serde_json::Error> {
    let body = match &entry.subject {
        Subject::Channel(channel) => typed_body(entry, kind, channel_payload(channel)),
        Subject::Message {
            message,
            conversation_created_at,
        } if kind == EventType::ConversationUpdated => {
            let payload = conversation_payload(entry, message, *conversation_created_at);
            typed_body(entry, kind, payload)
        }
        Subject::Message { message, .. } => typed_body(
            entry,
            kind,
            MessagePayload {
                conversation_id: message.conversation_id,
                channel_id: message.channel_id,
                message: message_body(entry, message),
            },
        ),
    };
    // One entry can be several events, and one message several entries: so neither's id will do.
    let name = format!("{} {}", kind.name(), entry.sequence);
    Ok(Event {
        id: MessageId::derived(&entry.lane().to_string(), &name).to_string(),
        body: body?,
    })
}

fn typed_body(
    entry: &LogEntry,
    kind: EventType,
    payload: impl Serialize,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&TypedBody {
        kind: kind.name(),
        timestamp: entry.at.as_millisecond(),
        payload,
    })
}

/// The message as it was when the entry was written.
fn message_body<'a>(entry: &LogEntry, message: &'a Message) -> MessageBody<'a> {
    MessageBody {
        id: message.id,
        content: &message.content,
        sent_at: WireTime(message.sent_at),
        // Where the entry says nothing of it, it may differ from one attempt to the next.
        delivery_state: entry.kind.delivery_state().map(DeliveryState::name),
        receipt: entry.kind.receipt().map(Receipt::name),
        from_contact: message.sender.kind == tradewind_model::SenderType::SourceContact,
        source: message.source.name(),
        metadata: failure_reason(entry, message),
        sender: TypedSender {
            id: &message.sender.id,
        },
    }
}

/// Why the message has failed, where the entry says that it has.
fn failure_reason(entry: &LogEntry, message: &Message) -> Map<String, Value> {
    let reason = message.failure_reason.as_ref();
    let reason = reason.filter(|_| entry.kind == EntryKind::SendFailed);
    let told = reason.map(|reason| ("error".to_owned(), reason.as_str().into()));
    told.into_iter().collect()
}

fn conversation_payload<'a>(
    entry: &LogEntry,
    message: &'a Message,
    created_at: Timestamp,
) -> ConversationPayload<'a> {
    ConversationPayload {
        id: message.conversation_id,
        channel_id: message.channel_id,
        created_at: WireTime(created_at),
        metadata: Map::new(),
        last_message: message_body(entry, message),
    }
}

fn channel_payload(channel: &Channel) -> ChannelPayload<'_> {
    ChannelPayload {
        id: channel.id,
        source: channel.source.name(),
        source_channel_id: &channel.source_channel_id,
        connected: channel.connected,
        metadata: ChannelMetadata {
            name: channel.name.as_deref(),
            image_url: channel.image_url.as_deref(),
        },
    }
}
