//! The list of conversations: its order, and paging in both directions.

use tradewind_model::{Conversation, ConversationId};
use tradewind_store::{ConversationCursor, ConversationPage};
use uuid::Uuid;

use crate::world::World;

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

async fn list(world: &World, cursor: Option<ConversationCursor>, limit: usize) -> ConversationPage {
    world
        .store
        .list_conversations(None, cursor, limit)
        .await
        .unwrap()
}

/// As a page gave it when the newest message was below it.
fn below(below: u64) -> ConversationCursor {
    ConversationCursor::Next {
        below,
        seen: 0,
        matching: None,
    }
}

fn above(above: u64) -> ConversationCursor {
    ConversationCursor::After {
        above,
        matching: None,
    }
}

fn contacts(page: &ConversationPage) -> Vec<&str> {
    let contact = |conversation| {
        let conversation: &Conversation = conversation;
        conversation.contact.source_id.as_str()
    };
    page.items.iter().map(contact).collect()
}

async fn an_empty_list_has_no_other_pages(world: World) {
    let cursors = [None, Some(below(5)), Some(above(5))];
    for cursor in cursors {
        let page = list(&world, cursor, 10).await;
        let expected = ConversationPage {
            items: vec![],
            previous: None,
            next: None,
            total: 0,
            matching: 0,
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
    assert_eq!(contacts(&second), ["0", "1"]);
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

    let lowest = list(&world, Some(below(0)), 10).await;
    assert_eq!((contacts(&lowest), lowest.next), (vec![], None));
    assert_eq!(list(&world, lowest.previous, 10).await.items, all);

    let highest = list(&world, Some(above(u64::MAX)), 10).await;
    assert_eq!((contacts(&highest), highest.previous), (vec![], None));
    assert_eq!(list(&world, highest.next, 10).await.items, all);
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
