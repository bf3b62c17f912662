//! A phase of a measurement: one load from its first message to the last arrival.

use std::time::Duration;

use crate::bench::{
    Invalid,
    child::Process,
    clock,
    figure::float,
    latency::Latency,
    load::{Loaded, Pace, Plan, Visitors},
    part::{Part, Said},
    receiver::{Reset, Stats},
    usage::{self, Cores, Usage},
    world::World,
};

/// Longest time without an arrival while something is missing; then it is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often the receiver is asked whether everything came.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is sent in a phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) pace: Pace,
    /// From the first message to the last.
    pub(crate) span: Duration,
    /// At most so many.
    pub(crate) messages: u64,
    /// The first conversation, and how many there are.
    pub(crate) first: u32,
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
    /// CPU seconds of the servers, the load generator and the receiver.
    pub(crate) server_cpu: f64,
    /// The same of `PostgreSQL`, where there is one.
    pub(crate) database_cpu: f64,
    pub(crate) load_cpu: f64,
    pub(crate) receiver_cpu: f64,
    /// Cores that other programs kept busy.
    pub(crate) others_cores: f64,
    /// Cores that the host of a virtual machine withheld.
    pub(crate) stolen_cores: f64,
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

/// A load generator that is ready, or sends.
pub(crate) struct Load {
    process: Process,
    span: Duration,
}

impl Load {
    pub(crate) async fn begin(&mut self) -> anyhow::Result<()> {
        self.process.tell(&"go").await
    }

    /// Waits until it has sent everything.
    ///
    /// # Errors
    /// [`Invalid`] when a message was refused.
    pub(crate) async fn ended(&mut self, world: &World) -> anyhow::Result<Loaded> {
        match self.process.said(self.span).await? {
            Said::Loaded(loaded) => match &loaded.fault {
                Some(fault) => Err(world.invalid(fault)),
                None => Ok(loaded),
            },
            other => Err(self.process.failed(&format!("{other:?}"))),
        }
    }
}

/// What everything had used at a moment.
struct Look {
    at: u64,
    server: Usage,
    database: Option<f64>,
    load: Usage,
    receiver: Usage,
    cores: Cores,
    syncs: Option<u64>,
}

impl World {
    /// Does `work`, waits until everything has arrived, and checks that it has, in order.
    ///
    /// # Errors
    /// [`Invalid`] when it has not.
    pub(crate) async fn run(&mut self, work: Work) -> anyhow::Result<Phase> {
        self.begin(Reset {
            phase: 0,
            conversations: work.first + work.conversations,
            webhooks: 1,
            refused: 0,
        })
        .await?;
        self.run_on(work, 1).await
    }

    /// The same in a phase that has begun, with events that go to several webhooks.
    pub(crate) async fn run_on(&mut self, work: Work, webhooks: u64) -> anyhow::Result<Phase> {
        let mut load = self.load(work).await?;
        let before = self.look(&load)?;
        load.begin().await?;
        let loaded = load.ended(self).await?;
        let events = loaded.accepted * webhooks;
        let stats = self.await_arrivals(events).await?;
        let after = self.look(&load)?;
        self.check(&stats, events)?;
        let (memory, memory_peak) = self.memory()?;
        Ok(phase(
            &loaded,
            &stats,
            &before,
            &after,
            (memory, memory_peak),
        ))
    }

    /// Empties the receiver's ledger; the phase's number is found here.
    pub(crate) async fn begin(&mut self, reset: Reset) -> anyhow::Result<()> {
        self.phases += 1;
        let reset = Reset {
            phase: self.phases,
            ..reset
        };
        let body = serde_json::to_vec(&reset)?;
        self.ask_receiver("reset", body).await.map(drop)
    }

    /// A load generator that waits for [`Load::begin`].
    pub(crate) async fn load(&self, work: Work) -> anyhow::Result<Load> {
        let plan = Part::Load(Plan {
            servers: self.addresses.clone(),
            visitors: Visitors {
                first: work.first,
                conversations: work.conversations,
                ..self.visitors.clone()
            },
            phase: self.phases,
            pace: work.pace,
            span: clock::nanos(work.span),
            messages: work.messages,
        });
        let name = format!("{}-load", self.subject.name());
        let mut process = Process::start_part(&plan, &name, &self.directory).await?;
        match process.said(Duration::ZERO).await? {
            Said::Ready => Ok(Load {
                process,
                span: work.span,
            }),
            other => Err(process.failed(&format!("{other:?}"))),
        }
    }

    /// What has arrived in this phase.
    pub(crate) async fn stats(&self) -> anyhow::Result<Stats> {
        let stats = self.ask_receiver("stats", Vec::new()).await?;
        Ok(serde_json::from_str(&stats)?)
    }

    /// Waits until so many events have arrived, or nothing more does.
    pub(crate) async fn await_arrivals(&self, events: u64) -> anyhow::Result<Stats> {
        let mut moved_at = clock::now();
        let mut last_seen = 0;
        loop {
            let stats = self.stats().await?;
            if stats.tally.delivered != last_seen {
                last_seen = stats.tally.delivered;
                moved_at = clock::now();
            }
            let is_silent = clock::now() - moved_at > clock::nanos(SILENCE_MAX);
            if last_seen >= events || is_silent {
                return Ok(stats);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// # Errors
    /// [`Invalid`] unless so many events arrived, in order.
    pub(crate) fn check(&self, stats: &Stats, events: u64) -> anyhow::Result<()> {
        match stats.tally.fault(events) {
            Some(fault) => Err(self.invalid(&fault)),
            None => Ok(()),
        }
    }

    pub(super) fn invalid(&self, fault: &str) -> anyhow::Error {
        let told = self.servers.first().map(|server| server.failed(fault));
        Invalid(told.map_or_else(|| fault.to_owned(), |told| told.to_string())).into()
    }

    fn look(&self, load: &Load) -> anyhow::Result<Look> {
        let of = |process: &Process| anyhow::Ok(Usage::of(process.pid()?)?);
        Ok(Look {
            at: clock::now(),
            server: self.usage()?,
            database: self.database.map(usage::family).transpose()?,
            load: of(&load.process)?,
            receiver: of(&self.receiver)?,
            cores: Cores::look(),
            syncs: self.flushes.count(),
        })
    }

    /// Of all servers together.
    fn usage(&self) -> anyhow::Result<Usage> {
        let mut all = Usage {
            cpu: 0.0,
            written: Some(0),
        };
        for server in &self.servers {
            let one = Usage::of(server.pid()?)?;
            all.cpu += one.cpu;
            all.written = all.written.zip(one.written).map(|(all, one)| all + one);
        }
        Ok(all)
    }

    /// Of the server that has most: now, and at most so far.
    fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let mut most = (0, 0);
        for server in &self.servers {
            let (now, peak) = usage::memory(server.pid()?)?;
            most = (most.0.max(now), most.1.max(peak));
        }
        Ok(most)
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
    before: &Look,
    after: &Look,
    (memory, memory_peak): (u64, u64),
) -> Phase {
    let seconds = |until: u64| float(until.saturating_sub(loaded.first_sent_at)) / 1e9;
    let server_cpu = after.server.cpu - before.server.cpu;
    let database_cpu = after.database.unwrap_or(0.0) - before.database.unwrap_or(0.0);
    let load_cpu = after.load.cpu - before.load.cpu;
    let receiver_cpu = after.receiver.cpu - before.receiver.cpu;
    let looked = float(after.at - before.at) / 1e9;
    let ours = (database_cpu + server_cpu + load_cpu + receiver_cpu) / looked;
    let cores = after.cores.since(before.cores, looked);
    let difference = |after: Option<u64>, before: Option<u64>| Some(after? - before?);
    Phase {
        accepted: loaded.accepted,
        delivered: stats.tally.delivered,
        repeats: stats.tally.repeats,
        accepting: seconds(loaded.last_answered_at),
        delivering: seconds(stats.last_at),
        server_cpu,
        database_cpu,
        load_cpu,
        receiver_cpu,
        others_cores: (cores.busy - ours).max(0.0),
        stolen_cores: cores.stolen,
        written: difference(after.server.written, before.server.written),
        syncs: difference(after.syncs, before.syncs),
        memory,
        memory_peak,
        arrivals: stats.latency,
        answers: loaded.answers,
        lateness: loaded.lateness,
    }
}
