//! Where requests go.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use url::{Origin, Position, Url};

use crate::attempt::{Failure, FailureClass};

/// A URL, and what every request to it needs of it, worked out once.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: Url,
    origin: Origin,
    /// Target and `Host` of a request; or why there can be none.
    address: Result<(Uri, HeaderValue), Failure>,
}

impl Endpoint {
    pub fn new(url: Url) -> Self {
        Self {
            origin: url.origin(),
            address: address(&url),
            url,
        }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A POST to it.
    pub(super) fn request(
        &self,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let (target, host) = self.address.clone()?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, host);
        Ok(request)
    }
}

fn address(url: &Url) -> Result<(Uri, HeaderValue), Failure> {
    let unfit = |error: &dyn std::error::Error| {
        let detail = format!("the url cannot be requested: {error}");
        Failure::new(FailureClass::Internal, detail)
    };
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let target = target.parse().map_err(|error| unfit(&error))?;
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let host = HeaderValue::from_str(host).map_err(|error| unfit(&error))?;
    Ok((target, host))
}
