//! Seals what must not lie open in the database: the tokens of channels, and those of sources.
//!
//! AES-256-GCM under one key that is not in the database. What is sealed belongs to one row: in another it does
//! not open.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};

/// What is before a sealed text: which way it is sealed.
const VERSION: &str = "v1:";
const NONCE_BYTES: usize = 12;

/// Cheap to clone.
#[derive(Clone)]
pub struct Vault(Option<Arc<RandomizedNonceKey>>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("there is no key; give all nodes the same secret_key in their settings")]
    NoKey,
    #[error("nothing could be sealed")]
    Seal,
    /// Another key sealed it, or it belongs elsewhere.
    #[error(
        "it was sealed with another key; connect the channel again, or start with the key of that time"
    )]
    Open,
}

impl Vault {
    pub fn new(key: &[u8; 32]) -> Self {
        let Ok(key) = RandomizedNonceKey::new(&AES_256_GCM, key) else {
            unreachable!("the key is as long as the cipher's");
        };
        Self(Some(Arc::new(key)))
    }

    /// One that has no key, so that it neither seals nor opens.
    pub fn closed() -> Self {
        Self(None)
    }

    fn key(&self) -> Result<&RandomizedNonceKey, VaultError> {
        self.0.as_deref().ok_or(VaultError::NoKey)
    }

    /// Seals a secret for `owner`, such as the id of a channel.
    pub fn seal(&self, owner: &str, secret: &SecretString) -> Result<String, VaultError> {
        let mut sealed = secret.expose_secret().as_bytes().to_vec();
        let nonce = self
            .key()?
            .seal_in_place_append_tag(Aad::from(owner), &mut sealed)
            .map_err(|_| VaultError::Seal)?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Ok(format!("{VERSION}{}", STANDARD_NO_PAD.encode(bytes)))
    }

    /// The secret that was sealed for `owner`.
    pub fn open(&self, owner: &str, sealed: &str) -> Result<SecretString, VaultError> {
        let encoded = sealed.strip_prefix(VERSION).ok_or(VaultError::Open)?;
        let bytes = STANDARD_NO_PAD
            .decode(encoded)
            .map_err(|_| VaultError::Open)?;
        let (nonce, rest) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(VaultError::Open)?;
        let mut rest = rest.to_vec();
        let secret = self
            .key()?
            .open_in_place(Nonce::from(nonce), Aad::from(owner), &mut rest)
            .map_err(|_| VaultError::Open)?;
        let text = std::str::from_utf8(secret).map_err(|_| VaultError::Open)?;
        Ok(SecretString::from(text))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret as _, SecretString};

    use super::{Vault, VaultError};

    #[test]
    fn a_secret_opens_for_its_owner_and_its_key_only() {
        let vault = Vault::new(&[1; 32]);
        let sealed = vault.seal("a", &SecretString::from("token")).unwrap();
        assert!(!sealed.contains("token"));
        assert_eq!(vault.open("a", &sealed).unwrap().expose_secret(), "token");
        assert_eq!(vault.open("b", &sealed).unwrap_err(), VaultError::Open);
        let other = Vault::new(&[2; 32]);
        assert_eq!(other.open("a", &sealed).unwrap_err(), VaultError::Open);
        for bad in ["", "v1:", "token", "v1:AAAA", "v2:AAAA", "v1:\u{fc}"] {
            assert_eq!(vault.open("a", bad).unwrap_err(), VaultError::Open, "{bad}");
        }
        let again = vault.seal("a", &SecretString::from("token")).unwrap();
        assert_ne!(again, sealed);
    }
}
