//! Where messages come from and replies go to.

use std::{fmt, sync::Arc};

/// Longest name of a source, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of a source: a provider or protocol such as `chat_plugin` or `twilio.sms`.
///
/// Lower-case ASCII letters, digits, `_`, `-` and `.`, 1 to 64 bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(Arc<str>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of the characters a-z, 0-9, '_', '-' and '.'")]
pub struct SourceNameError;

impl Source {
    pub fn parse(name: &str) -> Result<Self, SourceNameError> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
        if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(SourceNameError)
        }
    }

    /// The source of a name that is written in the program, and so follows the rules.
    pub fn named(name: &'static str) -> Self {
        match Self::parse(name) {
            Ok(source) => source,
            Err(SourceNameError) => unreachable!("the name follows the rules of names"),
        }
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// The name as webhook events write it: `twilio.sms` is `TWILIO_SMS`.
    pub fn event_name(&self) -> String {
        self.0
            .chars()
            .map(|c| {
                if c == '.' {
                    '_'
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn events_write_the_source_in_upper_case() {
        let event_name = |name| Source::parse(name).unwrap().event_name();
        assert_eq!(event_name("facebook"), "FACEBOOK");
        assert_eq!(event_name("twilio.whatsapp"), "TWILIO_WHATSAPP");
        assert_eq!(event_name("chat_plugin"), "CHAT_PLUGIN");
    }

    #[test]
    fn a_name_is_short_and_lower_case() {
        for bad in ["", "Facebook", "a b", "ü", &"a".repeat(65)] {
            assert!(Source::parse(bad).is_err(), "{bad:?}");
        }
    }
}
