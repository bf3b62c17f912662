//! Twilio's signature: HMAC-SHA1 over the address it called and the fields it sent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::form::{Form, parameter};
use crate::Posted;

const HEADER: &str = "x-twilio-signature";
/// The parameter of the address that holds the hash of a body that is no form.
const BODY_HASH: &str = "bodySHA256";

/// Whether Twilio made the signature of this post. `form`: its fields, none if the body is no form; such a
/// body is vouched for by its hash in the address, if that is there.
pub(super) fn is_right(token: &SecretString, posted: &Posted<'_>, form: Option<&Form>) -> bool {
    let signature = posted.headers.get(HEADER);
    let Some(Ok(signature)) = signature.map(|value| STANDARD.decode(value.as_bytes())) else {
        return false;
    };
    let fields = form.map(Form::signed_text).unwrap_or_default();
    let [without_port, with_port] = spellings(posted.url);
    // Both are computed in any case.
    let right = matches(token, &without_port, &fields, &signature)
        | matches(token, &with_port, &fields, &signature);
    right && (form.is_some() || has_its_hash(posted))
}

fn matches(token: &SecretString, url: &str, fields: &str, signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.expose_secret().as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    mac.update(url.as_bytes());
    mac.update(fields.as_bytes());
    mac.verify_slice(signature).is_ok()
}

/// The address without and with a port: which of the two Twilio signs is not the same for all its parts.
fn spellings(url: &str) -> [String; 2] {
    let Some((scheme, rest)) = url.split_once("://") else {
        return [url.to_owned(), url.to_owned()];
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let port = authority.rsplit_once(':').filter(|(_, port)| {
        // Of `[::1]` the last part is no port.
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    if let Some((host, _)) = port {
        return [format!("{scheme}://{host}{path}"), url.to_owned()];
    }
    let port = if scheme == "https" { 443 } else { 80 };
    let with_port = format!("{scheme}://{authority}:{port}{path}");
    [url.to_owned(), with_port]
}

/// Whether the body has the hash that the address says; true if it says none.
fn has_its_hash(posted: &Posted<'_>) -> bool {
    let Some(hash) = parameter(posted.url, BODY_HASH) else {
        return true;
    };
    // The address is signed, so the hash is no secret.
    let digest = Sha256::digest(posted.body);
    let pairs = hash.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.eq(digest.iter().copied().map(Some))
}

#[cfg(test)]
mod tests {
    use super::spellings;

    #[test]
    fn an_address_has_a_spelling_with_a_port_and_one_without() {
        for (url, without, with) in [
            (
                "https://a.example/x?y=1",
                "https://a.example/x?y=1",
                "https://a.example:443/x?y=1",
            ),
            (
                "http://a.example",
                "http://a.example",
                "http://a.example:80",
            ),
            (
                "https://a.example:8443/x",
                "https://a.example/x",
                "https://a.example:8443/x",
            ),
            (
                "https://a.example?x=1:2",
                "https://a.example?x=1:2",
                "https://a.example:443?x=1:2",
            ),
            ("http://[::1]/x", "http://[::1]/x", "http://[::1]:80/x"),
            (
                "http://[::1]:8080/x",
                "http://[::1]/x",
                "http://[::1]:8080/x",
            ),
        ] {
            assert_eq!(spellings(url), [without, with], "{url}");
        }
        for odd in [
            "",
            "://",
            "https://",
            "https://:",
            "https://a:/",
            "/twilio",
            "é://é:é",
        ] {
            let _ = spellings(odd);
        }
    }
}
