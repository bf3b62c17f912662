//! SMS and `WhatsApp` by Twilio.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tradewind_model::{ConversationId, MessageId};
use tradewind_stand_in::twilio::{FILE, encoded, signature};

use super::{Desk, PUBLIC_URL, TWILIO_ACCOUNT, TWILIO_TOKEN};
use crate::support::{receiver::Delivery, server::Answer, text};

const NUMBER: &str = "+15558675310";
const CONTACT: &str = "+15017122661";

/// What Twilio posts to an address of ours, signed.
async fn post(desk: &Desk, path: &str, form: &[(&str, &str)]) -> Answer {
    let signature = signature(TWILIO_TOKEN, &format!("{PUBLIC_URL}/{path}"), form);
    let headers = [
        ("x-twilio-signature", signature.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    desk.post(path, &headers, &encoded(form)).await
}

fn sms<'a>(sid: &'a str, said: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("ToCountry", "US"),
        ("SmsMessageSid", sid),
        ("NumMedia", "0"),
        ("ToCity", ""),
        ("SmsStatus", "received"),
        ("Body", said),
        ("To", NUMBER),
        ("NumSegments", "1"),
        ("MessageSid", sid),
        ("AccountSid", TWILIO_ACCOUNT),
        ("From", CONTACT),
        ("ApiVersion", "2010-04-01"),
    ]
}

async fn connected() -> (Desk, String) {
    let desk = Desk::open().await;
    let channel = desk.connect("twilio.sms", NUMBER, "not needed").await;
    (desk, channel)
}

/// A conversation in which the contact has written, and its first event.
async fn conversation(desk: &Desk) -> (String, Delivery) {
    let answer = post(desk, "twilio", &sms("SM1", "hello")).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    let event = desk.events(1).await.remove(0);
    (event.field("conversation_id"), event)
}

#[tokio::test]
async fn a_text_message_is_the_event_of_the_specification() {
    let (desk, channel) = connected().await;
    let (conversation, event) = conversation(&desk).await;
    let expected = ConversationId::derived(&channel, CONTACT).to_string();
    assert_eq!(conversation, expected);
    let id = MessageId::derived(&channel, &encoded(&sms("SM1", "hello")));
    let event = event.json();
    let sent_at = &event["sent_at"];
    assert_eq!(
        event,
        json!({
            "conversation_id": conversation,
            "id": id,
            "sender": {"id": CONTACT, "type": "source_contact"},
            "source": "TWILIO_SMS",
            "sent_at": sent_at,
            "text": "hello",
        })
    );
}

#[tokio::test]
async fn a_message_that_comes_twice_is_one() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    for form in [sms("SM1", "hello"), sms("SM1", "in other words")] {
        assert_eq!(post(&desk, "twilio", &form).await.status, 200);
    }
    assert_eq!(desk.messages(&conversation).await.len(), 1);
    assert_eq!(desk.stats().await["sources"]["twilio.sms"]["repeated"], 2);
}

#[tokio::test]
async fn what_twilio_did_not_sign_is_refused_and_not_stored() {
    let (desk, _) = connected().await;
    let body = encoded(&sms("SM1", "hello"));
    let elsewhere = signature(
        TWILIO_TOKEN,
        "https://other.example.com/twilio",
        &sms("SM1", "hello"),
    );
    let other_token = signature(
        "another",
        &format!("{PUBLIC_URL}/twilio"),
        &sms("SM1", "hello"),
    );
    let form = ("content-type", "application/x-www-form-urlencoded");
    for signature in [elsewhere.as_str(), &other_token, ""] {
        let headers = [form, ("x-twilio-signature", signature)];
        let answer = desk.post("twilio", &headers, &body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{signature}");
        assert_eq!(answer.json()["code"], "signature_invalid");
    }
    let answer = desk.post("twilio", &[form], &body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let (conversation, _) = conversation(&desk).await;
    assert_eq!(desk.messages(&conversation).await.len(), 1);
}

#[tokio::test]
async fn a_reply_is_sent_and_what_became_of_it_is_told() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let reply = desk.answer(&conversation, "hi there").await;
    let call = desk.calls("/Messages.json", 1).await.remove(0);
    let field = |name| call.field(name).unwrap();
    assert_eq!(field("From"), NUMBER);
    assert_eq!(field("To"), CONTACT);
    assert_eq!(field("Body"), "hi there");

    // Twilio posts to the address that it was given.
    let callback = field("StatusCallback");
    let path = callback.strip_prefix(&format!("{PUBLIC_URL}/")).unwrap();
    let status = |status| {
        vec![
            ("SmsSid", "SM2"),
            ("SmsStatus", status),
            ("MessageStatus", status),
            ("To", CONTACT),
            ("MessageSid", "SM2"),
            ("AccountSid", TWILIO_ACCOUNT),
            ("From", NUMBER),
            ("ApiVersion", "2010-04-01"),
        ]
    };
    for told in ["sent", "delivered", "queued"] {
        assert_eq!(post(&desk, path, &status(told)).await.status, 200);
    }
    let delivered = |message: &Value| message["receipt"] == "delivered";
    let message = desk.message_that(&conversation, &reply["id"], delivered);
    assert_eq!(message.await["state"], "delivered");
}

#[tokio::test]
async fn a_reply_that_the_carrier_could_not_bring_has_failed() {
    let (desk, _) = connected().await;
    let (conversation, _) = conversation(&desk).await;
    let reply = desk.answer(&conversation, "hi there").await;
    let call = desk.calls("/Messages.json", 1).await.remove(0);
    let callback = call.field("StatusCallback").unwrap();
    let path = callback.strip_prefix(&format!("{PUBLIC_URL}/")).unwrap();
    let form = [
        ("MessageSid", "SM2"),
        ("MessageStatus", "undelivered"),
        ("ErrorCode", "30003"),
        ("To", CONTACT),
        ("From", NUMBER),
    ];
    assert_eq!(post(&desk, path, &form).await.status, 200);
    let failed = |message: &Value| message["state"] == "failed";
    let message = desk.message_that(&conversation, &reply["id"], failed);
    assert_eq!(message.await["failure_reason"], "undelivered: error 30003");
}

#[tokio::test]
async fn a_message_of_whatsapp_has_a_name_and_a_file() {
    let desk = Desk::open().await;
    let number = "whatsapp:+14155238886";
    desk.connect("twilio.whatsapp", number, "not needed").await;
    let media = format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages/MM1/Media/ME1");
    let url = format!("https://api.twilio.com{media}");
    let form = [
        ("SmsMessageSid", "MM1"),
        ("NumMedia", "1"),
        ("ProfileName", "Ada Lovelace"),
        ("MessageType", "image"),
        ("WaId", "15017122661"),
        ("SmsStatus", "received"),
        ("Body", ""),
        ("To", number),
        ("MessageSid", "MM1"),
        ("AccountSid", TWILIO_ACCOUNT),
        ("From", "whatsapp:+15017122661"),
        ("MediaUrl0", &url),
        ("MediaContentType0", "image/png"),
    ];
    assert_eq!(post(&desk, "twilio", &form).await.status, 200);
    let event = desk.events(1).await.remove(0).json();
    assert_eq!(event["source"], "TWILIO_WHATSAPP");
    assert_eq!(event["text"], "");
    let link = text(&event["attachments"][0]["url"]);
    let path = link.strip_prefix(&format!("{PUBLIC_URL}/")).unwrap();
    let file = desk.server.get(path).await;
    assert_eq!(file.status, StatusCode::OK, "{}", file.text);
    assert_eq!(file.text, String::from_utf8_lossy(FILE));
    assert_eq!(desk.stand_in.calls_to(&media).len(), 1);

    let id = event["conversation_id"].clone();
    let started = std::time::Instant::now();
    loop {
        let info = json!({"conversation_id": id});
        let info = desk.server.call("conversations.info", info).await.ok();
        if info["contact"]["first_name"] == "Ada" {
            break;
        }
        assert!(started.elapsed() < crate::support::SOON, "{info}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
