//! Turns a filter into the parts of statements.
//!
//! A filter is compiled twice. As a *condition* on a conversation `c`, which says exactly who matches. And,
//! where it allows that, as *candidates*: rows found by an index, few of which the condition still refuses.
//! Whether that is the way to go is known once the candidates are counted, up to a limit.
//!
//! What the two databases say alike is here; where they differ, a [`Dialect`] says it. Values are always
//! bound, never written into a statement.

mod candidates;

use std::{collections::BTreeSet, fmt::Write as _, ops::Bound};

use tradewind_model::filter::{Condition, Filter, Pattern, Span, Value as Asked};
use uuid::Uuid;

use crate::conversations::{FOLDED_CHARS_MAX, without_zero};
use candidates::Candidates;

/// Candidates beyond which the list is walked instead.
pub(crate) const CANDIDATES_MAX: u64 = 10_000;
/// Parts of a name that are looked up at once: the condition sees to the rest.
const PARTS_MAX: usize = 24;
/// Parameters that every statement has before those of the filter.
const OWN_PARAMETERS: usize = 2;

/// A value that a statement is given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Real(f64),
    Text(String),
    Texts(Vec<String>),
    Id(Uuid),
}

/// How a database says it.
pub(crate) trait Dialect {
    fn parameter(number: usize) -> String;

    /// An operator that compares texts by their bytes.
    fn by_bytes(operator: &'static str) -> &'static str;

    /// Whether `d.folded` is a number, and that number.
    const IS_NUMBER: &'static str;
    const NUMBER: &'static str;

    /// What finds the rows of names that have all these parts; `None`: it has to be done without.
    fn named(parts: Vec<String>) -> Option<(&'static str, Value)>;
}

/// A filter in parts of SQL. Their parameters come after the statement's own two.
pub(crate) struct Compiled {
    pub(crate) condition: String,
    pub(crate) values: Vec<Value>,
    /// Each selects rows of conversations.
    pub(crate) leaves: Vec<String>,
    candidates: Candidates,
}

impl Compiled {
    pub(crate) fn of<D: Dialect>(filter: &Filter) -> Self {
        let mut compiler = Compiler::<D>::default();
        let candidates = compiler.candidates(filter);
        compiler.text.clear();
        compiler.condition(filter);
        Self {
            condition: compiler.text,
            values: compiler.values,
            leaves: compiler.leaves,
            candidates,
        }
    }

    /// Counts the candidates of each leaf, up to one more than is of use. `None`: there are no leaves.
    pub(crate) fn counts(&self) -> Option<String> {
        if !self.has_candidates() {
            return None;
        }
        let limit = CANDIDATES_MAX + 1;
        let count = |leaf| format!("(SELECT COUNT(*) FROM ({leaf} LIMIT {limit}) k)");
        let counts: Vec<String> = self.leaves.iter().map(count).collect();
        Some(format!("SELECT {}", counts.join(", ")))
    }

    /// Selects the rows of the fewest candidates, of the leaves with these counts, each once. `None`: they
    /// are too many.
    pub(crate) fn fewest(&self, counts: &[u64]) -> Option<String> {
        let leaves = self.fewest_leaves(counts)?;
        let leaf = |leaf: &usize| self.leaves.get(*leaf).map(String::as_str);
        let leaves: Vec<&str> = leaves.iter().filter_map(leaf).collect();
        let all = leaves.join(" UNION ALL ");
        Some(format!("SELECT DISTINCT row FROM ({all}) l"))
    }

    /// The leaves that have the fewest candidates together. `None`: they are too many.
    pub(crate) fn fewest_leaves(&self, counts: &[u64]) -> Option<Vec<usize>> {
        let (count, leaves) = self.candidates.fewest(counts)?;
        (count <= CANDIDATES_MAX).then_some(leaves)
    }

    /// Whether some index has candidates.
    pub(crate) fn has_candidates(&self) -> bool {
        !matches!(self.candidates, Candidates::Unknown)
    }
}

struct Compiler<D> {
    text: String,
    values: Vec<Value>,
    leaves: Vec<String>,
    dialect: std::marker::PhantomData<D>,
}

impl<D> Default for Compiler<D> {
    fn default() -> Self {
        Self {
            text: String::new(),
            values: Vec::new(),
            leaves: Vec::new(),
            dialect: std::marker::PhantomData,
        }
    }
}

impl<D: Dialect> Compiler<D> {
    fn candidates(&mut self, filter: &Filter) -> Candidates {
        match filter {
            Filter::Everything | Filter::Not(_) => Candidates::Unknown,
            Filter::Is(condition) => {
                self.text.clear();
                if !self.leaf(condition) {
                    return Candidates::Unknown;
                }
                self.leaves.push(self.text.clone());
                Candidates::Leaf(self.leaves.len() - 1)
            }
            Filter::All(filters) => {
                let mut several: Vec<_> = filters.iter().map(|it| self.candidates(it)).collect();
                several.retain(|one| !matches!(one, Candidates::Unknown));
                if several.is_empty() {
                    return Candidates::Unknown;
                }
                Candidates::Best(several)
            }
            Filter::Any(filters) => {
                let several: Vec<_> = filters.iter().map(|it| self.candidates(it)).collect();
                if several.iter().any(|it| matches!(it, Candidates::Unknown)) {
                    return Candidates::Unknown;
                }
                Candidates::Each(several)
            }
        }
    }

    /// Writes what selects the candidates of one clause; `false`: there is no index for it.
    fn leaf(&mut self, condition: &Condition) -> bool {
        match condition {
            Condition::Id(_) => self.rows_where(condition),
            Condition::Channel(_) | Condition::Source(_) | Condition::Created(_) => {
                self.rows_where(condition);
            }
            Condition::Unread(_) => return false,
            Condition::Named => {
                self.text("SELECT row FROM conversation WHERE contact_folded IS NOT NULL");
            }
            Condition::Name(pattern) => match D::named(parts(&padded(pattern))) {
                Some((selects, value)) => {
                    self.text(selects);
                    self.value(value);
                }
                None => self.rows_where(condition),
            },
            Condition::Tag(id) => {
                self.text("SELECT conversation_row AS row FROM conversation_tag WHERE tag_id = ");
                self.value(Value::Id(id.uuid()));
            }
            Condition::Tagged => self.text("SELECT conversation_row AS row FROM conversation_tag"),
            Condition::Metadata { key, value } => {
                self.text("SELECT d.conversation_row AS row FROM metadata d WHERE d.key = ");
                self.value(Value::Text(key.clone()));
                // What the index does not order is left to the condition.
                match value {
                    Asked::Is(Pattern::Whole(_) | Pattern::Starts(_)) | Asked::Texts(..) => {
                        self.text(" AND ");
                        self.asked(value);
                    }
                    Asked::Is(_) | Asked::Present | Asked::Numbers(..) => {}
                }
            }
        }
        true
    }

    fn rows_where(&mut self, condition: &Condition) {
        self.text("SELECT c.row FROM conversation c WHERE ");
        self.clause(condition);
    }

    fn condition(&mut self, filter: &Filter) {
        match filter {
            Filter::Everything => self.text("TRUE"),
            Filter::Is(condition) => self.clause(condition),
            Filter::Not(filter) => {
                self.text("NOT (");
                self.condition(filter);
                self.text(")");
            }
            Filter::All(filters) => self.joined(filters, " AND "),
            Filter::Any(filters) => self.joined(filters, " OR "),
        }
    }

    fn joined(&mut self, filters: &[Filter], operator: &str) {
        self.text("(");
        for (place, filter) in filters.iter().enumerate() {
            if place > 0 {
                self.text(operator);
            }
            self.condition(filter);
        }
        self.text(")");
    }

    /// Writes what is true or false of any conversation `c`, never unknown.
    fn clause(&mut self, condition: &Condition) {
        match condition {
            Condition::Id(id) => self.compared("c.id = ", Value::Id(id.uuid())),
            Condition::Channel(id) => {
                self.text("c.channel_row IN (SELECT row FROM channel WHERE id = ");
                self.value(Value::Id(id.uuid()));
                self.text(")");
            }
            Condition::Source(pattern) => {
                self.text("c.channel_row IN (SELECT row FROM channel WHERE ");
                self.pattern("source", pattern);
                self.text(")");
            }
            Condition::Tag(id) => {
                self.text("EXISTS (SELECT 1 FROM conversation_tag t WHERE t.conversation_row = c.row AND t.tag_id = ");
                self.value(Value::Id(id.uuid()));
                self.text(")");
            }
            Condition::Tagged => self
                .text("EXISTS (SELECT 1 FROM conversation_tag t WHERE t.conversation_row = c.row)"),
            Condition::Name(pattern) => {
                self.text("(c.contact_folded IS NOT NULL AND ' ' || c.contact_folded || ' ' LIKE ");
                let inside = escaped(&padded(pattern));
                self.value(Value::Text(format!("%{inside}%")));
                self.text(" ESCAPE '\\')");
            }
            Condition::Named => self.text("c.contact_folded IS NOT NULL"),
            Condition::Created(span) => self.span("c.created_at_ms", *span),
            Condition::Unread(span) => self.span("c.unread_count", *span),
            Condition::Metadata { key, value } => {
                self.text("EXISTS (SELECT 1 FROM metadata d WHERE d.conversation_row = c.row AND d.key = ");
                self.value(Value::Text(key.clone()));
                self.text(" AND ");
                self.asked(value);
                self.text(")");
            }
        }
    }

    fn asked(&mut self, value: &Asked) {
        match value {
            Asked::Present => self.text("TRUE"),
            Asked::Is(pattern) => self.pattern("d.folded", pattern),
            Asked::Texts(from, to) => {
                self.text("TRUE");
                let text = |text: &String| Value::Text(without_zero(text));
                self.end(
                    "d.folded",
                    (D::by_bytes(">="), D::by_bytes(">")),
                    from.as_ref().map(text),
                );
                self.end(
                    "d.folded",
                    (D::by_bytes("<="), D::by_bytes("<")),
                    to.as_ref().map(text),
                );
            }
            Asked::Numbers(from, to) => {
                let real = |number: &f64| Value::Real(*number);
                let _ = write!(self.text, "CASE WHEN {} THEN TRUE", D::IS_NUMBER);
                self.end(D::NUMBER, (">=", ">"), from.as_ref().map(real));
                self.end(D::NUMBER, ("<=", "<"), to.as_ref().map(real));
                self.text(" ELSE FALSE END");
            }
        }
    }

    fn end(&mut self, of: &str, (with, without): (&str, &str), end: Bound<Value>) {
        let (operator, value) = match end {
            Bound::Included(value) => (with, value),
            Bound::Excluded(value) => (without, value),
            Bound::Unbounded => return,
        };
        self.compared(&format!(" AND {of} {operator} "), value);
    }

    /// Writes that a text of the beginning of a value, or of a source, is like this.
    fn pattern(&mut self, of: &str, pattern: &Pattern) {
        let text = without_zero(pattern.text());
        let like = match pattern {
            Pattern::Whole(_) => {
                let kept = text.chars().take(FOLDED_CHARS_MAX).collect();
                return self.compared(&format!("{of} = "), Value::Text(kept));
            }
            Pattern::Starts(_) => {
                let least = D::by_bytes(">=");
                self.compared(&format!("{of} {least} "), Value::Text(text.clone()));
                // No text that begins so goes on with a greater character.
                let beyond = format!("{text}\u{10ffff}");
                let less = D::by_bytes("<");
                return self.compared(&format!(" AND {of} {less} "), Value::Text(beyond));
            }
            Pattern::Ends(_) => format!("%{}", escaped(&text)),
            Pattern::Contains(_) => format!("%{}%", escaped(&text)),
        };
        self.compared(&format!("{of} LIKE "), Value::Text(like));
        self.text(" ESCAPE '\\'");
    }

    fn span(&mut self, of: &str, span: Span) {
        self.text("(TRUE");
        if let Some(min) = span.min {
            self.compared(&format!(" AND {of} >= "), Value::Number(min));
        }
        if let Some(max) = span.max {
            self.compared(&format!(" AND {of} <= "), Value::Number(max));
        }
        self.text(")");
    }

    fn compared(&mut self, with: &str, value: Value) {
        self.text(with);
        self.value(value);
    }

    fn value(&mut self, value: Value) {
        self.values.push(value);
        let number = self.values.len() + OWN_PARAMETERS;
        self.text(&D::parameter(number));
    }

    fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

/// The text with blanks where a word of a name has to begin or to end.
fn padded(pattern: &Pattern) -> String {
    let text = without_zero(pattern.text());
    match pattern {
        Pattern::Whole(_) => format!(" {text} "),
        Pattern::Starts(_) => format!(" {text}"),
        Pattern::Ends(_) => format!("{text} "),
        Pattern::Contains(_) => text,
    }
}

/// The runs of three characters in a text.
fn parts(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let parts = chars.windows(3).map(|part| part.iter().collect());
    // Without the character that is not stored as it is everywhere.
    let parts = parts.filter(|part: &String| !part.contains('\u{1a}'));
    let parts: BTreeSet<String> = parts.collect();
    parts.into_iter().take(PARTS_MAX).collect()
}

/// A text in which `LIKE` finds no wildcard.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}
