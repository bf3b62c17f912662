//! Calls of Twilio's API.

use http::StatusCode;
use secrecy::SecretString;
use tradewind_model::{
    Attachment, AttachmentKind, Channel, Content, ConversationId, DeliveryState, Message,
    MessageId, Sender, SenderType, Timestamp,
};
use tradewind_stand_in::{
    Reply, StandIn,
    twilio::{FILE, refusal},
};

use super::{ACCOUNT, TOKEN, config, tools};
use crate::{
    Account, AskError, Explored, Provider as _, SendError, Sent, Wish,
    twilio::{Service, Twilio},
};

const NUMBER: &str = "+15551230001";
const MESSAGE: &str = "01a20a53-61bf-71b0-ac27-31e8c343a5f1";

struct World {
    stand_in: StandIn,
    sms: Twilio,
    whatsapp: Twilio,
}

async fn world() -> World {
    let stand_in = StandIn::start().await.unwrap();
    let config = config(&format!("{}/twilio", stand_in.url()));
    World {
        sms: Twilio::new(Service::Sms, &config, &tools()),
        whatsapp: Twilio::new(Service::WhatsApp, &config, &tools()),
        stand_in,
    }
}

fn account(twilio: &Twilio, number: &str) -> Account {
    let source = twilio.source();
    Account {
        channel: Channel {
            id: Channel::id_of(&source, number),
            source,
            source_channel_id: number.to_owned(),
            name: None,
            image_url: None,
            token: None,
            connected: true,
        },
        token: None,
    }
}

fn message(account: &Account, contact: &str, content: Content) -> Message {
    let channel = &account.channel;
    Message {
        id: MESSAGE.parse::<MessageId>().unwrap(),
        conversation_id: ConversationId::derived(&channel.id.to_string(), contact),
        channel_id: channel.id,
        source: channel.source.clone(),
        contact_source_id: contact.to_owned(),
        position: 2,
        sender: Sender {
            id: "agent".to_owned(),
            kind: SenderType::AppUser,
        },
        content,
        state: DeliveryState::Pending,
        receipt: None,
        failure_reason: None,
        sent_at: Timestamp::UNIX_EPOCH,
    }
}

fn files(count: usize) -> Content {
    let file = |number| Attachment {
        kind: AttachmentKind::Image,
        url: format!("https://example.com/{number}.png"),
        name: None,
        mime_type: None,
    };
    Content {
        attachments: (0..count).map(file).collect(),
        ..Content::text("look")
    }
}

async fn send(world: &World, content: Content) -> Result<Sent, SendError> {
    let account = account(&world.sms, NUMBER);
    let message = message(&account, "+15017122661", content);
    world.sms.send(&account, &message).await
}

fn wish(id: &str) -> Wish {
    Wish {
        source_channel_id: Some(id.to_owned()),
        name: Some("Support".to_owned()),
        image_url: None,
        token: Some(SecretString::from("what is not needed")),
    }
}

#[tokio::test]
async fn a_message_is_given_to_twilio_as_a_form() {
    let world = world().await;
    let sent = send(&world, files(2)).await.unwrap();
    assert!(sent.source_message_id.unwrap().starts_with("MM"));

    let calls = world.stand_in.calls();
    let path = format!("/twilio/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].method.as_str(), &calls[0].path), ("POST", &path));
    let form = calls[0].form();
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    let callback = format!("https://example.com/twilio?message={MESSAGE}");
    assert_eq!(
        form,
        [
            ("From", NUMBER),
            ("To", "+15017122661"),
            ("Body", "look"),
            ("MediaUrl", "https://example.com/0.png"),
            ("MediaUrl", "https://example.com/1.png"),
            ("StatusCallback", &callback),
        ]
    );
    // Basic, of `account:token`.
    let credentials = calls[0].header("authorization").unwrap();
    let expected = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{ACCOUNT}:{TOKEN}"),
    );
    assert_eq!(credentials, format!("Basic {expected}"));
}

#[tokio::test]
async fn without_an_address_of_ours_twilio_is_asked_for_no_status() {
    let mut world = world().await;
    let config = config(&format!("{}/twilio", world.stand_in.url()));
    let mut tools = tools();
    tools.public_url = None;
    world.sms = Twilio::new(Service::Sms, &config, &tools);
    send(&world, Content::text("hello")).await.unwrap();
    let call = world.stand_in.calls().remove(0);
    assert_eq!(call.field("StatusCallback"), None);
    assert_eq!(call.field("Body").as_deref(), Some("hello"));
}

#[tokio::test]
async fn what_is_over_after_a_while_is_tried_again() {
    let world = world().await;
    for (status, code, words) in [
        (StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests"),
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            20500,
            "Internal Server Error",
        ),
        (StatusCode::TOO_MANY_REQUESTS, 63038, "Daily limit exceeded"),
        (StatusCode::BAD_REQUEST, 14107, "Message rate exceeded"),
    ] {
        let reply = refusal(status, code, words).with("retry-after", "7");
        world.stand_in.refuse("/Messages.json", 1, reply);
        let refused = send(&world, Content::text("hello")).await.unwrap_err();
        let SendError::Retry(failure) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(failure.status, Some(status.as_u16()));
        assert_eq!(failure.detail, format!("error {code}: {words}"));
        assert_eq!(failure.retry_after.unwrap().as_secs(), 7);
        assert_eq!(failure.lane_only, code != 20500, "{code}");
    }
    let broken = Reply::status(StatusCode::BAD_GATEWAY);
    world.stand_in.refuse("/Messages.json", 1, broken);
    let refused = send(&world, Content::text("hello")).await;
    assert!(matches!(refused, Err(SendError::Retry(_))), "{refused:?}");
}

#[tokio::test]
async fn a_clear_no_is_final_and_says_why() {
    let world = world().await;
    let unsubscribed = "Attempt to send to unsubscribed recipient";
    let reply = refusal(StatusCode::BAD_REQUEST, 21610, unsubscribed);
    world.stand_in.refuse("/Messages.json", 1, reply);
    let refused = send(&world, Content::text("hello")).await.unwrap_err();
    let expected = format!("error 21610: {unsubscribed}");
    assert!(
        matches!(&refused, SendError::Final { reason } if *reason == expected),
        "{refused:?}"
    );
    // What the stand-in says by itself.
    let refused = send(&world, Content::text("")).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Final { reason } if reason.starts_with("error 21602")),
        "{refused:?}"
    );
    let html = Reply {
        body: b"<html>no</html>".to_vec(),
        ..Reply::status(StatusCode::NOT_FOUND)
    };
    world.stand_in.refuse("/Messages.json", 1, html);
    let refused = send(&world, Content::text("hello")).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Final { reason } if reason == "status 404"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_apart() {
    let world = world().await;
    let reply = refusal(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
    world.stand_in.refuse("/Accounts/", 2, reply);
    let refused = send(&world, Content::text("hello")).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::TokenRefused { reason } if reason == "error 20003: Authenticate"),
        "{refused:?}"
    );
    let refused = world.sms.connect(wish(NUMBER)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the provider refused: error 20003: Authenticate"
    );
}

#[tokio::test]
async fn more_files_than_the_service_takes_are_not_sent() {
    let world = world().await;
    assert!(send(&world, files(10)).await.is_ok());
    assert!(matches!(
        send(&world, files(11)).await,
        Err(SendError::Final { .. })
    ));
    let account = account(&world.whatsapp, "whatsapp:+14155238886");
    let message = |count| message(&account, "whatsapp:+15017122661", files(count));
    assert!(world.whatsapp.send(&account, &message(1)).await.is_ok());
    let refused = world.whatsapp.send(&account, &message(2)).await;
    assert!(
        matches!(refused, Err(SendError::Final { .. })),
        "{refused:?}"
    );
    assert_eq!(world.stand_in.calls().len(), 2);
}

#[tokio::test]
async fn a_number_is_connected_when_twilio_knows_the_account() {
    let world = world().await;
    let connected = world.sms.connect(wish(NUMBER)).await.unwrap();
    assert_eq!(connected.source_channel_id, NUMBER);
    assert_eq!(connected.name.as_deref(), Some("Support"));
    assert!(connected.token.is_none());
    let path = format!("/twilio/2010-04-01/Accounts/{ACCOUNT}.json");
    assert_eq!(world.stand_in.calls()[0].path, path);
    assert!(world.sms.connect(wish("24273")).await.is_ok());
    let whatsapp = world.whatsapp.connect(wish("whatsapp:+14155238886")).await;
    assert_eq!(whatsapp.unwrap().source_channel_id, "whatsapp:+14155238886");
    // Nothing at Twilio depends on it.
    let away = Reply::status(StatusCode::SERVICE_UNAVAILABLE);
    world.stand_in.refuse("/Accounts/", 1, away);
    assert!(world.sms.connect(wish(NUMBER)).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_a_number_is_not_connected() {
    let world = world().await;
    for (twilio, wrong, expected) in [
        (&world.sms, "whatsapp:+14155238886", "twilio.whatsapp"),
        (&world.sms, "Support", "+15551234567"),
        (&world.sms, "+1 555 123 0001", "+15551234567"),
        (&world.sms, "+0155512300", "+15551234567"),
        (&world.sms, "15551230001", "+15551234567"),
        (&world.whatsapp, "+14155238886", "whatsapp:+15551234567"),
        (&world.whatsapp, "whatsapp:24273", "whatsapp:+15551234567"),
    ] {
        let refused = twilio.connect(wish(wrong)).await.unwrap_err();
        let AskError::Invalid { field, why } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(field, "source_channel_id");
        assert!(why.contains(expected), "{wrong}: {why}");
    }
    assert!(world.stand_in.calls().is_empty());
}

#[tokio::test]
async fn a_setting_that_is_missing_is_named() {
    let mut config = config("http://127.0.0.1:9");
    config.account_sid = None;
    let sms = Twilio::new(Service::Sms, &config, &tools());
    let refused = sms.connect(wish(NUMBER)).await.unwrap_err();
    assert!(matches!(
        refused,
        AskError::NotConfigured("twilio.account_sid")
    ));
    let account = account(&sms, NUMBER);
    let message = message(&account, "+15017122661", Content::text("hello"));
    let refused = sms.send(&account, &message).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Final { reason } if reason.contains("twilio.account_sid")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_numbers_of_the_account_that_take_texts_can_be_connected() {
    let world = world().await;
    let token = SecretString::from("any");
    assert_eq!(
        world.sms.explore(&token).await.unwrap(),
        [Explored {
            source_channel_id: NUMBER.to_owned(),
            name: Some("Support".to_owned()),
            image_url: None,
        }]
    );
    assert_eq!(world.whatsapp.explore(&token).await.unwrap(), []);
    let away = Reply::status(StatusCode::SERVICE_UNAVAILABLE);
    world.stand_in.refuse("/IncomingPhoneNumbers", 1, away);
    let refused = world.sms.explore(&token).await.unwrap_err();
    assert!(matches!(refused, AskError::Unavailable(_)), "{refused:?}");
}

#[tokio::test]
async fn a_file_is_fetched_with_the_accounts_token() {
    let world = world().await;
    let account = account(&world.sms, NUMBER);
    let file = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/ME1");
    let response = world.sms.media(&account, &file).await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(response.bytes().await.unwrap(), FILE);
    assert!(
        world.stand_in.calls_to("/Media/")[0]
            .header("authorization")
            .is_some()
    );
    assert_eq!(world.stand_in.calls_to("/cdn/ME1").len(), 1);

    let missing = world.sms.media(&account, "/2010-04-01/Accounts/AC/x").await;
    assert!(matches!(missing, Err(AskError::NotFound)), "{missing:?}");
}
