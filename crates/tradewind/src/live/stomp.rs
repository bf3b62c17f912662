//! STOMP frames as text: versions 1.0, 1.1 and 1.2 as far as a server needs them.

use std::fmt::Write as _;

/// Longest frame that a client may send, in bytes. Clients only send small ones.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 10;
/// Headers that a frame may have.
const HEADERS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1_0,
    V1_1,
    V1_2,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The highest that both sides speak, given a client's `accept-version`. A client that names none
    /// speaks 1.0.
    pub(crate) fn negotiate(accept: Option<&str>) -> Option<Self> {
        let accept = accept.unwrap_or("1.0");
        let offered = |version: &Self| accept.split(',').any(|name| name.trim() == version.name());
        [Self::V1_2, Self::V1_1, Self::V1_0]
            .into_iter()
            .find(offered)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) command: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Frame {
    /// The first header of this name: of repeated ones, the first counts.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A frame as it is sent. A `CONNECTED` frame is never escaped.
pub(crate) fn encode(
    version: Version,
    command: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let escaped = version > Version::V1_0 && command != "CONNECTED";
    // Room for all of it, unless much has to be escaped.
    let head: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    let mut text = String::with_capacity(command.len() + head + body.len() + 32);
    text.push_str(command);
    text.push('\n');
    for (name, value) in headers {
        if escaped {
            escape(&mut text, name);
            text.push(':');
            escape(&mut text, value);
        } else {
            let _ = write!(text, "{name}:{}", value.replace('\n', " "));
        }
        text.push('\n');
    }
    if !body.is_empty() {
        let _ = writeln!(text, "content-length:{}", body.len());
    }
    text.push('\n');
    text.push_str(body);
    text.push('\0');
    text
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the frame is longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("the frame is not UTF-8 text")]
    NotText,
    #[error("the frame is malformed: {0}")]
    Malformed(&'static str),
}

/// Puts frames together from what arrives, however it is cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    /// Where in the buffer the next frame starts.
    start: usize,
}

impl Decoder {
    /// Takes what arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame that is complete. Line ends between frames are heart-beats and give nothing.
    /// `version` is `None` until it is negotiated.
    pub(crate) fn next(&mut self, version: Option<Version>) -> Result<Option<Frame>, FrameError> {
        let unread = &self.buffer[self.start..];
        let rest = unread.trim_ascii_start();
        self.start += unread.len() - rest.len();
        match split_frame(rest)? {
            Some((head, body, after)) => {
                self.start = self.buffer.len() - after.len();
                parse(head, body, version).map(Some)
            }
            None if rest.len() > FRAME_BYTES_MAX => Err(FrameError::TooLong),
            None => Ok(None),
        }
    }
}

type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits the first frame into head and body, with what follows it; `None` while it is incomplete.
fn split_frame(bytes: &[u8]) -> Result<Option<Parts<'_>>, FrameError> {
    let Some((head, start)) = head_end(bytes) else {
        // Even a frame without headers has an empty line before its end.
        if bytes.contains(&0) {
            return Err(FrameError::Malformed("no empty line after the headers"));
        }
        return Ok(None);
    };
    let rest = &bytes[start..];
    let length = content_length(head)?;
    let end = match length {
        Some(length) if rest.len() <= length => return Ok(None),
        Some(length) if rest[length] != 0 => {
            return Err(FrameError::Malformed("no NUL after content-length bytes"));
        }
        Some(length) => length,
        None => match rest.iter().position(|byte| *byte == 0) {
            Some(end) => end,
            None => return Ok(None),
        },
    };
    Ok(Some((head, &rest[..end], &rest[end + 1..])))
}

/// Where the head ends and where the body starts.
fn head_end(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut at = 0;
    while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[at..at + length];
        if line.contains(&0) {
            return None;
        }
        if line.is_empty() || line == b"\r" {
            return Some((&bytes[..at], at + length + 1));
        }
        at += length + 1;
    }
    None
}

fn content_length(head: &[u8]) -> Result<Option<usize>, FrameError> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let Some(value) = lines.find_map(|line| line.strip_prefix(b"content-length:")) else {
        return Ok(None);
    };
    let length = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match length {
        Some(length) if length > FRAME_BYTES_MAX => Err(FrameError::TooLong),
        Some(length) => Ok(Some(length)),
        None => Err(FrameError::Malformed("content-length is not a number")),
    }
}

fn parse(head: &[u8], body: &[u8], version: Option<Version>) -> Result<Frame, FrameError> {
    let head = std::str::from_utf8(head).map_err(|_| FrameError::NotText)?;
    let body = std::str::from_utf8(body).map_err(|_| FrameError::NotText)?;
    let mut lines = head.lines();
    let command = lines.next().unwrap_or_default();
    let escaped = version.is_none_or(|version| version > Version::V1_0)
        && !matches!(command, "CONNECT" | "STOMP");
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or(FrameError::Malformed("a header has no colon"))?;
        let read = |text: &str| {
            if escaped {
                unescape(text)
            } else {
                Ok(text.to_owned())
            }
        };
        headers.push((read(name)?, read(value)?));
        if headers.len() > HEADERS_MAX {
            return Err(FrameError::Malformed("too many headers"));
        }
    }
    Ok(Frame {
        command: command.to_owned(),
        headers,
        body: body.to_owned(),
    })
}

fn escape(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            ':' => out.push_str("\\c"),
            other => out.push(other),
        }
    }
}

fn unescape(text: &str) -> Result<String, FrameError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('c') => out.push(':'),
            _ => return Err(FrameError::Malformed("an unknown escape in a header")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Decoder, FRAME_BYTES_MAX, Frame, FrameError, Version, encode};

    const V: Version = Version::V1_2;

    /// Decodes pieces that arrive one after the other.
    fn decode(pieces: &[&[u8]], version: Option<Version>) -> Result<Vec<Frame>, FrameError> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(frame) = decoder.next(version)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn decode_text(text: &str) -> Result<Vec<Frame>, FrameError> {
        decode(&[text.as_bytes()], Some(V))
    }

    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut() {
        let headers = [("id", "a:b\\c\nd\re"), ("empty", "")];
        let body = "{\"text\":\"ü\n\"}";
        let encoded = encode(V, "MESSAGE", &headers, body);
        let text = format!("{encoded}\n\n{encoded}");
        let frame = Frame {
            command: "MESSAGE".to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: body.to_owned(),
        };
        for cut in 0..text.len() {
            let (one, two) = text.as_bytes().split_at(cut);
            let frames = decode(&[one, two], Some(V)).unwrap();
            assert_eq!(frames.len(), 2, "cut at {cut}");
            for mut decoded in frames {
                decoded.headers.retain(|(name, _)| name != "content-length");
                assert_eq!(decoded, frame);
            }
        }
    }

    #[test]
    fn heart_beats_and_carriage_returns_are_taken() {
        assert_eq!(decode_text("\n\r\n\n"), Ok(vec![]));
        let frame = &decode_text("SUBSCRIBE\r\nid:1\r\n\r\n\0").unwrap()[0];
        assert_eq!(
            (frame.command.as_str(), frame.header("id")),
            ("SUBSCRIBE", Some("1"))
        );
    }

    #[test]
    fn of_repeated_headers_the_first_counts() {
        assert_eq!(
            decode_text("SEND\na:1\na:2\n\n\0").unwrap()[0].header("a"),
            Some("1")
        );
    }

    #[test]
    fn malformed_frames_are_refused() {
        for bad in [
            "SEND\nno colon\n\n\0",
            "SEND\0",
            "SEND\na:\\t\n\n\0",
            "SEND\ncontent-length:x\n\n\0",
            "SEND\ncontent-length:1\n\nab\0",
        ] {
            assert!(decode_text(bad).is_err(), "{bad:?}");
        }
        let long = format!("SEND\n\n{}", "x".repeat(FRAME_BYTES_MAX));
        assert_eq!(decode_text(&long), Err(FrameError::TooLong));
        assert_eq!(
            decode(&[b"SEND\n\n\xff\0"], Some(V)),
            Err(FrameError::NotText)
        );
    }

    #[test]
    fn a_connect_frame_is_not_escaped() {
        let frame = &decode(&[b"CONNECT\npasscode:a\\tb\n\n\0"], None).unwrap()[0];
        assert_eq!(frame.header("passcode"), Some("a\\tb"));
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        assert_eq!(Version::negotiate(Some("1.0,1.1,1.2")), Some(Version::V1_2));
        assert_eq!(Version::negotiate(Some("1.1,1.0")), Some(Version::V1_1));
        assert_eq!(Version::negotiate(None), Some(Version::V1_0));
        assert_eq!(Version::negotiate(Some("2.0")), None);
    }
}
