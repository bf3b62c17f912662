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
    filter::{Compiled, Dialect, Value},
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

    fn few(&self) -> Result<Option<Sorted>, StoreError> {
        let Some(counts) = self.compiled.counts() else {
            return Ok(None);
        };
        let count = |row: &Row<'_>| {
            let leaves = 0..row.as_ref().column_count();
            leaves.map(|leaf| get(row, leaf)).collect()
        };
        let sql = format!("-- count_candidates\n {counts}");
        let counts: Vec<u64> = self.one(&sql, count)?;
        let Some(fewest) = self.compiled.fewest(&counts) else {
            return Ok(None);
        };
        let condition = &self.compiled.condition;
        let sql = format!(
            "-- candidates
             SELECT c.row, c.last_message_row FROM ({fewest}) k CROSS JOIN conversation c ON c.row = k.row
             WHERE {condition}"
        );
        Ok(Some(Sorted::of(self.spots(&sql, &0, 0)?)))
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
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "-- among
             SELECT c.row, c.last_message_row FROM json_each(?1) k
             CROSS JOIN conversation c ON c.row = k.value
             WHERE {condition}"
        );
        let rows = format!("{rows:?}");
        let spots = self.spots(&sql, &rows, 0)?;
        Ok(spots.into_iter().map(|spot| spot.row).collect())
    }

    pub(super) fn count(&self) -> Result<u64, StoreError> {
        if let Some(few) = &self.few {
            return Ok(few.len());
        }
        let condition = &self.compiled.condition;
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
