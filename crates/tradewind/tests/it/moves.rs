//! `tradewind migrate` and `tradewind backup`, as an operator uses them.

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    SOON,
    database::Database,
    process::binary,
    receiver::{Delivery, Receiver},
    server::Server,
};

/// Runs a command to its end and gives what it said, on both outputs.
async fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let done = binary().args(arguments).output().await.unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

async fn serve_database(url: &str) -> Server {
    let url = url.to_owned();
    Server::start_with(move |command| {
        command
            .args(["--webhook-allow", "127.0.0.0/8"])
            .env("TRADEWIND_DATABASE", &url)
    })
    .await
}

async fn stop(server: &mut Server) {
    server.terminate().await;
    assert!(server.ended(SOON).await.success());
}

async fn conversations(server: &Server) -> u64 {
    let list = server.call("conversations.list", json!({})).await.ok();
    list["response_metadata"]["total"].as_u64().unwrap()
}

#[tokio::test]
async fn a_server_goes_on_in_a_database_and_back_in_a_directory() {
    let database = Database::create().await;
    let receiver = Receiver::start().await;
    let mut server = Server::start().await;
    server.subscribe(&receiver.url()).await;
    let (visitor, _) = server.converse("first").await;
    receiver.wait_for(1, SOON).await;
    let data = server.data.to_str().unwrap().to_owned();

    let (code, said) = run(&["migrate", "--from", &data, "--to", &database.url]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("stop it first"), "{said}");
    stop(&mut server).await;
    let (code, said) = run(&["migrate", "--from", &data, "--to", &database.url]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("rows are moved"), "{said}");

    let mut moved = serve_database(&database.url).await;
    visitor.write(&moved, "second").await;
    let texts = |deliveries: Vec<Delivery>| -> Vec<String> {
        deliveries.iter().map(Delivery::text).collect()
    };
    assert_eq!(texts(receiver.wait_for(2, SOON).await), ["first", "second"]);
    stop(&mut moved).await;

    let parent = TempDir::new().unwrap();
    let back = parent.path().join("back");
    let back_text = back.to_str().unwrap();
    let (code, said) = run(&["migrate", "--from", &database.url, "--to", back_text]).await;
    assert_eq!(code, Some(0), "{said}");
    let server = Server::start_on(&back).await;
    visitor.write(&server, "third").await;
    let all = ["first", "second", "third"];
    assert_eq!(texts(receiver.wait_for(3, SOON).await), all);
    assert_eq!(visitor.texts(&server).await, all);

    let wrong = "postgress://user:sekret@host/name";
    let (code, said) = run(&["migrate", "--from", back_text, "--to", wrong]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--to"), "{said}");
    let typo = parent.path().join("typo");
    let (code, said) = run(&["migrate", "--from", typo.to_str().unwrap(), "--to", "x"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no store in"), "{said}");
    assert!(!typo.exists());
}

#[tokio::test]
async fn a_copy_of_a_running_server_can_be_served() {
    let server = Server::start().await;
    let (visitor, _) = server.converse("before").await;
    let parent = TempDir::new().unwrap();
    let copy = parent.path().join("copy");
    let (data, to) = (server.data.to_str().unwrap(), copy.to_str().unwrap());
    let (code, said) = run(&["backup", "--data", data, "--to", to]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("tradewind serve --data"), "{said}");
    visitor.write(&server, "after").await;

    let restored = Server::start_on(&copy).await;
    assert_eq!(visitor.texts(&restored).await, ["before"]);
    assert_eq!(visitor.texts(&server).await, ["before", "after"]);
    assert_eq!(conversations(&restored).await, 1);
    let (code, said) = run(&["backup", "--data", data, "--to", to]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("exists already"), "{said}");
}
