//! Visitors who write to whichever node answers, and what became of what they wrote.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{receiver::Receiver, until_some, visitor::Visitor};

/// Between two messages of a visitor.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a visitor waits for an answer before it asks another node.
const PATIENCE: Duration = Duration::from_secs(3);

/// A message that was acknowledged, and when.
#[derive(Clone, Debug)]
struct Acknowledged {
    id: String,
    text: String,
}

/// Runs until it is stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<Mutex<BTreeMap<usize, Vec<Acknowledged>>>>,
    tasks: JoinSet<()>,
}

impl Load {
    pub(super) fn start(visitors: &[Visitor], nodes: &[SocketAddr]) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            written: Arc::default(),
            tasks: JoinSet::new(),
        };
        for (number, visitor) in visitors.iter().enumerate() {
            let (stop, written) = (Arc::clone(&load.stop), Arc::clone(&load.written));
            let (visitor, nodes) = (visitor.clone(), nodes.to_vec());
            load.tasks.spawn(async move {
                let client = Client::builder().no_proxy().timeout(PATIENCE);
                let client = client.build().unwrap();
                let mut node = number;
                for count in 0.. {
                    let text = format!("{number}.{count}");
                    // What nobody acknowledged is not asked for again: it may be stored or not.
                    match write(&client, nodes[node % nodes.len()], &visitor, &text).await {
                        Some(id) => {
                            let mut written = written.lock().unwrap();
                            let message = Acknowledged { id, text };
                            written.entry(number).or_default().push(message);
                        }
                        None => node += 1,
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        load
    }

    pub(super) fn count(&self) -> usize {
        self.written.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Ends it, waits until all that was acknowledged has come, and checks that each conversation's came
    /// in order. Gives how often something came again.
    pub(super) async fn check(mut self, receiver: &Receiver, patience: Duration) -> Repeats {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let written = self.written.lock().unwrap().clone();
        let ids: Vec<&str> = written.values().flatten().map(|it| &*it.id).collect();
        assert!(
            ids.len() > 100,
            "hardly anything was written: {}",
            ids.len()
        );
        let mut arrivals = Arrivals::default();
        let mut missing = || {
            arrivals.take(receiver);
            let first = &arrivals.first;
            ids.iter().filter(|id| !first.contains_key(**id)).count()
        };
        let began = Instant::now();
        let mut left = missing();
        while left > 0 {
            assert!(
                began.elapsed() < patience,
                "{left} of {} acknowledged messages did not arrive",
                ids.len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
            left = missing();
        }
        for messages in written.values() {
            let places = messages.iter().map(|message| {
                let (place, text) = &arrivals.first[&message.id];
                assert_eq!(*text, message.text);
                *place
            });
            assert!(places.is_sorted(), "out of order");
        }
        Repeats {
            messages: ids.len(),
            again: arrivals.again,
            longest_pause: arrivals.longest_pause,
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Repeats {
    pub(super) messages: usize,
    /// Deliveries of what had been taken already.
    pub(super) again: usize,
    /// The longest time in which nothing arrived.
    pub(super) longest_pause: Duration,
}

#[derive(Default)]
struct Arrivals {
    looked_at: usize,
    /// The place and the text of each event's first arrival.
    first: HashMap<String, (usize, String)>,
    again: usize,
    last_at: Option<Instant>,
    longest_pause: Duration,
}

impl Arrivals {
    fn take(&mut self, receiver: &Receiver) {
        for delivery in receiver.deliveries_after(self.looked_at) {
            self.looked_at += 1;
            let pause = self.last_at.map(|last| delivery.at - last);
            self.longest_pause = self.longest_pause.max(pause.unwrap_or_default());
            self.last_at = Some(delivery.at);
            let place = self.first.len();
            match self.first.entry(delivery.field("id")) {
                Entry::Occupied(_) => self.again += 1,
                Entry::Vacant(first) => _ = first.insert((place, delivery.text())),
            }
        }
    }
}

/// The id of the stored message; `None` when it was not acknowledged.
async fn write(client: &Client, node: SocketAddr, visitor: &Visitor, text: &str) -> Option<String> {
    let request = client
        .post(format!("http://{node}/chatplugin.send"))
        .header("authorization", &visitor.token)
        .json(&json!({"message": {"text": text}}));
    let answer = request.send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let stored: Value = answer.json().await.ok()?;
    Some(stored["id"].as_str().unwrap().to_owned())
}

/// Waits until this many more are acknowledged.
pub(super) async fn go_on(load: &Load, more: usize, patience: Duration) {
    let enough = load.count() + more;
    let is_there = || (load.count() >= enough).then_some(());
    until_some(patience, is_there, || {
        format!("{} of {enough} acknowledged", load.count())
    })
    .await;
}
