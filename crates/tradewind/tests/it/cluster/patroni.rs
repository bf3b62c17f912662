//! A database that fails over by itself, again and again: Patroni promotes the standby when the primary
//! dies, and what died comes back as the next standby.

use std::{
    env,
    time::{Duration, Instant},
};

use super::{Cluster, SOON, go_on, serves};
use crate::support::{database::run_script_named, until_some};

/// Patroni's `ttl`, until it holds that the primary is dead; then it promotes the standby.
const PROMOTED: Duration = Duration::from_secs(40);
/// How long deliveries may pause, with what the nodes need to find the new primary.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const FAIL_OVERS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: scripts/failover-test runs it"]
async fn nothing_is_lost_however_often_patroni_fails_over() {
    let servers = Servers::start();
    let url = &*servers.url;
    let cluster = Cluster::start([url, url, url]).await;
    for round in 1..=fail_overs() {
        let primary = servers.run(&["primary"]);
        servers.run(&["kill", &primary]);
        let began = Instant::now();
        let promoted = servers.run(&["primary"]);
        let promoted_after = began.elapsed();
        assert_ne!(promoted, primary);
        go_on(&cluster.load, 500, PROMOTED).await;
        let went_on_after = began.elapsed();
        for node in &cluster.nodes {
            serves(node, 21).await;
        }
        let alone = cluster.load.count();
        servers.run(&["revive", &primary]);
        servers.run(&["whole"]);
        eprintln!(
            "{round}: {promoted} promoted {promoted_after:.1?} after {primary} was killed, 500 more \
             messages after {went_on_after:.1?}, {primary} back after {:.1?} and {} messages",
            began.elapsed(),
            cluster.load.count() - alone,
        );
        go_on(&cluster.load, 2000, 2 * SOON).await;
    }
    let repeats = cluster.check().await;
    assert!(repeats.again * 20 < repeats.messages, "{repeats:?}");
    assert!(repeats.longest_pause < PAUSE_MAX, "{repeats:?}");
}

/// A server that hangs takes connections, and says nothing. It does not wake: Patroni, without a
/// watchdog, would have two primaries then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: scripts/failover-test runs it"]
async fn nothing_is_lost_when_the_primary_hangs() {
    let servers = Servers::start();
    let url = &*servers.url;
    let cluster = Cluster::start([url, url, url]).await;
    // Each hangs once: one of them is the first in the address.
    for round in 1..=2 {
        let primary = servers.run(&["primary"]);
        servers.run(&["hang", &primary]);
        let began = Instant::now();
        let promoted = servers.run(&["primary"]);
        let promoted_after = began.elapsed();
        go_on(&cluster.load, 500, PROMOTED).await;
        let went_on_after = began.elapsed();
        let delivered = cluster.receiver.deliveries_after(0).len();
        until_some(
            PROMOTED,
            || (cluster.receiver.deliveries_after(delivered).len() > 500).then_some(()),
            || "hardly anything is delivered".to_owned(),
        )
        .await;
        let delivered_after = began.elapsed();
        servers.run(&["kill", &primary]);
        servers.run(&["revive", &primary]);
        servers.run(&["whole"]);
        eprintln!(
            "{round}: {promoted} promoted {promoted_after:.1?} after {primary} hung, 500 more messages \
             after {went_on_after:.1?}, 500 more delivered after {delivered_after:.1?}, {primary} back \
             after {:.1?}",
            began.elapsed(),
        );
        go_on(&cluster.load, 2000, 2 * SOON).await;
    }
    let repeats = cluster.check().await;
    assert!(repeats.again * 20 < repeats.messages, "{repeats:?}");
}

/// `scripts/failover-test` may ask for more.
fn fail_overs() -> usize {
    env::var("TRADEWIND_FAIL_OVERS").map_or(FAIL_OVERS, |count| count.parse().unwrap())
}

/// What `scripts/patroni` started. `scripts/failover-test` ends it, however this ends.
struct Servers {
    directory: String,
    /// All of them, in turn.
    url: String,
}

impl Servers {
    fn start() -> Self {
        let directory = env::var("TRADEWIND_PATRONI").expect("scripts/failover-test says where");
        let said = run_script_named("patroni", &["start", &directory]);
        Self {
            directory,
            url: said.trim().to_owned(),
        }
    }

    /// Runs a verb with what else it needs.
    fn run(&self, words: &[&str]) -> String {
        let arguments = [&words[..1], &[&*self.directory], &words[1..]].concat();
        let said = run_script_named("patroni", &arguments);
        said.trim().to_owned()
    }
}
