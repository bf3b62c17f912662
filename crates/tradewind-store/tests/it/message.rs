//! The messages of a conversation, and paging through them in both directions.

use tradewind_model::ConversationId;
use tradewind_store::{MessageCursor, MessagePage};
use uuid::Uuid;

use crate::world::{World, texts};

conformance![
    messages_are_listed_oldest_first,
    pages_lead_from_the_first_message_to_the_last,
    pages_lead_from_the_newest_message_to_the_first,
    a_page_can_start_anywhere,
    a_page_beyond_an_end_is_empty_and_leads_back,
    a_page_holds_one_message_at_least,
    the_messages_of_no_conversation_are_none,
    messages_of_other_conversations_stay_out,
];

/// A conversation with the messages "1" to `count`.
async fn conversation(world: &World, count: usize) -> ConversationId {
    let site = world.connect("site").await;
    for text in 1..count {
        world.receive(&site, "ada", &text.to_string()).await;
    }
    let last = world.receive(&site, "ada", &count.to_string()).await;
    last.conversation_id
}

async fn list(
    world: &World,
    id: ConversationId,
    cursor: Option<MessageCursor>,
    limit: usize,
) -> MessagePage {
    let page = world.store.list_messages(id, cursor, limit).await.unwrap();
    page.unwrap()
}

async fn messages_are_listed_oldest_first(world: World) {
    let id = conversation(&world, 3).await;
    let page = list(&world, id, None, 10).await;
    assert_eq!(texts(&page.items), ["1", "2", "3"]);
    assert_eq!((page.previous, page.next, page.total), (None, None, 3));
}

async fn pages_lead_from_the_first_message_to_the_last(world: World) {
    let id = conversation(&world, 5).await;
    let first = list(&world, id, None, 2).await;
    let second = list(&world, id, first.next, 2).await;
    let third = list(&world, id, second.next, 2).await;

    assert_eq!(texts(&first.items), ["1", "2"]);
    assert_eq!(texts(&second.items), ["3", "4"]);
    assert_eq!(texts(&third.items), ["5"]);
    assert_eq!((first.previous, third.next), (None, None));
    assert!([&first, &second, &third].iter().all(|page| page.total == 5));
    assert_eq!(list(&world, id, third.previous, 2).await, second);
    assert_eq!(list(&world, id, second.previous, 2).await, first);
}

async fn pages_lead_from_the_newest_message_to_the_first(world: World) {
    let id = conversation(&world, 5).await;
    let newest = list(&world, id, Some(MessageCursor::Newest), 2).await;
    let middle = list(&world, id, newest.previous, 2).await;
    let oldest = list(&world, id, middle.previous, 2).await;

    assert_eq!(texts(&newest.items), ["4", "5"]);
    assert_eq!(texts(&middle.items), ["2", "3"]);
    assert_eq!(texts(&oldest.items), ["1"]);
    assert_eq!((newest.next, oldest.previous), (None, None));
    assert_eq!(list(&world, id, middle.next, 2).await, newest);
}

async fn a_page_can_start_anywhere(world: World) {
    let id = conversation(&world, 5).await;
    let page = list(&world, id, Some(MessageCursor::From(3)), 2).await;
    assert_eq!(texts(&page.items), ["3", "4"]);
    assert_eq!(
        texts(&list(&world, id, page.previous, 2).await.items),
        ["1", "2"]
    );
    assert_eq!(texts(&list(&world, id, page.next, 2).await.items), ["5"]);
}

async fn a_page_beyond_an_end_is_empty_and_leads_back(world: World) {
    let id = conversation(&world, 3).await;

    for beyond in [MessageCursor::From(4), MessageCursor::From(u64::MAX)] {
        let page = list(&world, id, Some(beyond), 2).await;
        assert_eq!((texts(&page.items), page.next), (vec![], None));
        assert_eq!(
            texts(&list(&world, id, page.previous, 2).await.items),
            ["2", "3"]
        );
    }
    for beyond in [MessageCursor::Before(1), MessageCursor::Before(0)] {
        let page = list(&world, id, Some(beyond), 2).await;
        assert_eq!((texts(&page.items), page.previous), (vec![], None));
        assert_eq!(
            texts(&list(&world, id, page.next, 2).await.items),
            ["1", "2"]
        );
    }
}

async fn a_page_holds_one_message_at_least(world: World) {
    let id = conversation(&world, 3).await;
    assert_eq!(texts(&list(&world, id, None, 0).await.items), ["1"]);
}

async fn the_messages_of_no_conversation_are_none(world: World) {
    let nobody = ConversationId::from_uuid(Uuid::from_u128(7));
    let page = world.store.list_messages(nobody, None, 10).await.unwrap();
    assert_eq!(page, None);
}

async fn messages_of_other_conversations_stay_out(world: World) {
    let ada = conversation(&world, 2).await;
    let site = world.connect("site").await;
    let ben = world.receive(&site, "ben", "other").await.conversation_id;
    assert_eq!(texts(&world.messages(ada).await), ["1", "2"]);
    assert_eq!(texts(&world.messages(ben).await), ["other"]);
}
