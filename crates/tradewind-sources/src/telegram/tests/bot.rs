//! Connecting a bot, and sending by it, against a stand-in.

use std::time::Duration;

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tradewind_delivery::attempt::FailureClass;
use tradewind_model::{
    Attachment, AttachmentKind, Channel, ChannelId, Content, Conversation, DeliveryState, Message,
    MessageId, Sender, SenderType, Timestamp,
};
use tradewind_stand_in::{Reply, Script, StandIn, telegram};

use super::{BOT, post, tools};
use crate::{
    Account, AskError, Connected, Provider as _, SendError, Wish,
    config::{ApiUrl, TelegramConfig},
    telegram::{bot::Bots, source},
};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

fn bots(api_url: &str, public_url: Option<&str>) -> Bots {
    let api_url = ApiUrl::try_from(api_url.to_owned()).unwrap();
    Bots::new(&TelegramConfig { api_url }, &tools(public_url))
}

async fn started() -> (StandIn, Bots) {
    let stand_in = StandIn::start().await.unwrap();
    let api_url = format!("{}/telegram", stand_in.url());
    let bots = bots(&api_url, Some("https://shop.example"));
    (stand_in, bots)
}

fn wish(token: &str) -> Wish {
    Wish {
        source_channel_id: None,
        name: None,
        image_url: None,
        token: Some(token.into()),
    }
}

/// Asks, and then subscribes, as it is done when the channel is stored between the two.
async fn connect(bots: &Bots, wish: Wish) -> Result<Connected, String> {
    let token = wish.token.clone();
    let connected = bots.connect(wish).await;
    let connected = connected.map_err(|error| error.to_string())?;
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    let subscribed = bots.subscribe(&account(token)).await;
    subscribed.map_err(|error| error.to_string())?;
    Ok(connected)
}

fn account(token: Option<&str>) -> Account {
    Account {
        channel: Channel {
            id: Channel::id_of(&source(), BOT),
            source: source(),
            source_channel_id: BOT.to_owned(),
            name: None,
            image_url: None,
            token: None,
            connected: true,
        },
        token: token.map(SecretString::from),
    }
}

fn message_to(chat: &str, content: Content) -> Message {
    let channel_id: ChannelId = Channel::id_of(&source(), BOT);
    Message {
        id: MessageId::derived("test", &format!("{chat} {content:?}")),
        conversation_id: Conversation::id_of(channel_id, chat),
        channel_id,
        source: source(),
        contact_source_id: chat.to_owned(),
        position: 2,
        sender: Sender {
            id: "token".to_owned(),
            kind: SenderType::AppUser,
        },
        content,
        state: DeliveryState::Pending,
        receipt: None,
        failure_reason: None,
        sent_at: Timestamp::UNIX_EPOCH,
    }
}

fn text(text: &str) -> Message {
    message_to("1111111", Content::text(text))
}

/// The error of a message that is answered so.
async fn refused(code: u16, description: &str, parameters: Value) -> SendError {
    let (stand_in, bots) = started().await;
    stand_in.refuse(
        "sendMessage",
        1,
        telegram::refusal(code, description, &parameters),
    );
    let sent = bots.send(&account(Some(TOKEN)), &text("hi")).await;
    sent.unwrap_err()
}

#[tokio::test]
async fn a_bot_is_connected_by_its_token_alone() {
    let (stand_in, bots) = started().await;
    let connected = connect(&bots, wish(TOKEN)).await.unwrap();
    assert_eq!(connected.source_channel_id, BOT);
    assert_eq!(connected.name.as_deref(), Some("Flower shop"));
    assert!(connected.token.is_some());
    let paths: Vec<_> = stand_in.calls().into_iter().map(|call| call.path).collect();
    let expected = ["getMe", "setWebhook"].map(|method| format!("/telegram/bot{TOKEN}/{method}"));
    assert_eq!(paths, expected);
    let hook = stand_in.calls_to("setWebhook").remove(0).json();
    assert_eq!(hook["url"], "https://shop.example/telegram/110201543");
    assert_eq!(
        hook["allowed_updates"],
        json!(["message", "callback_query"])
    );
    // What Telegram shows from then on is what we take.
    let word = hook["secret_token"].as_str().unwrap();
    let update = telegram::text_message(1, 5, "hi", 1_700_000_000).to_string();
    assert!(post(BOT, Some(word), update.as_bytes()).is_ok());
    // Again, with a name of one's own.
    let named = Wish {
        name: Some("Shop".to_owned()),
        ..wish(TOKEN)
    };
    let again = connect(&bots, named).await.unwrap();
    assert_eq!(again.name.as_deref(), Some("Shop"));
}

#[tokio::test]
async fn the_bot_has_to_be_the_one_that_is_named() {
    let (stand_in, bots) = started().await;
    let named = |id: &str| Wish {
        source_channel_id: Some(id.to_owned()),
        ..wish(TOKEN)
    };
    for good in [BOT, "flowers110201543_bot", "@Flowers110201543_BOT"] {
        let connected = connect(&bots, named(good)).await.unwrap();
        assert_eq!(connected.source_channel_id, BOT, "{good}");
    }
    let before = stand_in.calls_to("setWebhook").len();
    let error = connect(&bots, named("110201544")).await.unwrap_err();
    let why = "source_channel_id: must be 110201543 or @flowers110201543_bot, or left out: the token is of \
               this bot";
    assert_eq!(error, why);
    assert_eq!(stand_in.calls_to("setWebhook").len(), before);
}

#[tokio::test]
async fn who_cannot_connect_is_told_why() {
    let (stand_in, bots) = started().await;
    let tokenless = Wish {
        token: None,
        ..wish(TOKEN)
    };
    assert_eq!(
        connect(&bots, tokenless).await.unwrap_err(),
        "token: is required"
    );
    let error = connect(&bots, wish("no token/../x")).await.unwrap_err();
    assert!(error.starts_with("token: must be that of a bot"), "{error}");
    assert!(!error.contains("no token/../x"), "{error}");
    assert_eq!(stand_in.calls().len(), 0);
    let error = connect(&bots, wish("110201543:revoked")).await.unwrap_err();
    assert_eq!(error, "token: is refused by Telegram: Unauthorized");
    let unauthorized = telegram::refusal(404, "Not Found", &Value::Null);
    stand_in.refuse("getMe", 1, unauthorized);
    let error = connect(&bots, wish(TOKEN)).await.unwrap_err();
    assert_eq!(error, "token: is refused by Telegram: Not Found");

    let api_url = format!("{}/telegram", stand_in.url());
    let error = self::bots(&api_url, None)
        .connect(wish(TOKEN))
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::NotConfigured("public_url")));
    let plain = self::bots(&api_url, Some("http://shop.example"));
    let error = connect(&plain, wish(TOKEN)).await.unwrap_err();
    let why =
        "the provider refused: Bad Request: bad webhook: An HTTPS URL must be provided for webhook";
    assert_eq!(error, why);
    stand_in.refuse("getMe", 1, Reply::status(StatusCode::BAD_GATEWAY));
    let error = bots.connect(wish(TOKEN)).await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
    let nobody = self::bots("http://127.0.0.1:1", Some("https://shop.example"));
    let error = nobody.connect(wish(TOKEN)).await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("AAHdq"), "{error:?}");
}

#[tokio::test]
async fn a_bot_that_is_disconnected_is_told_to_post_nothing_more() {
    let (stand_in, bots) = started().await;
    bots.disconnect(&account(Some(TOKEN))).await.unwrap();
    assert_eq!(stand_in.calls_to("deleteWebhook").len(), 1);
    bots.disconnect(&account(None)).await.unwrap();
    assert_eq!(stand_in.calls().len(), 1);
}

#[tokio::test]
async fn a_text_goes_to_its_chat_and_is_known_by_its_number_there() {
    let (stand_in, bots) = started().await;
    let sent = bots
        .send(&account(Some(TOKEN)), &text("Grüße"))
        .await
        .unwrap();
    assert_eq!(sent.source_message_id.as_deref(), Some("1111111:1"));
    let call = stand_in.calls().remove(0);
    assert_eq!(call.path, format!("/telegram/bot{TOKEN}/sendMessage"));
    assert_eq!(call.json(), json!({"chat_id": 1_111_111, "text": "Grüße"}));
    let group = message_to("-1001234567890", Content::text("hi"));
    bots.send(&account(Some(TOKEN)), &group).await.unwrap();
    let call = stand_in.calls().remove(1).json();
    assert_eq!(call["chat_id"], -1_001_234_567_890_i64);
}

#[tokio::test]
async fn what_was_taken_of_a_message_is_not_sent_again() {
    let (stand_in, bots) = started().await;
    let file = Attachment {
        kind: AttachmentKind::File,
        url: "https://example.com/plan.pdf".to_owned(),
        name: None,
        mime_type: None,
    };
    let content = Content {
        text: format!("{} {}", "a".repeat(4_000), "b".repeat(200)),
        attachments: vec![file],
        postback: None,
    };
    let message = message_to("1111111", content);
    stand_in.refuse("sendDocument", 1, Reply::status(StatusCode::BAD_GATEWAY));
    let account = account(Some(TOKEN));
    let error = bots.send(&account, &message).await.unwrap_err();
    assert!(matches!(error, SendError::Retry(_)), "{error:?}");
    let sent = bots.send(&account, &message).await.unwrap();
    assert_eq!(sent.source_message_id.as_deref(), Some("1111111:4"));
    assert_eq!(stand_in.calls_to("sendMessage").len(), 2);
    assert_eq!(stand_in.calls_to("sendDocument").len(), 2);
}

#[tokio::test]
async fn a_group_that_has_become_a_large_one_gets_its_message() {
    let (stand_in, bots) = started().await;
    let moved = "Bad Request: group chat was upgraded to a supergroup chat";
    let parameters = json!({"migrate_to_chat_id": -1_001_328_066_276_i64});
    stand_in.refuse("sendMessage", 1, telegram::refusal(400, moved, &parameters));
    let group = message_to("-328066276", Content::text("hi"));
    let sent = bots.send(&account(Some(TOKEN)), &group).await.unwrap();
    assert_eq!(sent.source_message_id.as_deref(), Some("-1001328066276:2"));
    let chats: Vec<_> = stand_in
        .calls()
        .iter()
        .map(|call| call.json()["chat_id"].clone())
        .collect();
    assert_eq!(chats, [json!(-328_066_276), json!(-1_001_328_066_276_i64)]);
}

#[tokio::test]
async fn too_many_messages_wait_as_long_as_telegram_says() {
    let error = refused(
        429,
        "Too Many Requests: retry after 35",
        json!({"retry_after": 35}),
    )
    .await;
    let SendError::Retry(failure) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.retry_after, Some(Duration::from_secs(35)));
    assert_eq!(failure.status, Some(429));
    assert!(failure.lane_only, "other bots go on");
    assert_eq!(failure.detail, "Too Many Requests: retry after 35");
    let error = refused(429, "Too Many Requests", json!({"retry_after": u64::MAX})).await;
    let SendError::Retry(failure) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.retry_after, Some(Duration::from_hours(1)));
}

#[tokio::test]
async fn what_telegram_will_never_take_has_failed_in_its_words() {
    for (code, description) in [
        (403, "Forbidden: bot was blocked by the user"),
        (403, "Forbidden: user is deactivated"),
        (400, "Bad Request: chat not found"),
        (400, "Bad Request: wrong file identifier/HTTP URL specified"),
        (413, "Request Entity Too Large"),
    ] {
        let error = refused(code, description, Value::Null).await;
        let SendError::Final { reason } = error else {
            panic!("{error:?}");
        };
        assert_eq!(reason, description);
    }
}

#[tokio::test]
async fn a_token_that_is_no_longer_one_is_told_from_a_refusal() {
    let is_refused = |error: &SendError| matches!(error, SendError::TokenRefused { .. });
    for (code, description) in [(401, "Unauthorized"), (404, "Not Found")] {
        let error = refused(code, description, Value::Null).await;
        assert!(is_refused(&error), "{error:?}");
    }
    let (stand_in, bots) = started().await;
    for token in [None, Some("x"), Some("1:../../x")] {
        let error = bots.send(&account(token), &text("hi")).await.unwrap_err();
        assert!(is_refused(&error), "{error:?}");
    }
    assert_eq!(stand_in.calls().len(), 0);
}

#[tokio::test]
async fn trouble_of_telegrams_or_on_the_way_is_tried_again() {
    let error = refused(502, "Bad Gateway", Value::Null).await;
    assert!(matches!(error, SendError::Retry(_)), "{error:?}");
    let (stand_in, bots) = started().await;
    for reply in [
        Reply::status(StatusCode::SERVICE_UNAVAILABLE),
        // Something between us and Telegram.
        Reply::status(StatusCode::FORBIDDEN),
        Reply::status(StatusCode::FOUND),
        Reply::ok(&json!("hello")),
    ] {
        stand_in.refuse("sendMessage", 1, reply);
        let error = bots
            .send(&account(Some(TOKEN)), &text("hi"))
            .await
            .unwrap_err();
        let SendError::Retry(failure) = error else {
            panic!("{error:?}");
        };
        assert_eq!(failure.class, FailureClass::Response);
    }
    drop(stand_in);
    let nobody = self::bots("http://127.0.0.1:1", None);
    let error = nobody
        .send(&account(Some(TOKEN)), &text("hi"))
        .await
        .unwrap_err();
    let SendError::Retry(failure) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.class, FailureClass::Connect);
    assert!(!format!("{error:?}").contains("AAHdq"), "{error:?}");
}

#[tokio::test]
async fn a_token_that_telegram_repeats_is_not_passed_on() {
    let error = refused(
        400,
        &format!("Bad Request: no such bot {TOKEN}"),
        Value::Null,
    )
    .await;
    assert!(!format!("{error:?}").contains("AAHdq"), "{error:?}");
}

#[tokio::test]
async fn a_file_is_fetched_with_the_token_that_nobody_sees() {
    let (stand_in, bots) = started().await;
    let account = account(Some(TOKEN));
    let response = bots.media(&account, "AgAC-x").await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/jpeg");
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.starts_with(b"\xff\xd8\xff"));
    let calls = stand_in.calls();
    assert_eq!(calls[0].json(), json!({"file_id": "AgAC-x"}));
    let path = format!("/telegram/file/bot{TOKEN}/photos/file_7.jpg");
    assert_eq!(calls[1].path, path);
    for lost in ["gone", "huge-film"] {
        let error = bots.media(&account, lost).await.unwrap_err();
        assert!(matches!(error, AskError::NotFound), "{error:?}");
    }
    let elsewhere = json!({"ok": true, "result": {"file_id": "x", "file_path": "../bot1:a/getMe"}});
    stand_in.refuse("getFile", 1, Reply::ok(&elsewhere));
    let error = bots.media(&account, "x").await.unwrap_err();
    assert!(matches!(error, AskError::NotFound), "{error:?}");
    stand_in.script(Script {
        path: "file/bot".to_owned(),
        times: 1,
        delay: Duration::ZERO,
        reply: Some(Reply::status(StatusCode::BAD_GATEWAY)),
    });
    let error = bots.media(&account, "AgAC-x").await.unwrap_err();
    assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
}
