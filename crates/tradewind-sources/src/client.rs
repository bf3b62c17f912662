//! The HTTP client for providers' APIs.
//!
//! Their addresses are in the settings, so an operator chose them and no user can; the guard of webhooks is
//! not asked. One deadline covers the whole exchange, one limit the whole answer, and redirects are not
//! followed but where a provider keeps its files.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use reqwest::{Method, RequestBuilder, Response, redirect};
use serde::de::DeserializeOwned;
use tradewind_delivery::attempt::{Failure, FailureClass};

/// Longest time of an exchange with a provider.
const EXCHANGE_MAX: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest answer of a provider's API, in bytes.
const PROVIDER_ANSWER_MAX: usize = 1 << 20;
/// Redirects on the way to a file.
const REDIRECTS_MAX: usize = 3;
/// What a longer `Retry-After` is taken for.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// The one that follows redirects.
    following: reqwest::Client,
}

/// An answer that arrived as a whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// What `Retry-After` asks for, in seconds.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl Client {
    /// # Errors
    /// When the host's roots of trust cannot be loaded.
    pub fn new() -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_MAX)
                .read_timeout(EXCHANGE_MAX)
                .user_agent(concat!("Tradewind/", env!("CARGO_PKG_VERSION")))
                .no_proxy()
                // An address may hold a token.
                .referer(false)
                .redirect(redirect::Policy::none())
        };
        Ok(Self {
            http: builder().build()?,
            following: builder()
                .redirect(redirect::Policy::limited(REDIRECTS_MAX))
                .build()?,
        })
    }

    /// A request to a provider's API, to be finished and given to [`Self::ask`].
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url).timeout(EXCHANGE_MAX)
    }

    /// A request for a file, to be finished and given to [`Self::open`]. It has no deadline for the whole: who
    /// reads the file bounds that.
    pub fn file(&self, url: &str) -> RequestBuilder {
        self.http.get(url)
    }

    /// The same where redirects lead to the file. They are followed; what authorises the request goes to the
    /// first host only.
    pub fn moved_file(&self, url: &str) -> RequestBuilder {
        self.following.get(url)
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > PROVIDER_ANSWER_MAX {
                let detail =
                    format!("the provider's answer is longer than {PROVIDER_ANSWER_MAX} bytes");
                return Err(Failure::new(FailureClass::Response, detail));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }

    /// Sends a request for a file and answers when its head has arrived.
    pub async fn open(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| failure(&error))
    }
}

impl Answer {
    /// The body as a `T`; `None`: it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether its status is one of those that are over after a while.
    pub fn is_passing(&self) -> bool {
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        self.status.is_server_error() || passing.contains(&self.status)
    }

    /// The failure of a message that may be tried again, in the provider's words. Providers count what an
    /// account sends: that one has sent too much says nothing of the others.
    pub fn failure(&self, detail: impl Into<String>) -> Failure {
        Failure {
            status: Some(self.status.as_u16()),
            retry_after: self.retry_after,
            lane_only: self.status == StatusCode::TOO_MANY_REQUESTS,
            ..Failure::new(FailureClass::Status, detail)
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let asked = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(asked.min(WAIT_MAX))
}

/// What went wrong, without the address: it may hold a token.
fn failure(error: &reqwest::Error) -> Failure {
    let (class, what) = if error.is_connect() {
        (FailureClass::Connect, "no connection to the provider")
    } else if error.is_timeout() {
        (
            FailureClass::Timeout,
            "no complete answer of the provider in time",
        )
    } else {
        (FailureClass::Response, "no whole answer of the provider")
    };
    Failure::new(class, what)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode, header};
    use tradewind_stand_in::{Reply, StandIn};

    use super::Client;

    #[tokio::test]
    async fn who_is_redirected_to_learns_neither_token_nor_address() {
        let (from, to) = (
            StandIn::start().await.unwrap(),
            StandIn::start().await.unwrap(),
        );
        let client = Client::new().unwrap();
        let url = format!("{}/file/bot1:secret/a.jpg", from.url());
        let location = HeaderValue::from_str(&format!("{}/a.jpg", to.url())).unwrap();
        let mut moved = Reply::status(StatusCode::FOUND);
        moved.headers.insert(header::LOCATION, location);
        from.refuse("/file", usize::MAX, moved);
        let open = async |request: reqwest::RequestBuilder| {
            client.open(request.bearer_auth("a token")).await.unwrap()
        };
        assert_eq!(open(client.file(&url)).await.status(), StatusCode::FOUND);
        assert!(to.calls().is_empty());
        open(client.moved_file(&url)).await;
        let calls = to.calls();
        assert_eq!((from.calls().len(), calls.len()), (2, 1));
        for name in ["referer", "authorization"] {
            assert_eq!(calls[0].header(name), None, "{name}");
        }
    }
}
