//! An event as a client sees it: its bytes, which are not touched, and what is shown of it.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tradewind_model::{ConversationId, MessageId};

/// Characters of a text that are shown.
const SHOWN_MAX: usize = 120;

pub(super) struct Event {
    /// The body, as a webhook would get it.
    pub(super) body: Box<RawValue>,
    pub(super) conversation_id: ConversationId,
    pub(super) id: MessageId,
    fields: Fields,
}

/// What is read of the body.
#[derive(Deserialize)]
struct Fields {
    conversation_id: ConversationId,
    id: MessageId,
    sender: Sender,
    source: String,
    sent_at: String,
    text: String,
}

#[derive(Deserialize)]
struct Sender {
    #[serde(rename = "type")]
    kind: String,
}

impl Event {
    pub(super) fn parse(body: Box<RawValue>) -> anyhow::Result<Self> {
        let fields: Fields =
            serde_json::from_str(body.get()).context("events.list: an event is not understood")?;
        Ok(Self {
            body,
            conversation_id: fields.conversation_id,
            id: fields.id,
            fields,
        })
    }

    /// Time, source, direction, conversation and text in a line.
    pub(super) fn line(&self) -> String {
        let Fields {
            source, sent_at, ..
        } = &self.fields;
        let direction = if self.fields.sender.kind == "source_contact" {
            "in"
        } else {
            "out"
        };
        format!(
            "{}  {:<16} {direction:<3}  {}",
            sent_at.escape_debug(),
            source.escape_debug().to_string(),
            self.title()
        )
    }

    /// The end of the conversation's id, and the text: enough to know it by.
    pub(super) fn title(&self) -> String {
        let conversation = self.conversation_id.to_string();
        let short = conversation.get(conversation.len().saturating_sub(6)..);
        format!("{}  {}", short.unwrap_or_default(), self.text())
    }

    /// The text in quotes, without what a terminal would take for a command, and not longer than a line.
    fn text(&self) -> String {
        let text = &self.fields.text;
        match text.char_indices().nth(SHOWN_MAX) {
            None => format!("{text:?}"),
            Some((end, _)) => format!("{:?} …", text.get(..end).unwrap_or(text)),
        }
    }

    /// What the event weighs in memory, roughly, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.body.get().len() + self.fields.text.len()
    }
}
