//! Reads when an endpoint asks to be tried again.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};
use tradewind_model::Timestamp;

use crate::schedule::RETRY_AFTER_MAX;

/// `Retry-After` as whole seconds, or as a date in any of the three forms of HTTP (RFC 9110 §5.6.7,
/// §10.2.3), up to [`RETRY_AFTER_MAX`]; anything else is no wish.
pub(super) fn parse(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are as long as can be.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(SystemTime::from(now)).ok()?
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Option<Duration> {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        parse(&headers, now)
    }

    #[test]
    fn a_wish_is_seconds_or_a_date_in_one_of_three_forms() {
        for two_minutes in [
            "120",
            " 0120 ",
            "Mon, 23 Nov 2026 12:02:00 GMT",
            "Monday, 23-Nov-26 12:02:00 GMT",
            "Mon Nov 23 12:02:00 2026",
        ] {
            assert_eq!(
                wish(two_minutes),
                Some(Duration::from_mins(2)),
                "{two_minutes}"
            );
        }
        assert_eq!(wish("0"), Some(Duration::ZERO));
    }

    #[test]
    fn a_wish_for_longer_than_is_granted_is_granted_in_part() {
        for long in [
            "3601",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(wish(long), Some(RETRY_AFTER_MAX), "{long}");
        }
    }

    #[test]
    fn what_is_no_time_is_no_wish() {
        for nonsense in [
            "Mon, 23 Nov 2026 11:00:00 GMT",
            "Fri, 31 Dec 99999 23:59:59 GMT",
            "120.6",
            "-1",
            "+1",
            "1e3",
            "soon",
            "",
            "0x10",
            "١٢٠",
        ] {
            assert_eq!(wish(nonsense), None, "{nonsense}");
        }
        assert_eq!(parse(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }
}
