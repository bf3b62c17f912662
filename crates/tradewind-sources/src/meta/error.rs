//! What Meta's Graph API says when it says no, and what follows from it.
//!
//! The meaning is in the code more than in the HTTP status: the API answers 400 to much that passes by itself.

use http::StatusCode;
use serde_json::Value;
use tradewind_delivery::attempt::Failure;

use super::json::{is_true, object, text};
use crate::{Answer, AskError, SendError};

/// Too many calls, of the app or for the account.
const LIMITS: [i64; 6] = [4, 17, 32, 341, 613, 130_429];
/// Those of them that are the app's, and so hold for all its accounts.
const LIMITS_OF_APP: [i64; 2] = [4, 341];
/// Too many messages to one contact.
const PAIR_LIMIT: i64 = 131_056;
/// Limits of single products of the API.
const PRODUCT_LIMITS: std::ops::RangeInclusive<i64> = 80_000..=80_014;
/// What passes by itself: 1 and 2 are faults of Meta's, 1200 is one of sending, 131000 and more of `WhatsApp`.
const PASSING: [i64; 8] = [1, 2, 1200, 131_000, 131_016, PAIR_LIMIT, 131_057, 133_004];
/// Of code 1: a permission is missing; an answer to what was sent that is no answer. Trying again would send it
/// again.
const LASTING: [i64; 2] = [99, 1_357_046];
/// The token is no longer good for anything.
const TOKEN: [i64; 4] = [0, 102, 190, 2500];
/// The same, where only the second code says so: not logged in, password changed, expired, invalid.
const TOKEN_SUBCODES: [i64; 7] = [458, 459, 460, 463, 464, 467, 492];
/// Of code 100: there is no such thing, or none that the token may see.
const NO_SUCH_THING: i64 = 33;

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no answer.
    Unreachable(Failure),
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) meaning: Meaning,
    /// In Meta's words, with the codes that its documents explain. Without secrets.
    pub(super) reason: String,
    failure: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Another time it may be done.
    Later,
    Token,
    NoSuchThing,
    No,
}

impl Refusal {
    /// Reads an answer that is none. `secrets` are kept out of the reason: Meta repeats a malformed token.
    pub(super) fn read(answer: &Answer, body: &Value, secrets: &[&str]) -> Self {
        let error = object(body, "error");
        let meaning = error.map_or_else(
            || by_status(answer.status),
            |error| meaning(error, answer.status),
        );
        let mut reason = error.map_or_else(|| format!("answered {}", answer.status), describe);
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            reason = reason.replace(secret, "…");
        }
        let mut failure = answer.failure(reason.clone());
        let code = error.and_then(|error| number(error, "code"));
        if answer.status.is_client_error() && code.is_some_and(is_limit) {
            // What others say by this status, Meta says by its codes: the account is given too much.
            failure.status = Some(StatusCode::TOO_MANY_REQUESTS.as_u16());
        }
        if let Some(code) = code {
            let is_of_account = failure.lane_only || is_limit(code) || code == PAIR_LIMIT;
            failure.lane_only = is_of_account && !LIMITS_OF_APP.contains(&code);
        }
        Self {
            meaning,
            reason,
            failure,
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
                Meaning::NoSuchThing | Meaning::No => SendError::Final {
                    reason: refusal.reason,
                },
            },
        }
    }

    /// As the answer to a caller who gave the token: if that is no good, the caller has to know.
    pub(super) fn of_given_token(self) -> AskError {
        match self {
            Self::Refused(refusal) if refusal.meaning == Meaning::Token => {
                AskError::invalid("token", format!("is refused by Meta: {}", refusal.reason))
            }
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
                Meaning::NoSuchThing => Self::NotFound,
                Meaning::Token | Meaning::No => Self::Refused(refusal.reason),
            },
        }
    }
}

fn meaning(error: &Value, status: StatusCode) -> Meaning {
    let code = number(error, "code");
    let subcode = number(error, "error_subcode").unwrap_or_default();
    let Some(code) = code else {
        return by_status(status);
    };
    if TOKEN.contains(&code) || TOKEN_SUBCODES.contains(&subcode) {
        Meaning::Token
    } else if code == 1 && LASTING.contains(&subcode) {
        Meaning::No
    } else if is_true(error, "is_transient") || is_limit(code) || PASSING.contains(&code) {
        Meaning::Later
    } else if code == 100 && subcode == NO_SUCH_THING {
        Meaning::NoSuchThing
    } else {
        // Permissions (10, 200 to 299) too: the same codes say that the contact's window of 24 hours is over.
        match by_status(status) {
            Meaning::Later => Meaning::Later,
            _ => Meaning::No,
        }
    }
}

fn by_status(status: StatusCode) -> Meaning {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Meaning::Later,
        StatusCode::UNAUTHORIZED => Meaning::Token,
        status if status.is_client_error() => Meaning::No,
        _ => Meaning::Later,
    }
}

fn is_limit(code: i64) -> bool {
    LIMITS.contains(&code) || PRODUCT_LIMITS.contains(&code)
}

fn describe(error: &Value) -> String {
    let mut reason = text(error, "message").unwrap_or_else(|| "no reason was given".to_owned());
    let details = object(error, "error_data").and_then(|data| text(data, "details"));
    if let Some(details) = details.or_else(|| text(error, "error_user_msg")) {
        reason = format!("{reason}: {details}");
    }
    let codes = [
        ("code", "code"),
        ("subcode", "error_subcode"),
        ("trace", "fbtrace_id"),
    ];
    let codes = codes.iter().filter_map(|(name, key)| {
        let value = text(error, key)?;
        Some(format!("{name} {value}"))
    });
    let codes = codes.collect::<Vec<_>>().join(", ");
    if codes.is_empty() {
        reason
    } else {
        format!("{reason} ({codes})")
    }
}

fn number(error: &Value, key: &str) -> Option<i64> {
    text(error, key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::{Meaning, Problem, Refusal};
    use crate::{Answer, SendError};

    fn refusal(status: u16, error: &Value) -> Refusal {
        let body = json!({"error": error});
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: Vec::new(),
        };
        Refusal::read(&answer, &body, &["EAAG-secret"])
    }

    fn meaning(status: u16, code: i64, subcode: i64) -> Meaning {
        let error = json!({"message": "x", "code": code, "error_subcode": subcode});
        refusal(status, &error).meaning
    }

    #[test]
    fn a_code_says_whether_trying_again_helps() {
        let later = [1, 2, 4, 17, 32, 341, 613, 1200, 80_006, 80_007];
        let later = later
            .into_iter()
            .chain([130_429, 131_000, 131_016, 131_056, 133_004]);
        for code in later {
            assert_eq!(meaning(400, code, 0), Meaning::Later, "{code}");
        }
        for (code, subcode) in [(190, 0), (190, 463), (102, 0), (0, 0), (1, 467), (2500, 0)] {
            assert_eq!(meaning(400, code, subcode), Meaning::Token, "{code}");
        }
        for (code, subcode) in [
            (1, 99),
            (1, 1_357_046),
            (10, 2_018_278),
            (100, 2_018_001),
            (200, 1_545_041),
            (230, 0),
            (368, 0),
            (551, 1_545_041),
            (131_026, 0),
            (131_047, 0),
            (131_049, 0),
        ] {
            assert_eq!(meaning(400, code, subcode), Meaning::No, "{code}");
        }
        assert_eq!(meaning(404, 100, 33), Meaning::NoSuchThing);
    }

    #[test]
    fn a_status_speaks_where_the_code_does_not() {
        assert_eq!(meaning(500, 999, 0), Meaning::Later);
        for (status, expected) in [
            (500, Meaning::Later),
            (503, Meaning::Later),
            (429, Meaning::Later),
            (302, Meaning::Later),
            (401, Meaning::Token),
            (404, Meaning::No),
        ] {
            assert_eq!(refusal(status, &Value::Null).meaning, expected, "{status}");
        }
        let transient = json!({"message": "x", "code": 100, "is_transient": true});
        assert_eq!(refusal(400, &transient).meaning, Meaning::Later);
    }

    #[test]
    fn a_reason_is_in_metas_words_without_the_token() {
        let error = json!({
            "message": "Malformed access token EAAG-secret",
            "type": "OAuthException",
            "code": 190,
            "error_subcode": 463,
            "fbtrace_id": "BLBz/WZt8dN"
        });
        let refused = refusal(400, &error);
        let expected = "Malformed access token … (code 190, subcode 463, trace BLBz/WZt8dN)";
        assert_eq!(refused.reason, expected);
        let error = Problem::Refused(refused).of_message();
        assert!(matches!(error, SendError::TokenRefused { .. }), "{error:?}");
    }

    #[test]
    fn a_limit_counts_as_too_many_requests() {
        let limit = json!({"message": "(#130429) Rate limit hit", "code": 130_429});
        let error = Problem::Refused(refusal(400, &limit)).of_message();
        let SendError::Retry(failure) = error else {
            panic!("{error:?}");
        };
        assert_eq!(failure.status, Some(429));
    }

    #[test]
    fn a_limit_is_the_accounts_unless_it_is_the_apps() {
        let lane_only = |status, code| {
            let error = json!({"message": "x", "code": code});
            refusal(status, &error).failure.lane_only
        };
        for code in [17, 32, 613, 80_007, 130_429, 131_056] {
            assert!(lane_only(400, code), "{code}");
        }
        for code in [1, 2, 4, 341, 131_000] {
            assert!(!lane_only(400, code), "{code}");
        }
        assert!(refusal(429, &Value::Null).failure.lane_only);
        assert!(!lane_only(429, 4));
        assert!(!lane_only(503, 2));
    }
}
