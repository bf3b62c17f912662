//! What a connector's answers mean, and what a source may be called.

use std::time::Duration;

use http::StatusCode;
use tradewind_delivery::{
    attempt::{Failure, FailureClass},
    transport::{Exchange, Reply, Trace},
};
use tradewind_model::Source;

use super::{Own, judge};
use crate::SendError;

fn answer(status: u16, body: &str) -> Exchange {
    Exchange {
        result: Ok(Reply {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: Some(Duration::from_secs(7)),
            location: String::new(),
        }),
        trace: Trace {
            response: body.as_bytes().to_vec(),
            ..Trace::default()
        },
    }
}

#[test]
fn whoever_answers_with_success_has_the_message() {
    let id = |status, body| judge(answer(status, body)).unwrap().source_message_id;
    let named = r#"{"source_message_id": "m1", "metadata": {"a": {"b": [1]}}}"#;
    assert_eq!(id(200, named).as_deref(), Some("m1"));
    assert_eq!(
        id(201, r#"{"source_message_id":17}"#).as_deref(),
        Some("17")
    );
    for body in [
        "",
        "ok",
        "{}",
        "[]",
        "null",
        "{",
        r#"{"source_message_id":null}"#,
    ] {
        assert_eq!(id(200, body), None, "{body}");
    }
}

#[test]
fn a_message_that_is_refused_has_failed_for_the_reason_given() {
    let reason = |status, body| match judge(answer(status, body)) {
        Err(SendError::Final { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(400, r#"{"error":"no such room"}"#), "no such room");
    assert_eq!(
        reason(422, "no"),
        "the endpoint answered 422 Unprocessable Entity"
    );
    assert_eq!(
        reason(404, r#"{"error":{}}"#),
        "the endpoint answered 404 Not Found"
    );
    let long = format!(r#"{{"error":"{}"}}"#, "ü".repeat(1_000));
    assert!(reason(400, &long).len() <= 1_024);
}

#[test]
fn what_may_be_better_later_is_tried_again() {
    for status in [408, 425, 429, 500, 502, 503, 302] {
        match judge(answer(status, r#"{"error":"busy"}"#)) {
            Err(SendError::Retry(failure)) => {
                assert_eq!(failure.status, Some(status));
                assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
                assert_eq!(failure.lane_only, status == 429);
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    let blocked = Exchange {
        result: Err(Failure::new(FailureClass::Blocked, "inside")),
        trace: Trace::default(),
    };
    assert!(matches!(judge(blocked), Err(SendError::Retry(_))));
}

#[test]
fn no_source_is_called_like_one_of_tradewinds() {
    let may = |name: &str| Own::may_be_called(&Source::parse(name).unwrap());
    for taken in [
        "facebook",
        "chat.plugin",
        "twilio",
        "twilio.sms",
        "twilio_sms",
        "twilio.mms",
        "google",
        "telegram.bots",
        "test",
    ] {
        assert!(!may(taken), "{taken}");
    }
    for free in ["matrix", "google-chat", "my.facebook", "twilight", "fax_1"] {
        assert!(may(free), "{free}");
    }
}
