//! The end of a move that is a `PostgreSQL` database.

use async_trait::async_trait;
use tokio_postgres::{Client, types::Type};
use tradewind_model::Timestamp;

use super::{
    End, Marks, Role, TransferError,
    table::{Kind, Row, Table, Value},
    values::{Param, column, param, value},
};
use crate::{OpenError, StoreError, page::row_limit, postgres::Connection};

/// Entries in a partition of the log, as the schema has it.
const PARTITION: i64 = 1_048_576;

pub(super) struct Postgres {
    db: Connection,
}

/// Fails when a move to this database was begun and not finished.
pub(crate) async fn refuse_unfinished(db: &Client) -> Result<(), OpenError> {
    begun(db)
        .await?
        .map_or(Ok(()), |_| Err(OpenError::Unfinished))
}

async fn begun(db: &Client) -> Result<Option<Vec<u8>>, StoreError> {
    let exists = db
        .query_typed_one("SELECT to_regclass('transfer') IS NOT NULL", &[])
        .await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row = db
        .query_typed_opt("SELECT source FROM transfer", &[])
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

impl Postgres {
    pub(super) async fn open(url: &str, role: Role, now: Timestamp) -> Result<Self, OpenError> {
        let db = Connection::open(url).await?;
        match role {
            Role::Source if crate::postgres::is_current(&db).await? => {}
            Role::Source => return Err(OpenError::NotCurrent),
            Role::Target => crate::postgres::migrate(&db, now).await?,
        }
        Ok(Self { db })
    }

    async fn query(
        &self,
        sql: &str,
        params: &[Param],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let params: Vec<_> = params
            .iter()
            .map(|(value, kind)| (value.as_ref(), kind.clone()))
            .collect();
        Ok(self.db.query_typed(sql, &params).await?)
    }
}

#[async_trait(?Send)]
impl End for Postgres {
    async fn made_at(&self) -> Result<String, TransferError> {
        let sql = "SELECT string_agg(applied_at_ms::TEXT, ',' ORDER BY number) FROM migration";
        Ok(self.db.query_typed_one(sql, &[]).await?.try_get(0)?)
    }

    async fn check_idle(&self) -> Result<(), TransferError> {
        let row = self
            .db
            .query_typed_one(
                "SELECT EXISTS (SELECT 1 FROM node WHERE expires_at >= clock_timestamp())",
                &[],
            )
            .await?;
        let is_served: bool = row.try_get(0)?;
        if is_served {
            return Err(TransferError::InUse);
        }
        Ok(())
    }

    async fn marks(&self) -> Result<Marks, TransferError> {
        let row = self
            .db
            .query_typed_one(
                "SELECT c.sequence, s.sequence, s.message_row, c.conversations, w.webhooks
                     + (SELECT COUNT(*) FROM token)
                     + (SELECT COALESCE(SUM(u.generation + (SELECT SUM(x) FROM UNNEST(u.cursors) x)), 0)
                        FROM consumer u)::BIGINT
                 FROM counter c, swept s, changed w",
                &[],
            )
            .await?;
        Ok(Marks {
            head: row.try_get(0)?,
            swept: row.try_get(1)?,
            swept_message: row.try_get(2)?,
            conversations: row.try_get(3)?,
            stamp: row.try_get(4)?,
        })
    }

    async fn ahead(&self) -> Result<u64, TransferError> {
        let row = self
            .db
            .query_typed_one(
                "SELECT COALESCE(SUM((SELECT MAX(x) - MIN(x) FROM UNNEST(u.cursors) x)), 0)::BIGINT
                 FROM consumer u LEFT JOIN webhook w ON w.consumer_row = u.row
                 WHERE w.subscribed IS NOT FALSE",
                &[],
            )
            .await?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }

    async fn count(&self, table: &'static Table) -> Result<u64, TransferError> {
        let sql = format!(
            "SELECT COUNT(*) FROM {}{}",
            table.name,
            kept(table, "WHERE")
        );
        let row = self.db.query_typed_one(&sql, &[]).await?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }

    async fn read(
        &self,
        table: &'static Table,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, TransferError> {
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| read_as(*column))
            .collect();
        let (columns, name, key) = (columns.join(", "), table.name, key(table));
        let mut params = Vec::new();
        let from = if let Some(after) = after {
            let kinds = table.columns.iter();
            params.extend(
                after
                    .iter()
                    .zip(kinds)
                    .map(|(value, (_, kind))| param(value, *kind)),
            );
            let places: Vec<_> = (1..=table.key).map(|n| format!("${n}")).collect();
            format!(
                "WHERE ({key}) > ({}){}",
                places.join(", "),
                kept(table, "AND")
            )
        } else {
            kept(table, "WHERE")
        };
        let limit = row_limit(limit);
        let sql = format!("SELECT {columns} FROM {name} {from} ORDER BY {key} LIMIT {limit}");
        let rows = self.query(&sql, &params).await?;
        let row = |row: &tokio_postgres::Row| {
            let kinds = table.columns.iter().enumerate();
            kinds
                .map(|(index, (_, kind))| value(row, index, *kind))
                .collect()
        };
        Ok(rows.iter().map(row).collect::<Result<_, StoreError>>()?)
    }

    async fn last(&self, table: &'static Table) -> Result<Option<Vec<Value>>, TransferError> {
        let columns = table.columns.iter().take(table.key);
        let columns: Vec<_> = columns.map(|column| read_as(*column)).collect();
        let backwards = key(table).replace(", ", " DESC, ");
        let (columns, name) = (columns.join(", "), table.name);
        let sql = format!("SELECT {columns} FROM {name} ORDER BY {backwards} DESC LIMIT 1");
        let Some(row) = self.db.query_typed_opt(&sql, &[]).await? else {
            return Ok(None);
        };
        let kinds = table.columns.iter().take(table.key).enumerate();
        let key = kinds.map(|(index, (_, kind))| value(&row, index, *kind));
        Ok(Some(key.collect::<Result<_, _>>()?))
    }

    async fn begun(&self) -> Result<Option<Vec<u8>>, TransferError> {
        Ok(begun(&self.db).await?)
    }

    async fn begin(&mut self, source: [u8; 32], marks: Marks) -> Result<(), TransferError> {
        // Partitions for the log that comes.
        let first = marks.swept / PARTITION * PARTITION;
        self.db
            .batch_execute(&format!(
                "BEGIN;
                 CREATE TABLE IF NOT EXISTS transfer (source BYTEA NOT NULL);
                 UPDATE counter SET sequence = {first}, partitioned_to = {first};
                 SELECT take_log({});
                 UPDATE counter SET sequence = {};
                 UPDATE swept SET sequence = {}, message_row = {}",
                marks.head - first,
                marks.head,
                marks.swept,
                marks.swept_message
            ))
            .await?;
        self.db
            .execute_typed(
                "INSERT INTO transfer (source) VALUES ($1)",
                &[(&source.as_slice(), Type::BYTEA)],
            )
            .await?;
        Ok(self.db.batch_execute("COMMIT").await?)
    }

    async fn write(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), TransferError> {
        let kinds = table.columns.iter().map(|(_, kind)| *kind).enumerate();
        let params: Vec<_> = kinds
            .clone()
            .map(|(index, kind)| column(rows, index, kind))
            .collect();
        let arrays: Vec<_> = params
            .iter()
            .enumerate()
            .map(|(index, (_, kind))| {
                format!(
                    "${}::{}",
                    index + 1,
                    kind.name().replacen('_', "", 1) + "[]"
                )
            })
            .collect();
        let values: Vec<_> = kinds
            .map(|(index, kind)| match kind {
                Kind::Cursor => format!("array_fill(n.v{index}, ARRAY[64])"),
                _ => format!("n.v{index}"),
            })
            .collect();
        let named: Vec<_> = (0..values.len()).map(|index| format!("v{index}")).collect();
        let names = table.names().replace("cursor", "cursors");
        let sql = format!(
            "INSERT INTO {} ({names}) SELECT {} FROM UNNEST({}) AS n ({})",
            table.name,
            values.join(", "),
            arrays.join(", "),
            named.join(", "),
        );
        self.query(&sql, &params).await?;
        Ok(())
    }

    async fn finish(&mut self, marks: Marks) -> Result<(), TransferError> {
        let numbered = [
            "channel",
            "conversation",
            "consumer",
            "webhook",
            "replay",
            "app_user",
            "tag",
            "audit",
        ];
        let numbers = numbered.map(|table| {
            format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'row'),
                     GREATEST((SELECT MAX(row) FROM {table}), 1), EXISTS (SELECT 1 FROM {table}));"
            )
        });
        self.db
            .batch_execute(&format!(
                "BEGIN;
                 {}
                 UPDATE counter SET conversations = {};
                 DROP TABLE transfer;
                 COMMIT",
                numbers.concat(),
                marks.conversations
            ))
            .await?;
        // It is done; the server does this by itself otherwise.
        if let Err(error) = self.db.batch_execute("ANALYZE").await {
            tracing::debug!(error = %error, "the new tables were not analysed");
        }
        Ok(())
    }
}

/// Swept entries may still be in a partition.
fn kept(table: &Table, word: &str) -> String {
    match table.name {
        "log" => format!(" {word} sequence > (SELECT sequence FROM swept)"),
        _ => String::new(),
    }
}

/// The key, in the order that the other side has too.
fn key(table: &Table) -> String {
    let key = table.columns.iter().take(table.key);
    let key: Vec<_> = key
        .map(|(name, kind)| match kind {
            Kind::Text => format!("{name} COLLATE \"C\""),
            _ => (*name).to_owned(),
        })
        .collect();
    key.join(", ")
}

fn read_as((name, kind): (&str, Kind)) -> String {
    match kind {
        Kind::Cursor => "(SELECT MIN(c) FROM UNNEST(cursors) c)".to_owned(),
        Kind::Four | Kind::Two => format!("{name}::BIGINT"),
        _ => name.to_owned(),
    }
}
