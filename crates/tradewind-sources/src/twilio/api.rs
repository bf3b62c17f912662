//! Calls of Twilio's API.

use http::{StatusCode, header};
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tradewind_model::Message;
use url::form_urlencoded::Serializer;

use super::{PATH, inlet::MESSAGE, is_file};
use crate::{Answer, AskError, Explored, SendError, Sent, Tools, config::TwilioConfig};

/// Numbers of an account that are listed.
const NUMBERS_MAX: usize = 500;
/// Characters of Twilio's words that are kept of why it refused.
const REASON_CHARS_MAX: usize = 300;

/// Errors that are over after a while, whatever their status: too many messages to one number, too many calls,
/// maintenance, and too many messages from one sender of `WhatsApp`.
const PASSING: [u64; 4] = [14107, 20429, 21730, 63018];
/// Those of them that say that too much was sent: by one number, or to one.
const LIMITS: [u64; 3] = [14107, 20429, 63018];
/// What is said to credentials that are wrong.
const UNAUTHORIZED: u64 = 20003;

pub(super) struct Api {
    pub(super) config: TwilioConfig,
    pub(super) tools: Tools,
}

/// The account, as the settings have it.
#[derive(Clone, Copy)]
struct Credentials<'a> {
    account: &'a str,
    token: &'a SecretString,
}

impl Api {
    /// Asks whether Twilio knows the account. Only its clear no is an error.
    pub(super) async fn check_account(&self) -> Result<(), AskError> {
        let credentials = self.credentials().map_err(AskError::NotConfigured)?;
        let url = self.url(credentials, ".json");
        match self.ask(credentials, Method::GET, &url).await {
            Ok(answer) if is_unauthorized(&answer) => Err(AskError::Refused(reason(&answer))),
            _ => Ok(()),
        }
    }

    /// The account's numbers that take text messages.
    pub(super) async fn numbers(&self) -> Result<Vec<Explored>, AskError> {
        let credentials = self.credentials().map_err(AskError::NotConfigured)?;
        let rest = format!("/IncomingPhoneNumbers.json?PageSize={NUMBERS_MAX}");
        let url = self.url(credentials, &rest);
        let answer = self.ask(credentials, Method::GET, &url).await?;
        if !answer.status.is_success() {
            return Err(asked_in_vain(answer.status, reason(&answer)));
        }
        let answer: Value = answer.json().unwrap_or_default();
        let numbers = answer["incoming_phone_numbers"].as_array();
        let numbers = numbers.into_iter().flatten();
        Ok(numbers
            .filter(|number| number["capabilities"]["sms"] != false)
            .filter_map(|number| {
                Some(Explored {
                    source_channel_id: number["phone_number"].as_str()?.to_owned(),
                    name: number["friendly_name"].as_str().map(str::to_owned),
                    image_url: None,
                })
            })
            .collect())
    }

    pub(super) async fn send(&self, number: &str, message: &Message) -> Result<Sent, SendError> {
        let credentials = self.credentials().map_err(|setting| SendError::Final {
            reason: AskError::NotConfigured(setting).to_string(),
        })?;
        let url = self.url(credentials, "/Messages.json");
        let request = self.tools.client.request(Method::POST, &url);
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.fields(number, message));
        let request = credentials.sign(request);
        let answer = self.tools.client.ask(request).await;
        let answer = answer.map_err(SendError::Retry)?;
        if answer.status.is_success() {
            let taken: Value = answer.json().unwrap_or_default();
            return Ok(Sent {
                source_message_id: taken["sid"].as_str().map(str::to_owned),
            });
        }
        Err(refusal(&answer))
    }

    /// The form that asks Twilio to send a message.
    fn fields(&self, number: &str, message: &Message) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("From", number);
        form.append_pair("To", &message.contact_source_id);
        if !message.content.text.is_empty() {
            form.append_pair("Body", &message.content.text);
        }
        let attachments = message.content.attachments.iter();
        for file in attachments.filter(|attachment| is_file(attachment.kind)) {
            form.append_pair("MediaUrl", &file.url);
        }
        if let Some(public_url) = &self.tools.public_url {
            let base = public_url.trim_end_matches('/');
            let callback = format!("{base}{PATH}?{MESSAGE}={}", message.id);
            form.append_pair("StatusCallback", &callback);
        }
        form.finish()
    }

    /// Opens a file of a message. Twilio redirects to where it is, and shows the token to nobody.
    pub(super) async fn media(&self, reference: &str) -> Result<Response, AskError> {
        let credentials = self.credentials().map_err(AskError::NotConfigured)?;
        let url = format!("{}{reference}", self.config.api_url.as_str());
        let request = credentials.sign(self.tools.client.moved_file(&url));
        let response = self.tools.client.open(request).await;
        let response = response.map_err(|failure| AskError::Unavailable(failure.detail))?;
        let status = response.status();
        if status.is_success() {
            Ok(response)
        } else {
            Err(asked_in_vain(status, format!("status {}", status.as_u16())))
        }
    }

    async fn ask(
        &self,
        credentials: Credentials<'_>,
        method: Method,
        url: &str,
    ) -> Result<Answer, AskError> {
        let request = credentials.sign(self.tools.client.request(method, url));
        let answer = self.tools.client.ask(request).await;
        answer.map_err(|failure| AskError::Unavailable(failure.detail))
    }

    /// The account; otherwise, the setting that is missing.
    fn credentials(&self) -> Result<Credentials<'_>, &'static str> {
        let account = self.config.account_sid.as_deref();
        let account = account.filter(|account| !account.is_empty());
        Ok(Credentials {
            account: account.ok_or("twilio.account_sid")?,
            token: self.config.auth_token.as_ref().ok_or("twilio.auth_token")?,
        })
    }

    fn url(&self, credentials: Credentials<'_>, rest: &str) -> String {
        let api = self.config.api_url.as_str();
        format!("{api}/2010-04-01/Accounts/{}{rest}", credentials.account)
    }
}

impl Credentials<'_> {
    fn sign(self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(self.account, Some(self.token.expose_secret()))
    }
}

fn refusal(answer: &Answer) -> SendError {
    let reason = reason(answer);
    if is_unauthorized(answer) {
        return SendError::TokenRefused { reason };
    }
    let code = code(answer);
    if answer.is_passing() || code.is_some_and(|code| PASSING.contains(&code)) {
        let mut failure = answer.failure(reason);
        failure.lane_only |= code.is_some_and(|code| LIMITS.contains(&code));
        SendError::Retry(failure)
    } else {
        SendError::Final { reason }
    }
}

fn asked_in_vain(status: StatusCode, reason: String) -> AskError {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => AskError::NotFound,
        StatusCode::TOO_MANY_REQUESTS => AskError::Unavailable(reason),
        status if status.is_client_error() => AskError::Refused(reason),
        _ => AskError::Unavailable(reason),
    }
}

fn is_unauthorized(answer: &Answer) -> bool {
    answer.status == StatusCode::UNAUTHORIZED || code(answer) == Some(UNAUTHORIZED)
}

fn code(answer: &Answer) -> Option<u64> {
    answer.json::<Value>()?["code"].as_u64()
}

/// Twilio's words of why it refused; its status if it has none.
fn reason(answer: &Answer) -> String {
    let problem: Value = answer.json().unwrap_or_default();
    let words = problem["message"].as_str().unwrap_or_default();
    let words: String = words.chars().take(REASON_CHARS_MAX).collect();
    match (problem["code"].as_u64(), words.as_str()) {
        (Some(code), "") => format!("error {code}"),
        (Some(code), words) => format!("error {code}: {words}"),
        (None, "") => format!("status {}", answer.status.as_u16()),
        (None, words) => words.to_owned(),
    }
}
