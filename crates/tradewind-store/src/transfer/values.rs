//! Values as `PostgreSQL` takes and gives them.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::table::{Kind, Row, Value};
use crate::{
    StoreError,
    postgres::{read_escaped, text},
};

/// A parameter and its type.
pub(super) type Param = (Box<dyn ToSql + Sync>, Type);

pub(super) fn value(
    row: &tokio_postgres::Row,
    index: usize,
    kind: Kind,
) -> Result<Value, StoreError> {
    let value = match kind {
        Kind::Number | Kind::Four | Kind::Two | Kind::Cursor => {
            row.try_get::<_, Option<i64>>(index)?.map(Value::Number)
        }
        Kind::Flag => row
            .try_get::<_, Option<bool>>(index)?
            .map(|flag| Value::Number(flag.into())),
        Kind::Id => row
            .try_get::<_, Option<Uuid>>(index)?
            .map(|id| Value::Bytes(id.as_bytes().to_vec())),
        Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(index)?.map(Value::Bytes),
        Kind::Text => row
            .try_get::<_, Option<&str>>(index)?
            .map(|text| Value::Text(read_escaped(text))),
    };
    Ok(value.unwrap_or(Value::Null))
}

pub(super) fn param(value: &Value, kind: Kind) -> Param {
    match value {
        Value::Null => (Box::new(None::<i64>), Type::INT8),
        Value::Number(number) => (Box::new(*number), Type::INT8),
        Value::Bytes(bytes) if kind == Kind::Id => (Box::new(id_of(bytes)), Type::UUID),
        Value::Bytes(bytes) => (Box::new(bytes.clone()), Type::BYTEA),
        Value::Text(words) => (Box::new(text(words)), Type::TEXT),
    }
}

/// The values of a column, as an array.
pub(super) fn column(rows: &[Row], index: usize, kind: Kind) -> Param {
    let values = rows.iter().map(|row| row.get(index));
    let number = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let bytes = |value: Option<&Value>| match value {
        Some(Value::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    };
    match kind {
        Kind::Number | Kind::Cursor => (
            Box::new(values.map(number).collect::<Vec<_>>()),
            Type::INT8_ARRAY,
        ),
        Kind::Four => {
            let small = |value| number(value).and_then(|number| i32::try_from(number).ok());
            (
                Box::new(values.map(small).collect::<Vec<_>>()),
                Type::INT4_ARRAY,
            )
        }
        Kind::Two => {
            let small = |value| number(value).and_then(|number| i16::try_from(number).ok());
            (
                Box::new(values.map(small).collect::<Vec<_>>()),
                Type::INT2_ARRAY,
            )
        }
        Kind::Flag => {
            let flag = |value| number(value).map(|number| number != 0);
            (
                Box::new(values.map(flag).collect::<Vec<_>>()),
                Type::BOOL_ARRAY,
            )
        }
        Kind::Id => {
            let id = |value| bytes(value).map(|bytes| id_of(&bytes));
            (
                Box::new(values.map(id).collect::<Vec<_>>()),
                Type::UUID_ARRAY,
            )
        }
        Kind::Bytes => (
            Box::new(values.map(bytes).collect::<Vec<_>>()),
            Type::BYTEA_ARRAY,
        ),
        Kind::Text => {
            let words = |value: Option<&Value>| match value {
                Some(Value::Text(words)) => Some(text(words)),
                _ => None,
            };
            (
                Box::new(values.map(words).collect::<Vec<_>>()),
                Type::TEXT_ARRAY,
            )
        }
    }
}

/// One of another length is not an id; what it becomes differs then, which is seen.
fn id_of(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}
