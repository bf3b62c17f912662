//! What Telegram posts.

use serde_json::{Value, json};
use tradewind_model::{
    Attachment, AttachmentKind, Channel, Content, Postback, SenderType, Timestamp, UNSUPPORTED_TEXT,
};
use tradewind_stand_in::telegram;

use super::{AT, BOT, KEY, PERSON, post, receive, received};
use crate::{
    Inbound, InboundMessage, MediaKey, Profile, Refused,
    telegram::{hooks::Hooks, source},
};

fn message(update: &Value) -> InboundMessage {
    match received(update) {
        Inbound::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

/// What a message says that has these keys.
fn said(said: &Value) -> Content {
    message(&telegram::message(1_365, PERSON, said, AT)).content
}

fn link(id: &str) -> String {
    let media = MediaKey::new([1; 32]).links("https://example.com");
    media.url(Channel::id_of(&source(), BOT), id)
}

fn file(kind: AttachmentKind, id: &str, name: Option<&str>, mime_type: Option<&str>) -> Attachment {
    Attachment {
        kind,
        url: link(id),
        name: name.map(str::to_owned),
        mime_type: mime_type.map(str::to_owned),
    }
}

fn with(text: &str, attachment: Attachment) -> Content {
    Content {
        text: text.to_owned(),
        attachments: vec![attachment],
        postback: None,
    }
}

fn pressed(text: &str, payload: Option<&str>, kind: &str) -> Content {
    Content {
        text: text.to_owned(),
        attachments: Vec::new(),
        postback: Some(Postback {
            payload: payload.map(str::to_owned),
            referral: None,
            kind: Some(kind.to_owned()),
        }),
    }
}

#[test]
fn only_who_was_given_the_word_of_the_bot_is_read() {
    let word = Hooks::new(KEY).word(BOT);
    let update = telegram::text_message(1, PERSON, "hi", AT).to_string();
    let from = |bot, word| post(bot, word, update.as_bytes());
    assert!(from(BOT, Some(&word)).is_ok());
    let refused = Err(Refused::Signature);
    assert_eq!(from(BOT, None), refused);
    assert_eq!(from("110201544", Some(&word)), refused);
    assert_eq!(from("", Some(&word)), refused);
    let of_another = Hooks::new([8; 32]).word(BOT);
    for bad in [
        "",
        "secret",
        of_another.as_str(),
        &word[..42],
        &format!("{word}A"),
        &format!("{word}="),
        &word.to_lowercase(),
    ] {
        assert_eq!(from(BOT, Some(bad)), refused, "{bad}");
    }
    // Not even whether it can be read is told.
    assert_eq!(post(BOT, None, b"no json"), refused);
    assert_eq!(receive(b"no json"), Inbound::Skipped("unreadable"));
    let half = telegram::message(1_365, PERSON, &json!({"text": "a?"}), AT).to_string();
    let found = receive(half.replace('?', "\\ud83d").as_bytes());
    assert!(
        matches!(&found, Inbound::Message(message) if message.content.text == "a\u{fffd}"),
        "{found:?}"
    );
}

#[test]
fn a_word_is_one_that_telegram_takes() {
    let word = Hooks::new(KEY).word(BOT);
    assert_eq!(word.len(), 43);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    assert!(word.bytes().all(plain), "{word}");
}

#[test]
fn a_text_says_who_wrote_it_when_and_in_which_chat() {
    let found = message(&telegram::text_message(1_365, PERSON, "Grüße 🌷", AT));
    assert_eq!(found.source.name(), "telegram");
    assert_eq!(found.source_channel_id, BOT);
    assert_eq!(found.contact, "1111111");
    assert_eq!(found.sender.id, "1111111");
    assert_eq!(found.sender.kind, SenderType::SourceContact);
    assert_eq!(found.content, Content::text("Grüße 🌷"));
    assert_eq!(found.sent_at, Timestamp::from_second(AT).ok());
    assert_eq!(found.id_name, "1111111:1365");
    assert_eq!(found.key, None);
    let ada = Profile::of_name("Ada Lovelace");
    assert_eq!(found.profile, Some(ada));
}

#[test]
fn in_a_group_the_conversation_is_the_groups_and_the_sender_is_a_person() {
    let text = json!({"text": "@flowers_bot hello"});
    let group = -1_001_234_567_890;
    let found = message(&telegram::group_message(9, (group, PERSON), &text, AT));
    assert_eq!(found.contact, "-1001234567890");
    assert_eq!(found.sender.id, "1111111");
    assert_eq!(found.id_name, "-1001234567890:9");
    let title = found.profile.unwrap();
    assert_eq!(title.first_name.as_deref(), Some("Friends of flowers"));
    assert_eq!(title.last_name, None);
    let mut anonymous = telegram::group_message(10, (group, 1_087_968_824), &text, AT);
    anonymous["message"]["sender_chat"] = anonymous["message"]["chat"].clone();
    assert_eq!(message(&anonymous).sender.id, "-1001234567890");
}

#[test]
fn a_photo_is_its_largest_size() {
    let content = said(&json!({
        "photo": [
            {"file_id": "AgAC-s", "file_unique_id": "s", "file_size": 1_201, "width": 90, "height": 67},
            {"file_id": "AgAC-x", "file_unique_id": "x", "file_size": 98_320, "width": 800, "height": 600},
            {"file_id": "AgAC-m", "file_unique_id": "m", "file_size": 19_401, "width": 320, "height": 240},
        ],
        "caption": "the roses",
        "caption_entities": [{"offset": 0, "length": 3, "type": "bold"}],
        "media_group_id": "12912839128391",
    }));
    let photo = file(AttachmentKind::Image, "AgAC-x", None, Some("image/jpeg"));
    assert_eq!(content, with("the roses", photo));
}

#[test]
fn each_kind_of_file_is_an_attachment() {
    use AttachmentKind::{Audio, File, Sticker, Video};
    let thumb = json!({"file_id": "thumb", "file_unique_id": "t", "width": 90, "height": 90});
    let video = json!({"video": {
        "duration": 7, "width": 1280, "height": 720, "file_name": "a.mp4", "mime_type": "video/mp4",
        "thumbnail": thumb, "thumb": thumb, "file_id": "BAAC", "file_unique_id": "v", "file_size": 1_200_000,
    }});
    let expected = file(Video, "BAAC", Some("a.mp4"), Some("video/mp4"));
    assert_eq!(said(&video), with("", expected));
    let animation = json!({
        "animation": {
            "file_name": "cat.mp4", "mime_type": "video/mp4", "duration": 3, "width": 320, "height": 240,
            "file_id": "CgAC", "file_unique_id": "g", "file_size": 20_100,
        },
        "document": {
            "file_name": "cat.mp4", "mime_type": "video/mp4",
            "file_id": "CgAC", "file_unique_id": "g", "file_size": 20_100,
        },
    });
    let expected = file(Video, "CgAC", Some("cat.mp4"), Some("video/mp4"));
    assert_eq!(said(&animation), with("", expected));
    let note = json!({"video_note": {
        "duration": 5, "length": 240, "file_id": "DQAC", "file_unique_id": "n", "file_size": 300_000,
    }});
    let expected = file(Video, "DQAC", None, Some("video/mp4"));
    assert_eq!(said(&note), with("", expected));
    let audio = json!({"audio": {
        "duration": 243, "performer": "Bach", "title": "Air", "mime_type": "audio/mp4",
        "file_id": "CQAC", "file_unique_id": "a", "file_size": 4_000_000,
    }});
    let expected = file(Audio, "CQAC", Some("Air"), Some("audio/mp4"));
    assert_eq!(said(&audio), with("", expected));
    let voice = json!({"voice": {
        "duration": 3, "mime_type": "audio/ogg", "file_id": "AwAC", "file_unique_id": "o", "file_size": 9_000,
    }});
    let expected = file(Audio, "AwAC", None, Some("audio/ogg"));
    assert_eq!(said(&voice), with("", expected));
    let document = json!({
        "document": {
            "file_name": "plan.pdf", "mime_type": "application/pdf", "thumbnail": thumb,
            "file_id": "BQAC", "file_unique_id": "d", "file_size": 102_400,
        },
        "caption": "our plan",
    });
    let expected = file(File, "BQAC", Some("plan.pdf"), Some("application/pdf"));
    assert_eq!(said(&document), with("our plan", expected));
    for (key, kind) in [
        ("none", "image/webp"),
        ("is_video", "video/webm"),
        ("is_animated", "application/x-tgsticker"),
    ] {
        let mut sticker = json!({
            "width": 512, "height": 512, "emoji": "😀", "set_name": "Cats", "is_animated": false,
            "is_video": false, "type": "regular", "thumbnail": thumb,
            "file_id": "CAAC", "file_unique_id": "st", "file_size": 30_000,
        });
        sticker[key] = true.into();
        let expected = file(Sticker, "CAAC", None, Some(kind));
        assert_eq!(said(&json!({"sticker": sticker})), with("", expected));
    }
}

#[test]
fn a_place_is_a_geo_uri() {
    let at = json!({"latitude": 52.520_006, "longitude": 13.404_954});
    let place = |name: Option<&str>| Attachment {
        kind: AttachmentKind::Location,
        url: "geo:52.520006,13.404954".to_owned(),
        name: name.map(str::to_owned),
        mime_type: None,
    };
    assert_eq!(said(&json!({"location": at})), with("", place(None)));
    let venue = json!({
        "location": at,
        "venue": {"location": at, "title": "Our shop", "address": "Alexanderplatz 1"},
    });
    assert_eq!(said(&venue), with("", place(Some("Our shop"))));
    let nowhere = json!({"location": {"latitude": 95.0, "longitude": 13.4}});
    assert_eq!(said(&nowhere).text, UNSUPPORTED_TEXT);
}

#[test]
fn an_address_card_is_a_line() {
    let card = json!({"contact": {
        "phone_number": "+4930123456", "first_name": "Grace", "last_name": "Hopper", "user_id": 5,
        "vcard": "BEGIN:VCARD\nEND:VCARD",
    }});
    assert_eq!(said(&card), Content::text("Grace Hopper: +4930123456"));
    let bare = json!({"contact": {"phone_number": "+4930123456", "first_name": ""}});
    assert_eq!(said(&bare), Content::text("+4930123456"));
}

#[test]
fn a_button_that_was_pressed_says_what_stands_on_it_and_what_is_behind_it() {
    let found = message(&telegram::button(7, PERSON, ("Roses 🌹", "order:42"), AT));
    assert_eq!(
        found.content,
        pressed("Roses 🌹", Some("order:42"), "callback_query")
    );
    assert_eq!(found.contact, "1111111");
    assert_eq!(found.sender.id, "1111111");
    assert_eq!(found.id_name, "callback_query:4714837471589000007");
    // Telegram does not say when it was pressed; the date is that of the message.
    assert_eq!(found.sent_at, None);
    assert_eq!(found.profile, Some(Profile::of_name("Ada Lovelace")));

    let mut old = telegram::button(8, PERSON, ("Roses", "order:42"), AT);
    old["callback_query"]["message"] = json!({
        "chat": telegram::private_chat(PERSON), "message_id": 8, "date": 0,
    });
    assert_eq!(
        message(&old).content,
        pressed("", Some("order:42"), "callback_query")
    );

    let mut inline = telegram::button(9, PERSON, ("Roses", "order:42"), AT);
    let query = inline["callback_query"].as_object_mut().unwrap();
    query.remove("message");
    query.insert("inline_message_id".to_owned(), "AAAA".into());
    assert_eq!(received(&inline), Inbound::Skipped("button_without_chat"));

    let page = json!({"web_app_data": {"data": "{\"size\":3}", "button_text": "Choose"}});
    assert_eq!(
        said(&page),
        pressed("Choose", Some("{\"size\":3}"), "web_app_data")
    );
}

#[test]
fn a_link_to_the_bot_tells_by_which_door_the_contact_came() {
    let start = |text: &str| {
        said(&json!({
            "text": text,
            "entities": [{"offset": 0, "length": 6, "type": "bot_command"}],
        }))
    };
    let expected = pressed("/start flyer-7", Some("flyer-7"), "start");
    assert_eq!(start("/start flyer-7"), expected);
    let in_group = start("/start@flowers_bot flyer-7");
    assert_eq!(in_group.postback, expected.postback);
    for plain in [
        "/start",
        "/start ",
        "/started now",
        "start flyer-7",
        "/start two words",
        "/",
    ] {
        assert_eq!(start(plain), Content::text(plain));
    }
}

#[test]
fn what_there_are_no_words_for_is_said_so() {
    for unknown in [
        json!({"dice": {"emoji": "🎲", "value": 4}}),
        json!({"poll": {"id": "5", "question": "Roses?", "options": [{"text": "Yes", "voter_count": 0}]}}),
        json!({"story": {"chat": {"id": 5, "type": "private"}, "id": 3}}),
        json!({"game": {"title": "x", "description": "y", "photo": []}}),
        json!({"something_new": {}}),
        json!({"photo": []}),
        json!({"document": {}}),
        json!({}),
    ] {
        assert_eq!(said(&unknown), Content::text(UNSUPPORTED_TEXT), "{unknown}");
    }
    let paid = json!({"paid_media": {"star_count": 5}, "caption": "for you"});
    assert_eq!(said(&paid), Content::text("for you"));
}

#[test]
fn what_nobody_said_is_passed_over_by_its_name() {
    let original = telegram::text_message(1, PERSON, "hi", AT);
    let edited = telegram::edited(2, &original, "hello", AT + 9);
    assert_eq!(received(&edited), Inbound::Skipped("edited_message"));
    let member =
        json!({"id": BOT.parse::<i64>().unwrap(), "is_bot": true, "first_name": "Flower shop"});
    let service = json!({"new_chat_participant": member, "new_chat_member": member, "new_chat_members": [member]});
    let joined = telegram::group_message(3, (-42, PERSON), &service, AT);
    assert_eq!(received(&joined), Inbound::Skipped("service_message"));
    let moved = telegram::group_message(
        3,
        (-42, PERSON),
        &json!({"migrate_to_chat_id": -1_001_234}),
        AT,
    );
    assert_eq!(received(&moved), Inbound::Skipped("service_message"));
    let blocked = telegram::update(
        4,
        "my_chat_member",
        &json!({
            "chat": telegram::private_chat(PERSON),
            "from": {"id": PERSON, "is_bot": false, "first_name": "Ada"},
            "date": AT,
            "old_chat_member": {"user": member, "status": "member"},
            "new_chat_member": {"user": member, "status": "kicked", "until_date": 0},
        }),
    );
    assert_eq!(received(&blocked), Inbound::Skipped("my_chat_member"));
    let post = telegram::update(
        5,
        "channel_post",
        &json!({
            "message_id": 12, "date": AT, "text": "news",
            "chat": {"id": -1_001_234_567_890_i64, "title": "News", "type": "channel"},
        }),
    );
    assert_eq!(received(&post), Inbound::Skipped("channel_post"));
    let new = telegram::update(6, "something_new", &json!({}));
    assert_eq!(received(&new), Inbound::Skipped("update"));
    let nobody = telegram::update(7, "message", &json!({"message_id": 1, "text": "hi"}));
    assert_eq!(received(&nobody), Inbound::Skipped("no_chat"));
    let own = telegram::group_message(8, (-42, 110_201_543), &json!({"text": "me"}), AT);
    assert_eq!(received(&own), Inbound::Skipped("own_message"));
}
