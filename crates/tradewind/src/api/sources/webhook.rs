//! `sources.webhook`: what a connector brings.

mod content;
mod item;

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use tradewind_model::MessageId;
use tradewind_sources::Inbound;
use tradewind_store::{Note, OwnSource};
use utoipa::ToSchema;

use crate::{
    api::{auth::Connector, error::ApiError, extract::JsonOrNothing, view::EmptyObject},
    app::App,
};
use item::{MessageItem, MetadataItem, Named, ReceiptItem};

/// Messages of one call, things said about conversations, and receipts.
const ITEMS_MAX: usize = 100;

/// At most 100 of each.
#[derive(Deserialize, ToSchema)]
pub(super) struct SourceWebhookRequest {
    messages: Option<Vec<MessageItem>>,
    /// What is known of conversations.
    metadata: Option<Vec<MetadataItem>>,
    /// What became of messages that were sent.
    receipts: Option<Vec<ReceiptItem>>,
}

/// What a call says, understood as a whole.
struct Brought {
    messages: Vec<(MessageId, tradewind_sources::InboundMessage)>,
    names: Vec<Named>,
    receipts: Vec<Inbound>,
}

impl SourceWebhookRequest {
    fn check(self, own: &OwnSource, bytes_max: usize) -> Result<Brought, ApiError> {
        let posted = self.messages.unwrap_or_default();
        let known = self.metadata.unwrap_or_default();
        let told = self.receipts.unwrap_or_default();
        for (field, count) in [
            ("messages", posted.len()),
            ("metadata", known.len()),
            ("receipts", told.len()),
        ] {
            if count > ITEMS_MAX {
                let why = format!("must be at most {ITEMS_MAX}");
                return Err(ApiError::invalid(field, why));
            }
        }
        let mut messages = Vec::new();
        for (at, item) in posted.into_iter().enumerate() {
            let field = format!("messages[{at}]");
            messages.push(item.check(&field, &own.source, bytes_max)?);
        }
        let mut names = Vec::new();
        for (at, item) in known.into_iter().enumerate() {
            let field = format!("metadata[{at}]");
            names.extend(item.check(&field, &own.source, &messages)?);
        }
        let mut receipts = Vec::new();
        for (at, item) in told.into_iter().enumerate() {
            let field = format!("receipts[{at}]");
            receipts.push(Inbound::Receipt(item.check(&field, &own.source)?));
        }
        Ok(Brought {
            messages,
            names,
            receipts,
        })
    }
}

/// Takes what a connector brings.
///
/// All of it is stored when this is answered. What comes again changes nothing; if the call fails, make it
/// again. When one item is wrong, nothing of the call is stored. A message for a channel that is not connected is
/// counted (`sources.stats`) and not stored.
#[utoipa::path(
    post,
    path = "/sources.webhook",
    tag = "sources",
    security(("source" = [])),
    request_body(content = inline(Option<SourceWebhookRequest>), example = json!({
        "messages": [{
            "source_message_id": "$143273582443PhrSn",
            "source_conversation_id": "!room:example.org",
            "source_channel_id": "example.org",
            "source_sender_id": "@grace:example.org",
            "content": "Is the workshop open?",
            "from_contact": true,
            "sent_at": "2026-11-23T21:34:02.017Z",
        }],
        "metadata": [{
            "namespace": "conversation",
            "source_id": "!room:example.org",
            "metadata": {"contact": {"display_name": "Grace Hopper"}},
        }],
    })),
    responses((status = 200, description = "All is stored.", body = EmptyObject, example = json!({}))),
)]
pub(super) async fn webhook(
    Connector(own): Connector,
    State(app): State<App>,
    JsonOrNothing(request): JsonOrNothing<SourceWebhookRequest>,
) -> Result<Answer<EmptyObject>, ApiError> {
    let brought = request.check(&own, app.text_bytes_max)?;
    let intake = &app.sources.intake;
    for (id, message) in brought.messages {
        intake.message_as(id, message).await?;
    }
    for named in brought.names {
        name(&app, named).await?;
    }
    intake.take(brought.receipts).await?;
    Ok(Answer(EmptyObject))
}

/// Notes what a contact is called, if there is such a conversation. What is not said stays.
async fn name(app: &App, named: Named) -> Result<(), ApiError> {
    let found = app.store.find_conversation(named.conversation).await?;
    let Some(conversation) = found else {
        return Ok(());
    };
    let (contact, profile) = (conversation.contact, named.profile);
    let (first_name, last_name) = match (profile.first_name, profile.last_name) {
        (None, None) => (contact.first_name, contact.last_name),
        names => names,
    };
    let note = Note::Contact {
        first_name,
        last_name,
        avatar_url: profile.avatar_url.or(contact.avatar_url),
    };
    app.store.note(named.conversation, note).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
