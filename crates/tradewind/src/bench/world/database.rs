//! A database on a `PostgreSQL` of this machine, and what that costs.

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_postgres::{Client, NoTls};
use tradewind_model::{OsRandom, Random as _, SystemClock};
use tradewind_store::{PostgresSettings, PostgresStore};

use super::prepare_store;
use crate::{bench::load::Visitors, lifecycle::Tasks};

/// Makes a new database where the address leads to another. Its address, and the process that all others
/// of the server come from.
pub(super) async fn create(server: &str) -> anyhow::Result<(String, u32)> {
    let tasks = Tasks::default();
    let client = connect(server, &tasks).await?;
    let backend: i32 = client
        .query_one("SELECT pg_backend_pid()", &[])
        .await?
        .try_get(0)?;
    let status = fs::read_to_string(format!("/proc/{backend}/status"));
    let status =
        status.context("the database server is not on this machine, or hides its processes")?;
    let first = crate::bench::usage::field(&status, "PPid:").context("no parent")?;
    let name = format!("tradewind_bench_{:x}", OsRandom::default().bits());
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await?;
    let (base, _) = server
        .rsplit_once('/')
        .context("--database: must look like postgres://user@host/name")?;
    Ok((format!("{base}/{name}"), u32::try_from(first)?))
}

/// Makes the schema and a channel there.
pub(super) async fn prepare(url: &str) -> anyhow::Result<Visitors> {
    let settings = PostgresSettings {
        url: url.to_owned(),
        connections: 2,
        lease: Duration::from_secs(5),
    };
    let store = PostgresStore::open(&settings, Arc::new(SystemClock)).await?;
    prepare_store(&store).await
}

async fn connect(url: &str, tasks: &Tasks) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("--database")?;
    tasks.spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}
