//! What is measured, with everything around it: a server, its receiver, and the load on it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::process::Command;
use tradewind_model::{Channel, OsRandom, Random as _, SystemClock};
use tradewind_sources::chat_plugin;
use tradewind_store::{SqliteStore, Store as _};

use super::{
    Invalid,
    child::Process,
    clock,
    figure::float,
    latency::Latency,
    load::{Loaded, Pace, Plan, Visitors},
    machine::Flushes,
    part::{Part, Said},
    receiver::{Reset, Stats},
    usage::{self, Usage},
};

/// Bytes of a message's text.
const TEXT_BYTES: usize = 300;
/// Longest time without an arrival while something is missing; then it is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often the receiver is asked whether everything came.
const LOOK_EVERY: Duration = Duration::from_millis(20);
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

/// What is sent in a phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) pace: Pace,
    /// From the first message to the last.
    pub(crate) span: Duration,
    /// At most so many.
    pub(crate) messages: u64,
    pub(crate) conversations: u32,
}

/// What a phase showed: from the first message sent to the last one arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    pub(crate) repeats: u64,
    /// Seconds until the last answer.
    pub(crate) accepting: f64,
    /// Seconds until the last arrival.
    pub(crate) delivering: f64,
    /// CPU seconds of the server, the load generator and the receiver.
    pub(crate) server_cpu: f64,
    pub(crate) load_cpu: f64,
    pub(crate) receiver_cpu: f64,
    pub(crate) written: Option<u64>,
    pub(crate) syncs: Option<u64>,
    /// Bytes of the server: at the end, and at most since its start.
    pub(crate) memory: u64,
    pub(crate) memory_peak: u64,
    /// From when each was to be sent to its arrival.
    pub(crate) arrivals: Latency,
    /// From when each was to be sent to its answer.
    pub(crate) answers: Latency,
    /// From when each was to be sent to when it was.
    pub(crate) lateness: Latency,
}

/// A server and its receiver. Ends when it is dropped.
pub(crate) struct World {
    subject: Subject,
    server: Process,
    receiver: Process,
    address: SocketAddr,
    receiver_address: SocketAddr,
    client: reqwest::Client,
    token: String,
    visitors: Visitors,
    phases: u64,
    flushes: Flushes,
    directory: PathBuf,
}

impl World {
    /// Starts them on a new directory in `directory`.
    pub(crate) async fn start(subject: Subject, directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.join(subject.name());
        std::fs::create_dir_all(&directory)?;
        let name = |part: &str| format!("{}-{part}", subject.name());
        let mut receiver =
            Process::start_part(&Part::Receiver, &name("receiver"), &directory).await?;
        let receiver_address = receiver.address().await?;
        let token = format!("{:032x}", OsRandom::default().bits());
        let visitors = prepare(&directory.join("data")).await?;
        let (server, address) = match subject {
            Subject::Tradewind => serve(&directory, &token).await?,
            Subject::Floor => relay(&Part::Relay(receiver_address), subject, &directory).await?,
            Subject::Limit => {
                relay(&Part::BareRelay(receiver_address), subject, &directory).await?
            }
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(ASK_MAX)
            .build()?;
        let world = Self {
            subject,
            server,
            receiver,
            address,
            receiver_address,
            client,
            token,
            visitors,
            phases: 0,
            flushes: Flushes::of(&directory)?,
            directory,
        };
        if subject == Subject::Tradewind {
            let url = format!("http://{receiver_address}/");
            let webhook = json!({ "url": url });
            world.call("webhooks.subscribe", &webhook).await?;
        }
        Ok(world)
    }

    pub(crate) fn subject(&self) -> Subject {
        self.subject
    }

    /// Calls an endpoint of the server.
    pub(crate) async fn call(&self, verb: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/{verb}", self.address);
        let request = self.client.post(url).bearer_auth(&self.token).json(body);
        let response = request.send().await?;
        let status = response.status();
        let answer = response.text().await?;
        if !status.is_success() {
            bail!("{verb}: {status}: {answer}");
        }
        Ok(serde_json::from_str(&answer)?)
    }

    /// Does `work`, waits until everything has arrived, and checks that it has, in order.
    ///
    /// # Errors
    /// [`Invalid`] when it has not.
    pub(crate) async fn run(&mut self, work: Work) -> anyhow::Result<Phase> {
        self.phases += 1;
        let visitors = Visitors {
            conversations: work.conversations,
            ..self.visitors.clone()
        };
        let reset = Reset {
            phase: self.phases,
            conversations: work.conversations,
        };
        self.ask_receiver("reset", serde_json::to_vec(&reset)?)
            .await?;
        let plan = Part::Load(Plan {
            server: self.address,
            visitors,
            phase: self.phases,
            pace: work.pace,
            span: clock::nanos(work.span),
            messages: work.messages,
        });
        let name = format!("{}-load", self.subject.name());
        let mut load = Process::start_part(&plan, &name, &self.directory).await?;
        let said = load.said(Duration::ZERO).await?;
        if !matches!(said, Said::Ready) {
            return Err(load.failed(&format!("{said:?}")));
        }
        let before = self.usages(&load)?;
        let syncs = self.flushes.count();
        load.tell(&"go").await?;
        let loaded = match load.said(work.span).await? {
            Said::Loaded(loaded) => loaded,
            other => return Err(load.failed(&format!("{other:?}"))),
        };
        if let Some(fault) = &loaded.fault {
            return Err(Invalid(self.server.failed(fault).to_string()).into());
        }
        let stats = self.await_arrivals(loaded.accepted).await?;
        let after = self.usages(&load)?;
        let syncs = self
            .flushes
            .count()
            .zip(syncs)
            .map(|(after, before)| after - before);
        if let Some(fault) = stats.tally.fault(loaded.accepted) {
            return Err(Invalid(self.server.failed(&fault).to_string()).into());
        }
        let memory = usage::memory(self.server.pid()?)?;
        Ok(phase(&loaded, &stats, &before, &after, syncs, memory))
    }

    fn usages(&self, load: &Process) -> anyhow::Result<[Usage; 3]> {
        let of = |process: &Process| anyhow::Ok(Usage::of(process.pid()?)?);
        Ok([of(&self.server)?, of(load)?, of(&self.receiver)?])
    }

    /// Waits until so many have arrived, or nothing more does.
    async fn await_arrivals(&self, accepted: u64) -> anyhow::Result<Stats> {
        let mut moved_at = clock::now();
        let mut last_seen = 0;
        loop {
            let stats = self.ask_receiver("stats", Vec::new()).await?;
            let stats: Stats = serde_json::from_str(&stats)?;
            if stats.tally.delivered != last_seen {
                last_seen = stats.tally.delivered;
                moved_at = clock::now();
            }
            let is_silent = clock::now() - moved_at > clock::nanos(SILENCE_MAX);
            if last_seen >= accepted || is_silent {
                return Ok(stats);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn ask_receiver(&self, path: &str, body: Vec<u8>) -> anyhow::Result<String> {
        let url = format!("http://{}/{path}", self.receiver_address);
        let response = self.client.post(url).body(body).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }
}

fn phase(
    loaded: &Loaded,
    stats: &Stats,
    before: &[Usage; 3],
    after: &[Usage; 3],
    syncs: Option<u64>,
    (memory, memory_peak): (u64, u64),
) -> Phase {
    let seconds = |until: u64| float(until.saturating_sub(loaded.first_sent_at)) / 1e9;
    let [server_cpu, load_cpu, receiver_cpu] = [0, 1, 2].map(|at| after[at].cpu - before[at].cpu);
    let written = after[0].written.zip(before[0].written);
    Phase {
        accepted: loaded.accepted,
        delivered: stats.tally.delivered,
        repeats: stats.tally.repeats,
        accepting: seconds(loaded.last_answered_at),
        delivering: seconds(stats.last_at),
        server_cpu,
        load_cpu,
        receiver_cpu,
        written: written.map(|(after, before)| after - before),
        syncs,
        memory,
        memory_peak,
        arrivals: stats.latency,
        answers: loaded.answers,
        lateness: loaded.lateness,
    }
}

/// Makes a data directory with a channel, and tells who may write there.
async fn prepare(data: &Path) -> anyhow::Result<Visitors> {
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
    let store = SqliteStore::open(data, Arc::new(SystemClock))?;
    store.connect_channel(channel).await?;
    let key = store
        .secret(chat_plugin::SECRET_NAME, OsRandom::default().secret())
        .await?;
    store.close().await;
    Ok(Visitors {
        key,
        channel_id,
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

/// Starts the server as a user does, on the directory `data`.
async fn serve(directory: &Path, token: &str) -> anyhow::Result<(Process, SocketAddr)> {
    // The settings file of the working directory is not for this server.
    let settings = directory.join("tradewind.toml");
    std::fs::write(&settings, "")?;
    let mut program = Command::new(std::env::current_exe()?);
    program
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--webhook-allow", "127.0.0.0/8", "--data"])
        .arg(directory.join("data"))
        .arg("--config")
        .arg(settings)
        .env("TRADEWIND_API_TOKEN", token)
        .env("TRADEWIND_LOG", "warn");
    let mut process = Process::start(program, Subject::Tradewind.name(), directory)?;
    let greeting = process.line(Duration::ZERO).await?;
    let address = greeting
        .rsplit_once("http://")
        .and_then(|(_, address)| address.parse().ok())
        .with_context(|| format!("the server said {greeting:?}"))?;
    Ok((process, address))
}
