//! How the API shows things. Keys come in the order of the fields.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tradewind_model::{
    Attachment, AttachmentKind, Channel, ChannelId, Content, Conversation, ConversationId,
    DeliveryState, Message, MessageId, Receipt, Scope, SenderType, TagId, WireTime,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema},
};

use uuid::Uuid;

use crate::api::{error::ApiError, openapi::one_of};

/// A message as every endpoint and socket shows it. `state` and `delivery_state` are the same: clients
/// of Airy Core read the one or the other.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    #[schema(value_type = Uuid)]
    id: MessageId,
    content: ContentView,
    /// `pending` until its source has taken it, `failed` if the source never will.
    #[schema(schema_with = states)]
    state: &'static str,
    /// The same as `state`.
    #[schema(schema_with = states)]
    delivery_state: &'static str,
    /// What the contact's side has told of it since, where the source passes that on: that it has arrived, or
    /// was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = receipts)]
    receipt: Option<&'static str>,
    /// Why it has failed, in the words of its source.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    /// The contact, somebody on our side who wrote at the source itself, or a caller of `messages.send`.
    #[schema(schema_with = sender_types)]
    sender_type: &'static str,
    #[schema(value_type = String, format = DateTime)]
    sent_at: WireTime,
}

/// What was said.
#[derive(Debug, Serialize, ToSchema)]
struct ContentView {
    /// Empty if there are only attachments.
    text: String,
    /// Always `text`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// A button that was pressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    postback: Option<PostbackView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<AttachmentView>,
}

/// A button that was pressed, or a door that was come in by.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Postback)]
struct PostbackView {
    /// What whoever made the button wrote into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// JSON text of what the source says of where the contact came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    referral: Option<String>,
    /// The kind of button where the source has several, such as `quick_reply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
}

/// Something that came with a message, by reference.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attachment)]
struct AttachmentView {
    #[schema(schema_with = attachment_types)]
    r#type: &'static str,
    /// Where it is; of a location, a `geo:` URI.
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
}

impl ContentView {
    fn new(content: &Content) -> Self {
        let attachment = |attachment: &Attachment| AttachmentView {
            r#type: attachment.kind.name(),
            url: attachment.url.clone(),
            name: attachment.name.clone(),
            mime_type: attachment.mime_type.clone(),
        };
        Self {
            text: content.text.clone(),
            kind: "text",
            postback: content.postback.as_ref().map(|postback| PostbackView {
                payload: postback.payload.clone(),
                referral: postback.referral.clone(),
                r#type: postback.kind.clone(),
            }),
            attachments: content.attachments.iter().map(attachment).collect(),
        }
    }
}

fn attachment_types() -> ObjectBuilder {
    one_of(AttachmentKind::ALL.map(AttachmentKind::name))
}

fn receipts() -> ObjectBuilder {
    one_of([Receipt::Delivered, Receipt::Read].map(Receipt::name))
}

fn states() -> ObjectBuilder {
    use DeliveryState::{Delivered, Failed, Pending};
    one_of([Pending, Delivered, Failed].map(DeliveryState::name))
}

fn sender_types() -> ObjectBuilder {
    one_of(SenderType::ALL.map(SenderType::name))
}

impl MessageView {
    pub(crate) fn new(message: &Message) -> Self {
        Self::in_state(message, message.state)
    }

    /// The message as it was, or will be, in another state.
    pub(crate) fn in_state(message: &Message, state: DeliveryState) -> Self {
        Self {
            id: message.id,
            content: ContentView::new(&message.content),
            state: state.name(),
            delivery_state: state.name(),
            receipt: message.receipt.map(Receipt::name),
            failure_reason: message
                .failure_reason
                .clone()
                .filter(|_| state == DeliveryState::Failed),
            sender_type: message.sender.kind.name(),
            sent_at: WireTime(message.sent_at),
        }
    }
}

/// What one contact and we say to each other on one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConversationView {
    #[schema(value_type = Uuid)]
    id: ConversationId,
    #[schema(value_type = String, format = DateTime)]
    created_at: WireTime,
    channel: ConversationChannel,
    /// Ids of tags.
    #[schema(value_type = Vec<Uuid>)]
    tags: Vec<TagId>,
    contact: ContactView,
    last_message: MessageView,
    /// Messages of the contact.
    unread_message_count: u64,
}

/// The channel of a conversation.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationChannel {
    #[schema(value_type = Uuid)]
    id: ChannelId,
    #[schema(required)]
    name: Option<String>,
}

/// The other person. One without a name is called after the source and the end of the conversation's id.
#[derive(Debug, Serialize, ToSchema)]
struct ContactView {
    #[schema(required)]
    avatar_url: Option<String>,
    #[schema(required)]
    first_name: Option<String>,
    #[schema(required)]
    last_name: Option<String>,
    /// What the API's users noted, by keys that begin with `public.`.
    info: BTreeMap<String, String>,
}

/// `{}`: what there is nothing to say of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmptyObject;

impl Serialize for EmptyObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(std::iter::empty::<(&str, &str)>())
    }
}

impl ConversationView {
    pub(crate) fn new(conversation: &Conversation) -> Self {
        let Conversation {
            id,
            channel,
            contact,
            created_at,
            last_message,
            unread_count,
            tags,
            metadata,
        } = conversation;
        let (first_name, last_name) = match (&contact.first_name, &contact.last_name) {
            (None, None) => placeholder_name(channel, *id),
            known => (known.0.clone(), known.1.clone()),
        };
        Self {
            id: *id,
            created_at: WireTime(*created_at),
            channel: ConversationChannel {
                id: channel.id,
                name: channel.name.clone(),
            },
            tags: tags.clone(),
            contact: ContactView {
                avatar_url: contact.avatar_url.clone(),
                first_name,
                last_name,
                info: metadata.clone(),
            },
            last_message: MessageView::new(last_message),
            unread_message_count: *unread_count,
        }
    }
}

/// What a contact without a name is called: the source and the end of the conversation's id, so that
/// a person can tell two of them apart.
fn placeholder_name(channel: &Channel, id: ConversationId) -> (Option<String>, Option<String>) {
    let source = channel.source.name().rsplit('.').next().unwrap_or_default();
    let mut first_name = source.to_owned();
    if let Some(initial) = first_name.get_mut(..1) {
        initial.make_ascii_uppercase();
    }
    let id = id.to_string();
    let last_name = id.get(id.len() - 5..).unwrap_or_default().to_owned();
    (Some(first_name), Some(last_name))
}

/// What a scope is called.
pub(crate) fn scopes() -> ObjectBuilder {
    one_of(Scope::ALL.map(Scope::name))
}

/// The scope that a request names in `field`.
pub(crate) fn scope(field: &str, name: &str) -> Result<Scope, ApiError> {
    let known = Scope::ALL.into_iter().find(|scope| scope.name() == name);
    known.ok_or_else(|| {
        let names = Scope::ALL.map(Scope::name).join(", ");
        ApiError::invalid(field, format!("must be one of {names}"))
    })
}

impl PartialSchema for EmptyObject {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().into()
    }
}

impl ToSchema for EmptyObject {}

/// A channel. Keys without a value are left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelView {
    /// It follows from `source` and `source_channel_id`.
    #[schema(value_type = Uuid)]
    id: ChannelId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: String,
    source_channel_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
}

impl ChannelView {
    pub(crate) fn new(channel: &Channel) -> Self {
        Self {
            id: channel.id,
            name: channel.name.clone(),
            source: channel.source.name().to_owned(),
            source_channel_id: channel.source_channel_id.clone(),
            image_url: channel.image_url.clone(),
        }
    }
}

/// The body of a request that asks for nothing in particular. Unknown keys are ignored.
#[derive(Debug, serde::Deserialize, ToSchema)]
pub(crate) struct EmptyRequest {}

/// The event of a message, as `tradewind_delivery::event::EventBody` writes it.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "it only describes")]
pub(crate) struct FlatEvent {
    conversation_id: Uuid,
    /// Of the message: the same event has it every time it is sent.
    id: Uuid,
    sender: FlatEventSender,
    /// Where it comes from, such as `CHAT_PLUGIN`.
    source: String,
    #[schema(format = DateTime)]
    sent_at: String,
    text: String,
    postback: Option<PostbackView>,
    attachments: Option<Vec<AttachmentView>>,
}

/// Who wrote it.
#[derive(ToSchema)]
#[schema(as = EventSender)]
#[expect(dead_code, reason = "it only describes")]
struct FlatEventSender {
    id: String,
    #[schema(schema_with = sender_types)]
    r#type: String,
}
