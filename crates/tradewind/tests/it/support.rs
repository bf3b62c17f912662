//! What the tests are made of: the server as a process, a receiver of webhooks, and a client.

pub(crate) mod database;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod visitor;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::Value;

use server::Answer;

/// Longest time that a test waits for something that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Waits until `look` gives something, at most `patience`; fails with what `describe` says then.
pub(crate) async fn until_some<T>(
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
    describe: impl Fn() -> String,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < patience,
            "waited {patience:?} in vain: {}",
            describe()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A text of an answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Status and body, as a snapshot shows them.
pub(crate) fn shown(answer: &Answer) -> String {
    format!("{} {}", answer.status.as_u16(), normalize(&answer.text))
}

/// The text with ids, times and tokens replaced, so that it is the same in every run: the first id is
/// `[id 1]` wherever it stands, the second `[id 2]`, and the name that is made of its end `[end of id 1]`.
pub(crate) fn normalize(text: &str) -> String {
    let mut ids: Vec<String> = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if let Some(id) = rest.get(..36).filter(|word| is_uuid(word)) {
            let number = ids.iter().position(|known| known == id).unwrap_or_else(|| {
                ids.push(id.to_owned());
                ids.len() - 1
            });
            write!(out, "[id {}]", number + 1).unwrap();
            36
        } else if rest.get(..24).is_some_and(is_time) {
            out.push_str("[time]");
            24
        } else if let Some(number) = ids.iter().position(|id| is_quoted(rest, &id[31..])) {
            write!(out, "\"[end of id {}]\"", number + 1).unwrap();
            7
        } else if token_length(rest) >= TOKEN_LENGTH_MIN {
            out.push_str("[token]");
            token_length(rest)
        } else {
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    out
}

/// Words of this many characters are tokens.
const TOKEN_LENGTH_MIN: usize = 64;

fn token_length(text: &str) -> usize {
    let is_other = |char: char| !(char.is_ascii_alphanumeric() || "-_".contains(char));
    text.find(is_other).unwrap_or(text.len())
}

fn is_quoted(text: &str, word: &str) -> bool {
    let rest = text
        .strip_prefix('"')
        .and_then(|text| text.strip_prefix(word));
    rest.is_some_and(|rest| rest.starts_with('"'))
}

fn is_uuid(word: &str) -> bool {
    word.char_indices().all(|(at, char)| match at {
        8 | 13 | 18 | 23 => char == '-',
        _ => char.is_ascii_digit() || ('a'..='f').contains(&char),
    })
}

/// Whether it is a time with exactly three fraction digits.
fn is_time(word: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    word.chars()
        .zip(pattern.chars())
        .all(|(char, like)| match like {
            '0' => char.is_ascii_digit(),
            other => char == other,
        })
}
