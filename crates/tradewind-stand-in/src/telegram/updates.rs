//! What Telegram posts, as its documents and its posts show it.

use serde_json::{Value, json};

/// The header with the word that was given to `setWebhook`.
pub const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";

/// An update: `kind` is such as `message`, `happened` what is in the key of that name.
pub fn update(number: u64, kind: &str, happened: &Value) -> Value {
    json!({"update_id": number, kind: happened})
}

/// The chat of a person with the bot.
pub fn private_chat(person: i64) -> Value {
    json!({
        "id": person,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": "ada_l",
        "type": "private",
    })
}

/// A text that a person writes to the bot.
pub fn text_message(number: u64, person: i64, text: &str, at_s: i64) -> Value {
    message(number, person, &json!({"text": text}), at_s)
}

/// Anything that a person sends to the bot: `said` is what says it, such as `{"photo": […]}`.
pub fn message(number: u64, person: i64, said: &Value, at_s: i64) -> Value {
    let message = in_chat(number, &private_chat(person), person, said, at_s);
    update(number, "message", &message)
}

/// Anything that a person says in a group of this id, which is below zero.
pub fn group_message(number: u64, (group, person): (i64, i64), said: &Value, at_s: i64) -> Value {
    let chat = json!({
        "id": group,
        "title": "Friends of flowers",
        "type": if group < -1_000_000_000_000 { "supergroup" } else { "group" },
        "all_members_are_administrators": true,
    });
    let message = in_chat(number, &chat, person, said, at_s);
    update(number, "message", &message)
}

/// The message of another update, which the person has changed.
pub fn edited(number: u64, of: &Value, text: &str, at_s: i64) -> Value {
    let mut message = of["message"].clone();
    message["edit_date"] = at_s.into();
    message["text"] = text.into();
    update(number, "edited_message", &message)
}

/// A button below a message of the bot that a person has pressed: what stands on it, and its data.
pub fn button(number: u64, person: i64, (label, data): (&str, &str), at_s: i64) -> Value {
    let keyboard = json!([
        [{"text": "Something else", "callback_data": "else"}],
        [
            {"text": "Look at it", "url": "https://example.com/"},
            {"text": label, "callback_data": data},
        ],
    ]);
    let query = json!({
        "id": format!("47148374715890{number:05}"),
        "from": person_of(person),
        "message": {
            "message_id": number,
            "from": {
                "id": 110_201_543,
                "is_bot": true,
                "first_name": "Flower shop",
                "username": "flowers110201543_bot",
            },
            "chat": private_chat(person),
            "date": at_s,
            "text": "What may it be?",
            "reply_markup": {"inline_keyboard": keyboard},
        },
        "chat_instance": "-3871529182373920734",
        "data": data,
    });
    update(number, "callback_query", &query)
}

fn person_of(id: i64) -> Value {
    json!({
        "id": id,
        "is_bot": false,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": "ada_l",
        "language_code": "en",
    })
}

fn in_chat(number: u64, chat: &Value, person: i64, said: &Value, at_s: i64) -> Value {
    let mut message = json!({
        "message_id": number,
        "from": person_of(person),
        "chat": chat,
        "date": at_s,
    });
    if let (Some(message), Some(said)) = (message.as_object_mut(), said.as_object()) {
        message.extend(said.clone());
    }
    message
}
