//! Sends messages that Meta wants in several calls: a text, and each attachment by itself.
//!
//! A call that fails after others were taken is tried again, and those are not: what was taken is kept in
//! memory. After a crash in between, the contact gets the first parts twice, as the guarantee is at least once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use secrecy::SecretString;
use serde_json::Value;
use tradewind_model::MessageId;

use super::{
    graph::{Call, Graph},
    json::text,
};
use crate::{SendError, Sent};

/// Messages of which a part was taken; the oldest is forgotten first.
const PARTLY_SENT_MAX: usize = 10_000;

/// How many parts of a message were taken, and what the last of them is called.
type Taken = (usize, Option<String>);

#[derive(Debug, Default)]
pub(super) struct Parts(Mutex<BTreeMap<MessageId, Taken>>);

impl Parts {
    /// Sends the parts that were not taken before, in their order. `name` finds in an answer how the provider
    /// calls what it took.
    ///
    /// Cancel safety: what was taken until then is not sent again.
    pub(super) async fn send(
        &self,
        id: MessageId,
        graph: (&Graph, &SecretString, &str),
        parts: &[Value],
        name: fn(&Value) -> Option<String>,
    ) -> Result<Sent, SendError> {
        let (graph, token, path) = graph;
        let (mut count, mut last) = self.lock().get(&id).cloned().unwrap_or_default();
        for part in parts.iter().skip(count) {
            match graph.call(token, Call::post(path, part)).await {
                Ok(answer) => {
                    count += 1;
                    last = name(&answer);
                    if parts.len() > 1 {
                        self.keep(id, (count, last.clone()));
                    }
                }
                Err(problem) => {
                    return Err(self.failed(id, problem.of_message(), count, parts.len()));
                }
            }
        }
        self.lock().remove(&id);
        Ok(Sent {
            source_message_id: last,
        })
    }

    fn failed(&self, id: MessageId, error: SendError, count: usize, all: usize) -> SendError {
        let partly = |reason| match count {
            0 => reason,
            _ => format!("{count} of its {all} parts were sent, but then: {reason}"),
        };
        match error {
            SendError::Retry(failure) => SendError::Retry(failure),
            SendError::Final { reason } => {
                self.lock().remove(&id);
                SendError::Final {
                    reason: partly(reason),
                }
            }
            SendError::TokenRefused { reason } => {
                self.lock().remove(&id);
                SendError::TokenRefused {
                    reason: partly(reason),
                }
            }
        }
    }

    fn keep(&self, id: MessageId, taken: Taken) {
        let mut kept = self.lock();
        kept.insert(id, taken);
        if kept.len() > PARTLY_SENT_MAX {
            // Ids sort by time.
            kept.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MessageId, Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How Messenger calls what it took.
pub(super) fn message_id(answer: &Value) -> Option<String> {
    text(answer, "message_id")
}

/// How `WhatsApp` does.
pub(super) fn first_message_id(answer: &Value) -> Option<String> {
    text(answer.get("messages")?.get(0)?, "id")
}
