//! Messages of contacts.

use tradewind_model::{
    Attachment, AttachmentKind, ChannelId, Content, SenderType, UNSUPPORTED_TEXT,
};

use super::{Post, SMS, URL, read, with};
use crate::{Inbound, InboundMessage, MEDIA_PATH, MediaKey, Profile};

const WHATSAPP: &[(&str, &str)] = &[
    ("SmsMessageSid", "SM0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("NumMedia", "0"),
    ("ProfileName", "Ada King Lovelace"),
    ("MessageType", "text"),
    ("SmsSid", "SM0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("WaId", "15017122661"),
    ("SmsStatus", "received"),
    ("Body", "hi"),
    ("To", "whatsapp:+14155238886"),
    ("NumSegments", "1"),
    ("ReferralNumMedia", "0"),
    ("MessageSid", "SM0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
    ("AccountSid", "ACffffffffffffffffffffffffffffffff"),
    (
        "ChannelMetadata",
        r#"{"type":"whatsapp","data":{"context":{"ProfileName":"Ada King Lovelace","WaId":"15017122661"}}}"#,
    ),
    ("From", "whatsapp:+15017122661"),
    ("ApiVersion", "2010-04-01"),
];

fn message(form: &[(&str, &str)]) -> InboundMessage {
    match read(URL, form) {
        Inbound::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn attachment(kind: AttachmentKind, url: &str, mime_type: &str) -> Attachment {
    Attachment {
        kind,
        url: url.to_owned(),
        name: None,
        mime_type: Some(mime_type.to_owned()),
    }
}

#[test]
fn a_text_message_is_read() {
    let sms = message(SMS);
    assert_eq!(sms.source.name(), "twilio.sms");
    assert_eq!(sms.source_channel_id, "+15558675310");
    assert_eq!(sms.contact, "+15017122661");
    assert_eq!(sms.sender.id, "+15017122661");
    assert_eq!(sms.sender.kind, SenderType::SourceContact);
    assert_eq!(sms.content.text, "Hello & wälcome + more 🙂");
    assert_eq!(sms.content.attachments, []);
    assert_eq!(sms.content.postback, None);
    assert_eq!(sms.sent_at, None);
    assert_eq!(sms.profile, None);
    assert_eq!(
        sms.key.as_deref(),
        Some("SM1f0e8ae6ade43cb3c0ce4525424e404f")
    );
    let body = Post::form(URL, SMS).body;
    assert_eq!(sms.id_name.as_bytes(), body);

    let bare = message(&[("From", "+1555"), ("To", "12345"), ("Body", "")]);
    assert_eq!(bare.source_channel_id, "12345");
    assert_eq!(bare.content, Content::text(UNSUPPORTED_TEXT));
    assert_eq!(bare.key, None);
}

#[test]
fn a_message_of_whatsapp_says_who_wrote_it() {
    let whatsapp = message(WHATSAPP);
    assert_eq!(whatsapp.source.name(), "twilio.whatsapp");
    assert_eq!(whatsapp.source_channel_id, "whatsapp:+14155238886");
    assert_eq!(whatsapp.contact, "whatsapp:+15017122661");
    assert_eq!(whatsapp.content.text, "hi");
    assert_eq!(whatsapp.content.postback, None);
    assert_eq!(
        whatsapp.profile,
        Some(Profile {
            first_name: Some("Ada".to_owned()),
            last_name: Some("King Lovelace".to_owned()),
            avatar_url: None,
        })
    );
}

#[test]
fn files_are_links_to_us_only_where_twilio_has_them() {
    let path = "/2010-04-01/Accounts/ACff/Messages/MMff/Media/ME";
    let at_twilio = format!("https://api.twilio.com{path}0");
    let elsewhere = "https://api.twilio.com.example/2010-04-01/x";
    let form = with(
        SMS,
        &[
            ("NumMedia", "3"),
            ("MediaUrl0", &at_twilio),
            ("MediaContentType0", "image/jpeg"),
            ("MediaUrl1", elsewhere),
            ("MediaContentType1", "audio/ogg"),
            ("MediaUrl2", "https://s3.example/card"),
            ("MediaContentType2", "text/vcard"),
            ("Body", ""),
        ],
    );
    let sms = message(&form);
    assert_eq!(sms.content.text, "");
    let [image, audio, card] = &sms.content.attachments[..] else {
        panic!("{:?}", sms.content)
    };
    assert_eq!(image.kind, AttachmentKind::Image);
    assert_eq!(image.mime_type.as_deref(), Some("image/jpeg"));
    let link = image.url.strip_prefix("https://example.com").unwrap();
    let link = link.strip_prefix(MEDIA_PATH).unwrap();
    let channel = ChannelId::derived("twilio.sms", "+15558675310");
    assert_eq!(
        MediaKey::new([1; 32]).read(link),
        Some((channel, format!("{path}0")))
    );
    assert_eq!(
        [audio, card],
        [
            &attachment(AttachmentKind::Audio, elsewhere, "audio/ogg"),
            &attachment(
                AttachmentKind::File,
                "https://s3.example/card",
                "text/vcard"
            ),
        ]
    );
}

#[test]
fn a_place_is_an_address_on_earth() {
    let place = [
        ("MessageType", "location"),
        ("Latitude", "37.787890"),
        ("Longitude", "-122.391664"),
        ("Label", "Twilio"),
        ("Address", "375 Beale St"),
        ("Body", ""),
    ];
    let whatsapp = message(&with(WHATSAPP, &place));
    assert_eq!(
        whatsapp.content.attachments,
        [Attachment {
            kind: AttachmentKind::Location,
            url: "geo:37.787890,-122.391664".to_owned(),
            name: Some("Twilio, 375 Beale St".to_owned()),
            mime_type: None,
        }]
    );
    for (latitude, longitude) in [("91", "0"), ("NaN", "0"), ("0", "inf"), ("0", "east")] {
        let odd = [("Latitude", latitude), ("Longitude", longitude)];
        assert_eq!(message(&with(WHATSAPP, &odd)).content.attachments, []);
    }
}

#[test]
fn a_button_and_a_line_of_a_list_are_postbacks() {
    let button = [
        ("MessageType", "button"),
        ("ButtonText", "Yes, please"),
        ("ButtonPayload", "yes-1"),
        ("Body", "Yes, please"),
        ("OriginalRepliedMessageSender", "whatsapp:+14155238886"),
        ("OriginalRepliedMessageSid", "MMaabb"),
    ];
    let list = [
        ("MessageType", "interactive"),
        ("ListId", "day-2"),
        ("ListTitle", "Tuesday"),
        ("Body", ""),
    ];
    let read = |fields: &[_]| {
        let content = message(&with(WHATSAPP, fields)).content;
        let postback = content.postback.unwrap();
        assert_eq!(postback.referral, None);
        (content.text, postback.kind.unwrap(), postback.payload)
    };
    let expected = |text: &str, kind: &str, payload: &str| {
        (text.to_owned(), kind.to_owned(), Some(payload.to_owned()))
    };
    assert_eq!(
        read(&button),
        expected("Yes, please", "quick_reply", "yes-1")
    );
    assert_eq!(read(&list), expected("Tuesday", "list_reply", "day-2"));
}

#[test]
fn an_advertisement_that_was_come_in_by_is_a_referral() {
    let referral = [
        ("ReferralBody", "20 % off"),
        ("ReferralHeadline", "Our shop"),
        ("ReferralSourceId", "120212345678900123"),
        ("ReferralSourceType", "ad"),
        ("ReferralSourceUrl", "https://fb.me/3xAmPlE"),
        ("ReferralCtwaClid", "ARAkLkA8"),
        ("ReferralNumMedia", "0"),
    ];
    let content = message(&with(WHATSAPP, &referral)).content;
    assert_eq!(content.text, "hi");
    let postback = content.postback.unwrap();
    assert_eq!((postback.payload, postback.kind), (None, None));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&postback.referral.unwrap()).unwrap(),
        serde_json::json!({
            "ReferralBody": "20 % off",
            "ReferralHeadline": "Our shop",
            "ReferralSourceId": "120212345678900123",
            "ReferralSourceType": "ad",
            "ReferralSourceUrl": "https://fb.me/3xAmPlE",
            "ReferralCtwaClid": "ARAkLkA8",
        })
    );
}

#[test]
fn a_message_with_nothing_to_show_says_so() {
    let mut form = WHATSAPP.to_vec();
    form.retain(|(name, _)| *name != "Body");
    assert_eq!(message(&form).content.text, UNSUPPORTED_TEXT);
}

#[test]
fn what_is_none_of_ours_is_skipped() {
    let messenger = with(
        SMS,
        &[("From", "messenger:1"), ("To", "messenger:987654321")],
    );
    assert_eq!(
        read(URL, &messenger),
        Inbound::Skipped("another service of twilio")
    );
    let mut nobody = SMS.to_vec();
    nobody.retain(|(name, _)| *name != "From");
    let conversation = [
        ("EventType", "onMessageAdded"),
        ("ConversationSid", "CHff"),
        ("Author", "+15017122661"),
        ("Body", "hello"),
    ];
    let debugger = [
        ("ParentAccountSid", ""),
        ("Payload", r#"{"resource_sid":"SMff","error_code":"11200"}"#),
        ("Level", "ERROR"),
        ("Sid", "NOff"),
    ];
    for form in [&nobody[..], &conversation, &debugger, &[]] {
        assert_eq!(read(URL, form), Inbound::Skipped("no message"));
    }
}
