//! Many nodes on one `PostgreSQL`: what was acknowledged arrives, in order, whatever happens to a node,
//! to the network, or to the database.

mod load;
mod patroni;
mod proxy;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{
    SOON,
    database::{Database, run_script},
    receiver::{Receiver, Reply},
    server::Server,
    socket::Socket,
    visitor::Visitor,
};
use load::{Load, Repeats, go_on};
use proxy::Proxy;

const VISITORS: usize = 24;
/// A node's lease, and some time to notice that it has run out.
const TAKEN_OVER: Duration = Duration::from_secs(10);

struct Cluster {
    nodes: Vec<Server>,
    receiver: Receiver,
    load: Load,
}

async fn node(database: &str) -> Server {
    let database = database.to_owned();
    Server::start_with(move |command| {
        command
            .env("TRADEWIND_DATABASE", &database)
            .env("TRADEWIND_LOG", "info")
            .args(["--webhook-allow", "127.0.0.0/8"])
    })
    .await
}

impl Cluster {
    /// Nodes that reach their database by these addresses, under load.
    async fn start<const N: usize>(databases: [&str; N]) -> Self {
        let nodes = join_all(databases.map(node)).await;
        let receiver = Receiver::start().await;
        let channel = nodes[0].connect_channel().await;
        nodes[0].subscribe(&receiver.url()).await;
        let visitors = (0..VISITORS).map(|number| {
            let node = &nodes[number % N];
            Visitor::arrive(node, &channel)
        });
        let visitors = join_all(visitors).await;
        for node in &nodes {
            serves(node, 64_u32.div_ceil(u32::try_from(N).unwrap()) - 1).await;
        }
        let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
        let load = Load::start(&visitors, &addresses);
        go_on(&load, 500, SOON).await;
        Self {
            nodes,
            receiver,
            load,
        }
    }

    /// Ends the load; all of it has to have arrived, in order.
    async fn check(self) -> Repeats {
        let repeats = self.load.check(&self.receiver, 2 * TAKEN_OVER).await;
        eprintln!("{repeats:?}");
        repeats
    }
}

/// How many of the 64 shards a node serves, as it says itself.
async fn shards(node: &Server) -> u64 {
    let webhooks = node.call("webhooks.list", json!({})).await.ok();
    let id = &webhooks["data"][0]["id"];
    let stats = node.call("webhooks.stats", json!({ "id": id })).await;
    stats.ok()["shards"].as_u64().unwrap()
}

/// Waits until a node serves at least this many shards.
async fn serves(node: &Server, least: u32) {
    let began = Instant::now();
    while shards(node).await < least.into() {
        assert!(
            began.elapsed() < TAKEN_OVER,
            "it serves {}",
            shards(node).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn signal(node: &Server, name: &str) {
    let kill = Command::new("kill")
        .args([name, &node.pid().to_string()])
        .status();
    assert!(kill.await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_killed_under_load_lose_nothing() {
    let database = Database::create().await;
    let mut cluster = Cluster::start([&database.url, &database.url, &database.url]).await;
    for victim in [0, 2, 1] {
        cluster.nodes[victim].kill().await;
        // The others take over.
        serves(&cluster.nodes[(victim + 1) % 3], 32).await;
        go_on(&cluster.load, 300, TAKEN_OVER).await;
        cluster.nodes[victim].start_again().await;
        serves(&cluster.nodes[victim], 21).await;
        go_on(&cluster.load, 300, SOON).await;
    }
    let repeats = cluster.check().await;
    // What a node had not saved when it died: the last 200 ms or so, each time.
    assert!(repeats.again * 20 < repeats.messages, "{repeats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_told_to_stop_hands_over_without_a_pause() {
    let database = Database::create().await;
    let mut cluster = Cluster::start([&database.url, &database.url, &database.url]).await;
    cluster.nodes[1].terminate().await;
    let status = cluster.nodes[1].ended(SOON).await;
    assert!(status.success(), "{status:?}");
    for node in [0, 2] {
        serves(&cluster.nodes[node], 32).await;
    }
    go_on(&cluster.load, 500, SOON).await;
    cluster.nodes[1].start_again().await;
    serves(&cluster.nodes[1], 21).await;
    go_on(&cluster.load, 500, SOON).await;
    let repeats = cluster.check().await;
    assert_eq!(
        repeats.again, 0,
        "handed over in order, nothing comes again"
    );
    assert!(
        repeats.longest_pause < Duration::from_secs(1),
        "{repeats:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_frozen_beyond_its_lease_disturbs_nobody() {
    let database = Database::create().await;
    let cluster = Cluster::start([&database.url, &database.url, &database.url]).await;
    signal(&cluster.nodes[0], "-STOP").await;
    for node in [1, 2] {
        serves(&cluster.nodes[node], 32).await;
    }
    go_on(&cluster.load, 500, TAKEN_OVER).await;
    signal(&cluster.nodes[0], "-CONT").await;
    go_on(&cluster.load, 500, SOON).await;
    serves(&cluster.nodes[0], 21).await;
    go_on(&cluster.load, 500, SOON).await;
    cluster.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_the_database_is_replaced() {
    let database = Database::create().await;
    let proxy = Proxy::start(database.address()).await;
    let cut_off = database.by_way_of(&proxy.address.to_string());
    let cluster = Cluster::start([&cut_off, &database.url, &database.url]).await;
    proxy.cut();
    for node in [1, 2] {
        serves(&cluster.nodes[node], 32).await;
    }
    go_on(&cluster.load, 500, TAKEN_OVER).await;
    proxy.mend();
    serves(&cluster.nodes[0], 21).await;
    go_on(&cluster.load, 500, SOON).await;
    let repeats = cluster.check().await;
    assert!(repeats.again * 20 < repeats.messages, "{repeats:?}");
}

#[tokio::test]
async fn a_live_socket_hears_of_what_is_written_at_any_node() {
    let database = Database::create().await;
    let nodes = join_all([&database.url, &database.url].map(|url| node(url))).await;
    let channel = nodes[0].connect_channel().await;
    let visitor = Visitor::arrive(&nodes[0], &channel).await;
    visitor.write(&nodes[0], "hello").await;
    let mut socket = Socket::listen(&nodes[1], &visitor.token).await;
    let list = nodes[1].call("conversations.list", json!({})).await.ok();
    let conversation = &list["data"][0]["id"];
    for (number, node) in nodes.iter().cycle().take(10).enumerate() {
        let text = format!("answer {number}");
        let body = json!({"conversation_id": conversation, "message": {"text": text}});
        node.call("messages.send", body).await.ok();
        let began = Instant::now();
        while !socket.frame().await.contains(&text) {}
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn an_agent_hears_of_what_happens_at_any_node() {
    let database = Database::create().await;
    let nodes = join_all([&database.url, &database.url].map(|url| node(url))).await;
    let destinations = [
        "/queue/channel/connected",
        "/queue/message",
        "/queue/unread-count",
    ];
    let mut sockets = Vec::new();
    for node in &nodes {
        sockets.push(Socket::agent(node, &destinations).await);
    }
    let channel = nodes[0].connect_channel().await;
    let visitor = Visitor::arrive(&nodes[0], &channel).await;
    visitor.write(&nodes[0], "hello").await;
    let list = nodes[1].call("conversations.list", json!({})).await.ok();
    let conversation = list["data"][0]["id"].clone();
    let read = json!({ "conversation_id": conversation });
    let unread =
        |count: u64| json!({"conversation_id": conversation, "unread_message_count": count});
    for socket in &mut sockets {
        let mut told = [
            socket.told().await,
            socket.told().await,
            socket.told().await,
        ];
        // Counts and messages come in no order between them.
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        let [connected, message, count] = &mut told[..] else {
            unreachable!();
        };
        assert_eq!(connected.1["id"], channel);
        assert_eq!(message.1["message"]["content"]["text"], "hello");
        count.1.as_object_mut().unwrap().remove("timestamp");
        assert_eq!(count.1, unread(1));
    }
    let answer = nodes[0].call("conversations.read", read).await;
    assert_eq!(answer.status, 202);
    for socket in &mut sockets {
        let began = Instant::now();
        let (_, mut count) = socket.told().await;
        count.as_object_mut().unwrap().remove("timestamp");
        assert_eq!(count, unread(0));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_agent_is_sent_away_when_its_token_is_revoked_at_another_node() {
    let database = Database::create().await;
    let nodes = join_all([&database.url, &database.url].map(|url| node(url))).await;
    let create = json!({"name": "agent", "scope": "read"});
    let created = nodes[0].call("tokens.create", create).await.json();
    let token = created["token"].as_str().unwrap();
    let (mut socket, _) = Socket::connect_agent(&nodes[1], token).await;
    socket.subscribe_to("0", "/queue/message").await;
    let revoke = json!({ "id": created["id"] });
    nodes[0].call("tokens.revoke", revoke).await.ok();
    let error = socket.next(Duration::from_secs(20)).await.unwrap();
    assert!(error.starts_with("ERROR\nmessage:401"), "{error}");
    socket.end().await;
}

#[tokio::test]
async fn each_node_says_why_an_event_waits_that_another_serves() {
    let database = Database::create().await;
    let nodes = join_all([&database.url, &database.url].map(|url| node(url))).await;
    let refusing = Receiver::scripted(|_, _| Reply::status(500)).await;
    let channel = nodes[0].connect_channel().await;
    nodes[0].subscribe(&refusing.url()).await;
    for node in &nodes {
        serves(node, 32).await;
    }
    let webhooks = nodes[0].call("webhooks.list", json!({})).await.ok();
    let id = webhooks["data"][0]["id"].clone();
    for number in 0..8 {
        let visitor = Visitor::arrive(&nodes[number % 2], &channel).await;
        let message = visitor.write(&nodes[number % 2], "hello").await;
        let asked = json!({"id": id, "message_id": message["id"]});
        for node in &nodes {
            let began = Instant::now();
            loop {
                let attempts = node.call("webhooks.attempts", asked.clone()).await.ok();
                let why = attempts["waiting"].as_str().unwrap_or_default();
                if why.contains("500") {
                    break;
                }
                assert!(began.elapsed() < SOON, "{attempts}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    let waiting = || async {
        let stats = nodes[1]
            .call("webhooks.stats", json!({ "id": id }))
            .await
            .ok();
        stats["waiting"]["held_conversations"].as_u64()
    };
    assert_eq!(waiting().await, Some(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_database_fails_over() {
    let pair = Pair::start();
    let cluster = Cluster::start([&pair.url, &pair.url, &pair.url]).await;
    pair.run("kill");
    // Nobody answers meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    pair.run("promote");
    go_on(&cluster.load, 500, TAKEN_OVER).await;
    for node in &cluster.nodes {
        serves(node, 21).await;
    }
    let repeats = cluster.check().await;
    assert!(repeats.again * 20 < repeats.messages, "{repeats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_through_a_pooler() {
    let database = Database::create().await;
    let pooler = Place::new();
    let url = run_script(&["pool", &pooler.path(), &database.url]);
    // It passes no notification on: what one node writes, another sees when it looks.
    let mut cluster = Cluster::start([url.trim(), url.trim()]).await;
    go_on(&cluster.load, 500, SOON).await;
    cluster.nodes[0].kill().await;
    serves(&cluster.nodes[1], 64).await;
    go_on(&cluster.load, 500, SOON).await;
    cluster.check().await;
}

/// A primary and a standby that has all that is acknowledged.
struct Pair {
    place: Place,
    /// Both, in turn.
    url: String,
}

impl Pair {
    fn start() -> Self {
        let place = Place::new();
        let said = run_script(&["pair", &place.path()]);
        let (primary, standby) = said.trim().split_once('\n').unwrap();
        let host = |url: &str| {
            let (_, rest) = url.split_once('@').unwrap();
            rest.split_once('/').unwrap().0.to_owned()
        };
        let both = format!("{},{}", host(primary), host(standby));
        Self {
            url: primary.replace(&host(primary), &both),
            place,
        }
    }

    fn run(&self, verb: &str) {
        run_script(&[verb, &self.place.path()]);
    }
}

/// Where something runs that `scripts/postgres` started. Dropping it ends that.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> String {
        let path = self.0.path().join("place");
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        run_script(&["remove", &self.path()]);
    }
}
