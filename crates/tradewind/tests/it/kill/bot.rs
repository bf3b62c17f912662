//! A bot that answers every event, each time it comes, with the event's id as `Idempotency-Key`.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::support::{
    receiver::{Delivery, Receiver},
    server::{Server, TOKEN},
};

/// Calls at once.
const CALLS_MAX: usize = 16;

/// An event that is to be answered.
#[derive(Clone)]
struct Event {
    id: String,
    conversation: String,
}

#[derive(Default)]
pub(super) struct Bot {
    /// Deliveries that were looked at.
    taken: usize,
    waiting: Vec<Event>,
    conversations: HashSet<String>,
    /// For each event, the message that answers it.
    answers: HashMap<String, String>,
}

impl Bot {
    /// Answers what comes until the server is gone.
    pub(super) async fn answer_until(
        &mut self,
        server: &Server,
        receiver: &Receiver,
        dead: &AtomicBool,
    ) {
        while !dead.load(Ordering::Relaxed) {
            self.answer_new(server, receiver).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Answers what has come. What cannot be answered, because the server is gone, waits.
    pub(super) async fn answer_new(&mut self, server: &Server, receiver: &Receiver) {
        let news = receiver.deliveries_after(self.taken);
        self.taken += news.len();
        for event in news.iter().map(Delivery::json) {
            let field = |value: &Value| value.as_str().unwrap().to_owned();
            let conversation = field(&event["conversation_id"]);
            self.conversations.insert(conversation.clone());
            if event["sender"]["type"] == "source_contact" {
                let id = field(&event["id"]);
                self.waiting.push(Event { id, conversation });
            }
        }
        let answers = mem::take(&mut self.waiting).into_iter().map(|event| async {
            let answer = answer(server, &event).await;
            (event, answer)
        });
        let answers: Vec<_> = stream::iter(answers).buffered(CALLS_MAX).collect().await;
        for (event, answer) in answers {
            match answer {
                Some(message) => {
                    let first = self
                        .answers
                        .entry(event.id)
                        .or_insert_with(|| message.clone());
                    assert_eq!(*first, message, "one event has two answers");
                }
                None => self.waiting.push(event),
            }
        }
    }

    pub(super) fn has_answered_all(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Ids of the messages that answer.
    pub(super) fn answers(&self) -> impl Iterator<Item = &String> {
        self.answers.values()
    }

    /// Each event has one answer in its conversation, and no more.
    pub(super) async fn check(&self, server: &Server, seed: u64) {
        let mut found: HashMap<String, String> = HashMap::new();
        for conversation in &self.conversations {
            let mut cursor = Value::Null;
            loop {
                let body =
                    json!({"conversation_id": conversation, "page_size": 100, "cursor": cursor});
                let page = server.call("messages.list", body).await.ok();
                for message in page["data"].as_array().unwrap() {
                    let text = message["content"]["text"].as_str().unwrap();
                    if let Some(event) = text.strip_prefix("re: ") {
                        let id = message["id"].as_str().unwrap().to_owned();
                        let twice = found.insert(event.to_owned(), id);
                        assert_eq!(twice, None, "seed {seed}: two answers to {event}");
                    }
                }
                cursor = page["response_metadata"]["next_cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
        }
        assert_eq!(found, self.answers, "seed {seed}");
    }
}

/// The id of the message that answers; `None` when the server is gone.
async fn answer(server: &Server, event: &Event) -> Option<String> {
    let text = format!("re: {}", event.id);
    let body = json!({"conversation_id": event.conversation, "message": {"text": text}});
    let headers = [("authorization", TOKEN), ("idempotency-key", &event.id)];
    let answer = server
        .try_call("messages.send", &body, &headers)
        .await
        .ok()?;
    Some(answer.ok()["id"].as_str().unwrap().to_owned())
}
