//! Web chat: the source that needs no account.
//!
//! Tradewind is the provider here, so there is nobody to send to: a reply has arrived when it is
//! stored, and the visitor's page shows it when it next looks. What this module has to do is to know a
//! visitor again. It does so by tokens that carry all they say under a signature, because anybody may
//! ask for one and nothing may grow by asking.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tradewind_model::{ChannelId, Message, SessionId, Source, Timestamp};
use uuid::Uuid;

use crate::{Account, AskError, Connected, Provider, SendError, Sent, Wish};

/// How long a visitor's token is good for; the page gets a new one with its resume token.
pub const VISITOR_TOKEN_LIFE: Duration = Duration::from_hours(1);
/// How long a visitor can stay away and come back to the same conversation.
pub const RESUME_TOKEN_LIFE: Duration = Duration::from_hours(30 * 24);

/// The name of the secret that signs the tokens, in the store.
pub const SECRET_NAME: &str = "chat_plugin.tokens";

pub struct ChatPlugin;

#[async_trait]
impl Provider for ChatPlugin {
    fn source(&self) -> Source {
        source()
    }

    fn default_channel_name(&self) -> &'static str {
        "Chat plugin"
    }

    /// There is nobody to show a token to, so none is kept.
    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        Connected::as_wished(Wish {
            token: None,
            ..wish
        })
    }

    async fn send(&self, _: &Account, _: &Message) -> Result<Sent, SendError> {
        Ok(Sent::default())
    }
}

pub fn source() -> Source {
    Source::named("chat_plugin")
}

/// A visitor on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub channel_id: ChannelId,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Writing and listening.
    Visit,
    /// Getting a token for visiting again.
    Resume,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionTokenError {
    #[error("the token is not one of this installation")]
    Wrong,
    #[error("the token has expired")]
    Expired,
}

/// Makes and reads the tokens of visitors. Its key must stay secret.
#[derive(Clone)]
pub struct SessionTokens([u8; 32]);

/// Purpose (1), session (16), channel (16), expiry in seconds since 1970 (8).
const CLAIM_BYTES: usize = 41;
const MAC_BYTES: usize = 32;

impl SessionTokens {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub fn issue(&self, session: Session, purpose: Purpose, now: Timestamp) -> String {
        let life = match purpose {
            Purpose::Visit => VISITOR_TOKEN_LIFE,
            Purpose::Resume => RESUME_TOKEN_LIFE,
        };
        let expires_at = now.checked_add(life).unwrap_or(Timestamp::MAX);
        let mut token = Vec::with_capacity(CLAIM_BYTES + MAC_BYTES);
        token.push(purpose_byte(purpose));
        token.extend(session.id.uuid().as_bytes());
        token.extend(session.channel_id.uuid().as_bytes());
        token.extend(expires_at.as_second().to_be_bytes());
        let mac = self.mac(&token).finalize().into_bytes();
        token.extend(mac);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The session of a token of this purpose.
    pub fn verify(
        &self,
        token: &str,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Session, SessionTokenError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| SessionTokenError::Wrong)?;
        let (claim, mac) = bytes
            .split_at_checked(CLAIM_BYTES)
            .ok_or(SessionTokenError::Wrong)?;
        self.mac(claim)
            .verify_slice(mac)
            .map_err(|_| SessionTokenError::Wrong)?;
        let (session, expires_at) = parse(claim, purpose).ok_or(SessionTokenError::Wrong)?;
        if now.as_second() >= expires_at {
            return Err(SessionTokenError::Expired);
        }
        Ok(session)
    }

    fn mac(&self, claim: &[u8]) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes a key of any length");
        };
        mac.update(claim);
        mac
    }
}

impl std::fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionTokens")
    }
}

fn purpose_byte(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Visit => b'v',
        Purpose::Resume => b'r',
    }
}

fn parse(claim: &[u8], purpose: Purpose) -> Option<(Session, i64)> {
    let (kind, rest) = claim.split_first()?;
    let (session, rest) = rest.split_first_chunk()?;
    let (channel, expiry) = rest.split_first_chunk()?;
    let session = Session {
        id: SessionId::from_uuid(Uuid::from_bytes(*session)),
        channel_id: ChannelId::from_uuid(Uuid::from_bytes(*channel)),
    };
    let expires_at = i64::from_be_bytes(expiry.try_into().ok()?);
    (*kind == purpose_byte(purpose)).then_some((session, expires_at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tradewind_model::{ChannelId, SessionId, Timestamp};
    use uuid::Uuid;

    use super::{Purpose, Session, SessionTokenError, SessionTokens, VISITOR_TOKEN_LIFE};

    fn session() -> Session {
        Session {
            id: SessionId::from_uuid(Uuid::from_u128(1)),
            channel_id: ChannelId::from_uuid(Uuid::from_u128(2)),
        }
    }

    #[test]
    fn a_token_says_whose_it_is_until_it_expires() {
        let tokens = SessionTokens::new([1; 32]);
        let now = Timestamp::UNIX_EPOCH;
        let token = tokens.issue(session(), Purpose::Visit, now);
        assert_eq!(tokens.verify(&token, Purpose::Visit, now), Ok(session()));
        let almost = now + VISITOR_TOKEN_LIFE - Duration::from_secs(1);
        assert_eq!(tokens.verify(&token, Purpose::Visit, almost), Ok(session()));
        let expired = tokens.verify(&token, Purpose::Visit, now + VISITOR_TOKEN_LIFE);
        assert_eq!(expired, Err(SessionTokenError::Expired));
    }

    #[test]
    fn a_token_is_good_for_one_purpose_and_one_installation() {
        let tokens = SessionTokens::new([1; 32]);
        let now = Timestamp::UNIX_EPOCH;
        let token = tokens.issue(session(), Purpose::Resume, now);
        assert_eq!(
            tokens.verify(&token, Purpose::Visit, now),
            Err(SessionTokenError::Wrong)
        );
        let others = SessionTokens::new([2; 32]);
        assert_eq!(
            others.verify(&token, Purpose::Resume, now),
            Err(SessionTokenError::Wrong)
        );
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(byte in 0_usize..73, bit in 0_u8..8) {
            use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
            let tokens = SessionTokens::new([1; 32]);
            let token = tokens.issue(session(), Purpose::Visit, Timestamp::UNIX_EPOCH);
            let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
            bytes[byte] ^= 1 << bit;
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            let verified = tokens.verify(&changed, Purpose::Visit, Timestamp::UNIX_EPOCH);
            prop_assert_eq!(verified, Err(SessionTokenError::Wrong));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".*") {
            let tokens = SessionTokens::new([1; 32]);
            prop_assert!(tokens.verify(&text, Purpose::Visit, Timestamp::UNIX_EPOCH).is_err());
        }
    }
}
