//! What the value of a clause means for its field.

use std::{ops::Bound, str::FromStr};

use jiff::{civil::Date, tz::TimeZone};
use winnow::{
    Parser as _,
    combinator::{alt, opt},
    token::one_of,
};

use super::{Fault, Input, Parsed, Word, at, count, fail, group, next, phrase, read, spaces, term};
use crate::{
    ConversationId, Timestamp,
    filter::{Condition, Filter, Pattern, Span, Value},
};

/// What a clause is about.
#[derive(Debug)]
pub(super) enum Field {
    Id,
    Name,
    Source,
    Channel,
    Tags,
    Created,
    Unread,
    Metadata(String),
}

const FIELDS: &str = "id, display_name, source, channel_id, tag_ids, created_at, unread_count and \
                      metadata.KEY";

/// Of a day, without leap seconds.
const DAY_MS: i64 = 86_400_000;

/// An end of a range. An open one has no word.
type End = Bound<Word>;

/// A clause without a field: an id, or a word of a name.
pub(super) fn bare(word: &Word) -> Parsed<Filter> {
    if word.is_anything() {
        return Ok(Filter::Everything);
    }
    let name = Field::Name.is(word)?;
    match ConversationId::from_str(&word.text) {
        Ok(id) if !word.is_open() => Ok(Filter::Any(vec![is(Condition::Id(id)), name])),
        _ => Ok(name),
    }
}

impl Field {
    pub(super) fn parse(word: &Word) -> Parsed<Self> {
        let metadata = word.text.strip_prefix("metadata.");
        Ok(match word.text.as_str() {
            // `*:*`, of which the other half is everything too.
            "" if word.is_anything() => Self::Id,
            _ if word.is_open() => return Err(unknown(word)),
            "id" => Self::Id,
            "display_name" => Self::Name,
            "source" => Self::Source,
            "channel_id" => Self::Channel,
            "tag_ids" => Self::Tags,
            "created_at" | "createdAt" => Self::Created,
            "unread_count" | "unreadCount" => Self::Unread,
            _ => match metadata {
                Some(key) if !key.is_empty() => Self::Metadata(key.to_owned()),
                _ => return Err(unknown(word)),
            },
        })
    }

    /// Reads the value, whatever shape it has.
    pub(super) fn value(&self, input: &mut Input<'_>) -> Parsed<Filter> {
        let begins = at(input);
        match next(input) {
            None | Some(')') => fail(input, "expected a value after \":\""),
            Some('(') => group(input, Some(self)),
            Some('[' | '{') => {
                let (from, to) = range(input)?;
                count(input, begins)?;
                self.between(&from, &to, begins)
            }
            Some('<' | '>' | '=') => {
                let (from, to) = comparison(input)?;
                count(input, begins)?;
                self.between(&from, &to, begins)
            }
            Some(c) => {
                let word = if c == '"' {
                    phrase(input)?
                } else {
                    term(input, &[])?
                };
                count(input, begins)?;
                self.is(&word)
            }
        }
    }

    /// That it is this word.
    pub(super) fn is(&self, word: &Word) -> Parsed<Filter> {
        Ok(match self {
            Self::Name if word.is_anything() => is(Condition::Named),
            Self::Tags if word.is_anything() => is(Condition::Tagged),
            Self::Metadata(key) if word.is_anything() => metadata(key, Value::Present),
            _ if word.is_anything() => Filter::Everything,
            Self::Id => is(Condition::Id(id(word)?)),
            Self::Channel => is(Condition::Channel(id(word)?)),
            Self::Tags => is(Condition::Tag(id(word)?)),
            Self::Source => is(Condition::Source(pattern(word, lower(word)))),
            Self::Name => {
                let words: Vec<&str> = word.text.split_whitespace().collect();
                if words.is_empty() {
                    return Err(word.fault("expected a word of a name"));
                }
                let name = words.join(" ").to_lowercase();
                is(Condition::Name(pattern(word, name)))
            }
            Self::Created | Self::Unread => self.span(self.number(word)?),
            Self::Metadata(key) => metadata(key, Value::Is(pattern(word, lower(word)))),
        })
    }

    /// That it is between these, in a range that begins at `begins`.
    fn between(&self, from: &End, to: &End, begins: usize) -> Parsed<Filter> {
        match self {
            Self::Created | Self::Unread => {
                let min = match from {
                    Bound::Included(word) => self.number(word)?.min,
                    Bound::Excluded(word) => self.number(word)?.max.map(|max| max + 1),
                    Bound::Unbounded => None,
                };
                let max = match to {
                    Bound::Included(word) => self.number(word)?.max,
                    Bound::Excluded(word) => self.number(word)?.min.map(|min| min - 1),
                    Bound::Unbounded => None,
                };
                Ok(self.span(Span { min, max }))
            }
            Self::Metadata(key) => Ok(metadata(key, values(from, to))),
            _ => Err(Fault {
                at: begins,
                why: "only created_at, unread_count and metadata.KEY have ranges".to_owned(),
            }),
        }
    }

    /// What a number or a time comes to: a day is many.
    fn number(&self, word: &Word) -> Parsed<Span> {
        match self {
            _ if word.is_open() => Err(word.fault("a number or a time has no wildcard")),
            Self::Unread => match word.text.parse::<u32>() {
                Ok(count) => Ok(Span {
                    min: Some(count.into()),
                    max: Some(count.into()),
                }),
                Err(_) => Err(word.fault("expected a whole number")),
            },
            _ => time(&word.text).ok_or_else(|| {
                word.fault(
                    "expected a time: 2026-11-24, 2026-11-24T08:00:00Z or milliseconds since 1970",
                )
            }),
        }
    }

    fn span(&self, span: Span) -> Filter {
        match self {
            _ if span.min.is_none() && span.max.is_none() => Filter::Everything,
            Self::Unread => is(Condition::Unread(span)),
            _ => is(Condition::Created(span)),
        }
    }
}

fn is(condition: Condition) -> Filter {
    Filter::Is(condition)
}

fn metadata(key: &str, value: Value) -> Filter {
    is(Condition::Metadata {
        key: key.to_owned(),
        value,
    })
}

fn unknown(word: &Word) -> Fault {
    word.fault(format!("there is no such field; there are {FIELDS}"))
}

fn id<T: FromStr>(word: &Word) -> Parsed<T> {
    if word.is_open() {
        return Err(word.fault("an id has no wildcard: expected a whole UUID"));
    }
    word.text.parse().map_err(|_| word.fault("expected a UUID"))
}

fn lower(word: &Word) -> String {
    word.text.to_lowercase()
}

fn pattern(word: &Word, text: String) -> Pattern {
    match (word.open_start, word.open_end) {
        (false, false) => Pattern::Whole(text),
        (false, true) => Pattern::Starts(text),
        (true, false) => Pattern::Ends(text),
        (true, true) => Pattern::Contains(text),
    }
}

/// `[a TO b]`, with a brace on the side whose end is left out.
fn range(input: &mut Input<'_>) -> Parsed<(End, End)> {
    let opened = at(input);
    let opening: char = one_of(['[', '{']).parse_next(input)?;
    let from = end(input)?;
    spaces(input)?;
    if !read(input, "TO")? {
        return fail(input, "expected TO, as in [2 TO 5]");
    }
    let to = end(input)?;
    spaces(input)?;
    let closing: Option<char> = opt(one_of([']', '}'])).parse_next(input)?;
    let Some(closing) = closing else {
        return Err(Fault {
            at: opened,
            why: "this range is not closed".to_owned(),
        });
    };
    Ok((bound(from, opening == '['), bound(to, closing == ']')))
}

/// An end of a range; `None` is an open one.
fn end(input: &mut Input<'_>) -> Parsed<Option<Word>> {
    spaces(input)?;
    let end = match next(input) {
        Some('"') => phrase(input)?,
        None | Some(']' | '}') => return fail(input, "expected an end of the range, or *"),
        Some(_) => term(input, &[])?,
    };
    if end.is_anything() {
        return Ok(None);
    }
    if end.is_open() {
        return Err(end.fault("an end of a range has no wildcard"));
    }
    Ok(Some(end))
}

fn bound(end: Option<Word>, included: bool) -> End {
    match end {
        None => Bound::Unbounded,
        Some(word) if included => Bound::Included(word),
        Some(word) => Bound::Excluded(word),
    }
}

/// `>5` and the like.
fn comparison(input: &mut Input<'_>) -> Parsed<(End, End)> {
    let operator: &str = alt((">=", "<=", ">", "<", "=")).parse_next(input)?;
    spaces(input)?;
    let word = match next(input) {
        None | Some(')') => return fail(input, format!("expected a value after {operator}")),
        Some('"') => phrase(input)?,
        Some(_) => term(input, &[])?,
    };
    if word.is_open() {
        return Err(word.fault("what is compared with has no wildcard"));
    }
    Ok(match operator {
        ">=" => (Bound::Included(word), Bound::Unbounded),
        "<=" => (Bound::Unbounded, Bound::Included(word)),
        ">" => (Bound::Excluded(word), Bound::Unbounded),
        "<" => (Bound::Unbounded, Bound::Excluded(word)),
        _ => {
            let text = word.text.clone();
            let same = Word { text, ..word };
            (Bound::Included(same), Bound::Included(word))
        }
    })
}

/// A range of values: of numbers, if its ends are.
fn values(from: &End, to: &End) -> Value {
    match (numeric(from), numeric(to)) {
        (Some(Bound::Unbounded), Some(Bound::Unbounded)) => Value::Present,
        (Some(from), Some(to)) => Value::Numbers(from, to),
        _ => {
            let text = |end: &End| end.as_ref().map(lower);
            Value::Texts(text(from), text(to))
        }
    }
}

/// The end as a number. What is quoted is meant as a text.
fn numeric(end: &End) -> Option<Bound<f64>> {
    let number = |word: &Word| {
        let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
        let is_plain = !word.is_quoted && word.text.chars().all(digits);
        let number: Option<f64> = word.text.parse().ok();
        number.filter(|number| is_plain && number.is_finite())
    };
    Some(match end {
        Bound::Included(word) => Bound::Included(number(word)?),
        Bound::Excluded(word) => Bound::Excluded(number(word)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// The milliseconds of a time, or of a day.
fn time(text: &str) -> Option<Span> {
    let from = |at: Timestamp, more_ms: i64| Span {
        min: Some(at.as_millisecond()),
        max: Some(at.as_millisecond() + more_ms),
    };
    if text.len() == "2026-11-24".len()
        && let Ok(date) = text.parse::<Date>()
    {
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
        return Some(from(midnight, DAY_MS - 1));
    }
    let at = match text.parse::<i64>() {
        Ok(ms) => Timestamp::from_millisecond(ms).ok()?,
        Err(_) => text.parse().ok()?,
    };
    Some(from(at, 0))
}
