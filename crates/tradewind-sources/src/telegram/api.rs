//! Calls of the Bot API, and what it says when it says no.

use std::time::Duration;

use reqwest::{Method, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tradewind_delivery::attempt::{Failure, FailureClass};

use crate::{
    Answer, AskError, Client, SendError,
    config::ApiUrl,
    json::{is_true, object, text},
};

/// What a longer wait that Telegram asks for is taken for.
const WAIT_MAX: Duration = Duration::from_hours(1);
/// Characters of Telegram's words that are kept of why it refused.
const REASON_CHARS_MAX: usize = 300;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct BotApi {
    client: Client,
    url: ApiUrl,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no answer, or none of Telegram's: something on the way may have given it.
    Unreachable(Failure),
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct Refusal {
    meaning: Meaning,
    /// In Telegram's words, without the token.
    reason: String,
    /// The group has become a large one, which has another id.
    pub(super) moved_to: Option<String>,
    failure: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Another time it may be done.
    Later,
    Token,
    No,
}

impl BotApi {
    pub(super) fn new(client: Client, url: ApiUrl) -> Self {
        Self { client, url }
    }

    /// The result of a method.
    pub(super) async fn call(
        &self,
        token: &SecretString,
        method: &str,
        body: &Value,
    ) -> Result<Value, Problem> {
        let token = token.expose_secret();
        if bot_of(token).is_none() {
            return Err(Problem::Refused(Refusal::of_bad_token()));
        }
        let url = format!("{}/bot{token}/{method}", self.url.as_str());
        let request = self.client.request(Method::POST, &url).json(body);
        let answer = self.client.ask(request).await;
        let answer = answer.map_err(Problem::Unreachable)?;
        let mut said: Value = answer.json().unwrap_or_default();
        if is_true(&said, "ok") {
            return Ok(said.get_mut("result").map(Value::take).unwrap_or_default());
        }
        Err(if said.get("ok").is_some() {
            Problem::Refused(Refusal::read(&answer, &said, token))
        } else {
            let status = answer.status.as_u16();
            let detail = format!("answered {status}, not in the way of Telegram");
            Problem::Unreachable(Failure {
                class: FailureClass::Response,
                // What is on the way knows no bots.
                lane_only: false,
                ..answer.failure(detail)
            })
        })
    }

    /// Opens a file by the path that `getFile` gave.
    pub(super) async fn open(
        &self,
        token: &SecretString,
        path: &str,
    ) -> Result<Response, AskError> {
        let token = token.expose_secret();
        if bot_of(token).is_none() || !is_plain_path(path) {
            return Err(AskError::NotFound);
        }
        let url = format!("{}/file/bot{token}/{path}", self.url.as_str());
        let opened = self.client.open(self.client.file(&url)).await;
        let response = opened.map_err(|failure| AskError::Unavailable(failure.detail))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status if status.is_client_error() => Err(AskError::NotFound),
            status => Err(AskError::Unavailable(format!("answered {status}"))),
        }
    }
}

impl Refusal {
    fn read(answer: &Answer, said: &Value, token: &str) -> Self {
        let code = text(said, "error_code").and_then(|code| code.parse().ok());
        let code = code.unwrap_or_else(|| answer.status.as_u16());
        let reason = match text(said, "description") {
            Some(words) => words.replace(token, "…"),
            None => format!("answered {code}"),
        };
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let parameters = object(said, "parameters");
        let parameter = |name| parameters.and_then(|parameters| text(parameters, name));
        let wait = parameter("retry_after").and_then(|seconds| seconds.parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
        Self {
            meaning: match code {
                // What is no token, or no longer one, is unknown to Telegram.
                401 | 404 => Meaning::Token,
                429 | 500.. => Meaning::Later,
                _ => Meaning::No,
            },
            moved_to: parameter("migrate_to_chat_id"),
            failure: Failure {
                status: Some(code),
                retry_after: wait.or(answer.retry_after),
                // A bot, or a chat, has had as much as it may: others go on.
                lane_only: code == 429 || wait.is_some(),
                ..Failure::new(FailureClass::Status, reason.clone())
            },
            reason,
        }
    }

    fn of_bad_token() -> Self {
        let reason = "it is no token of a bot";
        Self {
            meaning: Meaning::Token,
            reason: reason.to_owned(),
            moved_to: None,
            failure: Failure::new(FailureClass::Status, reason),
        }
    }
}

impl Problem {
    /// As the answer to a message that was to be sent.
    pub(super) fn of_message(self) -> SendError {
        match self {
            Self::Unreachable(failure) => SendError::Retry(failure),
            Self::Refused(refusal) => match refusal.meaning {
                Meaning::Later => SendError::Retry(refusal.failure),
                Meaning::Token => SendError::TokenRefused {
                    reason: refusal.reason,
                },
                Meaning::No => SendError::Final {
                    reason: refusal.reason,
                },
            },
        }
    }

    /// As the answer to a caller who gave the token: if that is no good, the caller has to know.
    pub(super) fn of_given_token(self) -> AskError {
        match self {
            Self::Refused(refusal) if refusal.meaning == Meaning::Token => AskError::invalid(
                "token",
                format!("is refused by Telegram: {}", refusal.reason),
            ),
            problem => problem.into(),
        }
    }

    /// As the answer to who wants a file: what Telegram does not give out is not there.
    pub(super) fn of_file(self) -> AskError {
        match self {
            Self::Refused(refusal) if refusal.meaning == Meaning::No => AskError::NotFound,
            problem => problem.into(),
        }
    }
}

impl From<Problem> for AskError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unreachable(failure) => Self::Unavailable(failure.detail),
            Problem::Refused(refusal) => match refusal.meaning {
                Meaning::Later => Self::Unavailable(refusal.reason),
                Meaning::Token | Meaning::No => Self::Refused(refusal.reason),
            },
        }
    }
}

/// The id of the bot that a token is of: what is before its colon. `None`: it is no token, and could lead
/// elsewhere as a part of an address.
pub(super) fn bot_of(token: &str) -> Option<&str> {
    let (bot, secret) = token.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_id = !bot.is_empty() && bot.bytes().all(|byte| byte.is_ascii_digit());
    let is_secret = !secret.is_empty() && secret.bytes().all(plain);
    (is_id && is_secret).then_some(bot)
}

/// Whether it leads to a file, and to nothing beside the files.
fn is_plain_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    path.bytes().all(plain)
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.bytes().all(|byte| byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::{bot_of, is_plain_path};

    #[test]
    fn a_token_is_an_id_and_a_secret_and_nothing_else() {
        let token = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_-";
        assert_eq!(bot_of(token), Some("110201543"));
        for bad in [
            "",
            "110201543",
            ":secret",
            "110201543:",
            "a:secret",
            "1:../2",
            "1:a/b",
            "1:a?b",
            "1:a#b",
            "1:a:b",
            " 1:a",
            "1:a\n",
            "1:ü",
        ] {
            assert_eq!(bot_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_stays_below_the_files() {
        assert!(is_plain_path("photos/file_0.jpg"));
        assert!(is_plain_path("documents/a..b"));
        for bad in [
            "",
            "/etc/passwd",
            "../bot1:a/getMe",
            "a/./b",
            "a//b",
            "a?b",
            "a%2e",
        ] {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
