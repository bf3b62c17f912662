//! Words and phrases: their escapes, their wildcards, and where they end.

use winnow::{Parser as _, token::take_while};

use super::{Fault, Input, Parsed, at, fail, input, next, read_char, spaces};

/// A term, or a phrase in quotes.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) at: usize,
    /// Without its escapes and wildcards.
    pub(crate) text: String,
    /// It had a wildcard before its text, or after it.
    pub(crate) open_start: bool,
    pub(crate) open_end: bool,
    pub(crate) is_quoted: bool,
}

impl Word {
    pub(super) fn is_open(&self) -> bool {
        self.open_start || self.open_end
    }

    /// A wildcard alone.
    pub(super) fn is_anything(&self) -> bool {
        self.is_open() && self.text.is_empty()
    }

    pub(crate) fn fault(&self, why: impl Into<String>) -> Fault {
        Fault {
            at: self.at,
            why: why.into(),
        }
    }
}

/// A phrase in quotes.
pub(super) fn phrase(input: &mut Input<'_>) -> Parsed<Word> {
    let opened = at(input);
    read_char(input)?;
    let mut text = String::new();
    loop {
        match read_char(input)? {
            None => {
                return Err(Fault {
                    at: opened,
                    why: "this quote is not closed".to_owned(),
                });
            }
            Some('"') => break,
            Some('\\') => text.push(escaped(input)?),
            Some(c) => text.push(c),
        }
    }
    no_suffix(input)?;
    Ok(Word {
        at: opened,
        text,
        open_start: false,
        open_end: false,
        is_quoted: true,
    })
}

/// A term, which ends before a blank, a bracket, a quote or one of `ends`.
pub(super) fn term(input: &mut Input<'_>, ends: &[char]) -> Parsed<Word> {
    let mut word = Word {
        at: at(input),
        text: String::new(),
        open_start: false,
        open_end: false,
        is_quoted: false,
    };
    let mut star = word.at;
    while let Some(c) = next(input) {
        if is_end(c) || ends.contains(&c) {
            break;
        }
        if word.open_end && c != '*' {
            return Err(Fault {
                at: star,
                why: "a wildcard stands at the beginning or the end of a term only".to_owned(),
            });
        }
        no_suffix(input)?;
        star = at(input);
        read_char(input)?;
        match c {
            '*' if word.text.is_empty() => word.open_start = true,
            '*' => word.open_end = true,
            '\\' => word.text.push(escaped(input)?),
            c => word.text.push(c),
        }
    }
    if word.at == at(input) {
        return fail(input, "expected a word");
    }
    Ok(word)
}

/// Refuses what Lucene knows and this does not.
fn no_suffix(input: &Input<'_>) -> Parsed<()> {
    match next(input) {
        Some('^') => fail(input, "there are no boosts; a ^ in a text is written \\^"),
        Some('~') => fail(
            input,
            "there are no fuzzy terms; a ~ in a text is written \\~",
        ),
        Some('?') => fail(
            input,
            "there is no wildcard but *; a ? in a text is written \\?",
        ),
        _ => Ok(()),
    }
}

fn escaped(input: &mut Input<'_>) -> Parsed<char> {
    match read_char(input)? {
        Some(c) => Ok(c),
        None => fail(input, "expected a character after the \\"),
    }
}

pub(super) fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '"')
}

/// Words and phrases up to the end: what is searched for.
pub(crate) fn words(text: &str) -> Result<Vec<Word>, Fault> {
    let mut input = input(text);
    let mut words = Vec::new();
    loop {
        spaces(&mut input)?;
        match next(&input) {
            None => return Ok(words),
            Some('"') => words.push(phrase(&mut input)?),
            Some(_) => words.push(loose(&mut input)?),
        }
    }
}

/// A word of a search, in which only a blank, a quote and a wildcard at the end mean something.
fn loose(input: &mut Input<'_>) -> Parsed<Word> {
    let begins = at(input);
    let ends = |c: char| !c.is_whitespace() && c != '"';
    let text: &str = take_while(1.., ends).parse_next(input)?;
    let plain = text.trim_end_matches('*');
    Ok(Word {
        at: begins,
        text: plain.to_owned(),
        open_start: false,
        open_end: plain.len() < text.len(),
        is_quoted: false,
    })
}
