//! The key that seals tokens of channels in the database: from the settings, or from the data directory.

use std::{fs, io};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tradewind_model::Random;
use tradewind_sources::Vault;

use crate::{settings::Settings, token::write_private};

/// The file in the data directory that keeps the key.
const KEY_FILE: &str = "secret.key";

/// The vault that the settings lock.
///
/// With a database elsewhere, whose nodes keep nothing, only they can say the key; without one the vault is
/// closed.
pub(crate) fn vault(settings: &Settings, random: &dyn Random) -> anyhow::Result<Vault> {
    let text = match &settings.secret_key {
        Some(key) => key.expose_secret().to_owned(),
        None if settings.database.is_some() => return Ok(Vault::closed()),
        None => kept(settings, random)?,
    };
    Ok(Vault::new(&Sha256::digest(text.as_bytes()).into()))
}

/// The key in the data directory, which the first start makes.
fn kept(settings: &Settings, random: &dyn Random) -> anyhow::Result<String> {
    let path = settings.data.join(KEY_FILE);
    let read = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let read = read.trim();
    if !read.is_empty() {
        return Ok(read.to_owned());
    }
    let fresh = URL_SAFE_NO_PAD.encode(random.secret());
    write_private(&path, &fresh).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fresh)
}
