//! `tradewind listen`.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{client, connect, interrupt, pull, texts, until_logged, visitors};
use crate::support::{
    SOON,
    process::Process,
    receiver::{Delivery, Receiver, Reply},
    server::{Server, TOKEN},
    until_some,
};

const SECRET: &str = "8f3c6e0e-6a3c-4a53-8f27-3a1a0a2c9f11";

fn delivered(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(Delivery::text).collect()
}

/// The lines that say the secret: as `api_secret`, and for libraries of Standard Webhooks.
async fn secrets(listen: &mut Process) -> (String, String) {
    let greeting = listen.line().await;
    assert!(
        greeting.starts_with("Forwards events of http://"),
        "{greeting}"
    );
    let last_word = |line: String| line.rsplit_once(' ').unwrap().1.to_owned();
    (
        last_word(listen.line().await),
        last_word(listen.line().await),
    )
}

#[tokio::test]
async fn a_forwarded_event_is_the_delivery_that_a_webhook_gets() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let (pushed, pulled) = (Receiver::start().await, Receiver::start().await);
    server.subscribe(&pushed.url()).await;
    let visitor = visitors(&server, 1).await.remove(0);
    let mut listen = connect(&server, &directory, &["listen", "--forward", &pulled.url()]).await;
    let (api_secret, whsec) = secrets(&mut listen).await;
    visitor.write(&server, "hello, \"world\" é").await;
    let pushed = pushed.wait_for(1, SOON).await.remove(0);
    let pulled_one = pulled.wait_for(1, SOON).await.remove(0);

    assert_eq!(pulled_one.method, "POST");
    assert_eq!(pulled_one.body, pushed.body);
    let names = |delivery: &Delivery| -> Vec<_> {
        let mut names: Vec<_> = delivery.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&pulled_one), names(&pushed));
    for name in [
        "content-type",
        "user-agent",
        "webhook-id",
        "accept-encoding",
    ] {
        assert_eq!(pulled_one.header(name), pushed.header(name));
    }
    let library = standardwebhooks::Webhook::new(&whsec).unwrap();
    library
        .verify(&pulled_one.body, &pulled_one.headers)
        .unwrap();
    assert_eq!(
        pulled_one.header("x-airy-content-signature"),
        airy(&api_secret, &pulled_one.body)
    );
    let line = listen.line().await;
    assert!(
        line.contains("  200  ")
            && line.contains(" ms  ")
            && line.ends_with(r#"  "hello, \"world\" é""#),
        "{line}"
    );

    // The same token gives the same secret; another can be named.
    let mut again = connect(&server, &directory, &["listen", "--forward", &pulled.url()]).await;
    assert_eq!(secrets(&mut again).await, (api_secret.clone(), whsec));
    assert_ne!(api_secret, TOKEN);
    let arguments = ["listen", "--forward", &pulled.url(), "--secret", SECRET];
    let mut named = connect(&server, &directory, &arguments).await;
    assert_eq!(secrets(&mut named).await.0, SECRET);
}

fn airy(secret: &str, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(body).finalize().into_bytes();
    format!("{:x}", axum::body::Bytes::copy_from_slice(&mac))
}

#[tokio::test]
async fn order_holds_while_the_endpoint_fails() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let receiver = Receiver::scripted(|delivery, before| {
        let text = delivery.text();
        let tries = before
            .iter()
            .filter(|earlier| earlier.text() == text)
            .count();
        Reply::status(if text == "a 1" && tries < 2 { 500 } else { 204 })
    })
    .await;
    let visitors = visitors(&server, 2).await;
    let mut listen = connect(
        &server,
        &directory,
        &["listen", "--forward", &receiver.url()],
    )
    .await;
    secrets(&mut listen).await;
    for (of, text) in [(0, "a 1"), (0, "a 2"), (1, "b 1"), (1, "b 2"), (0, "a 3")] {
        visitors[of].write(&server, text).await;
    }
    let deliveries = receiver.wait_for(7, SOON).await;
    let order = delivered(&deliveries);
    let of = |letter| {
        order
            .iter()
            .filter(|text| text.starts_with(letter))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("a"), ["a 1", "a 1", "a 1", "a 2", "a 3"]);
    assert_eq!(of("b"), ["b 1", "b 2"]);
    let at = |wanted: &str| order.iter().rposition(|text| text == wanted).unwrap();
    assert!(
        at("b 2") < at("a 1"),
        "other conversations go on: {order:?}"
    );
    let tries: Vec<_> = deliveries
        .iter()
        .filter(|delivery| delivery.text() == "a 1")
        .collect();
    for (pair, seconds) in tries.windows(2).zip([1.0, 2.0]) {
        let wait = (pair[1].at - pair[0].at).as_secs_f64();
        assert!((seconds - 0.1..seconds + 2.0).contains(&wait), "{wait}");
    }
    let mut lines = Vec::new();
    for _ in 0..7 {
        lines.push(listen.line().await);
    }
    let failed = lines.iter().find(|line| line.contains("  500  ")).unwrap();
    assert!(
        failed.contains("attempt 1: the endpoint answered 500"),
        "{failed}"
    );
    assert!(failed.ends_with("; again in 1 s"), "{failed}");
}

#[tokio::test]
async fn an_endpoint_that_is_away_gets_its_events_when_it_is_back() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let visitor = visitors(&server, 1).await.remove(0);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = format!("http://{address}/hook");
    let mut listen = connect(&server, &directory, &["listen", "--forward", &url]).await;
    secrets(&mut listen).await;
    visitor.write(&server, "one").await;
    let line = listen.line().await;
    assert!(
        line.contains("  connect  ") && line.contains("attempt 1: "),
        "{line}"
    );
    let back = Receiver::start_at(address).await;
    assert_eq!(delivered(&back.wait_for(1, SOON).await), ["one"]);
}

#[tokio::test]
async fn an_event_is_skipped_only_when_asked_to_and_loudly() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let receiver = Receiver::scripted(|delivery, _| {
        Reply::status(if delivery.text() == "bad" { 400 } else { 200 })
    })
    .await;
    let visitor = visitors(&server, 1).await.remove(0);
    let state = directory.path().join("state");
    let arguments = [
        "listen",
        "--forward",
        &receiver.url(),
        "--skip-after",
        "2",
        "--state",
        state.to_str().unwrap(),
    ];
    let mut listen = connect(&server, &directory, &arguments).await;
    secrets(&mut listen).await;
    for text in ["bad", "good"] {
        visitor.write(&server, text).await;
    }
    let order = delivered(&receiver.wait_for(3, SOON).await);
    assert_eq!(order, ["bad", "bad", "good"]);
    assert!(listen.line().await.ends_with("; again in 1 s"));
    let line = listen.line().await;
    assert!(
        line.ends_with("attempt 2: the endpoint answered 400 Bad Request; SKIPPED"),
        "{line}"
    );
    let bad = receiver.deliveries()[0].field("id");
    until_logged(&listen, &format!("SKIPPED event {bad}")).await;
    listen.line().await;
    interrupt(&listen);
    assert_eq!(listen.ended(SOON).await.code(), Some(0));
    let cursor = std::fs::read_to_string(&state).unwrap();
    let rest = pull(&server, json!({"cursor": cursor.trim()})).await;
    assert_eq!(texts(&rest), [""; 0]);
}

/// Killed at any moment, it goes on where the state file says: every event arrives, in order, and comes
/// again only from where it stood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_skipped_when_it_is_killed() {
    const ROUNDS: usize = 6;
    let (mut server, directory) = (Server::start().await, TempDir::new().unwrap());
    let failing = Arc::new(AtomicBool::new(true));
    let refuses = Arc::clone(&failing);
    let receiver = Receiver::scripted(move |_, before| {
        let refused = refuses.load(Ordering::Relaxed) && before.len() % 7 == 3;
        Reply::status(if refused { 503 } else { 200 })
    })
    .await;
    let visitors = visitors(&server, 4).await;
    let state = directory.path().join("state");
    let url = receiver.url();
    let arguments = [
        "listen",
        "--forward",
        &url,
        "--state",
        state.to_str().unwrap(),
    ];
    let mut written: Vec<Vec<String>> = vec![Vec::new(); visitors.len()];
    for round in 0..ROUNDS {
        let mut listen = connect(&server, &directory, &arguments).await;
        if round == 0 {
            let kept = || state.exists().then_some(());
            until_some(SOON, kept, || "the first cursor is kept".to_owned()).await;
        }
        let before = receiver.deliveries().len();
        for number in 0..40 {
            let of = number % visitors.len();
            let text = format!("{of} {round} {number}");
            visitors[of].write(&server, &text).await;
            written[of].push(text);
        }
        receiver.wait_for(before + round * 8, SOON).await;
        listen.kill().await;
        if round == 2 {
            server.kill().await;
            server.start_again().await;
        }
    }
    failing.store(false, Ordering::Relaxed);
    let _listen = connect(&server, &directory, &arguments).await;
    let all: usize = written.iter().map(Vec::len).sum();
    let arrived = || {
        receiver
            .deliveries()
            .iter()
            .map(Delivery::text)
            .collect::<HashSet<_>>()
    };
    let look = || (arrived().len() == all).then_some(());
    until_some(Duration::from_secs(30), look, || {
        format!("{} of {all} arrived", arrived().len())
    })
    .await;
    for (of, written) in written.iter().enumerate() {
        let mut seen = HashSet::new();
        let mut first = delivered(&receiver.deliveries());
        first.retain(|text| text.starts_with(&format!("{of} ")) && seen.insert(text.clone()));
        assert_eq!(first, *written, "the order in which they first came");
    }
}

#[tokio::test]
async fn what_the_state_says_was_accepted_does_not_come_again() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let receiver = Receiver::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    visitor.write(&server, "before the first start").await;
    let state = directory.path().join("state");
    let url = receiver.url();
    let arguments = [
        "listen",
        "--forward",
        &url,
        "--state",
        state.to_str().unwrap(),
    ];
    let mut listen = connect(&server, &directory, &arguments).await;
    for text in ["one", "two"] {
        visitor.write(&server, text).await;
    }
    receiver.wait_for(2, SOON).await;
    let end = super::now(&server).await;
    let kept = || std::fs::read_to_string(&state).unwrap_or_default();
    let settled = || (Some(kept().trim()) == end.as_str()).then_some(());
    until_some(SOON, settled, || format!("{} is kept", kept())).await;
    listen.kill().await;
    // What comes while it is away is not lost, whatever --from says.
    visitor.write(&server, "three").await;
    for text in ["three", "four"] {
        let arguments = [&arguments[..], &["--from", "start"]].concat();
        let mut listen = connect(&server, &directory, &arguments).await;
        secrets(&mut listen).await;
        let line = listen.line().await;
        assert!(line.ends_with(&format!("{text:?}")), "{line}");
        interrupt(&listen);
        assert!(listen.ended(SOON).await.success());
        visitor.write(&server, "four").await;
    }
    let order = delivered(&receiver.deliveries());
    assert_eq!(order, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn it_goes_on_when_the_server_was_away() {
    let (mut server, directory) = (Server::start().await, TempDir::new().unwrap());
    let receiver = Receiver::start().await;
    let visitor = visitors(&server, 1).await.remove(0);
    let listen = connect(
        &server,
        &directory,
        &["listen", "--forward", &receiver.url()],
    )
    .await;
    visitor.write(&server, "one").await;
    receiver.wait_for(1, SOON).await;
    server.kill().await;
    until_logged(&listen, "is away").await;
    server.start_again().await;
    visitor.write(&server, "two").await;
    assert_eq!(delivered(&receiver.wait_for(2, SOON).await), ["one", "two"]);
}

#[tokio::test]
async fn different_conversations_are_forwarded_side_by_side() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    let receiver = Receiver::scripted(|_, _| Reply {
        after: Duration::from_secs(1),
        ..Reply::status(200)
    })
    .await;
    let visitors = visitors(&server, 16).await;
    let listen = connect(
        &server,
        &directory,
        &["listen", "--forward", &receiver.url()],
    )
    .await;
    for visitor in &visitors {
        visitor.write(&server, "hello").await;
    }
    let deliveries = receiver.wait_for(16, SOON).await;
    let took = deliveries[15].at - deliveries[0].at;
    assert!(
        took < Duration::from_secs(5),
        "one after the other: {took:?}"
    );
    drop(listen);
}

#[tokio::test]
async fn what_cannot_work_is_refused_in_one_line() {
    let (server, directory) = (Server::start().await, TempDir::new().unwrap());
    for (arguments, said) in [
        (
            &["--forward", "ftp://127.0.0.1/"][..],
            "--forward: must start with",
        ),
        (
            &["--forward", "localhost:3000"],
            "--forward: must start with",
        ),
        (
            &["--forward", "http://127.0.0.1:9/", "--secret", "short"],
            "'--secret <UUID>'",
        ),
        (
            &["--forward", "http://127.0.0.1:9/", "--skip-after", "0"],
            "'--skip-after <N>'",
        ),
        (
            &[
                "--forward",
                "http://127.0.0.1:9/",
                "--state",
                "no/such/directory",
            ],
            "cannot write no/such/directory",
        ),
        (
            &["--forward", "http://127.0.0.1:9/", "--state", "."],
            "cannot read .",
        ),
    ] {
        let mut command = client(&server, &directory, &["listen"]);
        let output = tokio::time::timeout(SOON, command.args(arguments).output()).await;
        let output = output.expect("it should end").unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.contains(said), "{arguments:?}: {stderr}");
    }
}
