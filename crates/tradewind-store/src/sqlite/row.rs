//! How values of the model are written in columns, and read back.
//!
//! A number that is not what this program writes is an error of the row that holds it, never a
//! default.

use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, Type, ValueRef},
};
use serde::de::DeserializeOwned;
use tradewind_model::{Content, Id, Message, Sender, Sequence, Source, Timestamp};
use uuid::Uuid;

use super::fault::Fault;
use crate::{StoreError, coded::Coded};

pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: get(row, 0)?,
        conversation_id: get(row, 1)?,
        channel_id: get(row, 2)?,
        source: get(row, 3)?,
        contact_source_id: row.get(4)?,
        position: get(row, 5)?,
        sender: Sender {
            kind: get(row, 6)?,
            id: row.get(7)?,
        },
        content: get::<Json<Content>>(row, 8)?.0,
        state: get(row, 9)?,
        receipt: find(row, 11)?,
        failure_reason: row.get(12)?,
        sent_at: get(row, 10)?,
    })
}

/// Reads column `index` as a `T`.
pub(super) fn get<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    Column<T>: FromSql,
{
    row.get(index).map(Column::into_inner)
}

/// Reads column `index` as a `T`, if there is one.
pub(super) fn find<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    Column<T>: FromSql,
{
    Ok(row
        .get::<_, Option<Column<T>>>(index)?
        .map(Column::into_inner))
}

/// Reads a list of values that are known by name. A name that this program does not know is an error of the row.
pub(super) fn from_names<T: Copy>(
    row: &Row<'_>,
    index: usize,
    all: &[T],
    name: fn(T) -> &'static str,
) -> rusqlite::Result<Vec<T>> {
    let Json(names) = get::<Json<Vec<String>>>(row, index)?;
    let known = |text: &String| all.iter().copied().find(|value| name(*value) == text);
    let values: Option<Vec<T>> = names.iter().map(known).collect();
    values.ok_or_else(|| {
        let error = format!("{names:?} are not all known");
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into())
    })
}

/// A value on its way out of a column.
pub(super) struct Column<T>(T);

impl<T> Column<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

/// A value that its column holds as JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Coded> FromSql for Column<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let code = value.as_i64()?;
        T::of(code).map(Self).ok_or(FromSqlError::OutOfRange(code))
    }
}

impl FromSql for Column<u64> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number)
            .map(Self)
            .map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl FromSql for Column<Sequence> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Column::column_result(value).map(|Column(number)| Self(Sequence(number)))
    }
}

impl FromSql for Column<Timestamp> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_millisecond(value.as_i64()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

impl<K> FromSql for Column<Id<K>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::column_result(value).map(|uuid| Self(Id::from_uuid(uuid)))
    }
}

impl FromSql for Column<Source> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Source::parse(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

impl<T: DeserializeOwned> FromSql for Column<Json<T>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(|value| Self(Json(value)))
            .map_err(FromSqlError::other)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match Fault::of(&error) {
            Some(fault) => fault.into(),
            None => Self::Broken(error.into()),
        }
    }
}
