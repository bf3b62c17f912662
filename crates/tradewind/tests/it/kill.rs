//! The promise, under SIGKILL: what was acknowledged arrives, in order, however often the server dies.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::support::{
    receiver::{Delivery, Receiver, Reply},
    server::Server,
    until_some,
    visitor::Visitor,
};

const KILLS: u32 = 25;
const VISITORS: usize = 16;

/// A message that the server acknowledged.
#[derive(Debug)]
struct Acknowledged {
    id: String,
    text: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_arrives_in_order_through_sigkill_at_random_moments() {
    // Some deliveries fail while there is load, so that kills also meet held lanes.
    let loading = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&loading);
    let receiver = Receiver::scripted(move |_, before| {
        let refused = refusing.load(Ordering::Relaxed) && before.len() % 20 == 19;
        Reply::status(if refused { 500 } else { 200 })
    })
    .await;
    let mut server = Server::start().await;
    let channel = server.connect_channel().await;
    server.subscribe(&receiver.url()).await;
    let visitors =
        futures_util::future::join_all((0..VISITORS).map(|_| Visitor::arrive(&server, &channel)))
            .await;
    let mut acknowledged: Vec<Vec<Acknowledged>> = visitors.iter().map(|_| Vec::new()).collect();

    let seed = u64::from(std::process::id());
    for round in 0..KILLS {
        let pause = Duration::from_millis(pseudo_random(seed + u64::from(round)) % 400);
        let killed = Arc::new(AtomicBool::new(false));
        let load = visitors
            .iter()
            .zip(&mut acknowledged)
            .map(|(visitor, acknowledged)| {
                write_until(&server, visitor, acknowledged, round, Arc::clone(&killed))
            });
        let pid = server.pid();
        let kill = async {
            tokio::time::sleep(pause).await;
            signal_kill(pid).await;
            killed.store(true, Ordering::Relaxed);
        };
        tokio::join!(futures_util::future::join_all(load), kill);
        server.kill().await;
        server.start_again().await;
    }

    loading.store(false, Ordering::Relaxed);
    let total: usize = acknowledged.iter().map(Vec::len).sum();
    assert!(
        total > usize::try_from(KILLS).unwrap() * VISITORS,
        "there was load: {total}"
    );
    let arrived = || -> HashSet<String> {
        receiver
            .deliveries()
            .iter()
            .map(|delivery| delivery.field("id"))
            .collect()
    };
    let missing = || {
        let arrived = arrived();
        acknowledged
            .iter()
            .flatten()
            .filter(|message| !arrived.contains(&message.id))
            .count()
    };
    until_some(
        Duration::from_mins(1),
        || (missing() == 0).then_some(()),
        || {
            format!(
                "seed {seed}: {} of {total} acknowledged messages did not arrive",
                missing()
            )
        },
    )
    .await;
    check_order(&receiver.deliveries(), &acknowledged, seed);
}

/// Writes one message after the other until the server is gone.
async fn write_until(
    server: &Server,
    visitor: &Visitor,
    acknowledged: &mut Vec<Acknowledged>,
    round: u32,
    killed: Arc<AtomicBool>,
) {
    for number in 0.. {
        if killed.load(Ordering::Relaxed) {
            return;
        }
        let text = format!("{round}-{number}");
        let Ok(answer) = visitor.try_write(server, &text).await else {
            return;
        };
        let id = answer.ok()["id"].as_str().unwrap().to_owned();
        acknowledged.push(Acknowledged { id, text });
    }
}

/// First arrivals are in the order of the conversation; whatever comes twice is the same to the letter.
fn check_order(deliveries: &[Delivery], acknowledged: &[Vec<Acknowledged>], seed: u64) {
    let mut bodies: HashMap<String, &Delivery> = HashMap::new();
    let mut place = HashMap::new();
    for delivery in deliveries {
        let id = delivery.field("id");
        assert_eq!(delivery.header("webhook-id"), id);
        if let Some(first) = bodies.insert(id.clone(), delivery) {
            assert_eq!(first.body, delivery.body, "seed {seed}: a repeat differs");
        }
        let next = place.len();
        place.entry(id).or_insert(next);
    }
    for conversation in acknowledged {
        let places: Vec<_> = conversation
            .iter()
            .map(|message| place[&message.id])
            .collect();
        assert!(places.is_sorted(), "seed {seed}: out of order");
        for message in conversation {
            assert_eq!(bodies[&message.id].text(), message.text, "seed {seed}");
        }
    }
}

async fn signal_kill(pid: u32) {
    let kill = tokio::process::Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status()
        .await;
    assert!(kill.unwrap().success());
}

/// A different number for each seed (`SplitMix64`).
fn pseudo_random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 31)
}
