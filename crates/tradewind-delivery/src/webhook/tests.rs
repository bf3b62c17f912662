use super::{HeaderError, parse_headers};

fn check(name: &str, value: &str) -> Result<(), HeaderError> {
    parse_headers(&[(name.to_owned(), value.to_owned())]).map(|_| ())
}

#[test]
fn headers_that_are_ours_or_the_connections_are_refused() {
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "webhook-id",
        "Webhook-Signature",
        "X-Airy-Content-Signature",
        "Expect",
    ] {
        assert_eq!(
            check(name, "x"),
            Err(HeaderError::Reserved(name.to_owned()))
        );
    }
}

#[test]
fn a_header_cannot_smuggle_another() {
    for value in ["a\r\nb: c", "a\nb", "a\0", "ü"] {
        assert_eq!(
            check("X-Custom", value),
            Err(HeaderError::Value("X-Custom".to_owned()))
        );
    }
    assert!(matches!(check("X Custom", "a"), Err(HeaderError::Name(_))));
    assert!(matches!(check("", "a"), Err(HeaderError::Name(_))));
    let twice = [
        ("X-A".to_owned(), "1".to_owned()),
        ("x-a".to_owned(), "2".to_owned()),
    ];
    assert_eq!(
        parse_headers(&twice),
        Err(HeaderError::Repeated("x-a".to_owned()))
    );
}

#[test]
fn ordinary_headers_pass() {
    check("X-Custom-Header", "custom-code-for-header").unwrap();
    check("Authorization", "Bearer abc").unwrap();
    check("Content-Type", "application/vnd.custom+json").unwrap();
    check("X-Empty", "").unwrap();
}
