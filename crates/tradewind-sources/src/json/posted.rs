//! Reads JSON that may hold what JSON cannot: one odd character is not to cost all that was posted with it.

use serde_json::Value;

/// Lists and objects in each other; deeper ones are read as `null`. The parser takes 127.
const DEPTH_MAX: usize = 100;

/// What was posted; `None`: it is no JSON. Half a character, as an escape or as bytes, is read as U+FFFD, and a
/// number that is too large as `null`.
pub(crate) fn posted(body: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(value);
    }
    serde_json::from_str(&mended(&String::from_utf8_lossy(body))).ok()
}

fn mended(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(match first {
            '"' => string_bytes(rest),
            '-' | '0'..='9' => number_bytes(rest),
            other => other.len_utf8(),
        });
        rest = after;
        if matches!(first, '[' | '{') {
            depth += 1;
            if depth == DEPTH_MAX + 1 {
                mended.push_str("null");
            }
        }
        if depth <= DEPTH_MAX {
            match first {
                '"' => push_string(token, &mut mended),
                _ if is_too_large(token) => mended.push_str("null"),
                _ => mended.push_str(token),
            }
        }
        if matches!(first, ']' | '}') {
            depth = depth.saturating_sub(1);
        }
    }
    mended
}

/// How long the text in quotes is that it begins with.
fn string_bytes(text: &str) -> usize {
    // The first quote ends nothing.
    let mut is_escaped = true;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

fn number_bytes(text: &str) -> usize {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let end = text.bytes().position(|byte| !is_of_number(byte));
    end.unwrap_or(text.len())
}

fn is_too_large(token: &str) -> bool {
    let is_number = token.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    is_number && token.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The text in quotes, with U+FFFD for each escape that is one half of a character without the other.
fn push_string(text: &str, mended: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let bytes = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            _ => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (whole, after) = escape.split_at(bytes);
        mended.push_str(whole);
        rest = after;
    }
    mended.push_str(rest);
}

/// What an escape such as `\ud83d` stands for, if the text begins with one.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{mended, posted};

    #[test]
    fn half_a_character_costs_only_itself() {
        for (text, expected) in [
            (r#"["a\ud83d"]"#, "a\u{fffd}"),
            (r#"["\ud83db"]"#, "\u{fffd}b"),
            (r#"["\uDE00\ud83d"]"#, "\u{fffd}\u{fffd}"),
            (r#"["\ud83d\ud83d\ude00"]"#, "\u{fffd}😀"),
            (r#"["\ud83d\n\\\"\\ud83d"]"#, "\u{fffd}\n\\\"\\ud83d"),
            (r#"["\ud83d\u0041"]"#, "\u{fffd}A"),
            (r#"["ä\ud83dä"]"#, "ä\u{fffd}ä"),
        ] {
            assert_eq!(posted(text.as_bytes()), Some(json!([expected])), "{text}");
        }
        let bytes = b"{\"a\": \"\xff\", \"b\": \"\xf0\x9f\x98\x80\"}";
        assert_eq!(posted(bytes), Some(json!({"a": "\u{fffd}", "b": "😀"})));
    }

    #[test]
    fn a_number_that_is_too_large_costs_only_itself() {
        let text = r#"{"a": [1e999, -1E+999, 1.5e3], "b": "1e999 [", "c": -7}"#;
        let expected = json!({"a": [null, null, 1.5e3], "b": "1e999 [", "c": -7});
        assert_eq!(posted(text.as_bytes()), Some(expected));
    }

    #[test]
    fn what_is_too_deep_costs_only_itself() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let text = format!(r#"{{"a": {}, "b": 2}}"#, deep(100_000));
        let value = posted(text.as_bytes()).unwrap();
        assert_eq!(value["b"], 2);
        assert!(value["a"].to_string().contains("[null]"));
        assert_eq!(mended(&deep(100)), deep(100));
    }

    #[test]
    fn what_is_no_json_is_nothing() {
        for text in [
            "",
            "{",
            "]",
            r#"""#,
            r#"["\"#,
            r#"["\u"#,
            r#"["\ud83d"#,
            r#"["\x"]"#,
            r#"["\uü"]"#,
            "-",
        ] {
            assert_eq!(posted(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
            posted(&body);
        }

        #[test]
        fn any_text_in_quotes_is_survived(text in r#"["\[\]{}\\ud83e0a1,:é-]{0,40}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(serde_json::from_str::<Value>(&mended(&text)).unwrap(), value);
            }
            posted(text.as_bytes());
        }
    }
}
