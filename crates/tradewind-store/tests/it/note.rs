//! What people note about conversations, and tags.

use std::sync::Arc;

use tradewind_model::{ConversationId, EntryKind, LogEntry, Sequence, Tag, TagColor, TagId};
use tradewind_store::{NOTES_MAX, Note, Noted};
use uuid::Uuid;

use crate::world::{World, kinds, taken};

conformance![
    reading_a_conversation_clears_what_is_unread,
    a_tag_is_on_a_conversation_once,
    metadata_is_set_replaced_and_removed,
    a_contact_has_a_name_and_a_picture,
    what_changes_is_an_entry_about_the_last_message,
    what_changes_nothing_is_no_entry,
    an_unknown_conversation_takes_no_note,
    a_conversation_has_room_for_so_many_notes,
    notes_are_in_lists_too,
    notes_survive_a_restart,
    a_settled_message_can_be_noted_about,
    tags_are_made_changed_and_deleted,
    there_is_room_for_so_many_tags,
];

fn tag_id(number: u128) -> TagId {
    TagId::from_uuid(Uuid::from_u128(number))
}

fn set(key: &str, value: &str) -> Note {
    Note::Set {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

async fn conversation(world: &World) -> ConversationId {
    let channel = world.connect("site").await;
    let message = world.receive(&channel, "ada", "hello").await;
    message.conversation_id
}

async fn note(world: &World, id: ConversationId, note: Note) {
    assert_eq!(world.store.note(id, note).await.unwrap(), Noted::Done);
}

async fn find(world: &World, id: ConversationId) -> tradewind_model::Conversation {
    world.store.find_conversation(id).await.unwrap().unwrap()
}

/// Entries of the conversation that say that it changed.
async fn changes(world: &World) -> Vec<Arc<LogEntry>> {
    let mut log = world.whole_log().await;
    log.retain(|entry| entry.kind == EntryKind::ConversationChanged);
    log
}

async fn reading_a_conversation_clears_what_is_unread(world: World) {
    let id = conversation(&world).await;
    assert_eq!(find(&world, id).await.unread_count, 1);
    note(&world, id, Note::Read).await;
    assert_eq!(find(&world, id).await.unread_count, 0);
    let channel = world.connect("site").await;
    world.receive(&channel, "ada", "again").await;
    assert_eq!(find(&world, id).await.unread_count, 1);
}

async fn a_tag_is_on_a_conversation_once(world: World) {
    let id = conversation(&world).await;
    for tag in [2, 1, 2] {
        note(&world, id, Note::Tag(tag_id(tag))).await;
    }
    assert_eq!(find(&world, id).await.tags, [tag_id(1), tag_id(2)]);
    note(&world, id, Note::Untag(tag_id(1))).await;
    note(&world, id, Note::Untag(tag_id(7))).await;
    assert_eq!(find(&world, id).await.tags, [tag_id(2)]);
    assert_eq!(changes(&world).await.len(), 3);
}

async fn metadata_is_set_replaced_and_removed(world: World) {
    let id = conversation(&world).await;
    note(&world, id, set("city", "Ulm")).await;
    note(&world, id, set("city", "Bern")).await;
    note(&world, id, set("odd", "\0 \u{1a} ü")).await;
    let metadata = find(&world, id).await.metadata;
    let pairs: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(pairs, [("city", "Bern"), ("odd", "\0 \u{1a} ü")]);
    for _ in 0..2 {
        let key = "city".to_owned();
        note(&world, id, Note::Remove { key }).await;
    }
    assert_eq!(find(&world, id).await.metadata.len(), 1);
    assert_eq!(changes(&world).await.len(), 4);
}

async fn a_contact_has_a_name_and_a_picture(world: World) {
    let id = conversation(&world).await;
    let named = |first: Option<&str>| Note::Contact {
        first_name: first.map(str::to_owned),
        last_name: Some("Lovelace".to_owned()),
        avatar_url: Some("https://pictures.example/ada.png".to_owned()),
    };
    note(&world, id, named(Some("Ada"))).await;
    let contact = find(&world, id).await.contact;
    assert_eq!(contact.first_name.as_deref(), Some("Ada"));
    assert_eq!(contact.last_name.as_deref(), Some("Lovelace"));
    let picture = contact.avatar_url.as_deref();
    assert_eq!(picture, Some("https://pictures.example/ada.png"));
    note(&world, id, named(Some("Ada"))).await;
    note(&world, id, named(None)).await;
    assert_eq!(find(&world, id).await.contact.first_name, None);
    assert_eq!(changes(&world).await.len(), 2);
}

async fn what_changes_is_an_entry_about_the_last_message(world: World) {
    let id = conversation(&world).await;
    let last = world.send(id, "hi").await;
    let before = *world.store.head().borrow();
    note(&world, id, set("city", "Ulm")).await;
    let log = world.read(before, 10).await.entries;
    assert_eq!(kinds(&log), [(EntryKind::ConversationChanged, 3)]);
    assert_eq!(log[0].message().unwrap().id, last.id);
    assert_eq!(log[0].lane(), id);
    assert_eq!(log[0].sequence, before.next());
    let of_message = world.store.find_entries(last.id).await.unwrap();
    assert_eq!(kinds(&of_message), [(EntryKind::SendRequested, 2)]);
    let lane = world
        .store
        .read_lane(id, Sequence(1), Sequence(u64::MAX), 10, usize::MAX);
    assert_eq!(lane.await.unwrap().entries.len(), 3);
}

async fn what_changes_nothing_is_no_entry(world: World) {
    let id = conversation(&world).await;
    note(&world, id, Note::Read).await;
    note(&world, id, set("city", "Ulm")).await;
    let log = world.whole_log().await.len();
    note(&world, id, Note::Read).await;
    note(&world, id, set("city", "Ulm")).await;
    note(&world, id, Note::Untag(tag_id(1))).await;
    assert_eq!(world.whole_log().await.len(), log);
    let channel = world.connect("site").await;
    let next = world.receive(&channel, "ada", "next").await;
    assert_eq!(next.position, 2);
}

async fn an_unknown_conversation_takes_no_note(world: World) {
    let _ = conversation(&world).await;
    let nobody = ConversationId::from_uuid(Uuid::from_u128(1));
    let noted = world.store.note(nobody, Note::Tag(tag_id(1))).await;
    assert_eq!(noted.unwrap(), Noted::NotFound);
    assert_eq!(changes(&world).await.len(), 0);
}

async fn a_conversation_has_room_for_so_many_notes(world: World) {
    let id = conversation(&world).await;
    for number in 0..NOTES_MAX {
        note(&world, id, Note::Tag(tag_id(number.into()))).await;
        note(&world, id, set(&number.to_string(), "x")).await;
    }
    note(&world, id, Note::Tag(tag_id(0))).await;
    note(&world, id, set("0", "y")).await;
    for one_more in [Note::Tag(tag_id(1_000)), set("more", "x")] {
        assert_eq!(world.store.note(id, one_more).await.unwrap(), Noted::Full);
    }
}

async fn notes_are_in_lists_too(world: World) {
    let id = conversation(&world).await;
    let channel = world.connect("site").await;
    world.receive(&channel, "grace", "hello").await;
    note(&world, id, Note::Tag(tag_id(1))).await;
    note(&world, id, set("city", "Ulm")).await;
    let page = world
        .store
        .list_conversations(None, None, 10)
        .await
        .unwrap();
    let noted: Vec<_> = page
        .items
        .iter()
        .map(|one| {
            (
                one.contact.source_id.as_str(),
                one.tags.len(),
                one.metadata.len(),
            )
        })
        .collect();
    assert_eq!(noted, [("grace", 0, 0), ("ada", 1, 1)]);
    assert_eq!(page.items[1], find(&world, id).await);
}

async fn notes_survive_a_restart(mut world: World) {
    let id = conversation(&world).await;
    note(&world, id, Note::Tag(tag_id(1))).await;
    note(&world, id, set("city", "Ulm")).await;
    let before = (find(&world, id).await, world.whole_log().await);
    world.reopen().await;
    assert_eq!((find(&world, id).await, world.whole_log().await), before);
}

async fn a_settled_message_can_be_noted_about(world: World) {
    let id = conversation(&world).await;
    let sent = world.send(id, "hi").await;
    note(&world, id, Note::Tag(tag_id(1))).await;
    let settled = world.store.settle(sent.id, taken()).await;
    assert!(settled.unwrap());
    note(&world, id, Note::Tag(tag_id(2))).await;
    let lane = world.log().await;
    let expected = [
        (EntryKind::Received, 1),
        (EntryKind::SendRequested, 2),
        (EntryKind::ConversationChanged, 3),
        (EntryKind::Sent, 4),
        (EntryKind::ConversationChanged, 5),
    ];
    assert_eq!(kinds(&lane), expected);
}

async fn tags_are_made_changed_and_deleted(world: World) {
    let tag = |number, name: &str, color| Tag {
        id: tag_id(number),
        name: name.to_owned(),
        color,
    };
    let (urgent, late) = (
        tag(2, "urgent", TagColor::Red),
        tag(1, "late", TagColor::Blue),
    );
    for new in [&urgent, &late] {
        assert!(world.store.create_tag(new.clone(), 10).await.unwrap());
    }
    assert_eq!(world.store.list_tags(10).await.unwrap(), [urgent, late]);
    let update = |number, name: Option<&str>, color| {
        let name = name.map(str::to_owned);
        world.store.update_tag(tag_id(number), name, color)
    };
    assert!(update(1, Some("later"), None).await.unwrap());
    assert!(update(2, None, Some(TagColor::Green)).await.unwrap());
    assert!(!update(9, Some("none"), None).await.unwrap());
    let changed = [
        tag(2, "urgent", TagColor::Green),
        tag(1, "later", TagColor::Blue),
    ];
    assert_eq!(world.store.list_tags(10).await.unwrap(), changed);
    assert!(world.store.delete_tag(tag_id(2)).await.unwrap());
    assert!(!world.store.delete_tag(tag_id(2)).await.unwrap());
    assert_eq!(world.store.list_tags(10).await.unwrap().len(), 1);
}

async fn there_is_room_for_so_many_tags(world: World) {
    let tag = |number| Tag {
        id: tag_id(number),
        name: "a tag".to_owned(),
        color: TagColor::Purple,
    };
    assert!(world.store.create_tag(tag(1), 1).await.unwrap());
    assert!(!world.store.create_tag(tag(2), 1).await.unwrap());
}
