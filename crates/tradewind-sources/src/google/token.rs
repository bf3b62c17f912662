//! Google's access tokens: what a service account's key is exchanged for.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{StatusCode, header};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tradewind_model::Timestamp;
use url::form_urlencoded::Serializer;

use super::{not_understood, reason, refusal};
use crate::{AskError, SendError, Tools, config::GoogleConfig};

/// What the tokens are good for.
const SCOPE: &str = "https://www.googleapis.com/auth/businessmessages";
/// How Google calls the exchange (RFC 7523).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long a claim is good for: what Google allows at most.
const CLAIM_LIFE: Duration = Duration::from_hours(1);
/// How long before its end a token is no longer used.
const SPARE: Duration = Duration::from_mins(1);

/// Gets tokens, and keeps one until it ends.
pub(super) struct Tokens {
    config: GoogleConfig,
    tools: Tools,
    kept: Mutex<Option<Granted>>,
}

#[derive(Clone)]
struct Granted {
    token: SecretString,
    until: Timestamp,
}

/// The parts of a service account's key that are needed.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: SecretString,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default = "google_token_uri")]
    token_uri: String,
}

/// What Google answers.
#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    /// In seconds.
    expires_in: u64,
}

impl Tokens {
    pub(super) fn new(config: &GoogleConfig, tools: &Tools) -> Self {
        Self {
            config: config.clone(),
            tools: tools.clone(),
            kept: Mutex::new(None),
        }
    }

    /// A token that is good for a minute at least. Several calls at once may each get one of their own.
    pub(super) async fn get(&self) -> Result<SecretString, SendError> {
        let kept = self.kept().clone();
        if let Some(granted) = kept.filter(|granted| self.tools.clock.now() < granted.until) {
            return Ok(granted.token);
        }
        let granted = self.ask().await?;
        *self.kept() = Some(granted.clone());
        Ok(granted.token)
    }

    /// Google does not take the token any more.
    pub(super) fn forget(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> MutexGuard<'_, Option<Granted>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self) -> Result<Granted, SendError> {
        let now = self.tools.clock.now();
        let key = self.key().map_err(|reason| SendError::Final { reason })?;
        let claim = key.claim(now);
        let claim = claim.ok_or_else(|| SendError::Final {
            reason: not_a_key("its private key cannot be read"),
        })?;
        let url = match &self.config.token_url {
            Some(url) => url.as_str(),
            None => &key.token_uri,
        };
        let form = Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &claim)
            .finish();
        let request = self.tools.client.request(Method::POST, url);
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer = self.tools.client.ask(request).await;
        let answer = answer.map_err(SendError::Retry)?;
        match answer.status {
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(SendError::TokenRefused {
                    reason: reason(&answer),
                });
            }
            status if !status.is_success() => return Err(refusal(&answer)),
            _ => {}
        }
        let grant: Grant = answer.json().ok_or_else(|| not_understood("a token"))?;
        let life = Duration::from_secs(grant.expires_in).saturating_sub(SPARE);
        Ok(Granted {
            token: grant.access_token,
            until: now.saturating_add(life).unwrap_or(Timestamp::MAX),
        })
    }

    /// The service account's key; otherwise why there is none.
    fn key(&self) -> Result<ServiceAccount, String> {
        let Some(text) = &self.config.service_account else {
            return Err(AskError::NotConfigured("google.service_account").to_string());
        };
        // What is wrong with it is not said, because that may quote it.
        serde_json::from_str(text.expose_secret())
            .map_err(|_| not_a_key("it is not the JSON that Google gives"))
    }
}

impl ServiceAccount {
    /// A JSON Web Token by which the account asks for an access token (RFC 7519), signed with its key.
    fn claim(&self, now: Timestamp) -> Option<String> {
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id});
        let issued = now.as_second();
        let life = i64::try_from(CLAIM_LIFE.as_secs()).ok()?;
        let body = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": issued,
            "exp": issued + life,
        });
        let encode = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
        let head = encode(head.to_string().as_bytes());
        let signed = format!("{head}.{}", encode(body.to_string().as_bytes()));
        let key = self.pair()?;
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .ok()?;
        Some(format!("{signed}.{}", encode(&signature)))
    }

    /// The private key, which is PKCS #8 as PEM.
    fn pair(&self) -> Option<RsaKeyPair> {
        let lines = self.private_key.expose_secret().lines();
        let lines = lines.filter(|line| !line.starts_with("-----"));
        let base64: String = lines.map(str::trim).collect();
        RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).ok()?).ok()
    }
}

fn google_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

fn not_a_key(why: &str) -> String {
    format!("the setting google.service_account is not a service account's key: {why}")
}
