//! A Telegram bot, from its token to an answer.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tradewind_model::{ChannelId, ConversationId, MessageId};
use tradewind_stand_in::telegram;

use super::{Desk, PUBLIC_URL};
use crate::support::{
    server::{Answer, Server},
    text,
};

const BOT: &str = "110201543";
const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const OTHER_BOT: &str = "220201543";
const OTHER_TOKEN: &str = "220201543:BBHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const PERSON: i64 = 1_111_111;
const AT: i64 = 1_595_254_688;

/// A connected bot, and the word that Telegram was given for it.
struct Bot {
    desk: Desk,
    channel: Value,
    word: String,
}

impl Bot {
    async fn connect() -> Self {
        let desk = Desk::open().await;
        let wish = json!({"source": "telegram", "token": TOKEN});
        let channel = desk.server.call("channels.connect", wish).await.ok();
        let hook = desk.calls("setWebhook", 1).await.remove(0).json();
        assert_eq!(hook["url"], format!("{PUBLIC_URL}/telegram/{BOT}"));
        let word = text(&hook["secret_token"]);
        Self {
            desk,
            channel,
            word,
        }
    }

    async fn post(&self, update: &Value) -> Answer {
        let headers = [(telegram::SECRET_HEADER, self.word.as_str())];
        let path = format!("telegram/{BOT}");
        self.desk.post(&path, &headers, &update.to_string()).await
    }

    /// The conversation in which a person has written.
    async fn conversation(&self) -> String {
        let hello = telegram::text_message(1, PERSON, "hello", AT);
        assert_eq!(self.post(&hello).await.status, StatusCode::OK);
        self.desk.events(1).await.remove(0).field("conversation_id")
    }
}

async fn get(server: &Server, url: &str) -> reqwest::Response {
    let path = url.strip_prefix(PUBLIC_URL).unwrap();
    reqwest::get(server.url(path.trim_start_matches('/')))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_is_all_that_it_takes() {
    let bot = Bot::connect().await;
    let id = ChannelId::derived("telegram", BOT).to_string();
    assert_eq!(bot.channel["id"], id);
    assert_eq!(bot.channel["source_channel_id"], BOT);
    assert_eq!(text(&bot.channel["name"]), "Flower shop");
    assert!(
        !bot.channel.to_string().contains("AAHdq"),
        "{}",
        bot.channel
    );

    let hello = telegram::text_message(7, PERSON, "hello", AT);
    let answer = bot.post(&hello).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    // Telegram repeats what it believes to have got no answer to.
    assert_eq!(bot.post(&hello).await.status, StatusCode::OK);
    let event = bot.desk.events(1).await.remove(0);
    let conversation = ConversationId::derived(&id, "1111111");
    let message = MessageId::derived(&id, "1111111:7");
    let body = String::from_utf8(event.body.to_vec()).unwrap();
    let expected = format!(
        r#"{{"conversation_id":"{conversation}","id":"{message}","sender":{{"id":"1111111","type":"source_contact"}},"source":"TELEGRAM","sent_at":"2020-07-20T14:18:08.000Z","text":"hello"}}"#
    );
    assert_eq!(body, expected);
    let stats = bot.desk.stats().await;
    assert_eq!(stats["sources"]["telegram"]["repeated"], 1);
}

#[tokio::test]
async fn an_answer_reaches_the_chat() {
    let bot = Bot::connect().await;
    let conversation = bot.conversation().await;
    let answer = bot.desk.answer(&conversation, "welcome").await;
    let call = bot.desk.calls("sendMessage", 1).await.remove(0);
    assert_eq!(call.json(), json!({"chat_id": PERSON, "text": "welcome"}));
    let is_delivered = |message: &Value| message["delivery_state"] == "delivered";
    bot.desk
        .message_that(&conversation, &answer["id"], is_delivered)
        .await;

    let wait = json!({"retry_after": 1});
    let busy = telegram::refusal(429, "Too Many Requests: retry after 1", &wait);
    bot.desk.stand_in.refuse("sendMessage", 1, busy);
    let answer = bot.desk.answer(&conversation, "still there?").await;
    bot.desk
        .message_that(&conversation, &answer["id"], is_delivered)
        .await;
    assert_eq!(bot.desk.calls("sendMessage", 3).await.len(), 3);

    let blocked = "Forbidden: bot was blocked by the user";
    let refusal = telegram::refusal(403, blocked, &Value::Null);
    bot.desk.stand_in.refuse("sendMessage", 1, refusal);
    let answer = bot.desk.answer(&conversation, "hello?").await;
    let is_failed = |message: &Value| message["delivery_state"] == "failed";
    bot.desk
        .message_that(&conversation, &answer["id"], is_failed)
        .await;
}

#[tokio::test]
async fn a_bot_that_has_sent_too_much_holds_up_no_other() {
    const CHATS: usize = 12;
    let bot = Bot::connect().await;
    let desk = &bot.desk;
    let wish = json!({"source": "telegram", "token": OTHER_TOKEN});
    let other = desk.server.call("channels.connect", wish).await.ok();
    let hook = desk.calls("setWebhook", 2).await.remove(1).json();
    let hello = telegram::text_message(1, PERSON, "hello", AT).to_string();
    let headers = [(
        telegram::SECRET_HEADER,
        hook["secret_token"].as_str().unwrap(),
    )];
    let path = format!("telegram/{OTHER_BOT}");
    let posted = desk.post(&path, &headers, &hello).await;
    assert_eq!(posted.status, StatusCode::OK);

    let wait = json!({"retry_after": 3_600});
    let busy = telegram::refusal(429, "Too Many Requests: retry after 3600", &wait);
    desk.stand_in.refuse(&format!("bot{TOKEN}/"), 1_000, busy);
    let conversation = |channel: &Value, person: i64| {
        ConversationId::derived(&text(&channel["id"]), &person.to_string()).to_string()
    };
    let mut answers = Vec::new();
    for (number, person) in (1..).zip(PERSON..).take(CHATS) {
        let hello = telegram::text_message(number, person, "hello", AT);
        assert_eq!(bot.post(&hello).await.status, StatusCode::OK);
        let conversation = conversation(&bot.channel, person);
        let answer = desk.answer(&conversation, "welcome").await;
        answers.push((conversation, answer));
    }
    let limited = format!("bot{TOKEN}/sendMessage");
    desk.calls(&limited, CHATS).await;

    let conversation = conversation(&other, PERSON);
    for words in ["welcome", "to the", "flower shop"] {
        let answer = desk.answer(&conversation, words).await;
        let is_delivered = |message: &Value| message["delivery_state"] == "delivered";
        desk.message_that(&conversation, &answer["id"], is_delivered)
            .await;
    }
    for (conversation, answer) in answers {
        let is_pending = |message: &Value| message["delivery_state"] == "pending";
        desk.message_that(&conversation, &answer["id"], is_pending)
            .await;
    }
    assert_eq!(
        desk.stand_in.calls_to(&limited).len(),
        CHATS,
        "it is left alone"
    );
}

#[tokio::test]
async fn who_does_not_know_the_word_is_refused_also_after_a_restart() {
    let mut bot = Bot::connect().await;
    bot.desk.server.kill().await;
    bot.desk.server.start_again().await;
    let conversation = bot.conversation().await;
    let forged = telegram::text_message(2, PERSON, "forged", AT).to_string();
    let path = format!("telegram/{BOT}");
    for headers in [&[][..], &[(telegram::SECRET_HEADER, "secret")]] {
        let answer = bot.desk.post(&path, headers, &forged).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.json()["code"], "signature_invalid");
    }
    // It is the word for this bot, and for no other.
    let headers = [(telegram::SECRET_HEADER, bot.word.as_str())];
    let answer = bot.desk.post("telegram/1", &headers, &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = bot.desk.post("telegram", &headers, &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(bot.desk.messages(&conversation).await.len(), 1);
    assert_eq!(bot.desk.stats().await["refused"]["/telegram"], 4);
}

#[tokio::test]
async fn a_photo_is_a_link_that_shows_it_without_the_token() {
    let bot = Bot::connect().await;
    let photo = json!({
        "photo": [
            {"file_id": "AgAC-s", "file_unique_id": "s", "file_size": 1_201, "width": 90, "height": 67},
            {"file_id": "AgAC-x", "file_unique_id": "x", "file_size": 98_320, "width": 800, "height": 600},
        ],
        "caption": "the roses",
    });
    bot.post(&telegram::message(3, PERSON, &photo, AT)).await;
    let event = bot.desk.events(1).await.remove(0).json();
    assert_eq!(event["text"], "the roses");
    let attachment = &event["attachments"][0];
    assert_eq!(attachment["type"], "image");
    let url = text(&attachment["url"]);
    assert!(!url.contains("AAHdq"), "{url}");
    let file = get(&bot.desk.server, &url).await;
    assert_eq!(file.status(), StatusCode::OK);
    assert_eq!(file.headers()["content-type"], "image/jpeg");
    assert!(file.bytes().await.unwrap().starts_with(b"\xff\xd8"));
    let asked = bot.desk.calls("getFile", 1).await.remove(0);
    assert_eq!(asked.json(), json!({"file_id": "AgAC-x"}));
}

#[tokio::test]
async fn a_button_that_was_pressed_is_a_postback() {
    let bot = Bot::connect().await;
    let pressed = telegram::button(4, PERSON, ("Roses", "order:42"), AT);
    assert_eq!(bot.post(&pressed).await.status, StatusCode::OK);
    assert_eq!(bot.post(&pressed).await.status, StatusCode::OK);
    let event = bot.desk.events(1).await.remove(0).json();
    assert_eq!(event["text"], "Roses");
    let expected = json!({"payload": "order:42", "type": "callback_query"});
    assert_eq!(event["postback"], expected);
    assert_eq!(bot.desk.stats().await["sources"]["telegram"]["repeated"], 1);
}

#[tokio::test]
async fn a_bot_that_is_disconnected_brings_nothing_more() {
    let bot = Bot::connect().await;
    let conversation = bot.conversation().await;
    let original = telegram::text_message(1, PERSON, "hello", AT);
    let edited = telegram::edited(5, &original, "hullo", AT + 3);
    assert_eq!(bot.post(&edited).await.status, StatusCode::OK);
    let gone = json!({"channel_id": bot.channel["id"]});
    bot.desk.server.call("channels.disconnect", gone).await.ok();
    bot.desk.calls("deleteWebhook", 1).await;
    let late = telegram::text_message(6, PERSON, "still there?", AT);
    assert_eq!(bot.post(&late).await.status, StatusCode::OK);
    assert_eq!(bot.desk.messages(&conversation).await.len(), 1);
    let stats = bot.desk.stats().await;
    assert_eq!(stats["skipped"]["edited_message"], 1);
    assert_eq!(stats["unknown_channels"][0]["source_channel_id"], BOT);
}

#[tokio::test]
async fn a_token_that_is_none_connects_nothing() {
    let desk = Desk::open().await;
    for token in ["110201543:revoked", "no token"] {
        let wish = json!({"source": "telegram", "token": token});
        let refused = desk.server.call("channels.connect", wish).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
        assert_eq!(refused.json()["code"], "invalid_request");
        assert!(!refused.text.contains("revoked"), "{}", refused.text);
    }
    let list = desk.server.call("channels.list", json!({})).await.ok();
    assert!(!list.to_string().contains("telegram"), "{list}");
    let answer = desk
        .server
        .request(Method::GET, "telegram/1", &[], String::new());
    assert_eq!(answer.await.unwrap().status, StatusCode::METHOD_NOT_ALLOWED);
}
