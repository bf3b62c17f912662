//! What matches a filter.

use std::collections::HashSet;

use rusqlite::{
    Connection, Params, Row, Statement, ToSql, params_from_iter,
    types::{ToSqlOutput, Value as Column},
};
use tradewind_model::Filter;

use super::row::get;
use crate::{
    StoreError,
    filter::{CANDIDATES_MAX, Compiled, Dialect, Value},
    page::{integer, row_limit},
    walk::{Sorted, Spot},
};

/// `SQLite`'s own ways.
struct Sqlite;

impl Dialect for Sqlite {
    fn parameter(number: usize) -> String {
        format!("?{number}")
    }

    fn by_bytes(operator: &'static str) -> &'static str {
        operator
    }

    const IS_NUMBER: &'static str = "(d.folded GLOB '[0-9]*' OR d.folded GLOB '-[0-9]*') \
         AND substr(d.folded, 2) NOT GLOB '*[^0-9.]*' AND d.folded NOT GLOB '*.*.*'";
    const NUMBER: &'static str = "CAST(d.folded AS REAL)";

    fn named(parts: Vec<String>) -> Option<(&'static str, Value)> {
        let quoted = |part: &String| format!("\"{}\"", part.replace('"', "\"\""));
        let quoted: Vec<String> = parts.iter().map(quoted).collect();
        (!quoted.is_empty()).then(|| {
            let query = Value::Text(quoted.join(" AND "));
            let selects = "SELECT rowid AS row FROM contact_name WHERE contact_name MATCH ";
            (selects, query)
        })
    }
}

/// The conversations that match a filter, as one transaction sees them.
pub(super) struct Matches<'d> {
    db: &'d Connection,
    compiled: Compiled,
    /// All of them, if they are few.
    few: Option<Sorted>,
}

impl<'d> Matches<'d> {
    pub(super) fn of(db: &'d Connection, filter: &Filter) -> Result<Self, StoreError> {
        let compiled = Compiled::of::<Sqlite>(filter);
        let mut matches = Self {
            db,
            compiled,
            few: None,
        };
        matches.few = matches.few()?;
        Ok(matches)
    }

    /// Each leaf is read once, as some have to look at all names.
    fn few(&self) -> Result<Option<Sorted>, StoreError> {
        if !self.compiled.has_candidates() {
            return Ok(None);
        }
        let leaves = self.compiled.leaves.iter();
        let mut found = leaves
            .map(|leaf| self.candidates(leaf))
            .collect::<Result<Vec<_>, _>>()?;
        let counts: Vec<u64> = found.iter().map(|rows| count(rows)).collect();
        let Some(leaves) = self.compiled.fewest_leaves(&counts) else {
            return Ok(None);
        };
        let mut rows = Vec::new();
        for leaf in leaves {
            if let Some(of_leaf) = found.get_mut(leaf) {
                rows.append(of_leaf);
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(Sorted::of(self.matching(&rows)?)))
    }

    /// The rows of a leaf, up to one more than are of use.
    fn candidates(&self, leaf: &str) -> Result<Vec<i64>, StoreError> {
        let limit = CANDIDATES_MAX + 1;
        let sql = format!("-- candidates\n SELECT row FROM ({leaf}) k LIMIT {limit}");
        let mut statement = self.db.prepare(&sql)?;
        let parameters = self.parameters(&statement, &0, &0);
        let rows = statement.query_map(parameters, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those below a place, the highest first.
    pub(super) fn below(&self, place: u64, limit: usize) -> Result<Vec<Spot>, StoreError> {
        if let Some(few) = &self.few {
            return Ok(few.below(place, limit));
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "-- below
             SELECT c.row, c.last_message_row FROM conversation AS c INDEXED BY conversation_last
             WHERE c.last_message_row < ?1 AND {condition}
             ORDER BY c.last_message_row DESC LIMIT ?2"
        );
        self.spots(&sql, &integer(place), row_limit(limit))
    }

    /// Those above a place, the lowest first.
    pub(super) fn above(&self, place: u64, limit: usize) -> Result<Vec<Spot>, StoreError> {
        if let Some(few) = &self.few {
            return Ok(few.above(place, limit));
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "-- above
             SELECT c.row, c.last_message_row FROM conversation AS c INDEXED BY conversation_last
             WHERE c.last_message_row > ?1 AND {condition}
             ORDER BY c.last_message_row LIMIT ?2"
        );
        self.spots(&sql, &integer(place), row_limit(limit))
    }

    /// Which of these rows are among them.
    pub(super) fn among(&self, rows: &[i64]) -> Result<HashSet<i64>, StoreError> {
        let spots = self.matching(rows)?;
        Ok(spots.into_iter().map(|spot| spot.row).collect())
    }

    /// Those of these rows that match.
    fn matching(&self, rows: &[i64]) -> Result<Vec<Spot>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "-- matching
             SELECT c.row, c.last_message_row FROM json_each(?1) k
             CROSS JOIN conversation c ON c.row = k.value
             WHERE {condition}"
        );
        self.spots(&sql, &format!("{rows:?}"), 0)
    }

    /// How many there are. Once they are looked for, those that turn out to be few are known.
    pub(super) fn count(&mut self) -> Result<u64, StoreError> {
        let condition = &self.compiled.condition;
        if self.few.is_none() {
            let limit = CANDIDATES_MAX + 1;
            let sql = format!(
                "-- first_matches
                 SELECT c.row, c.last_message_row FROM conversation c WHERE {condition} LIMIT {limit}"
            );
            let spots = self.spots(&sql, &0, 0)?;
            self.few = (count(&spots) <= CANDIDATES_MAX).then(|| Sorted::of(spots));
        }
        if let Some(few) = &self.few {
            return Ok(few.len());
        }
        let sql =
            format!("-- count_matches\n SELECT COUNT(*) FROM conversation c WHERE {condition}");
        self.one(&sql, |row| get(row, 0))
    }

    fn one<T>(
        &self,
        sql: &str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut statement = self.db.prepare(sql)?;
        let parameters = self.parameters(&statement, &0, &0);
        Ok(statement.query_row(parameters, read)?)
    }

    fn spots(&self, sql: &str, first: &dyn ToSql, second: i64) -> Result<Vec<Spot>, StoreError> {
        let mut statement = self.db.prepare(sql)?;
        let parameters = self.parameters(&statement, first, &second);
        let spots = statement
            .query_map(parameters, |row| {
                Ok(Spot {
                    row: row.get(0)?,
                    place: get(row, 1)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(spots)
    }

    /// A statement's own two parameters and the filter's, as many as it has.
    fn parameters<'p>(
        &'p self,
        statement: &Statement<'_>,
        first: &'p dyn ToSql,
        second: &'p dyn ToSql,
    ) -> impl Params + 'p {
        let values = self.compiled.values.iter();
        let filter = values.map(|value| -> &dyn ToSql { value });
        let all = [first, second].into_iter().chain(filter);
        params_from_iter(all.take(statement.parameter_count()))
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Real(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Texts(texts) => Ok(ToSqlOutput::Owned(Column::Text(texts.join(" ")))),
            Self::Id(id) => id.to_sql(),
        }
    }
}
