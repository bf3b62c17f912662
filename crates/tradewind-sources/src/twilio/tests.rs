//! Twilio's posts as its documents show them, and its API as the stand-in plays it.

mod api;
mod posts;
mod signed;
mod statuses;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use secrecy::SecretString;
use tradewind_model::{ManualClock, Timestamp};
use tradewind_stand_in::twilio::{encoded, signature};

use super::inlet::TwilioInlet;
use crate::{
    Client, Inbound, Inlet as _, MediaKey, Posted, Refused, Tools,
    config::{ApiUrl, TwilioConfig},
};

const ACCOUNT: &str = "ACffffffffffffffffffffffffffffffff";
const TOKEN: &str = "12345";
const URL: &str = "https://example.com/twilio";

fn config(api_url: &str) -> TwilioConfig {
    TwilioConfig {
        account_sid: Some(ACCOUNT.to_owned()),
        auth_token: Some(SecretString::from(TOKEN)),
        api_url: ApiUrl::try_from(api_url.to_owned()).unwrap(),
    }
}

fn tools() -> Tools {
    Tools {
        client: Client::new().unwrap(),
        clock: Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)),
        public_url: Some("https://example.com".to_owned()),
        hook_key: [0; 32],
    }
}

/// A post, and what is made of it.
struct Post<'a> {
    url: &'a str,
    content_type: Option<&'a str>,
    signature: Option<String>,
    body: Vec<u8>,
}

impl<'a> Post<'a> {
    /// A form as Twilio would sign it.
    fn form(url: &'a str, form: &[(&str, &str)]) -> Self {
        Self {
            url,
            content_type: Some("application/x-www-form-urlencoded; charset=UTF-8"),
            signature: Some(signature(TOKEN, url, form)),
            body: encoded(form).into_bytes(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = self.content_type {
            let value = HeaderValue::from_str(content_type).unwrap();
            headers.insert(header::CONTENT_TYPE, value);
        }
        if let Some(signature) = &self.signature {
            let value = HeaderValue::from_str(signature).unwrap();
            headers.insert("x-twilio-signature", value);
        }
        headers
    }

    fn received_with(&self, config: &TwilioConfig) -> Result<Vec<Inbound>, Refused> {
        TwilioInlet::new(config).receive(&Posted {
            url: self.url,
            below: "",
            headers: &self.headers(),
            body: &self.body,
            now: Timestamp::UNIX_EPOCH,
            media: &MediaKey::new([1; 32]).links("https://example.com"),
        })
    }

    fn received(&self) -> Result<Vec<Inbound>, Refused> {
        self.received_with(&config("https://api.twilio.com"))
    }
}

/// What one signed form says.
fn read(url: &str, form: &[(&str, &str)]) -> Inbound {
    let mut inbound = Post::form(url, form).received().unwrap();
    assert_eq!(inbound.len(), 1);
    inbound.remove(0)
}

/// A text message, as Twilio posts it.
const SMS: &[(&str, &str)] = &[
    ("ToCountry", "US"),
    ("ToState", "CA"),
    ("SmsMessageSid", "SM1f0e8ae6ade43cb3c0ce4525424e404f"),
    ("NumMedia", "0"),
    ("ToCity", ""),
    ("FromZip", "94105"),
    ("SmsSid", "SM1f0e8ae6ade43cb3c0ce4525424e404f"),
    ("FromState", "CA"),
    ("SmsStatus", "received"),
    ("FromCity", "SAN FRANCISCO"),
    ("Body", "Hello & wälcome + more 🙂"),
    ("FromCountry", "US"),
    ("To", "+15558675310"),
    ("MessagingServiceSid", "MG0123456789abcdef0123456789abcdef"),
    ("ToZip", ""),
    ("NumSegments", "1"),
    ("MessageSid", "SM1f0e8ae6ade43cb3c0ce4525424e404f"),
    ("AccountSid", "ACffffffffffffffffffffffffffffffff"),
    ("From", "+15017122661"),
    ("ApiVersion", "2010-04-01"),
];

/// A form with other values for some of its fields, and more fields.
fn with<'a>(form: &[(&'a str, &'a str)], fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = form.to_vec();
    form.retain(|(name, _)| !fields.iter().any(|(field, _)| field == name));
    form.extend(fields);
    form
}
