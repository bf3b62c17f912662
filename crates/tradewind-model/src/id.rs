//! Typed identifiers: a [`MessageId`] cannot be passed where a [`ChannelId`] is wanted.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

use crate::{Clock, Random};

/// An identifier of a `K`: a UUID, on the wire in its canonical text form.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
#[must_use]
pub struct Id<K>(Uuid, #[serde(skip)] PhantomData<fn() -> K>);

/// Kinds of identifiers. They have no values; they only tell identifiers apart.
pub mod kind {
    #[derive(Debug)]
    pub enum Channel {}
    #[derive(Debug)]
    pub enum Conversation {}
    #[derive(Debug)]
    pub enum Invitation {}
    #[derive(Debug)]
    pub enum Message {}
    #[derive(Debug)]
    pub enum Replay {}
    #[derive(Debug)]
    pub enum Session {}
    #[derive(Debug)]
    pub enum Tag {}
    #[derive(Debug)]
    pub enum Token {}
    #[derive(Debug)]
    pub enum User {}
    #[derive(Debug)]
    pub enum Webhook {}
}

pub type ChannelId = Id<kind::Channel>;
pub type ConversationId = Id<kind::Conversation>;
pub type InvitationId = Id<kind::Invitation>;
pub type MessageId = Id<kind::Message>;
pub type ReplayId = Id<kind::Replay>;
/// A visitor's session on a chat channel; the visitor's id at the source.
pub type SessionId = Id<kind::Session>;
pub type TagId = Id<kind::Tag>;
pub type TokenId = Id<kind::Token>;
pub type UserId = Id<kind::User>;
pub type WebhookId = Id<kind::Webhook>;

impl<K> Id<K> {
    /// A new identifier (UUID version 7). It sorts after those made at an earlier millisecond.
    pub fn fresh(clock: &dyn Clock, random: &dyn Random) -> Self {
        let millis = u64::try_from(clock.now().as_millisecond()).unwrap_or(0);
        let [bytes @ .., _, _, _, _, _, _] = random.bits().to_be_bytes();
        Self::from_uuid(Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// The identifier that `name` has in `namespace`: the same two texts always give the same one,
    /// so a provider that sends something twice creates it once.
    ///
    /// The rule is Airy Core's, so that ids agree with those of its installations: SHA-1 over the
    /// two texts one after the other, the first sixteen bytes, marked as UUID version 5. It is not
    /// RFC 9562's version 5, whose namespace is sixteen bytes.
    pub fn derived(namespace: &str, name: &str) -> Self {
        let digest = Sha1::new()
            .chain_update(namespace.as_bytes())
            .chain_update(name.as_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::from_uuid(Builder::from_sha1_bytes(bytes).into_uuid())
    }

    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<K> FromStr for Id<K> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self::from_uuid)
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K> Copy for Id<K> {}
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::{ChannelId, ConversationId, MessageId};
    use crate::{ManualClock, SeededRandom, Timestamp};

    #[test]
    fn derived_ids_are_those_of_airy_core() {
        let channel = |source, id| ChannelId::derived(source, id).to_string();
        assert_eq!(
            channel("facebook", "ps-id"),
            "0f99fae5-0558-5a35-b9b8-27eac4e2df33"
        );
        assert_eq!(
            channel("chat_plugin", "website-identifier-42"),
            "625c0084-1043-5727-bfd9-40366ef08a64"
        );
        assert_eq!(
            channel("twilio.sms", "+491234567"),
            "ed06ae7d-a352-5d78-bc47-7431a8ebab03"
        );
        assert_eq!(
            channel("twilio.whatsapp", "whatsapp:+491234567"),
            "7fd34ed2-88ae-5797-950d-9ff8a93e6ea2"
        );
        assert_eq!(
            channel("google", "gbm-id"),
            "bda330b6-7049-5190-93af-d5b16b03dd19"
        );
        assert_eq!(
            ConversationId::derived("0f99fae5-0558-5a35-b9b8-27eac4e2df33", "1912214878880084")
                .to_string(),
            "6c7093c7-bcb0-5e97-acf5-045d7d91bc0b"
        );
        let payload = r#"{"sender":{"id":"u1"},"recipient":{"id":"p1"},"timestamp":1550050753811,"message":{"mid":"4242","seq":1362432,"text":"the answer is 42"}}"#;
        assert_eq!(
            MessageId::derived("0f99fae5-0558-5a35-b9b8-27eac4e2df33", payload).to_string(),
            "f594c64d-a6af-5473-ba65-b0ddc970f860"
        );
    }

    #[test]
    fn fresh_ids_sort_by_time() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let random = SeededRandom::new(7);
        let first = MessageId::fresh(&clock, &random);
        clock.advance(std::time::Duration::from_millis(1));
        let second = MessageId::fresh(&clock, &random);
        assert!(first < second);
        assert_eq!(first.uuid().get_version_num(), 7);
    }
}
