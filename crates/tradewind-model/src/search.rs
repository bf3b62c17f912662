//! What is looked for in messages: words, beginnings of words, and phrases.
//!
//! A word is a run of letters and digits, in lower case. Both the text of a message and what is looked for
//! are taken apart here, so that no database has its own opinion of what a word is.

use crate::filter::{SyntaxError, words};

/// Bytes of a search's text.
pub const SEARCH_BYTES_MAX: usize = 1_024;
/// Words and phrases of a search.
pub const TERMS_MAX: usize = 16;
/// Characters of a word that count.
pub const WORD_CHARS_MAX: usize = 64;
/// Bytes of a message's text that are looked at.
pub const SEARCHED_BYTES_MAX: usize = 256 << 10;

/// What has to be in a message: all of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub terms: Vec<Term>,
}

/// Words, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// One at least.
    pub words: Vec<String>,
    /// The last one is the beginning of a word.
    pub open_end: bool,
}

impl Search {
    /// Reads a search. It has a word at least.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let fault = |at, why: String| SyntaxError::at(text, at, why);
        if text.len() > SEARCH_BYTES_MAX {
            let why = format!("a search has at most {SEARCH_BYTES_MAX} bytes");
            return Err(fault(text.len(), why));
        }
        let mut terms = Vec::new();
        for word in words(text).map_err(|it| fault(it.at, it.why))? {
            if terms.len() == TERMS_MAX {
                let why = format!("a search has at most {TERMS_MAX} words and phrases");
                return Err(fault(word.at, why));
            }
            let words = words_of(&word.text);
            if words.is_empty() {
                return Err(fault(word.at, "expected a letter or a digit".to_owned()));
            }
            terms.push(Term {
                words,
                open_end: word.open_end,
            });
        }
        if terms.is_empty() {
            return Err(fault(text.len(), "expected a word".to_owned()));
        }
        Ok(Self { terms })
    }

    /// Whether it is enough that a message has all the words, wherever they are.
    pub fn is_of_words(&self) -> bool {
        self.terms.iter().all(|term| term.words.len() == 1)
    }

    /// Whether a message with this text is one of those looked for.
    pub fn matches(&self, text: &str) -> bool {
        let said = words_of(text);
        self.terms.iter().all(|term| term.is_in(&said))
    }
}

impl Term {
    fn is_in(&self, said: &[String]) -> bool {
        let Some((last, before)) = self.words.split_last() else {
            return true;
        };
        said.windows(self.words.len()).any(|window| {
            window.split_last().is_some_and(|(end, start)| {
                let ends = end == last || (self.open_end && end.starts_with(last.as_str()));
                ends && start == before
            })
        })
    }
}

/// The words of a text, in order.
pub fn words_of(text: &str) -> Vec<String> {
    let end = text.floor_char_boundary(SEARCHED_BYTES_MAX);
    let (text, _) = text.split_at(end);
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SEARCH_BYTES_MAX, Search, TERMS_MAX, words_of};

    fn found(search: &str, text: &str) -> bool {
        Search::parse(search).unwrap().matches(text)
    }

    #[test]
    fn a_word_is_a_run_of_letters_and_digits() {
        assert_eq!(words_of("Grüße, Ada-42! Ж"), ["grüße", "ada", "42", "ж"]);
        assert_eq!(words_of(" .,"), Vec::<String>::new());
    }

    #[test]
    fn all_words_have_to_occur() {
        assert!(found("order LATE", "My order is late."));
        assert!(!found("order early", "My order is late."));
        assert!(!found("ord", "My order is late."));
        assert!(found("ord*", "My order is late."));
        assert!(!found("rder*", "My order is late."));
        assert!(found("ÜBER*", "überall"));
    }

    #[test]
    fn a_phrase_is_words_one_after_the_other() {
        assert!(found("\"order is\"", "My order is late."));
        assert!(!found("\"order late\"", "My order is late."));
        assert!(found("order-is", "My order is late."));
        assert!(found("is-la*", "My order is late."));
        assert!(!found("my-la*", "My order is late."));
    }

    #[test]
    fn an_error_says_where_it_is() {
        let error = |text: &str| Search::parse(text).unwrap_err().to_string();
        assert_eq!(error(" "), "at character 2, the end: expected a word");
        assert_eq!(
            error("a \"b"),
            "at character 3, `\"b`: this quote is not closed"
        );
        assert_eq!(
            error("ü *"),
            "at character 3, `*`: expected a letter or a digit"
        );
        assert!(error(&"a ".repeat(TERMS_MAX + 1)).contains("at most 16 words"));
        assert!(error(&"a".repeat(SEARCH_BYTES_MAX + 1)).contains("at most 1024 bytes"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_text_has_its_own_words(text in ".{0,40}") {
            if let Ok(search) = Search::parse(&text.replace(['"', '\\'], " ")) {
                prop_assert!(search.matches(&text));
            }
        }
    }
}
