//! API tokens: how they are known, and where the first one comes from.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tradewind_model::{Actor, Clock, Random, Scope, Timestamp, Token, TokenId};
use tradewind_store::{Store, TokenHash};

use crate::settings::Settings;

/// The file in the data directory that keeps the first admin token.
const TOKEN_FILE: &str = "token";

/// Tokens at once, logins not counted.
pub(crate) const TOKENS_MAX: u64 = 1_000;

/// The admin token that the settings name. Only its hash is kept.
#[derive(Debug)]
pub(crate) struct FixedToken {
    hash: TokenHash,
    token: Token,
}

impl FixedToken {
    pub(crate) fn new(text: &SecretString) -> Self {
        let token = Token {
            id: TokenId::derived("token", "TRADEWIND_API_TOKEN"),
            name: "TRADEWIND_API_TOKEN".to_owned(),
            scope: Scope::Admin,
            expires_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            user_id: None,
        };
        Self {
            hash: hash(text.expose_secret()),
            token,
        }
    }

    /// The token, if it is the one with this hash.
    pub(crate) fn find(&self, hash: TokenHash) -> Option<&Token> {
        bool::from(self.hash.0.ct_eq(&hash.0)).then_some(&self.token)
    }
}

/// The SHA-256 by which a token is known.
pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(Sha256::digest(text.as_bytes()).into())
}

/// The text of a new token.
pub(crate) fn fresh_text(random: &dyn Random) -> String {
    format!("tw_{}", URL_SAFE_NO_PAD.encode(random.secret()))
}

/// The admin token in plain, if it is known, and whether it was made now.
///
/// The first start makes one, unless the settings name it. The file is written and synced before the
/// store knows the token, so that a crash between the two leaves a token that the next start takes.
pub(crate) async fn admin(
    settings: &Settings,
    store: &dyn Store,
    clock: &dyn Clock,
    random: &dyn Random,
) -> anyhow::Result<(Option<SecretString>, bool)> {
    if let Some(token) = &settings.api_token {
        let text = token.expose_secret();
        anyhow::ensure!(
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()),
            "api_token: must be one or more visible ASCII characters without spaces"
        );
        return Ok((Some(token.clone()), false));
    }
    let path = settings.data.join(TOKEN_FILE);
    let kept = std::fs::read_to_string(&path)
        .ok()
        .map(|text| text.trim().to_owned());
    if store.has_tokens().await? {
        return Ok((kept.map(SecretString::from), false));
    }
    let text = if let Some(text) = kept.filter(|text| !text.is_empty()) {
        text
    } else {
        let text = fresh_text(random);
        write_private(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        text
    };
    let token = Token {
        id: TokenId::fresh(clock, random),
        name: "first admin token".to_owned(),
        scope: Scope::Admin,
        expires_at: None,
        created_at: clock.now(),
        user_id: None,
    };
    store
        .put_token(token, hash(&text), TOKENS_MAX, Actor::server())
        .await?;
    Ok((Some(text.into()), true))
}

/// Writes a file that only its owner can read, and waits until it is on the disk.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // With a database elsewhere nothing else needs the directory.
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
