//! What Meta posts: signed with the app's secret, several things at a time.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{echoes::Echoes, facebook, instagram, messenger, whatsapp, whatsapp_source};
use crate::{
    Inbound, Inlet, Posted, Refused,
    config::MetaConfig,
    json::{self, items},
};

const SIGNATURE: &str = "x-hub-signature-256";
const SIGNATURE_BYTES: usize = 32;

/// One of the paths where an app's posts come in. Any of its sources may use any of them.
pub(super) struct MetaInlet {
    path: &'static str,
    config: MetaConfig,
    echoes: Arc<Echoes>,
}

impl MetaInlet {
    pub(super) fn new(path: &'static str, config: MetaConfig, echoes: Arc<Echoes>) -> Self {
        Self {
            path,
            config,
            echoes,
        }
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let secret = self.config.app_secret.as_ref();
        let secret = secret.ok_or(Refused::NotConfigured("meta.app_secret"))?;
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        let signature = signature.and_then(|text| from_hex(text.strip_prefix("sha256=")?));
        let signature = signature.ok_or(Refused::Signature)?;
        let mac = mac(secret, body);
        mac.verify_slice(&signature).map_err(|_| Refused::Signature)
    }
}

impl Inlet for MetaInlet {
    fn path(&self) -> &'static str {
        self.path
    }

    fn challenge(&self, query: &str) -> Option<Result<String, Refused>> {
        let Some(token) = &self.config.verify_token else {
            return Some(Err(Refused::NotConfigured("meta.verify_token")));
        };
        let (mut mode, mut given, mut challenge) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "hub.mode" => mode = Some(value),
                "hub.verify_token" => given = Some(value),
                "hub.challenge" => challenge = Some(value),
                _ => (),
            }
        }
        let known = |given: &str| {
            let token = token.expose_secret().as_bytes();
            bool::from(given.as_bytes().ct_eq(token))
        };
        // Whoever knows the word may leave the mode out.
        let subscribes =
            mode.is_none_or(|mode| mode == "subscribe") && given.is_some_and(|given| known(&given));
        Some(match challenge {
            Some(challenge) if subscribes => Ok(challenge.into_owned()),
            _ => Err(Refused::Signature),
        })
    }

    fn receive(&self, posted: &Posted<'_>) -> Result<Vec<Inbound>, Refused> {
        self.verify(posted.headers, posted.body)?;
        let Some(body) = json::posted(posted.body) else {
            return Ok(vec![Inbound::Skipped("unreadable")]);
        };
        let entries = items(&body, "entry");
        // Without a word, it is what the path is for.
        let usual = match self.path {
            "/whatsapp" => "whatsapp_business_account",
            _ => "page",
        };
        let object = body.get("object").map_or(Some(usual), Value::as_str);
        let messaging = |source| {
            let app_id = self.config.app_id.as_deref();
            let echoes = &*self.echoes;
            let network = messenger::Network {
                source,
                app_id,
                echoes,
            };
            messenger::read(&network, entries)
        };
        let found = match object {
            Some("page") => messaging(facebook()),
            Some("instagram") => messaging(instagram()),
            Some("whatsapp_business_account") => {
                whatsapp::read(&whatsapp_source(), posted.media, entries)
            }
            _ => Vec::new(),
        };
        Ok(if found.is_empty() {
            vec![Inbound::Skipped("nothing_known")]
        } else {
            found
        })
    }
}

fn mac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(body);
    mac
}

fn from_hex(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * SIGNATURE_BYTES {
        return None;
    }
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let mut bytes = [0; SIGNATURE_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
