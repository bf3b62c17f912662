//! How values of the model are written in columns, and read back.
//!
//! A value that is not what this program writes is an error of the row that holds it, never a default.

use serde::de::DeserializeOwned;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use tradewind_model::{Content, Id, Message, Sender, Sequence, Source, Timestamp};
use uuid::Uuid;

use crate::{StoreError, coded::Coded};

/// Parameters with their types, so that a statement takes one round trip and no name of its own: that
/// way it works through a pooler that gives each transaction another connection.
macro_rules! params {
    ($($value:expr => $kind:ident),* $(,)?) => {
        &[$(($crate::postgres::row::param(&$value), tokio_postgres::types::Type::$kind)),*]
    };
}
pub(super) use params;

/// A parameter and its type.
pub(super) type Parameter<'p> = (&'p (dyn ToSql + Sync), Type);

pub(super) fn param<T: ToSql + Sync>(value: &T) -> &(dyn ToSql + Sync) {
    value
}

pub(super) fn message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        id: id(row, 0)?,
        conversation_id: id(row, 1)?,
        channel_id: id(row, 2)?,
        source: source(row, 3)?,
        contact_source_id: read_text(row, 4)?,
        position: number(row, 5)?,
        sender: Sender {
            kind: coded(row, 6)?,
            id: read_text(row, 7)?,
        },
        content: json::<Content>(row, 8)?,
        state: coded(row, 9)?,
        receipt: coded_or_none(row, 11)?,
        failure_reason: text_or_none(row, 12)?,
        sent_at: time(row, 10)?,
    })
}

pub(super) fn number(row: &Row, index: usize) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(index)?;
    u64::try_from(number).map_err(|_| wrong(index, &number))
}

/// A number of a column that holds smaller ones.
pub(super) fn small<T: TryFrom<i64>>(row: &Row, index: usize) -> Result<T, StoreError> {
    let number: i64 = row.try_get(index)?;
    T::try_from(number).map_err(|_| wrong(index, &number))
}

pub(super) fn small_or_none<T: TryFrom<i64>>(
    row: &Row,
    index: usize,
) -> Result<Option<T>, StoreError> {
    match row.try_get::<_, Option<i64>>(index)? {
        Some(_) => small(row, index).map(Some),
        None => Ok(None),
    }
}

pub(super) fn status(row: &Row, index: usize) -> Result<Option<u16>, StoreError> {
    let number: Option<i32> = row.try_get(index)?;
    number
        .map(|number| u16::try_from(number).map_err(|_| wrong(index, &number)))
        .transpose()
}

pub(super) fn sequence(row: &Row, index: usize) -> Result<Sequence, StoreError> {
    number(row, index).map(Sequence)
}

pub(super) fn time(row: &Row, index: usize) -> Result<Timestamp, StoreError> {
    let at: i64 = row.try_get(index)?;
    Timestamp::from_millisecond(at).map_err(|_| wrong(index, &at))
}

pub(super) fn time_or_none(row: &Row, index: usize) -> Result<Option<Timestamp>, StoreError> {
    match row.try_get::<_, Option<i64>>(index)? {
        Some(_) => time(row, index).map(Some),
        None => Ok(None),
    }
}

pub(super) fn id<K>(row: &Row, index: usize) -> Result<Id<K>, StoreError> {
    Ok(Id::from_uuid(row.try_get(index)?))
}

pub(super) fn id_or_none<K>(row: &Row, index: usize) -> Result<Option<Id<K>>, StoreError> {
    Ok(row.try_get::<_, Option<Uuid>>(index)?.map(Id::from_uuid))
}

pub(super) fn source(row: &Row, index: usize) -> Result<Source, StoreError> {
    let name: &str = row.try_get(index)?;
    Source::parse(name).map_err(|error| wrong(index, &error))
}

pub(super) fn coded<T: Coded>(row: &Row, index: usize) -> Result<T, StoreError> {
    let code: i16 = row.try_get(index)?;
    T::of(code.into()).ok_or_else(|| wrong(index, &code))
}

pub(super) fn coded_or_none<T: Coded>(row: &Row, index: usize) -> Result<Option<T>, StoreError> {
    match row.try_get::<_, Option<i16>>(index)? {
        Some(_) => coded(row, index).map(Some),
        None => Ok(None),
    }
}

/// The code of a value, as its column takes it.
pub(super) fn code(value: impl Coded) -> i16 {
    i16::try_from(value.code()).unwrap_or(i16::MAX)
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, index: usize) -> Result<T, StoreError> {
    serde_json::from_str(row.try_get(index)?).map_err(|error| wrong(index, &error))
}

/// Reads a list of values that are known by name. A name that this program does not know is an error.
pub(super) fn from_names<T: Copy>(
    row: &Row,
    index: usize,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Vec<T>, StoreError> {
    let names: Vec<String> = json(row, index)?;
    let known = |text: &String| all.iter().copied().find(|value| name(*value) == text);
    let values: Option<Vec<T>> = names.iter().map(known).collect();
    values.ok_or_else(|| wrong(index, &format!("{names:?}")))
}

/// A text as a column takes it. `PostgreSQL`'s texts have no zero byte: it is written as two characters,
/// of which the first, which nobody types, is written as two as well.
pub(crate) fn text(text: &str) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text.to_owned();
    }
    text.replace(ESCAPE, "\u{1a}1").replace('\0', "\u{1a}0")
}

const ESCAPE: char = '\u{1a}';

/// A text that [`text`] wrote.
pub(super) fn read_text(row: &Row, index: usize) -> Result<String, StoreError> {
    Ok(unescaped(row.try_get(index)?))
}

pub(super) fn text_or_none(row: &Row, index: usize) -> Result<Option<String>, StoreError> {
    Ok(row.try_get::<_, Option<&str>>(index)?.map(unescaped))
}

pub(crate) fn unescaped(text: &str) -> String {
    text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}")
}

pub(super) fn wrong(index: usize, found: &dyn std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("column {index} holds {found}, which is not known").into())
}

#[cfg(test)]
mod tests {
    use super::{text, unescaped};

    #[test]
    fn a_text_comes_back_whatever_is_in_it() {
        for given in [
            "",
            "a",
            "\0",
            "a\0b",
            "\u{1a}",
            "\u{1a}0",
            "\u{1a}1\0",
            "\0\u{1a}\0",
        ] {
            let written = text(given);
            assert!(!written.contains('\0'), "{written:?}");
            assert_eq!(unescaped(&written), given);
        }
    }
}
