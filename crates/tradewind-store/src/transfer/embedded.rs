//! The end of a move that is a directory.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{
    Connection, OptionalExtension as _, Row, params_from_iter,
    types::{Value as Sql, ValueRef},
};
use tradewind_model::Timestamp;

use super::{
    End, Marks, Role, TransferError,
    table::{self, Table, Value},
};
use crate::{OpenError, page::row_limit, sqlite};

pub(super) struct Embedded {
    connection: Connection,
    /// Keeps servers out.
    _directory: sqlite::Directory,
}

/// Fails when a move to this database was begun and not finished.
pub(crate) fn refuse_unfinished(db: &Connection) -> Result<(), OpenError> {
    begun(db)?.map_or(Ok(()), |_| Err(OpenError::Unfinished))
}

fn begun(db: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    let exists: bool = db.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'transfer')",
        [],
        |row| row.get(0),
    )?;
    if !exists {
        return Ok(None);
    }
    db.query_row("SELECT source FROM transfer", [], |row| row.get(0))
        .optional()
}

impl Embedded {
    pub(super) fn open(path: &Path, role: Role, now: Timestamp) -> Result<Self, OpenError> {
        let directory = sqlite::Directory::lock(path)?;
        let mut connection = directory.writer()?;
        match role {
            Role::Source if sqlite::is_current(&connection)? => {}
            Role::Source => return Err(OpenError::NotCurrent),
            Role::Target => sqlite::migrate(&mut connection, now)?,
        }
        // The writer's way to keep its log small is not at work here.
        connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
        Ok(Self {
            connection,
            _directory: directory,
        })
    }
}

#[async_trait(?Send)]
impl End for Embedded {
    async fn made_at(&self) -> Result<String, TransferError> {
        let sql = "SELECT group_concat(applied_at_ms) FROM migration";
        Ok(self.connection.query_row(sql, [], |row| row.get(0))?)
    }

    /// It is locked.
    async fn check_idle(&self) -> Result<(), TransferError> {
        Ok(())
    }

    async fn marks(&self) -> Result<Marks, TransferError> {
        Ok(self.connection.query_row(
            "SELECT MAX(c.used_sequence, COALESCE(l.last, 0)),
                 COALESCE(l.first - 1, c.used_sequence), c.swept_message_row, c.conversations
             FROM counter c, (SELECT MIN(sequence) AS first, MAX(sequence) AS last FROM log) l",
            [],
            |row| {
                Ok(Marks {
                    head: row.get(0)?,
                    swept: row.get(1)?,
                    swept_message: row.get(2)?,
                    conversations: row.get(3)?,
                    stamp: 0,
                })
            },
        )?)
    }

    async fn ahead(&self) -> Result<u64, TransferError> {
        Ok(0)
    }

    async fn count(&self, table: &'static Table) -> Result<u64, TransferError> {
        let sql = format!("SELECT COUNT(*) FROM {}", table.name);
        let count: i64 = self.connection.query_row(&sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    async fn read(
        &self,
        table: &'static Table,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<table::Row>, TransferError> {
        let (key, name) = (key(table), table.name);
        let names = table.names();
        let from = if after.is_some() {
            format!("WHERE ({key}) > ({})", places(1, table.key))
        } else {
            String::new()
        };
        let limit = row_limit(limit);
        let sql = format!("SELECT {names} FROM {name} {from} ORDER BY {key} LIMIT {limit}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let values = after.unwrap_or_default().iter().map(sql_of);
        let rows = statement.query_map(params_from_iter(values), |row| {
            let columns = 0..table.columns.len();
            columns.map(|index| value(row, index)).collect()
        })?;
        Ok(rows.collect::<Result<_, rusqlite::Error>>()?)
    }

    async fn last(&self, table: &'static Table) -> Result<Option<Vec<Value>>, TransferError> {
        let key = key(table);
        let backwards = key.replace(", ", " DESC, ");
        let name = table.name;
        let sql = format!("SELECT {key} FROM {name} ORDER BY {backwards} DESC LIMIT 1");
        let found = self.connection.query_row(&sql, [], |row| {
            (0..table.key).map(|index| value(row, index)).collect()
        });
        Ok(found.optional()?)
    }

    async fn begun(&self) -> Result<Option<Vec<u8>>, TransferError> {
        Ok(begun(&self.connection)?)
    }

    async fn begin(&mut self, source: [u8; 32], _marks: Marks) -> Result<(), TransferError> {
        let tx = self.connection.transaction()?;
        tx.execute_batch("CREATE TABLE IF NOT EXISTS transfer (source BLOB NOT NULL) STRICT")?;
        tx.execute("INSERT INTO transfer (source) VALUES (?1)", [source])?;
        Ok(tx.commit()?)
    }

    async fn write(
        &mut self,
        table: &'static Table,
        rows: &[table::Row],
    ) -> Result<(), TransferError> {
        // What leads from message to message is not moved: each is found by the index instead.
        let (more, values) = match table.name {
            "message" => (", previous_row, anchor", ", NULL, 1"),
            _ => ("", ""),
        };
        let (name, names) = (table.name, table.names());
        let places = places(1, table.columns.len());
        let sql = format!("INSERT INTO {name} ({names}{more}) VALUES ({places}{values})");
        let tx = self.connection.transaction()?;
        {
            let mut statement = tx.prepare_cached(&sql)?;
            for row in rows {
                statement.execute(params_from_iter(row.iter().map(sql_of)))?;
            }
        }
        Ok(tx.commit()?)
    }

    async fn finish(&mut self, marks: Marks) -> Result<(), TransferError> {
        let tx = self.connection.transaction()?;
        tx.execute(
            "UPDATE counter SET used_sequence = ?1, swept_message_row = ?2, conversations = ?3",
            (marks.head, marks.swept_message, marks.conversations),
        )?;
        tx.execute_batch("DROP TABLE transfer")?;
        tx.commit()?;
        // It is done; whoever opens it next does this otherwise.
        let tidied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = tidied {
            tracing::debug!(error = %error, "the log of the new database was not brought into it");
        }
        Ok(())
    }
}

fn key(table: &Table) -> String {
    let names = table.columns.iter().take(table.key);
    let names: Vec<_> = names.map(|(name, _)| *name).collect();
    names.join(", ")
}

fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|n| format!("?{n}")).collect();
    places.join(", ")
}

fn sql_of(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Number(number) => Sql::Integer(*number),
        Value::Bytes(bytes) => Sql::Blob(bytes.clone()),
        Value::Text(text) => Sql::Text(text.clone()),
    }
}

fn value(row: &Row<'_>, index: usize) -> rusqlite::Result<Value> {
    let value = row.get_ref(index)?;
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        // There is no such column.
        ValueRef::Real(number) => Value::Text(number.to_string()),
        ValueRef::Text(_) => Value::Text(row.get(index)?),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rusqlite::Connection;
    use tradewind_model::Timestamp;

    use super::super::table::TABLES;
    use crate::sqlite;

    /// What is not moved: how messages are found here, and what `Marks` hold.
    const LEFT: [&str; 2] = ["previous_row", "anchor"];
    const OTHER_TABLES: [&str; 3] = ["counter", "migration", "sqlite_sequence"];

    /// What triggers keep up, in several tables.
    const KEPT_UP: &str = "contact_name";

    fn names(db: &Connection, sql: &str) -> BTreeSet<String> {
        let mut statement = db.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn no_table_and_no_column_is_forgotten() {
        let mut db = Connection::open_in_memory().unwrap();
        sqlite::migrate(&mut db, Timestamp::MIN).unwrap();
        let mut tables = names(&db, "SELECT name FROM sqlite_schema WHERE type = 'table'");
        tables.retain(|table| !table.starts_with(KEPT_UP));
        let moved = TABLES.iter().map(|table| table.name);
        let known: BTreeSet<_> = moved.chain(OTHER_TABLES).map(str::to_owned).collect();
        assert_eq!(tables, known);
        for table in TABLES {
            let sql = format!("SELECT name FROM pragma_table_info('{}')", table.name);
            let mut columns = names(&db, &sql);
            columns.retain(|column| !LEFT.contains(&column.as_str()));
            let moved = table.columns.iter().map(|(name, _)| (*name).to_owned());
            assert_eq!(columns, moved.collect::<BTreeSet<_>>(), "{}", table.name);
        }
    }
}
