//! How messages are put into calls.

use proptest::prelude::*;
use serde_json::json;
use tradewind_model::{Attachment, AttachmentKind, Content};

use super::{Part, TEXT_CHARS_MAX, parts, pieces};

fn attachment(kind: AttachmentKind, url: &str) -> Attachment {
    Attachment {
        kind,
        url: url.to_owned(),
        name: None,
        mime_type: None,
    }
}

fn content(text: &str, attachments: Vec<Attachment>) -> Content {
    Content {
        text: text.to_owned(),
        attachments,
        postback: None,
    }
}

fn part(method: &'static str, body: serde_json::Value) -> Part {
    Part { method, body }
}

#[test]
fn each_kind_of_attachment_has_its_own_method() {
    use AttachmentKind::{Audio, File, Image, Link, Location, Sticker, Video};
    let url = "https://example.com/a";
    for (kind, method, field) in [
        (Image, "sendPhoto", "photo"),
        (Video, "sendVideo", "video"),
        (Audio, "sendAudio", "audio"),
        (File, "sendDocument", "document"),
        (Sticker, "sendSticker", "sticker"),
        (Link, "sendMessage", "text"),
    ] {
        let sent = parts(&content("", vec![attachment(kind, url)]));
        assert_eq!(sent, [part(method, json!({field: url}))], "{kind:?}");
    }
    let typed = |kind, mime_type: &str| {
        let mut attachment = attachment(kind, url);
        attachment.mime_type = Some(mime_type.to_owned());
        parts(&content("", vec![attachment])).remove(0).method
    };
    assert_eq!(typed(Image, "image/gif"), "sendAnimation");
    assert_eq!(typed(Image, "image/png"), "sendPhoto");
    assert_eq!(typed(Audio, "audio/ogg; codecs=opus"), "sendVoice");
    let mut place = attachment(Location, "geo:52.52,13.405");
    let sent = parts(&content("", vec![place.clone()]));
    let at = json!({"latitude": 52.52, "longitude": 13.405});
    assert_eq!(sent, [part("sendLocation", at)]);
    place.name = Some("Our shop".to_owned());
    let sent = parts(&content("", vec![place]));
    let at = json!({
        "latitude": 52.52,
        "longitude": 13.405,
        "title": "Our shop",
        "address": "52.52, 13.405",
    });
    assert_eq!(sent, [part("sendVenue", at)]);
    let nowhere = parts(&content("", vec![attachment(Location, "geo:here")]));
    assert_eq!(nowhere, [part("sendMessage", json!({"text": "geo:here"}))]);
}

#[test]
fn a_text_is_the_caption_of_the_first_attachment_that_can_have_one() {
    let photo = attachment(AttachmentKind::Image, "https://example.com/1.png");
    let file = attachment(AttachmentKind::File, "https://example.com/2.pdf");
    let sticker = attachment(AttachmentKind::Sticker, "https://example.com/3.webp");
    let sent = parts(&content("Look", vec![photo.clone(), file.clone()]));
    let expected = [
        part("sendPhoto", json!({"photo": photo.url, "caption": "Look"})),
        part("sendDocument", json!({"document": file.url})),
    ];
    assert_eq!(sent, expected);
    let sent = parts(&content("Look", vec![sticker.clone(), file]));
    assert_eq!(sent[0], part("sendMessage", json!({"text": "Look"})));
    assert_eq!(
        sent[1],
        part("sendSticker", json!({"sticker": sticker.url}))
    );
    assert_eq!(sent.len(), 3);
    let long = "ü".repeat(1_024);
    assert_eq!(parts(&content(&long, vec![photo.clone()])).len(), 1);
    let longer = "ü".repeat(1_025);
    let sent = parts(&content(&longer, vec![photo.clone()]));
    assert_eq!(sent[0], part("sendMessage", json!({"text": longer})));
    assert_eq!(sent[1], part("sendPhoto", json!({"photo": photo.url})));
}

#[test]
fn a_long_text_is_cut_where_a_line_or_a_word_ends() {
    let full = "a".repeat(TEXT_CHARS_MAX);
    assert_eq!(pieces(&full), [full.as_str()]);
    let lines = format!("{}\n{} b", "a".repeat(4_000), "c".repeat(200));
    let (first, second) = lines.split_once('\n').unwrap();
    assert_eq!(pieces(&lines), [first, second]);
    let words = format!("{} {}", "a".repeat(4_000), "c".repeat(200));
    let (first, second) = words.split_once(' ').unwrap();
    assert_eq!(pieces(&words), [first, second]);
    let exact = format!("{} b {}\nend", "a".repeat(2_000), "c".repeat(2_093));
    let (first, second) = exact.split_once('\n').unwrap();
    assert_eq!(pieces(&exact), [first, second]);
    let solid = "😀".repeat(TEXT_CHARS_MAX + 1);
    assert_eq!(pieces(&solid), [&solid[..4 * TEXT_CHARS_MAX], "😀"]);
}

proptest! {
    #[test]
    fn no_piece_is_too_long_or_empty_and_no_word_is_lost(
        words in prop::collection::vec("[a-zü😀]{1,900}[ \n]{1,3}", 0..30),
    ) {
        let text = words.concat();
        let pieces = pieces(&text);
        for piece in &pieces {
            prop_assert!(piece.chars().count() <= TEXT_CHARS_MAX);
            prop_assert!(!piece.trim().is_empty());
        }
        let sent: Vec<_> = pieces.iter().flat_map(|piece| piece.split_whitespace()).collect();
        prop_assert_eq!(sent, text.split_whitespace().collect::<Vec<_>>());
    }
}
