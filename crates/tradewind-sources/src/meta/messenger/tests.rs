use serde_json::{Value, json};
use tradewind_model::{
    AttachmentKind, Channel, Content, MessageId, SenderType, Timestamp, UNSUPPORTED_TEXT,
};
use tradewind_store::{ReceiptKind, ReceiptOf};

use super::{Network, read};
use crate::{
    Inbound, InboundMessage, InboundReceipt,
    meta::{echoes::Echoes, facebook, instagram},
};

const APP: &str = "1517776481860111";

fn page(entries: &Value) -> Vec<Inbound> {
    let echoes = Echoes::default();
    let network = Network {
        source: facebook(),
        app_id: Some(APP),
        echoes: &echoes,
    };
    read(&network, entries.as_array().unwrap())
}

/// What one node of a page's says.
fn one(node: &Value) -> Inbound {
    let entry =
        json!([{"id": "1912214878880084", "time": 1_550_050_754_198_i64, "messaging": [node]}]);
    let mut found = page(&entry);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What a message to a page says; `message` is what is in the node of that name.
fn said(message: &Value) -> InboundMessage {
    let node = json!({
        "sender": {"id": "5242231102509471"},
        "recipient": {"id": "1912214878880084"},
        "timestamp": 1_550_050_753_811_i64,
        "message": message,
    });
    match one(&node) {
        Inbound::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn on_instagram(message: &Value) -> Vec<Inbound> {
    let echoes = Echoes::default();
    let network = Network {
        source: instagram(),
        app_id: Some(APP),
        echoes: &echoes,
    };
    let entry = json!({
        "time": 1_569_262_486_134_i64,
        "id": "17841405822304914",
        "messaging": [{
            "sender": {"id": "6502955933117104"},
            "recipient": {"id": "17841405822304914"},
            "timestamp": 1_569_262_485_349_i64,
            "message": message,
        }]
    });
    read(&network, &[entry])
}

fn content(message: &Value) -> Content {
    said(message).content
}

fn attached(content: &Content) -> Vec<(AttachmentKind, &str, Option<&str>)> {
    let attachments = content.attachments.iter();
    attachments
        .map(|it| (it.kind, it.url.as_str(), it.name.as_deref()))
        .collect()
}

#[test]
fn a_text_is_a_message_of_the_contact() {
    let message = said(&json!({"mid": "m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM", "text": "hello, world!"}));
    assert_eq!(message.source.name(), "facebook");
    assert_eq!(message.source_channel_id, "1912214878880084");
    assert_eq!(message.contact, "5242231102509471");
    assert_eq!(message.sender.id, "5242231102509471");
    assert_eq!(message.sender.kind, SenderType::SourceContact);
    assert_eq!(message.content, Content::text("hello, world!"));
    let sent_at = Timestamp::from_millisecond(1_550_050_753_811).unwrap();
    assert_eq!(message.sent_at, Some(sent_at));
    assert_eq!(message.key.as_deref(), Some("m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM"));
    assert_eq!(message.profile, None);
}

#[test]
fn an_id_is_that_of_airy_core() {
    // As it came: with spaces, and with what is escaped in another way than we would.
    let body = r#"[ { "id": "ps-id", "time": 1550050754198, "messaging": [
        { "sender": { "id": "u1" }, "recipient": { "id": "p1" }, "timestamp": 1550050753811,
          "message": { "mid": "4242", "seq": 1362432, "text": "the answer is \u00342" } } ] } ]"#;
    let found = page(&serde_json::from_str(body).unwrap());
    let [Inbound::Message(message)] = &found[..] else {
        panic!("{found:?}");
    };
    let channel = Channel::id_of(&message.source, &message.source_channel_id).to_string();
    assert_eq!(channel, "0f99fae5-0558-5a35-b9b8-27eac4e2df33");
    let id = MessageId::derived(&channel, &message.id_name).to_string();
    assert_eq!(id, "f594c64d-a6af-5473-ba65-b0ddc970f860");
}

#[test]
fn entries_and_what_is_in_them_keep_their_order() {
    let node = |text: &str| {
        json!({
            "sender": {"id": "1"},
            "recipient": {"id": "2"},
            "timestamp": 1_550_050_753_811_i64,
            "message": {"mid": text, "text": text},
        })
    };
    let found = page(&json!([
        {"id": "10", "time": 1, "messaging": [node("a"), node("b")]},
        {"id": 20, "time": 2, "standby": [node("c")]},
        {"id": "10", "time": 3, "messaging": [node("d")], "standby": [node("e")]},
    ]));
    let order = found.iter().map(|found| match found {
        Inbound::Message(message) => {
            format!("{} {}", message.source_channel_id, message.content.text)
        }
        other => panic!("{other:?}"),
    });
    let order: Vec<_> = order.collect();
    assert_eq!(order, ["10 a", "10 b", "20 c", "10 d", "10 e"]);
}

#[test]
fn files_are_attachments_without_a_text() {
    let file = |kind: &str| json!({"type": kind, "payload": {"url": format!("https://scontent.xx.fbcdn.net/v/{kind}?oh=1")}});
    let message = json!({
        "mid": "m_1",
        "attachments": [file("image"), file("video"), file("audio"), file("file")],
    });
    let content = content(&message);
    assert_eq!(content.text, "");
    assert_eq!(
        attached(&content),
        [
            (
                AttachmentKind::Image,
                "https://scontent.xx.fbcdn.net/v/image?oh=1",
                None
            ),
            (
                AttachmentKind::Video,
                "https://scontent.xx.fbcdn.net/v/video?oh=1",
                None
            ),
            (
                AttachmentKind::Audio,
                "https://scontent.xx.fbcdn.net/v/audio?oh=1",
                None
            ),
            (
                AttachmentKind::File,
                "https://scontent.xx.fbcdn.net/v/file?oh=1",
                None
            ),
        ]
    );
}

#[test]
fn a_sticker_is_one_however_it_is_written() {
    let url = "https://scontent.xx.fbcdn.net/t39.1997-6/39178562_n.png";
    let payload = json!({"url": url, "sticker_id": 369_239_263_222_822_i64});
    let as_image = json!({"type": "image", "payload": payload});
    let as_sticker = json!({"type": "sticker", "payload": payload});
    for attachments in [
        json!([as_image]),
        json!([as_sticker]),
        json!([as_sticker, as_image]),
        json!([as_image, as_sticker]),
    ] {
        let message = json!({"mid": "m_1", "sticker_id": 369_239_263_222_822_i64, "attachments": attachments});
        let content = content(&message);
        assert_eq!(
            attached(&content),
            [(AttachmentKind::Sticker, url, None)],
            "{message}"
        );
    }
}

#[test]
fn a_place_is_a_geo_uri() {
    let message = json!({
        "mid": "m_1",
        "attachments": [{
            "title": "Ada's Location",
            "url": "https://l.facebook.com/l.php?u=https%3A%2F%2Fwww.bing.com%2Fmaps",
            "type": "location",
            "payload": {"coordinates": {"lat": 52.520_006_599, "long": 13.404_954}},
        }]
    });
    let content = content(&message);
    let expected = "geo:52.520006599,13.404954";
    assert_eq!(
        attached(&content),
        [(AttachmentKind::Location, expected, Some("Ada's Location"))]
    );
}

#[test]
fn what_is_shared_is_a_link_where_there_is_an_address() {
    let message = json!({
        "mid": "m_1",
        "text": "https://example.com/a",
        "attachments": [
            {"type": "fallback", "payload": {"url": "https://example.com/a", "title": "A page"}},
            {"type": "fallback", "title": "Older", "url": "https://example.com/b", "payload": null},
            {"type": "fallback", "payload": null},
            {"type": "reel", "payload": {"url": "https://www.facebook.com/reel/1", "title": "A reel"}},
            {"type": "post", "payload": {"url": "https://www.facebook.com/1/posts/2", "title": "A post"}},
            {"type": "appointment_booking", "payload": {"booking_id": "1", "status": "requested"}},
            {"type": "fallback", "payload": {"url": "javascript:alert(1)"}},
        ]
    });
    let content = content(&message);
    assert_eq!(content.text, "https://example.com/a");
    assert_eq!(
        attached(&content),
        [
            (
                AttachmentKind::Link,
                "https://example.com/a",
                Some("A page")
            ),
            (AttachmentKind::Link, "https://example.com/b", Some("Older")),
            (
                AttachmentKind::Link,
                "https://www.facebook.com/reel/1",
                Some("A reel")
            ),
            (
                AttachmentKind::Link,
                "https://www.facebook.com/1/posts/2",
                Some("A post")
            ),
        ]
    );
}

#[test]
fn a_template_shows_what_it_has() {
    let product = json!({
        "mid": "m_1",
        "attachments": [{"type": "template", "payload": {"product": {"elements": [{
            "id": "3216540000000000",
            "retailer_id": "sku-7",
            "image_url": "https://scontent.xx.fbcdn.net/p.jpg",
            "title": "Tulips",
            "subtitle": "12.00 EUR",
        }]}}}]
    });
    let content = content(&product);
    let image = "https://scontent.xx.fbcdn.net/p.jpg";
    assert_eq!(
        attached(&content),
        [(AttachmentKind::Image, image, Some("Tulips"))]
    );
    let card = json!({
        "mid": "m_2",
        "attachments": [{"type": "template", "payload": {
            "template_type": "generic",
            "sharable": false,
            "elements": [{
                "title": "Welcome",
                "subtitle": "Come in",
                "image_url": "https://example.com/i.png",
                "default_action": {"type": "web_url", "url": "https://example.com/shop"},
                "buttons": [{"type": "postback", "title": "Start", "payload": "START"}],
            }],
        }}]
    });
    let content = self::content(&card);
    assert_eq!(
        attached(&content),
        [(
            AttachmentKind::Link,
            "https://example.com/shop",
            Some("Welcome")
        )]
    );
    let buttons = json!({
        "mid": "m_3",
        "attachments": [{"type": "template", "title": "Choose", "url": null, "payload": {
            "template_type": "button",
            "text": "Choose one",
            "buttons": [{"type": "postback", "title": "A", "payload": "A"}],
        }}]
    });
    assert_eq!(self::content(&buttons), Content::text("Choose one"));
}

#[test]
fn a_quick_reply_is_a_postback_with_its_title_as_text() {
    let message = said(&json!({
        "mid": "m_1",
        "text": "Red",
        "quick_reply": {"payload": "PICKED_RED"},
    }));
    assert_eq!(message.content.text, "Red");
    let postback = serde_json::to_value(message.content.postback.unwrap()).unwrap();
    assert_eq!(
        postback,
        json!({"payload": "PICKED_RED", "type": "quick_reply"})
    );
}

#[test]
fn a_postback_tells_its_payload_and_where_the_contact_came_from() {
    let node = |postback: Value| {
        json!({
            "sender": {"id": "5242231102509471"},
            "recipient": {"id": "1912214878880084"},
            "timestamp": 1_527_459_824_377_i64,
            "postback": postback,
        })
    };
    let found = one(&node(json!({
        "title": "Get started",
        "payload": "GET_STARTED",
        "mid": "m_9",
        "referral": {"ref": "spring", "source": "SHORTLINK", "type": "OPEN_THREAD"},
    })));
    let Inbound::Message(message) = found else {
        panic!("{found:?}");
    };
    assert_eq!(message.content.text, "Get started");
    assert_eq!(message.key.as_deref(), Some("m_9"));
    let postback = serde_json::to_value(message.content.postback.unwrap()).unwrap();
    let referral = r#"{"ref":"spring","source":"SHORTLINK","type":"OPEN_THREAD"}"#;
    assert_eq!(
        postback,
        json!({"payload": "GET_STARTED", "referral": referral})
    );
    let found = one(&node(json!({"title": "Start"})));
    let Inbound::Message(message) = found else {
        panic!("{found:?}");
    };
    assert_eq!(message.key, None);
    assert_eq!(
        serde_json::to_value(&message.content).unwrap(),
        json!({"text": "Start", "postback": {}})
    );
    let Inbound::Message(message) = one(&node(json!({"payload": "A"}))) else {
        panic!();
    };
    assert_eq!(message.content.text, "");
}

#[test]
fn a_message_tells_the_advertisement_it_came_by() {
    let message = said(&json!({
        "mid": "m_1",
        "text": "Is it still there?",
        "referral": {
            "ref": "REF",
            "ad_id": "6045246247433",
            "source": "ADS",
            "type": "OPEN_THREAD",
            "ads_context_data": {"ad_title": "Tulips", "photo_url": "https://example.com/p.jpg", "post_id": "1"},
        },
    }));
    let postback = message.content.postback.unwrap();
    assert_eq!(postback.kind, None);
    let referral: Value = serde_json::from_str(&postback.referral.unwrap()).unwrap();
    assert_eq!(referral["ads_context_data"]["ad_title"], "Tulips");
}

fn echo(message: Value) -> Inbound {
    let mut message = message;
    message["is_echo"] = true.into();
    message["mid"] = "m_e".into();
    one(&json!({
        "sender": {"id": "1912214878880084"},
        "recipient": {"id": "5242231102509471"},
        "timestamp": 1_550_050_753_811_i64,
        "message": message,
    }))
}

#[test]
fn an_echo_is_of_who_wrote_it() {
    for (message, author) in [
        (
            json!({"text": "by another app", "app_id": 263_902_037_430_900_i64}),
            "263902037430900",
        ),
        (
            json!({"text": "by another app", "app_id": "263902037430900"}),
            "263902037430900",
        ),
        (json!({"text": "by hand"}), "1912214878880084"),
        (
            json!({"text": "theirs", "app_id": 7, "metadata": "DEVELOPER_DEFINED"}),
            "7",
        ),
    ] {
        let found = echo(message);
        let Inbound::Message(message) = found else {
            panic!("{found:?}");
        };
        assert_eq!(message.contact, "5242231102509471");
        assert_eq!(message.sender.kind, SenderType::SourceUser);
        assert_eq!(message.sender.id, author);
        assert_eq!(message.source_channel_id, "1912214878880084");
    }
}

#[test]
fn an_echo_of_our_own_is_skipped() {
    for message in [
        json!({"text": "hi", "app_id": 1_517_776_481_860_111_i64}),
        json!({"text": "hi", "app_id": APP}),
        json!({"text": "hi", "metadata": "tradewind:01900000-0000-7000-8000-000000000000"}),
    ] {
        assert_eq!(echo(message), Inbound::Skipped("own_echo"));
    }
}

#[test]
fn without_an_app_in_the_settings_an_echo_is_another_ones() {
    let echoes = Echoes::default();
    let network = Network {
        source: facebook(),
        app_id: None,
        echoes: &echoes,
    };
    let entry = json!({"id": "1", "messaging": [{
        "sender": {"id": "1"}, "recipient": {"id": "2"}, "timestamp": 1,
        "message": {"is_echo": true, "mid": "m", "text": "by hand"},
    }]});
    let found = read(&network, &[entry]);
    assert!(matches!(found[..], [Inbound::Message(_)]), "{found:?}");
}

#[test]
fn receipts_name_messages_or_a_time() {
    let at = Timestamp::from_millisecond(1_458_668_856_253).unwrap();
    let node = |key: &str, told: Value| json!({"sender": {"id": "42"}, "recipient": {"id": "1"}, "timestamp": 1, key: told});
    let until = ReceiptOf::Until {
        contact: "42".to_owned(),
        at,
    };
    let ids = |ids: &[&str]| ReceiptOf::SourceIds(ids.iter().map(|&id| id.to_owned()).collect());
    let watermark = 1_458_668_856_253_i64;
    for (key, told, kind, of) in [
        (
            "delivery",
            json!({"mids": ["m_1", "m_2"], "watermark": watermark}),
            ReceiptKind::Delivered,
            vec![ids(&["m_1", "m_2"]), until.clone()],
        ),
        (
            "delivery",
            json!({"watermark": watermark, "seq": 37}),
            ReceiptKind::Delivered,
            vec![until.clone()],
        ),
        (
            "delivery",
            json!({"mids": [], "watermark": watermark}),
            ReceiptKind::Delivered,
            vec![until.clone()],
        ),
        (
            "read",
            json!({"watermark": watermark, "seq": 38}),
            ReceiptKind::Read,
            vec![until],
        ),
        (
            "read",
            json!({"mid": "aWdf"}),
            ReceiptKind::Read,
            vec![ids(&["aWdf"])],
        ),
    ] {
        let entry = json!([{"id": "1912214878880084", "messaging": [node(key, told)]}]);
        let receipt = |of| {
            Inbound::Receipt(InboundReceipt {
                source: facebook(),
                source_channel_id: "1912214878880084".to_owned(),
                of,
                kind: kind.clone(),
            })
        };
        let expected: Vec<_> = of.into_iter().map(receipt).collect();
        assert_eq!(page(&entry), expected);
    }
    let nothing = one(&node("delivery", json!({})));
    assert_eq!(nothing, Inbound::Skipped("receipt_of_nothing"));
}

#[test]
fn what_is_no_message_is_skipped_by_its_name() {
    for (key, told, name) in [
        (
            "reaction",
            json!({"mid": "m_1", "action": "react", "emoji": "😀", "reaction": "smile"}),
            "reaction",
        ),
        (
            "message_edit",
            json!({"mid": "m_1", "text": "new", "num_edit": 1}),
            "message_edit",
        ),
        (
            "optin",
            json!({"ref": "r", "type": "notification_messages"}),
            "optin",
        ),
        (
            "referral",
            json!({"ref": "r", "source": "SHORTLINK", "type": "OPEN_THREAD"}),
            "referral",
        ),
        (
            "pass_thread_control",
            json!({"new_owner_app_id": "1"}),
            "pass_thread_control",
        ),
        (
            "account_linking",
            json!({"status": "linked"}),
            "account_linking",
        ),
        (
            "message",
            json!({"mid": "m_1", "is_deleted": true}),
            "unsend",
        ),
        ("something_new", json!({}), "not_understood"),
        ("message", json!("not an object"), "not_understood"),
    ] {
        let found = one(
            &json!({"sender": {"id": "1"}, "recipient": {"id": "2"}, "timestamp": 1, key: told}),
        );
        assert_eq!(found, Inbound::Skipped(name));
    }
    let nobody = json!({"sender": {"user_ref": "x"}, "message": {"mid": "m", "text": "t"}});
    assert_eq!(one(&nobody), Inbound::Skipped("no_contact"));
}

#[test]
fn what_cannot_be_shown_says_so() {
    for message in [
        json!({"mid": "m_1"}),
        json!({"mid": "m_1", "text": ""}),
        json!({"mid": "m_1", "is_unsupported": true}),
        json!({"mid": "m_1", "attachments": [{"type": "ephemeral"}]}),
        json!({"mid": "m_1", "attachments": [{"type": "fallback", "payload": null}]}),
        json!({"mid": "m_1", "attachments": [{"type": "image", "payload": {}}]}),
    ] {
        assert_eq!(
            content(&message),
            Content::text(UNSUPPORTED_TEXT),
            "{message}"
        );
    }
}

#[test]
fn instagram_has_stories_reels_and_posts() {
    let url = "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=179&signature=Ab";
    for (message, name) in [
        (
            json!({"mid": "a", "attachments": [{"type": "story_mention", "payload": {"url": url}}]}),
            None,
        ),
        (
            json!({"mid": "a", "attachments": [{"type": "share", "payload": {"url": url}}]}),
            None,
        ),
        (
            json!({"mid": "a", "attachments": [{"type": "ig_reel", "payload": {
            "reel_video_id": "18000000000000000", "title": "A reel", "url": url}}]}),
            Some("A reel"),
        ),
        (
            json!({"mid": "a", "attachments": [{"type": "ig_post", "payload": {
            "ig_post_media_id": "18000000000000001", "title": "A post", "url": url}}]}),
            Some("A post"),
        ),
        (
            json!({"mid": "a", "text": "nice", "reply_to": {"story": {"url": url, "id": "17861"}}}),
            None,
        ),
    ] {
        let found = on_instagram(&message);
        let [Inbound::Message(found)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(found.source.name(), "instagram");
        assert_eq!(found.source_channel_id, "17841405822304914");
        assert_eq!(found.contact, "6502955933117104");
        assert_eq!(
            attached(&found.content),
            [(AttachmentKind::Link, url, name)]
        );
        assert_eq!(
            found.content.text,
            message["text"].as_str().unwrap_or_default()
        );
    }
}

#[test]
fn the_dashboards_test_is_read_too() {
    let echoes = Echoes::default();
    let network = Network {
        source: instagram(),
        app_id: None,
        echoes: &echoes,
    };
    let entry = json!({
        "id": "0",
        "time": 1_661_141_837_537_i64,
        "changes": [{"field": "messages", "value": {
            "sender": {"id": "12334"},
            "recipient": {"id": "23245"},
            "timestamp": "1527459824",
            "message": {"mid": "random_mid", "text": "random_text"},
        }}],
    });
    let found = read(&network, &[entry]);
    let [Inbound::Message(message)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(message.content.text, "random_text");
    assert_eq!(
        message.sent_at,
        Some(Timestamp::from_second(1_527_459_824).unwrap())
    );
}
