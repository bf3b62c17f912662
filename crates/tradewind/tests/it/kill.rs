//! The promise, under sudden death: what was acknowledged arrives, in order, however often the server
//! dies, and little of it twice.
//!
//! Under load, each round ends the server: by SIGKILL at a random moment, or at one of its labelled
//! points (`tradewind_store::crash`), where it dies by itself. `scripts/kill-test` makes many rounds;
//! a failure names the seed that makes the same choices again.

mod bot;
mod ledger;
mod replay;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    os::unix::process::ExitStatusExt as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::{
    SOON,
    database::Database,
    receiver::{Receiver, Reply},
    server::Server,
    until_some,
    visitor::Visitor,
};
use bot::Bot;
use ledger::{Kill, Ledger};

const VISITORS: usize = 16;
/// Of a node on `PostgreSQL`.
const LEASE: Duration = Duration::from_secs(1);
const SIGNAL_ABORT: i32 = 6;
const SIGNAL_KILL: i32 = 9;

/// Labelled points, with at most how many passes of them one round takes. A start passes some itself.
const POINTS: [(&str, u64, u64); 5] = [
    ("before_commit", 8, 60),
    ("after_commit", 8, 60),
    ("after_send", 1, 60),
    ("before_save", 1, 4),
    ("after_save", 1, 4),
];

/// How one round ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill(Duration),
    Point(&'static str, u64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_arrives_in_order_however_the_server_dies() {
    kill_again_and_again(None, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_arrives_in_order_from_postgres_too() {
    let database = Database::create().await;
    kill_again_and_again(Some(database), 16).await;
}

async fn kill_again_and_again(database: Option<Database>, rounds: u64) {
    let rounds = number("TRADEWIND_KILL_ROUNDS").unwrap_or(rounds);
    let seed = number("TRADEWIND_KILL_SEED").unwrap_or_else(|| std::process::id().into());
    let shows = number("TRADEWIND_KILL_ROUNDS").is_some();
    let mut random = Random(seed);
    let mut world = World::start(seed, database).await;
    let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..rounds {
        let end = choose(round, &mut random);
        world.round(round, end).await;
        let name = match end {
            End::Kill(_) => "SIGKILL",
            End::Point(point, _) => point,
        };
        *ended.entry(name).or_default() += 1;
        if shows && (round + 1) % 10 == 0 {
            eprintln!("round {} of {rounds}: {}", round + 1, world.summary());
        }
    }
    world.finish().await;
    eprintln!("seed {seed}: {}; ends: {ended:?}", world.summary());
    // Each point has its turn.
    if rounds >= 10 {
        for (point, ..) in POINTS {
            assert!(ended.contains_key(point), "no round ended at {point}");
        }
    }
}

/// Every second round ends at a point, each in its turn.
fn choose(round: u64, random: &mut Random) -> End {
    let turn = usize::try_from(round / 2).unwrap() % POINTS.len();
    let (point, least, most) = POINTS[turn];
    if round % 2 == 1 {
        End::Point(point, least + random.below(most - least + 1))
    } else {
        End::Kill(Duration::from_millis(random.below(400)))
    }
}

/// The server, those who write to it, and what is known of both.
struct World {
    seed: u64,
    server: Server,
    receiver: Receiver,
    /// Where the next start is to die.
    crash_at: Arc<Mutex<Option<String>>>,
    /// Whether the receiver refuses some deliveries and is slow at others.
    troubled: Arc<AtomicBool>,
    /// How long a start waits for what the process before it held.
    lease: Duration,
    visitors: Vec<Visitor>,
    bot: Bot,
    ledger: Ledger,
}

impl World {
    async fn start(seed: u64, database: Option<Database>) -> Self {
        // Some deliveries fail and some are slow while there is load, so that kills also meet held lanes.
        let troubled = Arc::new(AtomicBool::new(true));
        let is_troubled = Arc::clone(&troubled);
        let receiver = Receiver::scripted(move |_, before| {
            let trouble = is_troubled.load(Ordering::Relaxed);
            Reply {
                status: if trouble && before.len() % 20 == 19 {
                    500
                } else {
                    200
                },
                after: Duration::from_millis(if trouble && before.len() % 50 == 7 {
                    300
                } else {
                    0
                }),
                headers: Vec::new(),
            }
        });
        let receiver = receiver.await;
        let crash_at: Arc<Mutex<Option<String>>> = Arc::default();
        let next = Arc::clone(&crash_at);
        let lease = database.as_ref().map_or(Duration::ZERO, |_| LEASE);
        let server = Server::start_with(move |command| {
            if let Some(point) = next.lock().unwrap().as_ref() {
                command.env("TRADEWIND_CRASH_AT", point);
            }
            if let Some(database) = &database {
                command.env("TRADEWIND_DATABASE", &database.url);
                command.env(
                    "TRADEWIND_SERVER__LEASE_SECONDS",
                    LEASE.as_secs().to_string(),
                );
            }
            command.args(["--webhook-allow", "127.0.0.0/8"])
        });
        let mut server = server.await;
        let channel = server.connect_channel().await;
        server.subscribe(&receiver.url()).await;
        let visitors = (0..VISITORS).map(|_| Visitor::arrive(&server, &channel));
        let visitors = join_all(visitors).await;
        server.kill().await;
        Self {
            seed,
            crash_at,
            troubled,
            lease,
            ledger: Ledger::new(seed, visitors.len()),
            visitors,
            bot: Bot::default(),
            server,
            receiver,
        }
    }

    /// Starts the server so that it will die as `end` says, and keeps it busy until it has.
    async fn round(&mut self, round: u64, end: End) {
        *self.crash_at.lock().unwrap() = match end {
            End::Kill(_) => None,
            End::Point(point, passes) => Some(format!("{point}:{passes}")),
        };
        let at = if self.server.start_again_if_it_lives().await {
            self.keep_busy(round, end).await
        } else {
            Instant::now()
        };
        let status = self.server.ended(SOON).await;
        let (name, signal) = match end {
            End::Kill(_) => ("SIGKILL", SIGNAL_KILL),
            End::Point(point, _) => (point, SIGNAL_ABORT),
        };
        assert_eq!(status.signal(), Some(signal), "seed {}: {end:?}", self.seed);
        let open = || open_connections(self.receiver.address.port());
        let all_heard = || (open() == 0).then_some(());
        until_some(SOON, all_heard, || {
            format!("{} connections are open", open())
        })
        .await;
        let heard_at = Instant::now();
        self.ledger.died(Kill { at, heard_at, name });
        self.ledger.take(&self.receiver);
    }

    /// Keeps the server busy until it dies, and says when that was.
    async fn keep_busy(&mut self, round: u64, end: End) -> Instant {
        let dead = AtomicBool::new(false);
        let pid = self.server.pid();
        let load = self.visitors.iter().zip(self.ledger.acknowledged());
        let load = load.map(|(visitor, acknowledged)| {
            write_until(&self.server, visitor, acknowledged, round, &dead)
        });
        let load = join(
            join_all(load),
            self.bot.answer_until(&self.server, &self.receiver, &dead),
        );
        let death = async {
            if let End::Kill(after) = end {
                tokio::time::sleep(self.lease + after).await;
                signal_kill(pid).await;
            } else {
                until_dead(pid, end, self.seed).await;
            }
            dead.store(true, Ordering::Relaxed);
            Instant::now()
        };
        join(load, death).await.1
    }

    /// Everything that is still to come comes, and is as it was promised.
    async fn finish(&mut self) {
        self.troubled.store(false, Ordering::Relaxed);
        *self.crash_at.lock().unwrap() = None;
        self.server.start_again().await;
        let started = Instant::now();
        loop {
            self.bot.answer_new(&self.server, &self.receiver).await;
            self.ledger.take(&self.receiver);
            let missing = self.ledger.missing(self.bot.answers());
            if missing == 0 && self.bot.has_answered_all() {
                break;
            }
            if started.elapsed() > Duration::from_mins(2) {
                let webhooks = self.server.call("webhooks.list", json!({})).await.ok();
                let id = json!({"id": webhooks["data"][0]["id"]});
                let stats = self.server.call("webhooks.stats", id).await.ok();
                panic!(
                    "seed {}: {missing} acknowledged messages did not arrive; {stats:#}",
                    self.seed
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ledger.check_order();
        self.bot.check(&self.server, self.seed).await;
    }

    fn summary(&self) -> String {
        let mut text = self.ledger.summary();
        write!(text, ", {} answers", self.bot.answers().count()).unwrap();
        text
    }
}

/// Writes one message after the other until the server is gone.
async fn write_until(
    server: &Server,
    visitor: &Visitor,
    acknowledged: &mut Vec<ledger::Acknowledged>,
    round: u64,
    dead: &AtomicBool,
) {
    for number in 0.. {
        if dead.load(Ordering::Relaxed) {
            return;
        }
        let text = format!("{round}-{number}");
        let Ok(answer) = visitor.try_write(server, &text).await else {
            return;
        };
        let id = answer.ok()["id"].as_str().unwrap().to_owned();
        acknowledged.push(ledger::Acknowledged { id, text });
    }
}

/// Waits until the process has died by itself.
async fn until_dead(pid: u32, end: End, seed: u64) {
    let started = Instant::now();
    // One that has died is a zombie as long as nobody has asked for its status.
    let lives = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, state) = status.rsplit_once(") ").unwrap();
        !state.starts_with(['Z', 'X'])
    };
    while lives() {
        assert!(
            started.elapsed() < 2 * SOON,
            "seed {seed}: it does not die at {end:?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Connections to this port that whoever listens there has not read to their end.
fn open_connections(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    const NOT_ACCEPTED: &str = "03";
    const CLOSED_BY_THE_OTHER_SIDE: &str = "08";

    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let address = format!(":{port:04X}");
    let is_open = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let here = words.next().unwrap();
        let state = words.nth(1).unwrap();
        here.ends_with(&address)
            && [ESTABLISHED, NOT_ACCEPTED, CLOSED_BY_THE_OTHER_SIDE].contains(&state)
    };
    table.lines().skip(1).filter(is_open).count()
}

async fn signal_kill(pid: u32) {
    let kill = tokio::process::Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status()
        .await;
    assert!(kill.unwrap().success());
}

#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

/// A different row of numbers for each seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}
