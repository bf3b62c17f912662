//! Filters of the list of conversations: what each kind of clause finds.

use tradewind_model::{Channel, Conversation, ConversationId, Filter, Source, TagId};
use tradewind_store::{ConversationPage, Note};
use uuid::Uuid;

use crate::{
    retention::{ALL, sweep},
    world::{World, channel},
};

conformance![
    ids_channels_sources_and_tags_are_found,
    clauses_are_joined_negated_and_grouped,
    names_are_found_by_words_their_ends_and_phrases,
    a_name_that_changes_is_found_by_the_new_one,
    a_text_with_wildcards_of_sql_means_itself,
    metadata_is_found_by_value_beginning_end_and_range,
    times_and_unread_messages_have_ranges,
    pages_of_a_filter_lead_through_it_and_back,
    many_candidates_are_found_like_few,
    a_filter_finds_the_same_after_a_restart,
    a_conversation_that_was_swept_is_found_no_more,
    every_clause_is_true_or_false_of_every_conversation,
];

fn tag(number: u128) -> TagId {
    TagId::from_uuid(Uuid::from_u128(number))
}

fn id(contact: &str) -> ConversationId {
    Conversation::id_of(channel("site").id, contact)
}

async fn note(world: &World, contact: &str, note: Note) {
    world.store.note(id(contact), note).await.unwrap();
}

async fn name(world: &World, contact: &str, first: &str, last: Option<&str>) {
    let named = Note::Contact {
        first_name: Some(first.to_owned()),
        last_name: last.map(str::to_owned),
        avatar_url: None,
    };
    note(world, contact, named).await;
}

async fn set(world: &World, contact: &str, key: &str, value: &str) {
    let (key, value) = (key.to_owned(), value.to_owned());
    note(world, contact, Note::Set { key, value }).await;
}

/// Conversations of these contacts, a second apart.
async fn fill(world: &World, contacts: &[&str]) -> Channel {
    let site = world.connect("site").await;
    for contact in contacts {
        world.receive(&site, contact, "hello").await;
        world.advance(1);
    }
    site
}

async fn list(world: &World, filter: &str) -> ConversationPage {
    let filter = Filter::parse(filter).unwrap();
    let listing = world.store.list_conversations(Some(filter), None, 1_000);
    listing.await.unwrap()
}

/// The contacts that a filter finds, in the order of the alphabet.
async fn found(world: &World, filter: &str) -> Vec<String> {
    let page = list(world, filter).await;
    assert_eq!(page.matching, u64::try_from(page.items.len()).unwrap());
    let places: Vec<_> = page.items.iter().map(|it| it.last_message.id).collect();
    assert!(places.is_sorted_by(|one, other| one > other), "{filter}");
    let contact = |item: Conversation| item.contact.source_id;
    let mut contacts: Vec<_> = page.items.into_iter().map(contact).collect();
    contacts.sort();
    contacts
}

#[track_caller]
fn same(found: &[String], expected: &str, filter: &str) {
    assert_eq!(found.join(" "), expected, "{filter}");
}

async fn finds(world: &World, expectations: &[(&str, &str)]) {
    for (filter, expected) in expectations {
        same(&found(world, filter).await, expected, filter);
    }
}

async fn ids_channels_sources_and_tags_are_found(world: World) {
    let site = fill(&world, &["a", "b"]).await;
    let source = Source::parse("twilio.sms").unwrap();
    let phone = Channel {
        id: Channel::id_of(&source, "phone"),
        source,
        ..channel("phone")
    };
    let connecting = world
        .store
        .connect_channel(phone, tradewind_model::Actor::server());
    let phone = connecting.await.unwrap();
    world.receive(&phone, "c", "hello").await;
    note(&world, "a", Note::Tag(tag(1))).await;
    note(&world, "b", Note::Tag(tag(2))).await;

    let (one, other) = (id("a"), tag(2));
    finds(
        &world,
        &[
            (&format!("id:{one}"), "a"),
            (&format!("{one}"), "a"),
            (&format!("id:({one} OR {})", id("b")), "a b"),
            (&format!("channel_id:{}", site.id), "a b"),
            (&format!("channel_id:{}", tag(9)), ""),
            ("source:chat_plugin", "a b"),
            ("source:twilio*", "c"),
            ("source:*SMS", "c"),
            ("source:(facebook OR twilio.sms)", "c"),
            (&format!("tag_ids:{other}"), "b"),
            ("tag_ids:*", "a b"),
            ("NOT tag_ids:*", "c"),
            ("*:*", "a b c"),
        ],
    )
    .await;
}

async fn clauses_are_joined_negated_and_grouped(world: World) {
    fill(&world, &["a", "b", "c", "d"]).await;
    for contact in ["a", "b"] {
        note(&world, contact, Note::Tag(tag(1))).await;
    }
    for contact in ["b", "c"] {
        note(&world, contact, Note::Tag(tag(2))).await;
    }
    let filter = |filter: &str| {
        let one = format!("tag_ids:{}", tag(1));
        let two = format!("tag_ids:{}", tag(2));
        filter.replace('1', &one).replace('2', &two)
    };
    for (text, expected) in [
        ("1 AND 2", "b"),
        ("1 OR 2", "a b c"),
        ("1 2", "a b c"),
        ("1 NOT 2", "a"),
        ("1 -2", "a"),
        ("+1 2", "a b"),
        ("NOT 1", "c d"),
        ("NOT (1 OR 2)", "d"),
        ("(1 OR 2) AND NOT (1 AND 2)", "a c"),
        ("1 AND unread_count:>=0", "a b"),
        ("1 OR unread_count:>5", "a b"),
    ] {
        let text = filter(text);
        same(&found(&world, &text).await, expected, &text);
    }
}

async fn names_are_found_by_words_their_ends_and_phrases(world: World) {
    fill(&world, &["ada", "al", "grace", "nobody", "two"]).await;
    name(&world, "ada", "Ada  King", Some("Lovelace")).await;
    name(&world, "al", "Al", None).await;
    name(&world, "grace", "Grace", Some("Ünver")).await;
    name(&world, "two", "Lovelace", Some("Ada")).await;
    finds(
        &world,
        &[
            ("display_name:lovelace", "ada two"),
            ("ADA", "ada two"),
            ("love", ""),
            ("lace", ""),
            ("\"da king\"", ""),
            ("Gra*", "grace"),
            ("*lace", "ada two"),
            ("*ovel*", "ada two"),
            ("*vel", ""),
            ("king", "ada"),
            ("\"king lovelace\"", "ada"),
            ("\"lovelace ada\"", "two"),
            ("\"king love\"", ""),
            ("\"king\" AND lovelace", "ada"),
            ("ÜNVER", "grace"),
            ("ün*", "grace"),
            // Too short for the index of runs of three.
            ("al", "al"),
            ("*l*", "ada al two"),
            ("*l", "al"),
            ("a*", "ada al two"),
            ("display_name:*", "ada al grace two"),
            ("NOT display_name:*", "nobody"),
            ("NOT ada", "al grace nobody"),
        ],
    )
    .await;
}

async fn a_name_that_changes_is_found_by_the_new_one(world: World) {
    fill(&world, &["a", "b"]).await;
    name(&world, "a", "Augusta", None).await;
    name(&world, "a", "Ada", Some("Lovelace")).await;
    finds(&world, &[("augusta", ""), ("lovelace", "a")]).await;
    let unnamed = Note::Contact {
        first_name: None,
        last_name: Some(" ".to_owned()),
        avatar_url: None,
    };
    note(&world, "a", unnamed).await;
    finds(&world, &[("lovelace", ""), ("display_name:*", "")]).await;
}

async fn a_text_with_wildcards_of_sql_means_itself(world: World) {
    fill(&world, &["a", "b", "c", "d"]).await;
    for (contact, odd) in [
        ("a", "50%_x"),
        ("b", "50axx"),
        ("c", "b\\c'd\"e"),
        ("d", "\0\u{1a}"),
    ] {
        set(&world, contact, "k", odd).await;
        name(&world, contact, odd, None).await;
    }
    for field in ["metadata.k", "display_name"] {
        for (value, expected) in [
            ("50%_x", "a"),
            ("*%_*", "a"),
            ("*0%*", "a"),
            ("*_*", "a"),
            ("50%*", "a"),
            ("*\\\\c'*", "c"),
            ("\"b\\\\c'd\\\"e\"", "c"),
            ("*'d\\\"e", "c"),
            ("\0\u{1a}", "d"),
            ("*\u{1a}", "d"),
        ] {
            let filter = format!("{field}:{value}");
            same(&found(&world, &filter).await, expected, &filter);
        }
    }
    let filter = "metadata.k:\"'; DROP TABLE conversation; --\"";
    finds(&world, &[(filter, ""), ("*", "a b c d")]).await;
}

async fn metadata_is_found_by_value_beginning_end_and_range(world: World) {
    fill(&world, &["a", "b", "c", "d"]).await;
    set(&world, "a", "public.city", "Ulm an der Donau").await;
    set(&world, "b", "public.city", "Bern").await;
    for (contact, number) in [("a", "9"), ("b", "10"), ("c", "-2.5"), ("d", "7 apples")] {
        set(&world, contact, "n", number).await;
    }
    let long = "x".repeat(300);
    set(&world, "c", "long", &format!("{long}Y")).await;
    finds(
        &world,
        &[
            ("metadata.public.city:bern", "b"),
            ("metadata.public.city:ulm", ""),
            ("metadata.public.city:\"ULM an der donau\"", "a"),
            ("metadata.public.city:ulm*", "a"),
            ("metadata.public.city:*donau", "a"),
            ("metadata.public.city:*der*", "a"),
            ("metadata.public.city:*", "a b"),
            ("metadata.city:*", ""),
            ("NOT metadata.public.city:bern", "a c d"),
            ("metadata.public.city:[b TO c]", "b"),
            ("metadata.public.city:>=\"bern\"", "a b"),
            ("metadata.public.city:>\"bern\"", "a"),
            ("metadata.n:[9 TO 10]", "a b"),
            ("metadata.n:>9", "b"),
            ("metadata.n:<0", "c"),
            ("metadata.n:{-2.5 TO 9]", "a"),
            ("metadata.n:[\"10\" TO \"7\"]", "b"),
            (&format!("metadata.long:{long}y"), "c"),
            ("metadata.long:xxx*", "c"),
        ],
    )
    .await;
}

async fn times_and_unread_messages_have_ranges(world: World) {
    // The tests begin at 2020-09-13T12:26:40Z.
    let site = fill(&world, &["a", "b"]).await;
    world.receive(&site, "a", "again").await;
    world.advance(86_400);
    fill(&world, &["c"]).await;
    note(&world, "c", Note::Read).await;
    finds(
        &world,
        &[
            ("created_at:2020-09-13", "a b"),
            ("created_at:>2020-09-13", "c"),
            ("created_at:<=2020-09-13", "a b"),
            ("created_at:[2020-09-13 TO 2020-09-14]", "a b c"),
            ("created_at:1600000000000", "a"),
            ("created_at:2020-09-13T12:26:41Z", "b"),
            ("createdAt:{2020-09-13T12:26:40Z TO *]", "b c"),
            ("unread_count:2", "a"),
            ("unread_count:>=1", "a b"),
            ("unreadCount:0", "c"),
            ("unread_count:[1 TO 2}", "b"),
            ("unread_count:[3 TO 1]", ""),
        ],
    )
    .await;
}

async fn pages_of_a_filter_lead_through_it_and_back(world: World) {
    let contacts: Vec<String> = (0..9).map(|contact| contact.to_string()).collect();
    let names: Vec<&str> = contacts.iter().map(String::as_str).collect();
    fill(&world, &names).await;
    for contact in names.iter().step_by(2) {
        note(&world, contact, Note::Tag(tag(1))).await;
    }
    for text in [
        "tag_ids:*",
        "NOT NOT tag_ids:*",
        "tag_ids:* OR unread_count:>7",
    ] {
        let filter = Filter::parse(text).unwrap();
        let list = async |cursor| {
            let filter = Some(filter.clone());
            world
                .store
                .list_conversations(filter, cursor, 2)
                .await
                .unwrap()
        };
        let contacts = |page: &ConversationPage| {
            let contacts = page.items.iter().map(|item| item.contact.source_id.clone());
            contacts.collect::<String>()
        };
        let first = list(None).await;
        let second = list(first.next).await;
        let third = list(second.next).await;
        assert_eq!(contacts(&first), "86", "{text}");
        assert_eq!(contacts(&second), "42");
        assert_eq!(contacts(&third), "0");
        assert_eq!((first.previous, third.next), (None, None));
        for page in [&first, &second, &third] {
            assert_eq!((page.total, page.matching), (9, 5));
        }
        assert_eq!(list(third.previous).await, second);
        assert_eq!(list(second.previous).await, first);
    }
}

async fn many_candidates_are_found_like_few(world: World) {
    // More than are looked at one by one: the list is walked.
    const MANY: usize = 10_050;
    let site = world.connect("site").await;
    for chunk in 0..MANY.div_ceil(500) {
        let contacts =
            (chunk * 500..MANY.min(chunk * 500 + 500)).map(|contact| contact.to_string());
        let messages = contacts.map(|contact| world.incoming(&site, &contact, "hello"));
        world.append_at_once(messages.collect()).await;
    }
    set(&world, "77", "k", "v").await;
    let page = list(&world, "source:chat_plugin").await;
    assert_eq!(
        (page.matching, page.items.len()),
        (MANY.try_into().unwrap(), 1_000)
    );
    finds(
        &world,
        &[
            ("source:chat_plugin AND metadata.k:v", "77"),
            ("source:chat_plugin AND unread_count:>1", ""),
            ("unread_count:1 AND metadata.k:*", "77"),
        ],
    )
    .await;
}

async fn a_filter_finds_the_same_after_a_restart(mut world: World) {
    fill(&world, &["a", "b"]).await;
    name(&world, "a", "Ada", Some("Lovelace")).await;
    set(&world, "a", "k", "v").await;
    for _ in 0..2 {
        finds(&world, &[("*ovel*", "a"), ("metadata.k:v", "a")]).await;
        world.reopen().await;
    }
}

async fn a_conversation_that_was_swept_is_found_no_more(world: World) {
    fill(&world, &["a"]).await;
    name(&world, "a", "Ada", Some("Lovelace")).await;
    world.advance(5_000);
    fill(&world, &["b"]).await;
    name(&world, "b", "Ada", None).await;
    sweep(&world, &ALL).await;
    finds(&world, &[("*ovel*", ""), ("ada", "b"), ("*", "b")]).await;
}

async fn every_clause_is_true_or_false_of_every_conversation(world: World) {
    fill(&world, &["bare", "full"]).await;
    name(&world, "full", "Ada", Some("Lovelace")).await;
    set(&world, "full", "k", "5").await;
    note(&world, "full", Note::Tag(tag(1))).await;
    for clause in [
        "id:00000000-0000-0000-0000-000000000000",
        "channel_id:00000000-0000-0000-0000-000000000000",
        "source:x",
        "source:*x*",
        "tag_ids:*",
        "tag_ids:00000000-0000-0000-0000-000000000001",
        "ada",
        "*ov*",
        "display_name:*",
        "created_at:5",
        "unread_count:7",
        "metadata.k:*",
        "metadata.k:5",
        "metadata.k:5*",
        "metadata.k:*5",
        "metadata.k:[\"a\" TO *]",
        "metadata.k:>4",
    ] {
        let mut both = found(&world, clause).await;
        both.extend(found(&world, &format!("NOT {clause}")).await);
        both.sort();
        same(&both, "bare full", clause);
    }
}
