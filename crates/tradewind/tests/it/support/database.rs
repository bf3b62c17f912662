//! Databases on the `PostgreSQL` that `scripts/postgres` starts.

use std::{path::Path, process::Command};

use tokio_postgres::NoTls;

/// A database. It stays until the server that has it is stopped.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let server = run_script(&["start"]);
        Self::create_at(server.trim()).await
    }

    /// A new database where this address leads to another.
    pub(crate) async fn create_at(address: &str) -> Self {
        let fresh: u64 = std::hash::BuildHasher::hash_one(
            &std::collections::hash_map::RandomState::new(),
            std::process::id(),
        );
        let name = format!("test_{fresh:x}");
        run(
            address,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        )
        .await;
        let (server, _) = address.rsplit_once('/').unwrap();
        Self {
            url: format!("{server}/{name}"),
        }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        let (_, rest) = self.url.split_once('@').unwrap();
        rest.split_once('/').unwrap().0
    }

    /// The same database by way of another address.
    pub(crate) fn by_way_of(&self, address: &str) -> String {
        self.url.replace(self.address(), address)
    }
}

/// Runs `scripts/postgres` and gives what it says.
pub(crate) fn run_script(arguments: &[&str]) -> String {
    run_script_named("postgres", arguments)
}

/// The same for another of the scripts.
pub(crate) fn run_script_named(name: &str, arguments: &[&str]) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let done = Command::new(scripts.join(name)).args(arguments).output();
    let done = done.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "scripts/{name} {arguments:?}: {said}"
    );
    String::from_utf8(done.stdout).unwrap()
}

/// Runs statements.
pub(crate) async fn run(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let statements = client.batch_execute(sql);
    tokio::select! {
        done = statements => done.unwrap(),
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}
