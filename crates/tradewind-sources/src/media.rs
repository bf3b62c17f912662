//! Links to files that only we can get, because the provider wants to be shown a token for them.
//!
//! A link says which channel and which file, under a signature, so that nothing is stored for it and nobody
//! can make one up. The file is fetched from the provider when the link is followed, with the channel's token,
//! which nobody sees.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tradewind_model::ChannelId;
use uuid::Uuid;

/// The name of the secret that signs the links, in the store.
pub const SECRET_NAME: &str = "media.links";
/// Where links lead, below the public address of the server.
pub const PATH: &str = "/media/";

const MAC_BYTES: usize = 16;
const CHANNEL_BYTES: usize = 16;

/// Signs and reads links. Its key must stay secret.
#[derive(Clone)]
pub struct MediaKey([u8; 32]);

/// Makes links for one post, or for one connected channel.
#[derive(Clone, Debug)]
pub struct MediaLinks {
    key: MediaKey,
    /// Scheme and host, without a slash at the end.
    base: String,
}

impl MediaKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Links that begin with the public address `base`, such as `https://example.com`.
    pub fn links(&self, base: &str) -> MediaLinks {
        MediaLinks {
            key: self.clone(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// Which file a link is to: the part of its path after [`PATH`].
    pub fn read(&self, link: &str) -> Option<(ChannelId, String)> {
        let bytes = URL_SAFE_NO_PAD.decode(link).ok()?;
        let (claim, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        self.mac(claim).verify_truncated_left(mac).ok()?;
        let (channel, reference) = claim.split_first_chunk::<CHANNEL_BYTES>()?;
        let channel = ChannelId::from_uuid(Uuid::from_bytes(*channel));
        Some((channel, String::from_utf8(reference.to_vec()).ok()?))
    }

    fn mac(&self, claim: &[u8]) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes a key of any length");
        };
        mac.update(claim);
        mac
    }
}

impl std::fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaKey")
    }
}

impl MediaLinks {
    /// The link to a file of a channel. `reference` is what [`crate::Provider::media`] is given to find it; who
    /// has the link can read it, so it must hold no secret.
    pub fn url(&self, channel: ChannelId, reference: &str) -> String {
        let mut link = Vec::with_capacity(CHANNEL_BYTES + reference.len() + MAC_BYTES);
        link.extend(channel.uuid().as_bytes());
        link.extend(reference.as_bytes());
        let mac = self.key.mac(&link).finalize().into_bytes();
        link.extend(&mac[..MAC_BYTES]);
        format!("{}{PATH}{}", self.base, URL_SAFE_NO_PAD.encode(link))
    }
}

#[cfg(test)]
mod tests {
    use tradewind_model::ChannelId;

    use super::{MediaKey, PATH};

    #[test]
    fn a_link_says_which_file_and_nobody_can_make_one_up() {
        let key = MediaKey::new([7; 32]);
        let channel = ChannelId::derived("telegram", "42");
        let url = key.links("https://example.com/").url(channel, "file-1");
        let link = url
            .strip_prefix(&format!("https://example.com{PATH}"))
            .unwrap();
        assert_eq!(key.read(link), Some((channel, "file-1".to_owned())));
        assert_eq!(MediaKey::new([8; 32]).read(link), None);
        for at in 0..link.len() {
            let mut other = link.to_owned();
            let changed = if &link[at..=at] == "A" { "B" } else { "A" };
            other.replace_range(at..=at, changed);
            // The last character has bits that stand for nothing.
            assert!(at == link.len() - 1 || key.read(&other).is_none(), "{at}");
        }
        for bad in ["", "A", "not a link", "AAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(key.read(bad), None, "{bad}");
        }
    }
}
