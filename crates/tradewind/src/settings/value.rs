//! Values of settings, as a person writes them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use axum::http::HeaderValue;
use ipnet::IpNet;
use reqwest::Url;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Where to listen: an IP address and a port. `localhost` is the loopback address of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Listen(pub(crate) SocketAddr);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an address and port such as 127.0.0.1:8080 or [::1]:8080")]
pub(crate) struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let local = text
            .strip_prefix("localhost:")
            .and_then(|port| port.parse().ok());
        let address = match local {
            Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            None => text.parse().ok(),
        };
        address
            .map(Self)
            .ok_or_else(|| ListenError(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

/// A network; an address without a length is the network of that address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Net(pub(crate) IpNet);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a network such as 10.0.0.0/8 or fd00::/8")]
pub(crate) struct NetError(String);

impl FromStr for Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let net = text.parse().or_else(|_| alone());
        net.map(Self).map_err(|_| NetError(text.to_owned()))
    }
}

impl TryFrom<String> for Net {
    type Error = NetError;

    fn try_from(text: String) -> Result<Self, NetError> {
        text.parse()
    }
}

/// An origin of web pages, as browsers name it, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Origin(pub(crate) HeaderValue);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an origin such as https://inbox.example.org, or *")]
pub(crate) struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let is_origin = |url: &Url| url.origin().ascii_serialization() == text;
        let known = text == "*" || text.parse().is_ok_and(|url| is_origin(&url));
        let value = HeaderValue::from_str(text).ok().filter(|_| known);
        value.map(Self).ok_or_else(|| OriginError(text.to_owned()))
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

/// A secret: a text. What it is instead is not said, because it may be the secret.
pub(super) fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Ok(Some(text.into())),
        _ => Err(D::Error::custom("must be a text in quotes")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Listen, Net, Origin};

    #[test]
    fn an_origin_is_as_browsers_name_it() {
        for good in ["*", "https://inbox.example.org", "http://localhost:3000"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "inbox.example.org",
            "https://inbox.example.org/",
            "null",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        let listen = |text: &str| {
            text.parse::<Listen>()
                .map(|Listen(address)| address.to_string())
        };
        assert_eq!(listen("localhost:80").unwrap(), "127.0.0.1:80");
        assert_eq!(listen("[::1]:0").unwrap(), "[::1]:0");
        for bad in [
            "",
            "localhost",
            ":80",
            "127.0.0.1",
            "example.com:80",
            "127.0.0.1:66000",
        ] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_alone_is_a_network() {
        let net = |text: &str| text.parse::<Net>().map(|Net(net)| net.to_string());
        assert_eq!(net("127.0.0.1").unwrap(), "127.0.0.1/32");
        assert_eq!(net("fd00::/8").unwrap(), "fd00::/8");
        assert!(net("10.0.0.0/33").is_err());
    }
}
