//! The text of a message: says whose it is, which one, and when it was to be sent.

use std::{fmt::Write as _, str::FromStr};

/// What a text says, before its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which phase of the benchmark sent it.
    pub(super) phase: u64,
    pub(super) conversation: u32,
    /// Its place in its conversation in this phase: 1, 2, 3 …
    pub(super) number: u32,
    /// When it was to be sent, by the clock that the processes share.
    pub(super) at: u64,
}

const PADDING: &str = "The quick brown fox jumps over the lazy dog, and the dog, which has seen this many times, does not get up. ";

impl Stamp {
    /// Adds the text, `bytes` long, to `out`.
    pub(super) fn render(&self, bytes: usize, out: &mut String) {
        let Self {
            phase,
            conversation,
            number,
            at,
        } = self;
        let end = out.len() + bytes;
        // Writing to a string does not fail.
        let _ = write!(out, "{phase} {conversation} {number} {at} ");
        while out.len() < end {
            let rest = (end - out.len()).min(PADDING.len());
            out.push_str(&PADDING[..rest]);
        }
    }

    /// The stamp of the text in the body of an event.
    pub(super) fn find(body: &[u8]) -> Option<Self> {
        const KEY: &str = "\"text\":\"";
        let body = std::str::from_utf8(body).ok()?;
        let text = &body[body.find(KEY)? + KEY.len()..];
        let mut words = text.split(' ');
        Some(Self {
            phase: next(&mut words)?,
            conversation: next(&mut words)?,
            number: next(&mut words)?,
            at: next(&mut words)?,
        })
    }
}

fn next<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn a_stamp_is_read_from_an_events_body() {
        let stamp = Stamp {
            phase: 3,
            conversation: 17,
            number: 1,
            at: 1_234_567_890,
        };
        let mut body = r#"{"conversation_id":"x","text":""#.to_owned();
        let before = body.len();
        stamp.render(300, &mut body);
        assert_eq!(body.len() - before, 300);
        body.push_str("\"}");
        assert_eq!(Stamp::find(body.as_bytes()), Some(stamp));
        assert_eq!(Stamp::find(br#"{"text":"hello"}"#), None);
    }
}
