//! Calls of Meta's Graph API.

use std::sync::Arc;

use reqwest::{Method, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::{
    error::{Problem, Refusal},
    json::{object, text},
};
use crate::{AskError, Client, SendError, config::MetaConfig};

/// Longest id that goes into the path of a call, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    client: Client,
    config: Arc<MetaConfig>,
}

/// A call. The token goes into a header: addresses are written down by whoever is on the way. Only
/// [`Graph::long_lived`] cannot do so.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Below the address of the API, without a slash before it.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str, query: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            method: Method::GET,
            path,
            query,
            body: None,
        }
    }

    pub(super) fn post(path: &'a str, body: &'a Value) -> Self {
        Self {
            method: Method::POST,
            path,
            query: &[],
            body: Some(body),
        }
    }
}

impl Graph {
    pub(super) fn new(client: Client, config: MetaConfig) -> Self {
        Self {
            client,
            config: Arc::new(config),
        }
    }

    /// The answer, if it is one. A success without JSON is `null`.
    pub(super) async fn call(
        &self,
        token: &SecretString,
        call: Call<'_>,
    ) -> Result<Value, Problem> {
        let url = self.url(call.path, call.query);
        let mut request = self.client.request(call.method, url.as_str());
        request = request.bearer_auth(token.expose_secret());
        if let Some(body) = call.body {
            request = request.json(body);
        }
        self.ask(request, &[token.expose_secret()]).await
    }

    /// Gives the API a message, or a part of one.
    pub(super) async fn send(
        &self,
        token: &SecretString,
        path: &str,
        body: &Value,
    ) -> Result<Value, SendError> {
        let sent = self.call(token, Call::post(path, body)).await;
        sent.map_err(Problem::of_message)
    }

    /// Exchanges a token for one that lives longer. That of a page, and that of another app, cannot be
    /// exchanged; nor can any without the app's secret. Then it is the given one.
    ///
    /// Both stand in the address, as Meta tells of no other way. It is encrypted on its way, and told to nobody
    /// when the call fails.
    pub(super) async fn long_lived(&self, token: &SecretString) -> Result<SecretString, AskError> {
        let config = &*self.config;
        let (Some(app_id), Some(secret)) = (&config.app_id, &config.app_secret) else {
            return Ok(token.clone());
        };
        let query = [
            ("grant_type", "fb_exchange_token"),
            ("client_id", app_id),
            ("client_secret", secret.expose_secret()),
            ("fb_exchange_token", token.expose_secret()),
        ];
        let url = self.url("oauth/access_token", &query);
        let request = self.client.request(Method::GET, url.as_str());
        let secrets = [token.expose_secret(), secret.expose_secret()];
        match self.ask(request, &secrets).await {
            Ok(answer) => {
                let longer = text(&answer, "access_token").map(SecretString::from);
                Ok(longer.unwrap_or_else(|| token.clone()))
            }
            Err(Problem::Refused(refusal)) => match Problem::Refused(refusal).into() {
                unavailable @ AskError::Unavailable(_) => Err(unavailable),
                // If it is no good at all, the next call with it says so.
                _ => Ok(token.clone()),
            },
            Err(unreachable) => Err(unreachable.into()),
        }
    }

    /// Opens a file that the API gave the address of.
    pub(super) async fn open(&self, token: &SecretString, url: &str) -> Result<Response, AskError> {
        let safe =
            url.starts_with("https://") || self.config.api_url.as_str().starts_with("http://");
        if !safe {
            let why = "the file is at an address that is not encrypted";
            return Err(AskError::Refused(why.to_owned()));
        }
        let request = self
            .client
            .moved_file(url)
            .bearer_auth(token.expose_secret());
        let opened = self.client.open(request).await;
        let response = opened.map_err(|failure| AskError::Unavailable(failure.detail))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status if status.is_client_error() => Err(AskError::NotFound),
            status => Err(AskError::Unavailable(format!("answered {status}"))),
        }
    }

    async fn ask(
        &self,
        request: reqwest::RequestBuilder,
        secrets: &[&str],
    ) -> Result<Value, Problem> {
        let answer = self
            .client
            .ask(request)
            .await
            .map_err(Problem::Unreachable)?;
        let body: Value = answer.json().unwrap_or_default();
        if answer.status.is_success() && object(&body, "error").is_none() {
            return Ok(body);
        }
        Err(Problem::Refused(Refusal::read(&answer, &body, secrets)))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let Ok(mut url) = Url::parse(&format!("{}/{path}", self.config.api_url.as_str())) else {
            unreachable!("the address of the API is one, and paths are made of ids");
        };
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// The text, if it can stand in the path of a call.
pub(super) fn id(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let fits = (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        assert_eq!(id("17841400000000000"), Some("17841400000000000"));
        for bad in ["", ".", "..", "1/2", "1?a=b", "%2e", "ü", &"1".repeat(129)] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
