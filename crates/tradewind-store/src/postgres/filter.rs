//! What matches a filter.

use std::collections::HashSet;

use tokio_postgres::{Client, Row, types::Type};
use tradewind_model::Filter;

use super::row::{Parameter, number, text};
use crate::{
    StoreError,
    filter::{CANDIDATES_MAX, Compiled, Dialect, Value},
    page::{integer, row_limit},
    walk::{Sorted, Spot},
};

/// `PostgreSQL`'s own ways.
struct Postgres;

impl Dialect for Postgres {
    fn parameter(number: usize) -> String {
        format!("${number}")
    }

    fn by_bytes(operator: &'static str) -> &'static str {
        match operator {
            ">=" => "~>=~",
            ">" => "~>~",
            "<=" => "~<=~",
            _ => "~<~",
        }
    }

    const IS_NUMBER: &'static str = r"d.folded ~ '^-?[0-9]+(\.[0-9]*)?$'";
    const NUMBER: &'static str = "d.folded::FLOAT8";

    fn named(parts: Vec<String>) -> Option<(&'static str, Value)> {
        (!parts.is_empty()).then(|| {
            let selects = "SELECT conversation_row AS row FROM contact_name WHERE parts @> ";
            (selects, Value::Texts(parts))
        })
    }
}

/// The conversations that match a filter, as one transaction sees them.
pub(super) struct Matches<'d> {
    db: &'d Client,
    compiled: Compiled,
    /// All of them, if they are few.
    few: Option<Sorted>,
}

impl<'d> Matches<'d> {
    pub(super) async fn of(db: &'d Client, filter: &Filter) -> Result<Self, StoreError> {
        let mut compiled = Compiled::of::<Postgres>(filter);
        for value in &mut compiled.values {
            if let Value::Text(known) = value {
                *known = text(known);
            }
        }
        let mut matches = Self {
            db,
            compiled,
            few: None,
        };
        matches.few = matches.few().await?;
        Ok(matches)
    }

    async fn few(&self) -> Result<Option<Sorted>, StoreError> {
        let Some(counts) = self.compiled.counts() else {
            return Ok(None);
        };
        let counts = self.query(&counts, (&0_i64, Type::INT8), 0).await?;
        let counted = counts.iter().flat_map(|row| {
            let leaves = 0..row.len();
            leaves.map(move |leaf| number(row, leaf))
        });
        let counted: Vec<u64> = counted.collect::<Result<_, _>>()?;
        let Some(fewest) = self.compiled.fewest(&counted) else {
            return Ok(None);
        };
        let condition = &self.compiled.condition;
        // Each is looked up by its key, however many the planner thinks there are.
        let sql = format!(
            "SELECT c.row, c.last_message_row FROM ({fewest}) k
             JOIN LATERAL (SELECT * FROM conversation WHERE row = k.row OFFSET 0) c ON TRUE
             WHERE {condition}"
        );
        let rows = self.query(&sql, (&0_i64, Type::INT8), 0).await?;
        Ok(Some(Sorted::of(spots(&rows)?)))
    }

    /// Those below a place, the highest first.
    pub(super) async fn below(&self, place: u64, limit: usize) -> Result<Vec<Spot>, StoreError> {
        if let Some(few) = &self.few {
            return Ok(few.below(place, limit));
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "SELECT c.row, c.last_message_row FROM conversation c
             WHERE c.last_message_row < $1 AND {condition}
             ORDER BY c.last_message_row DESC LIMIT $2"
        );
        let place = integer(place);
        let rows = self.query(&sql, (&place, Type::INT8), row_limit(limit));
        spots(&rows.await?)
    }

    /// Those above a place, the lowest first.
    pub(super) async fn above(&self, place: u64, limit: usize) -> Result<Vec<Spot>, StoreError> {
        if let Some(few) = &self.few {
            return Ok(few.above(place, limit));
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "SELECT c.row, c.last_message_row FROM conversation c
             WHERE c.last_message_row > $1 AND {condition}
             ORDER BY c.last_message_row LIMIT $2"
        );
        let place = integer(place);
        let rows = self.query(&sql, (&place, Type::INT8), row_limit(limit));
        spots(&rows.await?)
    }

    /// Which of these rows are among them.
    pub(super) async fn among(&self, rows: &[i64]) -> Result<HashSet<i64>, StoreError> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let condition = &self.compiled.condition;
        let sql = format!(
            "SELECT c.row, c.last_message_row FROM conversation c
             WHERE c.row = ANY($1) AND {condition}"
        );
        let found = self.query(&sql, (&rows, Type::INT8_ARRAY), 0).await?;
        Ok(spots(&found)?.into_iter().map(|spot| spot.row).collect())
    }

    /// How many there are. Once they are looked for, those that turn out to be few are known.
    pub(super) async fn count(&mut self) -> Result<u64, StoreError> {
        let condition = &self.compiled.condition;
        let none: Parameter<'_> = (&0_i64, Type::INT8);
        if self.few.is_none() {
            let limit = CANDIDATES_MAX + 1;
            let sql = format!(
                "SELECT c.row, c.last_message_row FROM conversation c WHERE {condition} LIMIT {limit}"
            );
            let spots = spots(&self.query(&sql, none.clone(), 0).await?)?;
            let is_few = u64::try_from(spots.len()).is_ok_and(|count| count <= CANDIDATES_MAX);
            self.few = is_few.then(|| Sorted::of(spots));
        }
        if let Some(few) = &self.few {
            return Ok(few.len());
        }
        let sql = format!("SELECT COUNT(*) FROM conversation c WHERE {condition}");
        let rows = self.query(&sql, none, 0).await?;
        rows.first().map_or(Ok(0), |row| number(row, 0))
    }

    /// Runs a statement with its own two parameters and the filter's.
    async fn query(
        &self,
        sql: &str,
        first: Parameter<'_>,
        second: i64,
    ) -> Result<Vec<Row>, StoreError> {
        let filter = self.compiled.values.iter().map(Value::parameter);
        let own = [first, (&second, Type::INT8)];
        let parameters: Vec<Parameter<'_>> = own.into_iter().chain(filter).collect();
        Ok(self.db.query_typed(sql, &parameters).await?)
    }
}

fn spots(rows: &[Row]) -> Result<Vec<Spot>, StoreError> {
    let spot = |row: &Row| {
        Ok(Spot {
            row: row.try_get(0)?,
            place: number(row, 1)?,
        })
    };
    rows.iter().map(spot).collect()
}

impl Value {
    fn parameter(&self) -> Parameter<'_> {
        match self {
            Self::Number(number) => (number, Type::INT8),
            Self::Real(number) => (number, Type::FLOAT8),
            Self::Text(text) => (text, Type::TEXT),
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Self::Id(id) => (id, Type::UUID),
        }
    }
}
