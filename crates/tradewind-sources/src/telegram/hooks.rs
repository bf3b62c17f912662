//! The word by which Telegram shows that it was us who gave it our address.
//!
//! Telegram signs nothing; it repeats a word that it was given with the address. That is derived from a key of
//! this installation and the bot's id, so that it is verified without a look into the store.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

const HEADER: &str = "x-telegram-bot-api-secret-token";

/// Makes and verifies such words. Its key must stay secret.
#[derive(Clone)]
pub(super) struct Hooks([u8; 32]);

impl Hooks {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The word for a bot: 43 letters, digits, `_` and `-`, of which Telegram takes up to 256.
    pub(super) fn word(&self, bot: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(bot).finalize().into_bytes())
    }

    /// Whether the post is of who was given the word of this bot. In constant time.
    pub(super) fn is_right(&self, bot: &str, headers: &HeaderMap) -> bool {
        let given = headers.get(HEADER);
        let given = given.and_then(|word| URL_SAFE_NO_PAD.decode(word.as_bytes()).ok());
        given.is_some_and(|mac| self.mac(bot).verify_slice(&mac).is_ok())
    }

    fn mac(&self, bot: &str) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes a key of any length");
        };
        mac.update(b"telegram\0");
        mac.update(bot.as_bytes());
        mac
    }
}
