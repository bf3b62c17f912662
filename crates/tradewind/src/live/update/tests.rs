use std::sync::Arc;

use serde_json::Value;
use tradewind_model::{
    Channel, Content, Conversation, DeliveryState, EntryKind, LogEntry, Message, MessageId, Sender,
    SenderType, Sequence, Source, Subject, Timestamp,
};

use super::{Topic, Update};

/// An entry about a message that is delivered by now.
pub(in crate::live) fn entry(kind: EntryKind, text: &str) -> Arc<LogEntry> {
    let source = Source::parse("chat_plugin").unwrap();
    let channel_id = Channel::id_of(&source, "test");
    let message = Message {
        id: MessageId::derived("test", "1"),
        conversation_id: Conversation::id_of(channel_id, "test"),
        channel_id,
        source,
        contact_source_id: "test".to_owned(),
        position: 1,
        sender: Sender {
            id: "test".to_owned(),
            kind: SenderType::AppUser,
        },
        content: Content::text(text),
        state: DeliveryState::Delivered,
        receipt: None,
        failure_reason: None,
        sent_at: Timestamp::UNIX_EPOCH,
    };
    Arc::new(LogEntry {
        sequence: Sequence(1),
        position: 1,
        kind,
        at: Timestamp::UNIX_EPOCH,
        subject: Subject::Message {
            message,
            conversation_created_at: Timestamp::UNIX_EPOCH,
        },
    })
}

#[test]
fn a_message_is_told_as_it_was_then() {
    for (kind, state) in [
        (EntryKind::Received, "delivered"),
        (EntryKind::SendRequested, "pending"),
        (EntryKind::Sent, "delivered"),
        (EntryKind::SendFailed, "failed"),
    ] {
        let update = Update::of_entry(&entry(kind, "text"), Topic::Message);
        let body: Value = serde_json::from_str(&update.bodies()[0]).unwrap();
        assert_eq!(body["message"]["delivery_state"], state);
    }
}

#[test]
fn an_update_becomes_text_once() {
    let update = Update::of_entry(&entry(EntryKind::Received, "text"), Topic::Events);
    assert_eq!(update.bodies().len(), 2);
    assert!(std::ptr::eq(update.bodies(), update.bodies()));
}
