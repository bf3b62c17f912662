//! The source as Telegram sees it.

mod any;
mod bot;
mod posts;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tradewind_model::{SystemClock, Timestamp};
use tradewind_stand_in::telegram::SECRET_HEADER;

use super::{hooks::Hooks, inlet::TelegramInlet};
use crate::{Client, Inbound, Inlet as _, MediaKey, Posted, Refused, Tools};

const BOT: &str = "110201543";
const KEY: [u8; 32] = [7; 32];
const PERSON: i64 = 1_111_111;
/// In seconds since 1970.
const AT: i64 = 1_441_645_532;

fn tools(public_url: Option<&str>) -> Tools {
    Tools {
        client: Client::new().unwrap(),
        clock: Arc::new(SystemClock),
        public_url: public_url.map(str::to_owned),
        hook_key: KEY,
    }
}

/// Posts as Telegram does, with this word.
fn post(bot: &str, word: Option<&str>, body: &[u8]) -> Result<Vec<Inbound>, Refused> {
    let mut headers = HeaderMap::new();
    if let Some(word) = word {
        headers.insert(SECRET_HEADER, HeaderValue::from_str(word).unwrap());
    }
    TelegramInlet::new(KEY).receive(&Posted {
        url: &format!("https://example.com/telegram/{bot}"),
        below: bot,
        headers: &headers,
        body,
        now: Timestamp::UNIX_EPOCH,
        media: &MediaKey::new([1; 32]).links("https://example.com"),
    })
}

fn receive(body: &[u8]) -> Inbound {
    let word = Hooks::new(KEY).word(BOT);
    let mut found = post(BOT, Some(&word), body).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn received(update: &Value) -> Inbound {
    receive(update.to_string().as_bytes())
}
