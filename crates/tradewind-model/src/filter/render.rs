//! A filter as text, which parses to the same filter.

use std::{
    fmt::{self, Display, Formatter, Write as _},
    ops::Bound,
};

use super::{Condition, Filter, Pattern, Span, Value};

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*:*"),
            Self::Is(condition) => condition.fmt(f),
            Self::Not(filter) => write!(f, "NOT ({filter})"),
            Self::All(filters) => joined(f, filters, " AND "),
            Self::Any(filters) => joined(f, filters, " OR "),
        }
    }
}

fn joined(f: &mut Formatter<'_>, filters: &[Filter], operator: &str) -> fmt::Result {
    for (place, filter) in filters.iter().enumerate() {
        if place > 0 {
            f.write_str(operator)?;
        }
        match filter {
            Filter::Everything | Filter::Is(_) => filter.fmt(f)?,
            _ => write!(f, "({filter})")?,
        }
    }
    Ok(())
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id:{id}"),
            Self::Channel(id) => write!(f, "channel_id:{id}"),
            Self::Source(pattern) => write!(f, "source:{pattern}"),
            Self::Tag(id) => write!(f, "tag_ids:{id}"),
            Self::Tagged => f.write_str("tag_ids:*"),
            Self::Name(pattern) => write!(f, "display_name:{pattern}"),
            Self::Named => f.write_str("display_name:*"),
            Self::Created(span) => write!(f, "created_at:{span}"),
            Self::Unread(span) => write!(f, "unread_count:{span}"),
            Self::Metadata { key, value } => {
                f.write_str("metadata.")?;
                escaped(f, key)?;
                write!(f, ":{value}")
            }
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Self::Whole(text) = self {
            return quoted(f, text);
        }
        if let Self::Ends(_) | Self::Contains(_) = self {
            f.write_char('*')?;
        }
        escaped(f, self.text())?;
        if let Self::Starts(_) | Self::Contains(_) = self {
            f.write_char('*')?;
        }
        Ok(())
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let end = |end: Option<i64>| end.map_or_else(|| "*".to_owned(), |end| end.to_string());
        write!(f, "[{} TO {}]", end(self.min), end(self.max))
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_char('*'),
            Self::Is(pattern) => pattern.fmt(f),
            Self::Texts(from, to) => range(f, (from, to), |f, text| quoted(f, text)),
            Self::Numbers(from, to) => range(f, (from, to), |f, number| number.fmt(f)),
        }
    }
}

fn range<T>(
    f: &mut Formatter<'_>,
    (from, to): (&Bound<T>, &Bound<T>),
    write: fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    let end = |f: &mut Formatter<'_>, end: &Bound<T>| match end {
        Bound::Included(value) | Bound::Excluded(value) => write(f, value),
        Bound::Unbounded => f.write_char('*'),
    };
    let is_excluded = |end: &Bound<T>| matches!(end, Bound::Excluded(_));
    f.write_char(if is_excluded(from) { '{' } else { '[' })?;
    end(f, from)?;
    f.write_str(" TO ")?;
    end(f, to)?;
    f.write_char(if is_excluded(to) { '}' } else { ']' })
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let inner = text.replace('\\', "\\\\").replace('"', "\\\"");
    write!(f, "\"{inner}\"")
}

/// All that could mean something is escaped.
fn escaped(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if !c.is_alphanumeric() && c != '_' && c != '.' {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    Ok(())
}
