//! Makes the HTTP request of an attempt.
//!
//! One deadline covers everything from the lookup of the name to the last byte of the answer, and one
//! limit the bytes of the answer. Redirects are not followed and no proxy is used. Connections go only
//! to addresses that the [`Guard`] has judged.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use reqwest::{
    Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tradewind_model::Timestamp;
use url::Url;

use crate::{
    attempt::{Failure, FailureClass},
    guard::{Forbidden, Guard, LookupError},
};

#[derive(Clone, Copy, Debug)]
pub struct TransportLimits {
    /// Longest time of a whole exchange.
    pub deadline: Duration,
    /// Bytes of a response body that are read; the rest is left.
    pub body_bytes_max: usize,
    /// Connections to one host that are kept open between requests.
    pub idle_connections_max: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15),
            body_bytes_max: 64 << 10,
            idle_connections_max: 64,
        }
    }
}

/// Posts to URLs that users chose. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
    guard: Guard,
    limits: TransportLimits,
}

/// A response whose head and body arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// What the `Retry-After` header asks for, counted from now.
    pub retry_after: Option<Duration>,
}

impl Transport {
    /// # Errors
    /// If the system's root certificates cannot be loaded.
    pub fn new(guard: Guard, limits: TransportLimits) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(limits.idle_connections_max)
            .dns_resolver(Arc::new(GuardedResolver(guard.clone())))
            .build()?;
        Ok(Self {
            client,
            guard,
            limits,
        })
    }

    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Posts `body` and reads the answer. `now` dates a `Retry-After` that is a date.
    pub async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        self.guard
            .judge_host(&url)
            .map_err(|forbidden| blocked(&forbidden))?;
        let exchange = self.exchange(url, headers, body, now);
        let Ok(result) = tokio::time::timeout(self.limits.deadline, exchange).await else {
            return Err(self.late());
        };
        result
    }

    async fn exchange(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let request = self.client.post(url).headers(headers).body(body);
        let response = request
            .send()
            .await
            .map_err(|error| self.classify(&error))?;
        let status = response.status();
        let retry_after = retry_after(response.headers(), now);
        self.read_to_end(response).await?;
        Ok(Reply {
            status,
            retry_after,
        })
    }

    /// Reads the body up to the limit. Beyond it the connection is dropped, not drained.
    async fn read_to_end(&self, mut response: Response) -> Result<(), Failure> {
        let mut read = 0;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.classify(&error))?
        {
            read += chunk.len();
            if read >= self.limits.body_bytes_max {
                break;
            }
        }
        Ok(())
    }

    fn classify(&self, error: &reqwest::Error) -> Failure {
        let mut cause = error.source();
        while let Some(source) = cause {
            if let Some(lookup) = source.downcast_ref::<LookupError>() {
                return match lookup {
                    LookupError::Forbidden(forbidden) => blocked(forbidden),
                    other => Failure::new(FailureClass::Dns, other.to_string()),
                };
            }
            if let Some(tls) = tls_error(source) {
                return Failure::new(FailureClass::Tls, tls.to_string());
            }
            cause = source.source();
        }
        if error.is_timeout() {
            self.late()
        } else if error.is_connect() {
            Failure::new(FailureClass::Connect, "no connection could be made")
        } else {
            Failure::new(
                FailureClass::Response,
                "the connection ended before a whole HTTP response",
            )
        }
    }

    fn late(&self) -> Failure {
        let seconds = self.limits.deadline.as_secs_f32();
        Failure::new(
            FailureClass::Timeout,
            format!("no complete answer within {seconds} s"),
        )
    }
}

fn blocked(forbidden: &Forbidden) -> Failure {
    Failure::new(FailureClass::Blocked, forbidden.to_string())
}

/// The TLS library's error, which travels inside an `io::Error`.
fn tls_error<'a>(source: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(io) = source.downcast_ref::<std::io::Error>() {
        return io.get_ref()?.downcast_ref();
    }
    source.downcast_ref()
}

/// `Retry-After` as whole seconds or as an HTTP date (RFC 9110 §10.2.3); anything else is no wish.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(date.duration_since(now)).ok()
}

struct GuardedResolver(Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = guard.lookup(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, header::RETRY_AFTER};
    use tradewind_model::Timestamp;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let wish = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            super::retry_after(&headers, now)
        };
        assert_eq!(wish("120"), Some(Duration::from_mins(2)));
        assert_eq!(
            wish("Mon, 23 Nov 2026 12:01:00 GMT"),
            Some(Duration::from_mins(1))
        );
        for nonsense in [
            "Mon, 23 Nov 2026 11:00:00 GMT",
            "120.6",
            "-1",
            "99999999999999999999",
            "soon",
            "",
        ] {
            assert_eq!(wish(nonsense), None, "{nonsense}");
        }
    }
}
