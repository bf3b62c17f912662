//! The list of conversations: its order, and paging in both directions.

use tradewind_model::{Conversation, ConversationId};
use tradewind_store::{ConversationCursor, Page};
use uuid::Uuid;

use crate::world::World;

type Conversations = Page<Conversation, ConversationCursor>;

conformance![
    an_empty_list_has_no_other_pages,
    the_conversation_heard_from_last_is_first,
    a_reply_moves_its_conversation_up,
    pages_lead_through_the_list_and_back,
    a_page_that_fits_exactly_has_no_next,
    a_cursor_stays_good_while_messages_arrive,
    a_page_beyond_an_end_is_empty_and_leads_back,
    a_page_holds_one_item_at_least,
    the_list_is_the_same_after_a_restart,
    a_conversation_nobody_had_is_not_found,
];

/// Conversations of contacts "0", "1", … in this order.
async fn conversations(world: &World, count: usize) {
    let site = world.connect("site").await;
    for contact in 0..count {
        world.receive(&site, &contact.to_string(), "hello").await;
    }
}

async fn list(world: &World, cursor: Option<ConversationCursor>, limit: usize) -> Conversations {
    world.store.list_conversations(cursor, limit).await.unwrap()
}

fn contacts(page: &Conversations) -> Vec<&str> {
    let contact = |conversation| {
        let conversation: &Conversation = conversation;
        conversation.contact.source_id.as_str()
    };
    page.items.iter().map(contact).collect()
}

async fn an_empty_list_has_no_other_pages(world: World) {
    let cursors = [
        None,
        Some(ConversationCursor::Before(5)),
        Some(ConversationCursor::After(5)),
    ];
    for cursor in cursors {
        let page = list(&world, cursor, 10).await;
        let expected = Page {
            items: vec![],
            previous: None,
            next: None,
            total: 0,
        };
        assert_eq!(page, expected);
    }
}

async fn the_conversation_heard_from_last_is_first(world: World) {
    conversations(&world, 3).await;
    let page = list(&world, None, 10).await;
    assert_eq!(contacts(&page), ["2", "1", "0"]);
    assert_eq!((page.previous, page.next, page.total), (None, None, 3));
}

async fn a_reply_moves_its_conversation_up(world: World) {
    conversations(&world, 3).await;
    let last = list(&world, None, 10).await.items[2].id;
    let reply = world.send(last, "hi").await;
    let page = list(&world, None, 10).await;
    assert_eq!(contacts(&page), ["0", "2", "1"]);
    assert_eq!(page.items[0].last_message, reply);
    assert_eq!(page.total, 3);
}

async fn pages_lead_through_the_list_and_back(world: World) {
    conversations(&world, 7).await;

    let first = list(&world, None, 3).await;
    let second = list(&world, first.next, 3).await;
    let third = list(&world, second.next, 3).await;

    assert_eq!(contacts(&first), ["6", "5", "4"]);
    assert_eq!(contacts(&second), ["3", "2", "1"]);
    assert_eq!(contacts(&third), ["0"]);
    assert_eq!((first.previous, third.next), (None, None));
    assert!([&first, &second, &third].iter().all(|page| page.total == 7));
    assert_eq!(list(&world, third.previous, 3).await, second);
    assert_eq!(list(&world, second.previous, 3).await, first);
}

async fn a_page_that_fits_exactly_has_no_next(world: World) {
    conversations(&world, 3).await;
    assert_eq!(list(&world, None, 3).await.next, None);
}

async fn a_cursor_stays_good_while_messages_arrive(world: World) {
    conversations(&world, 4).await;
    let first = list(&world, None, 2).await;
    let site = world.connect("site").await;
    world.receive(&site, "new", "hello").await;
    world.receive(&site, "0", "me too").await;

    let second = list(&world, first.next, 2).await;
    assert_eq!(contacts(&second), ["1"]);
    assert_eq!(second.next, None);

    let before = list(&world, second.previous, 2).await;
    assert_eq!(contacts(&before), ["3", "2"]);
    let newest = list(&world, before.previous, 2).await;
    assert_eq!(contacts(&newest), ["0", "new"]);
    assert_eq!(newest.previous, None);
}

async fn a_page_beyond_an_end_is_empty_and_leads_back(world: World) {
    conversations(&world, 3).await;
    let all = list(&world, None, 10).await.items;

    let below = list(&world, Some(ConversationCursor::Before(0)), 10).await;
    assert_eq!((contacts(&below), below.next), (vec![], None));
    assert_eq!(list(&world, below.previous, 10).await.items, all);

    let above = list(&world, Some(ConversationCursor::After(u64::MAX)), 10).await;
    assert_eq!((contacts(&above), above.previous), (vec![], None));
    assert_eq!(list(&world, above.next, 10).await.items, all);
}

async fn a_page_holds_one_item_at_least(world: World) {
    conversations(&world, 3).await;
    assert_eq!(contacts(&list(&world, None, 0).await), ["2"]);
}

async fn the_list_is_the_same_after_a_restart(mut world: World) {
    conversations(&world, 5).await;
    let before = list(&world, None, 3).await;
    world.reopen().await;
    assert_eq!(list(&world, None, 3).await, before);
}

async fn a_conversation_nobody_had_is_not_found(world: World) {
    conversations(&world, 1).await;
    let nobody = ConversationId::from_uuid(Uuid::from_u128(7));
    assert_eq!(world.store.find_conversation(nobody).await.unwrap(), None);
}
