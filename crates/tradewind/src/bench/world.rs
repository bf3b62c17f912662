//! What is measured, with everything around it: a server, its receiver, and the load on it.

mod database;
mod pages;
mod phase;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tradewind_model::{Actor, Channel, OsRandom, Random as _, SystemClock};
use tradewind_sources::chat_plugin;
use tradewind_store::{SqliteStore, Store};

pub(crate) use self::phase::{Phase, Work};
use super::{child::Process, clock, load::Visitors, machine::Flushes, part::Part};

/// Bytes of a message's text.
const TEXT_BYTES: usize = 300;
/// Longest time of a call to a process on the same machine.
const ASK_MAX: Duration = Duration::from_secs(30);

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The relay with the server's own HTTP stack.
    Floor,
    /// The relay on bare hyper.
    Limit,
    Tradewind,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Floor, Self::Limit, Self::Tradewind];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Limit => "limit",
            Self::Tradewind => "tradewind",
        }
    }
}

/// Servers and their receiver. Ends when it is dropped.
pub(crate) struct World {
    subject: Subject,
    /// One, or the nodes of a cluster.
    servers: Vec<Process>,
    receiver: Process,
    addresses: Vec<SocketAddr>,
    /// The first process of `PostgreSQL`, if the server works on one.
    database: Option<u32>,
    receiver_address: SocketAddr,
    client: reqwest::Client,
    token: String,
    visitors: Visitors,
    phases: u64,
    flushes: Flushes,
    directory: PathBuf,
    start_up: Duration,
}

impl World {
    /// Starts them on a new directory in `directory`. `program` is the Tradewind that is measured.
    pub(crate) async fn start(
        subject: Subject,
        program: &Path,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let directory = directory.join(subject.name());
        std::fs::create_dir_all(&directory)?;
        let (receiver, receiver_address) = receiver(subject, &directory).await?;
        let token = token();
        let visitors = prepare(&directory.join("data")).await?;
        let started = clock::now();
        let server = match subject {
            Subject::Tradewind => serve(program, &directory, &token, None).await?,
            Subject::Floor => relay(&Part::Relay(receiver_address), subject, &directory).await?,
            Subject::Limit => {
                relay(&Part::BareRelay(receiver_address), subject, &directory).await?
            }
        };
        let start_up = Duration::from_nanos(clock::now() - started);
        let (servers, addresses) = [server].into_iter().unzip();
        let world = Self {
            subject,
            servers,
            receiver,
            addresses,
            database: None,
            receiver_address,
            client: client()?,
            token,
            visitors,
            phases: 0,
            flushes: Flushes::of(&directory)?,
            directory,
            start_up,
        };
        if subject == Subject::Tradewind {
            world.subscribe(0, json!({})).await?;
        }
        Ok(world)
    }

    /// Starts so many nodes on a new database at `server`, which is a `PostgreSQL` on this machine.
    pub(crate) async fn start_cluster(
        program: &Path,
        directory: &Path,
        server: &str,
        nodes: usize,
    ) -> anyhow::Result<Self> {
        let subject = Subject::Tradewind;
        let (receiver, receiver_address) = receiver(subject, directory).await?;
        let token = token();
        let (url, database) = database::create(server).await?;
        let visitors = database::prepare(&url).await?;
        let started = clock::now();
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for node in 0..nodes {
            let directory = directory.join(format!("node-{node}"));
            std::fs::create_dir_all(&directory)?;
            let (server, address) = serve(program, &directory, &token, Some(&url)).await?;
            servers.push(server);
            addresses.push(address);
        }
        let start_up = Duration::from_nanos(clock::now() - started);
        let world = Self {
            subject,
            servers,
            receiver,
            addresses,
            database: Some(database),
            receiver_address,
            client: client()?,
            token,
            visitors,
            phases: 0,
            flushes: Flushes::of(directory)?,
            directory: directory.to_owned(),
            start_up,
        };
        world.subscribe(0, json!({})).await?;
        Ok(world)
    }

    pub(crate) fn subject(&self) -> Subject {
        self.subject
    }

    /// Calls an endpoint of the server.
    pub(crate) async fn call(&self, verb: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/{verb}", self.address()?);
        let request = self.client.post(url).bearer_auth(&self.token).json(body);
        let response = request.send().await?;
        let status = response.status();
        let answer = response.text().await?;
        ensure!(status.is_success(), "{verb}: {status}: {answer}");
        Ok(serde_json::from_str(&answer)?)
    }

    /// Makes one more webhook, whose events the receiver knows by its number.
    pub(crate) async fn subscribe(&self, webhook: usize, extra: Value) -> anyhow::Result<()> {
        let mut body = extra;
        body["url"] = json!(format!("http://{}/{webhook}", self.receiver_address));
        if webhook > 0 {
            body["id"] = json!(uuid::Uuid::from_u128(u128::try_from(webhook)?));
        }
        self.call("webhooks.subscribe", &body).await.map(drop)
    }

    /// How long the server took until it listened.
    pub(crate) fn start_up(&self) -> Duration {
        self.start_up
    }

    /// Where the data of a server are that starts in `directory`.
    pub(crate) fn data(subject: Subject, directory: &Path) -> PathBuf {
        directory.join(subject.name()).join("data")
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.servers.first().context("no server")?.pid()
    }

    /// That of the first server.
    fn address(&self) -> anyhow::Result<SocketAddr> {
        self.addresses.first().copied().context("no server")
    }
}

async fn receiver(subject: Subject, directory: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    let name = format!("{}-receiver", subject.name());
    let mut receiver = Process::start_part(&Part::Receiver, &name, directory).await?;
    let address = receiver.address().await?;
    Ok((receiver, address))
}

fn token() -> String {
    format!("{:032x}", OsRandom::default().bits())
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(ASK_MAX)
        .build()
}

/// Makes a data directory with a channel, and tells who may write there.
pub(super) async fn prepare(data: &Path) -> anyhow::Result<Visitors> {
    prepare_store(&SqliteStore::open(data, Arc::new(SystemClock))?).await
}

async fn prepare_store(store: &dyn Store) -> anyhow::Result<Visitors> {
    let source = chat_plugin::source();
    let channel = Channel {
        id: Channel::id_of(&source, "bench"),
        source,
        source_channel_id: "bench".to_owned(),
        name: None,
        image_url: None,
        token: None,
        connected: true,
    };
    let channel_id = channel.id;
    store.connect_channel(channel, Actor::server()).await?;
    let key = store
        .secret(chat_plugin::SECRET_NAME, OsRandom::default().secret())
        .await?;
    store.close().await;
    Ok(Visitors {
        key,
        channel_id,
        first: 0,
        conversations: 0,
        text_bytes: TEXT_BYTES,
    })
}

async fn relay(
    part: &Part,
    subject: Subject,
    directory: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let mut process = Process::start_part(part, subject.name(), directory).await?;
    let address = process.address().await?;
    Ok((process, address))
}

/// Starts the server as a user does.
async fn serve(
    program: &Path,
    directory: &Path,
    token: &str,
    database: Option<&str>,
) -> anyhow::Result<(Process, SocketAddr)> {
    // The settings file of the working directory is not for this server.
    let settings = directory.join("tradewind.toml");
    std::fs::write(&settings, "")?;
    let mut program = Command::new(program);
    program
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--webhook-allow", "127.0.0.0/8", "--data"])
        .arg(directory.join("data"))
        .arg("--config")
        .arg(settings)
        .env("TRADEWIND_API_TOKEN", token)
        .env("TRADEWIND_LOG", "warn")
        // That of somebody's cluster is not to be measured.
        .env_remove("TRADEWIND_DATABASE");
    if let Some(url) = database {
        program.env("TRADEWIND_DATABASE", url);
    }
    let mut process = Process::start(program, Subject::Tradewind.name(), directory)?;
    let greeting = process.line(Duration::ZERO).await?;
    let address = greeting
        .rsplit_once("http://")
        .and_then(|(_, address)| address.parse().ok())
        .with_context(|| format!("the server said {greeting:?}"))?;
    Ok((process, address))
}
