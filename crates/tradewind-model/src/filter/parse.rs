//! Reads the text of a filter.
//!
//! There is nothing to try twice: at each place the next character says what comes, so an error is about
//! the first character that cannot stand where it does. Operators are read here, words in [`word`]; what a
//! clause's value means is said in [`value`].

mod value;
mod word;

use winnow::{
    LocatingSlice, Parser as _, Stateful,
    combinator::opt,
    error::ParserError,
    stream::Location as _,
    token::{any, literal, take_while},
};

use super::{CLAUSES_MAX, FILTER_BYTES_MAX, Filter, NESTING_MAX, SyntaxError};
use value::Field;
pub(crate) use word::words;
use word::{Word, phrase, term};

type Input<'a> = Stateful<LocatingSlice<&'a str>, Bounds>;
type Parsed<T> = Result<T, Fault>;

/// How much of what is bounded was read.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    depth: usize,
    clauses: usize,
}

/// What is wrong, and with the character at which byte.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) why: String,
}

/// What stands before a clause.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    None,
    Plus,
    Minus,
}

/// Clauses side by side.
#[derive(Default)]
struct List {
    required: Vec<Filter>,
    excluded: Vec<Filter>,
    optional: Vec<Filter>,
}

pub(super) fn filter(text: &str) -> Result<Filter, SyntaxError> {
    if text.len() > FILTER_BYTES_MAX {
        let why = format!("a filter has at most {FILTER_BYTES_MAX} bytes");
        return Err(SyntaxError::at(text, text.len(), why));
    }
    let mut input = input(text);
    let parsed = list(&mut input, None).and_then(|filter| match next(&input) {
        None => Ok(filter),
        Some(_) => fail(&input, "there is no \"(\" that this closes"),
    });
    parsed.map_err(|fault| SyntaxError::at(text, fault.at, fault.why))
}

fn input(text: &str) -> Input<'_> {
    Input {
        input: LocatingSlice::new(text),
        state: Bounds::default(),
    }
}

/// Clauses up to the end or a closing parenthesis. Those without a field are about `within`.
fn list(input: &mut Input<'_>, within: Option<&Field>) -> Parsed<Filter> {
    let mut list = List::default();
    let mut joined = false;
    loop {
        let (sign, filter) = conjunction(input, within)?;
        let goes_on = operator(input, "OR", "||")?;
        match sign {
            Sign::Plus => list.required.push(filter),
            // Beside an `OR` it says what it says; otherwise it takes away from the others.
            Sign::Minus if joined || goes_on => list.optional.push(not(filter)),
            Sign::Minus => list.excluded.push(not(filter)),
            Sign::None => list.optional.push(filter),
        }
        joined = goes_on;
        if !joined && matches!(next(input), None | Some(')')) {
            return Ok(list.filter());
        }
    }
}

/// Clauses joined by `AND`. The sign is left to the caller if there is one clause only.
fn conjunction(input: &mut Input<'_>, within: Option<&Field>) -> Parsed<(Sign, Filter)> {
    let (sign, first) = signed(input, within)?;
    if !operator(input, "AND", "&&")? {
        return Ok((sign, first));
    }
    let plain = |(sign, filter)| {
        if sign == Sign::Minus {
            not(filter)
        } else {
            filter
        }
    };
    let mut filters = vec![plain((sign, first))];
    loop {
        filters.push(plain(signed(input, within)?));
        if !operator(input, "AND", "&&")? {
            return Ok((Sign::None, Filter::All(filters)));
        }
    }
}

fn signed(input: &mut Input<'_>, within: Option<&Field>) -> Parsed<(Sign, Filter)> {
    let mut sign = Sign::None;
    loop {
        spaces(input)?;
        if operator(input, "NOT", "!")? || read(input, "-")? {
            sign = if sign == Sign::Minus {
                Sign::None
            } else {
                Sign::Minus
            };
        } else if !read(input, "+")? {
            break;
        } else if sign == Sign::None {
            sign = Sign::Plus;
        }
    }
    Ok((sign, primary(input, within)?))
}

fn primary(input: &mut Input<'_>, within: Option<&Field>) -> Parsed<Filter> {
    for keyword in ["AND", "OR", "&&", "||"] {
        if is_keyword(input, keyword) {
            return fail(input, format!("expected a clause before {keyword}"));
        }
    }
    match (next(input), within) {
        (None | Some(')' | ':'), _) => fail(input, "expected a clause"),
        (Some('('), _) => group(input, within),
        (Some('[' | '{' | '<' | '>' | '='), Some(field)) => field.value(input),
        (Some('[' | '{' | '<' | '>' | '='), None) => fail(
            input,
            "expected a field before this, as in created_at:>2026-11-24",
        ),
        (Some('"'), _) => {
            let phrase = phrase(input)?;
            clause(input, within, &phrase)
        }
        (Some(_), _) => {
            let word = term(input, &[':'])?;
            if next(input) != Some(':') {
                return clause(input, within, &word);
            }
            let field = Field::parse(&word)?;
            read(input, ":")?;
            spaces(input)?;
            field.value(input)
        }
    }
}

/// What stands in parentheses.
fn group(input: &mut Input<'_>, within: Option<&Field>) -> Parsed<Filter> {
    if input.state.depth == NESTING_MAX {
        let why = format!("parentheses are nested at most {NESTING_MAX} deep");
        return fail(input, why);
    }
    let opened = at(input);
    read(input, "(")?;
    input.state.depth += 1;
    let filter = list(input, within)?;
    input.state.depth -= 1;
    if !read(input, ")")? {
        return Err(Fault {
            at: opened,
            why: "this \"(\" is not closed".to_owned(),
        });
    }
    Ok(filter)
}

/// A clause of one word or phrase.
fn clause(input: &mut Input<'_>, within: Option<&Field>, word: &Word) -> Parsed<Filter> {
    count(input, word.at)?;
    match within {
        Some(field) => field.is(word),
        None => value::bare(word),
    }
}

/// Makes sure that there is room for one more clause, which begins there.
fn count(input: &mut Input<'_>, at: usize) -> Parsed<()> {
    if input.state.clauses == CLAUSES_MAX {
        return Err(Fault {
            at,
            why: format!("a filter has at most {CLAUSES_MAX} clauses"),
        });
    }
    input.state.clauses += 1;
    Ok(())
}

/// Whether this operator comes next, which is read then.
fn operator(input: &mut Input<'_>, keyword: &'static str, sign: &'static str) -> Parsed<bool> {
    spaces(input)?;
    for operator in [keyword, sign] {
        if is_keyword(input, operator) {
            read(input, operator)?;
            spaces(input)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether this word comes next, and not only the beginning of another one.
fn is_keyword(input: &Input<'_>, keyword: &str) -> bool {
    input.strip_prefix(keyword).is_some_and(|rest| {
        let goes_on = |c: char| !word::is_end(c) && !matches!(c, '+' | '-' | '!');
        !keyword.starts_with(char::is_alphabetic) || !rest.starts_with(goes_on)
    })
}

/// Reads this text if it comes next.
fn read(input: &mut Input<'_>, text: &'static str) -> Parsed<bool> {
    let found: Option<&str> = opt(literal(text)).parse_next(input)?;
    Ok(found.is_some())
}

fn read_char(input: &mut Input<'_>) -> Parsed<Option<char>> {
    opt(any).parse_next(input)
}

fn spaces(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., char::is_whitespace)
        .void()
        .parse_next(input)
}

fn next(input: &Input<'_>) -> Option<char> {
    input.chars().next()
}

fn at(input: &Input<'_>) -> usize {
    input.current_token_start()
}

fn fail<T>(input: &Input<'_>, why: impl Into<String>) -> Parsed<T> {
    Err(Fault {
        at: at(input),
        why: why.into(),
    })
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

/// All of these, or any of them, if they are more than one.
fn several(mut filters: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        Some(last) => {
            filters.push(last);
            many(filters)
        }
        None => Filter::Everything,
    }
}

impl List {
    fn filter(mut self) -> Filter {
        // What must be there decides alone: the others could only change an order that lists do not have.
        if self.required.is_empty() && !self.optional.is_empty() {
            self.required.push(several(self.optional, Filter::Any));
        }
        self.required.extend(self.excluded);
        several(self.required, Filter::All)
    }
}

impl<'a> ParserError<Input<'a>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        Self {
            at: at(input),
            why: "this cannot stand here".to_owned(),
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}
