//! Walking through the list of conversations while messages arrive.

use tradewind_model::{Channel, Conversation, Filter, Random as _, SeededRandom, TagId};
use tradewind_store::{ConversationCursor, Note};
use uuid::Uuid;

use crate::{
    retention::{ALL, sweep},
    world::World,
};

conformance![
    each_conversation_is_shown_once_while_messages_arrive,
    each_match_of_a_filter_is_shown_once_while_messages_arrive,
    one_that_moves_up_is_shown_on_the_next_page,
    one_that_moves_twice_is_shown_once,
    a_new_one_is_not_shown_and_repeats_nothing,
    more_that_moved_than_fit_come_on_several_pages,
    one_whose_earlier_messages_were_swept_is_shown,
];

fn of_tag() -> (Filter, TagId) {
    let tag = TagId::from_uuid(Uuid::from_u128(7));
    (Filter::parse(&format!("tag_ids:{tag}")).unwrap(), tag)
}

/// The contacts on the pages so far.
struct Walk<'w> {
    world: &'w World,
    filter: Option<Filter>,
    size: usize,
    cursor: Option<ConversationCursor>,
    shown: Vec<String>,
}

impl Walk<'_> {
    /// Whether there is another page.
    async fn step(&mut self) -> bool {
        let store = &self.world.store;
        let listing = store.list_conversations(self.filter.clone(), self.cursor, self.size);
        let page = listing.await.unwrap();
        assert!(page.items.len() <= self.size);
        assert!(self.shown.len() < 1_000, "it does not end");
        let contacts = page.items.into_iter().map(|item| item.contact.source_id);
        self.shown.extend(contacts);
        self.cursor = page.next;
        page.next.is_some()
    }
}

fn walk(world: &World, filter: Option<Filter>, size: usize) -> Walk<'_> {
    Walk {
        world,
        filter,
        size,
        cursor: None,
        shown: Vec::new(),
    }
}

/// Conversations of contacts `0` to `count`, each with a message.
async fn fill(world: &World, count: u64) -> Channel {
    let site = world.connect("site").await;
    for contact in 0..count {
        world.receive(&site, &contact.to_string(), "hello").await;
    }
    site
}

/// Walks with pages of one to six. Between two pages old conversations and new ones get messages.
async fn walk_at_random(world: &World, filter: Option<Filter>, expected: &[String]) {
    let site = world.connect("site").await;
    let random = SeededRandom::new(11);
    let draw = |below: u64| u64::try_from(random.bits() % u128::from(below)).unwrap();
    let mut expected = expected.to_vec();
    for round in 0..30 {
        let size = 1 + usize::try_from(round % 6).unwrap();
        let mut walk = walk(world, filter.clone(), size);
        let mut new: Vec<String> = Vec::new();
        while walk.step().await {
            for _ in 0..draw(5) {
                let contact = match draw(6) {
                    0 if new.len() < 2 => {
                        new.push(format!("{round} {}", new.len()));
                        new[new.len() - 1].clone()
                    }
                    1 if !new.is_empty() => new[0].clone(),
                    _ => draw(12).to_string(),
                };
                world.receive(&site, &contact, "again").await;
            }
        }
        walk.shown.sort();
        assert_eq!(walk.shown, expected, "round {round}, pages of {size}");
        if filter.is_none() {
            expected.extend(new);
            expected.sort();
        }
    }
}

async fn each_conversation_is_shown_once_while_messages_arrive(world: World) {
    fill(&world, 12).await;
    let mut expected: Vec<String> = (0..12).map(|contact| contact.to_string()).collect();
    expected.sort();
    walk_at_random(&world, None, &expected).await;
}

async fn each_match_of_a_filter_is_shown_once_while_messages_arrive(world: World) {
    let site = fill(&world, 12).await;
    let (filter, tag) = of_tag();
    let mut expected = Vec::new();
    for contact in (0..12).step_by(2) {
        let contact = contact.to_string();
        let id = Conversation::id_of(site.id, &contact);
        world.store.note(id, Note::Tag(tag)).await.unwrap();
        expected.push(contact);
    }
    expected.sort();
    walk_at_random(&world, Some(filter.clone()), &expected).await;
    // The same without an index that finds them.
    let negated = Filter::Not(Box::new(Filter::Not(Box::new(filter))));
    walk_at_random(&world, Some(negated), &expected).await;
}

async fn one_that_moves_up_is_shown_on_the_next_page(world: World) {
    let site = fill(&world, 5).await;
    let mut walk = walk(&world, None, 2);
    walk.step().await;
    world.receive(&site, "0", "again").await;
    world.receive(&site, "4", "again").await;
    walk.step().await;
    assert_eq!(walk.shown, ["4", "3", "0", "2"]);
    assert!(!walk.step().await);
    assert_eq!(walk.shown, ["4", "3", "0", "2", "1"]);
}

async fn one_that_moves_twice_is_shown_once(world: World) {
    let site = fill(&world, 4).await;
    let mut walk = walk(&world, None, 1);
    walk.step().await;
    world.receive(&site, "0", "again").await;
    world.receive(&site, "0", "again").await;
    walk.step().await;
    world.receive(&site, "0", "and again").await;
    while walk.step().await {}
    assert_eq!(walk.shown, ["3", "0", "2", "1"]);
}

async fn a_new_one_is_not_shown_and_repeats_nothing(world: World) {
    let site = fill(&world, 3).await;
    let mut walk = walk(&world, None, 1);
    walk.step().await;
    world.receive(&site, "new", "hello").await;
    walk.step().await;
    world.receive(&site, "new", "again").await;
    while walk.step().await {}
    assert_eq!(walk.shown, ["2", "1", "0"]);
}

async fn more_that_moved_than_fit_come_on_several_pages(world: World) {
    let site = fill(&world, 8).await;
    let mut walk = walk(&world, None, 2);
    walk.step().await;
    for contact in 0..5 {
        world.receive(&site, &contact.to_string(), "again").await;
    }
    walk.step().await;
    assert_eq!(walk.shown, ["7", "6", "0", "1"]);
    // One of those that are still to come moves again.
    world.receive(&site, "4", "and again").await;
    while walk.step().await {}
    assert_eq!(walk.shown, ["7", "6", "0", "1", "2", "3", "4", "5"]);
}

async fn one_whose_earlier_messages_were_swept_is_shown(world: World) {
    let site = fill(&world, 3).await;
    let mut walk = walk(&world, None, 1);
    walk.step().await;
    world.advance(2_000);
    world.receive(&site, "0", "again").await;
    sweep(&world, &ALL).await;
    while walk.step().await {}
    let is_shown = |contact: &str| walk.shown.iter().any(|shown| shown == contact);
    assert!(is_shown("0"), "{:?}", walk.shown);
}
