//! Which conversations a list is about: the language of `filters`, as a tree.
//!
//! It is the part of Lucene's query language that Airy's documentation shows, read the way a person would
//! read it: `AND` binds closer than `OR`, and a clause either holds or does not. Everything is typed when it
//! is parsed, so that a store never meets a text that is not the UUID or the time it should be.
//!
//! What it refuses: boosts, fuzzy terms, regular expressions, and wildcards inside a term. A filter has as
//! many clauses and is as deep as [`CLAUSES_MAX`] and [`NESTING_MAX`] say, so neither a parser nor a
//! database meets one that it cannot take.

mod parse;
mod render;
#[cfg(test)]
mod tests;

use std::ops::Bound;

use crate::{ChannelId, ConversationId, TagId};
pub(crate) use parse::words;

/// Bytes of a filter's text.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// Clauses of a filter.
pub const CLAUSES_MAX: usize = 64;
/// Parentheses inside parentheses.
pub const NESTING_MAX: usize = 16;

/// Which conversations.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Everything,
    Is(Condition),
    Not(Box<Filter>),
    /// Two at least.
    All(Vec<Filter>),
    /// Two at least.
    Any(Vec<Filter>),
}

/// What a clause asks of a conversation. Texts are in lower case.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Id(ConversationId),
    Channel(ChannelId),
    Source(Pattern),
    /// It has this tag; it has any.
    Tag(TagId),
    Tagged,
    /// Whole words of the contact's name, one after the other, each a blank apart. The first may be the end
    /// of a word, and the last the beginning of one.
    Name(Pattern),
    /// The contact's name is known.
    Named,
    /// When it began, in milliseconds since 1970.
    Created(Span),
    /// Unread messages.
    Unread(Span),
    Metadata {
        key: String,
        value: Value,
    },
}

/// A text, all or a part of which is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Whole(String),
    Starts(String),
    Ends(String),
    Contains(String),
}

/// Numbers from `min` to `max`, both included; an end that is absent is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

/// What is asked of a value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// There is one.
    Present,
    Is(Pattern),
    /// It is between these, in the order of Unicode's code points.
    Texts(Bound<String>, Bound<String>),
    /// It is a number, and between these.
    Numbers(Bound<f64>, Bound<f64>),
}

/// Why a text is no filter or no search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {character}, {near}: {why}")]
pub struct SyntaxError {
    /// Which character it is about, from 1 on.
    pub character: usize,
    /// What stands there.
    pub near: String,
    pub why: String,
}

impl Filter {
    /// Reads a filter. It has a clause at least.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        parse::filter(text)
    }
}

impl SyntaxError {
    /// About the character that begins at this byte of `text`.
    pub(crate) fn at(text: &str, byte: usize, why: String) -> Self {
        /// Characters that are shown.
        const SHOWN_MAX: usize = 20;

        let (before, from) = text.split_at_checked(byte).unwrap_or((text, ""));
        let mut shown: String = from.chars().take(SHOWN_MAX).collect();
        if shown.len() < from.len() {
            shown.push('…');
        }
        Self {
            character: before.chars().count() + 1,
            near: if from.is_empty() {
                "the end".to_owned()
            } else {
                format!("`{shown}`")
            },
            why,
        }
    }
}

impl Pattern {
    pub fn text(&self) -> &str {
        match self {
            Self::Whole(text) | Self::Starts(text) | Self::Ends(text) | Self::Contains(text) => {
                text
            }
        }
    }
}
