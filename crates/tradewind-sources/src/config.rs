//! What the settings say of providers: an operator's accounts there, and where they are reached.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

/// The sections of the settings that are about providers.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub meta: MetaConfig,
    pub twilio: TwilioConfig,
    pub google: GoogleConfig,
    pub telegram: TelegramConfig,
}

/// An app at Meta: Facebook Messenger, Instagram and `WhatsApp`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetaConfig {
    pub app_id: Option<String>,
    /// Signs what Meta posts.
    #[serde(deserialize_with = "secret")]
    pub app_secret: Option<SecretString>,
    /// A word of the operator's choice, by which Meta shows that it was them who gave it our address.
    #[serde(deserialize_with = "secret")]
    pub verify_token: Option<SecretString>,
    /// Where the Graph API is, version included.
    pub api_url: ApiUrl,
}

/// An account at Twilio.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TwilioConfig {
    pub account_sid: Option<String>,
    /// Signs what Twilio posts, and lets us send.
    #[serde(deserialize_with = "secret")]
    pub auth_token: Option<SecretString>,
    pub api_url: ApiUrl,
}

/// A partner of Google Business Messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleConfig {
    /// Signs what Google posts.
    #[serde(deserialize_with = "secret")]
    pub partner_key: Option<SecretString>,
    /// The key of a service account, as the JSON that Google gives.
    #[serde(deserialize_with = "secret")]
    pub service_account: Option<SecretString>,
    pub api_url: ApiUrl,
    /// Where access tokens are got; instead of what the service account's key says.
    pub token_url: Option<ApiUrl>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelegramConfig {
    pub api_url: ApiUrl,
}

/// The address of an API: `http` or `https`, without a query and without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ApiUrl(String);

/// Without the text: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("must be an address such as https://api.example.com, without a name, password or query")]
pub struct ApiUrlError;

impl ApiUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn known(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl TryFrom<String> for ApiUrl {
    type Error = ApiUrlError;

    fn try_from(text: String) -> Result<Self, ApiUrlError> {
        let plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        };
        match Url::parse(&text) {
            Ok(url) if plain(&url) => Ok(Self(text.trim_end_matches('/').to_owned())),
            _ => Err(ApiUrlError),
        }
    }
}

impl Default for MetaConfig {
    fn default() -> Self {
        Self {
            app_id: None,
            app_secret: None,
            verify_token: None,
            api_url: ApiUrl::known("https://graph.facebook.com/v23.0"),
        }
    }
}

impl Default for TwilioConfig {
    fn default() -> Self {
        Self {
            account_sid: None,
            auth_token: None,
            api_url: ApiUrl::known("https://api.twilio.com"),
        }
    }
}

impl Default for GoogleConfig {
    fn default() -> Self {
        Self {
            partner_key: None,
            service_account: None,
            api_url: ApiUrl::known("https://businessmessages.googleapis.com/v1"),
            token_url: None,
        }
    }
}

impl Default for TelegramConfig {
    fn default() -> Self {
        Self {
            api_url: ApiUrl::known("https://api.telegram.org"),
        }
    }
}

/// A secret: a text. What it is instead is not said, because it may be the secret. An empty one, such as of a
/// variable that is set to nothing, is none: with it as the key, anybody could sign.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    String::deserialize(deserializer)
        .map(|text| (!text.is_empty()).then(|| text.into()))
        .map_err(|_| D::Error::custom("must be a text in quotes"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ApiUrl, TwilioConfig};

    #[test]
    fn an_empty_secret_is_none() {
        let read = |token: &str| serde_json::from_value(json!({"auth_token": token}));
        let config: TwilioConfig = read("").unwrap();
        assert!(config.auth_token.is_none());
        let config: TwilioConfig = read("12345").unwrap();
        assert!(config.auth_token.is_some());
    }

    #[test]
    fn an_address_of_an_api_is_plain() {
        let parse = |text: &str| ApiUrl::try_from(text.to_owned());
        assert_eq!(
            parse("http://127.0.0.1:1/v1/").unwrap().as_str(),
            "http://127.0.0.1:1/v1"
        );
        for bad in [
            "",
            "api.example.com",
            "ftp://a",
            "https://a?b",
            "https://u:p@a",
            "https://a#b",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("u:p"), "{error}");
        }
    }
}
