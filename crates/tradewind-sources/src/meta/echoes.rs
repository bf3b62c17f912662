//! Knows the echoes of what was sent from here where Meta does not say whose they are, as at Instagram.
//!
//! An echo may come before the call that sent the message is answered. So both count: what is being sent just
//! now, by its words, and what was taken lately, by its id. It is memory of this process, for the time until the
//! store knows the id; from then on whoever takes the echo in finds it there, on every node.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::json::{object, text};

/// Ids of messages that were taken; the oldest is forgotten first.
const TAKEN_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Echoes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// One for each call that is under way.
    sending: Vec<Words>,
    order: VecDeque<String>,
    taken: HashSet<String>,
}

/// To whom, and which text; none is an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words {
    contact: String,
    text: Option<String>,
}

/// A call that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    echoes: &'a Echoes,
    words: Words,
}

impl Echoes {
    /// Keeps what is being sent; `call` is the body of the call.
    pub(super) fn sending(&self, call: &Value) -> Option<Sending<'_>> {
        let words = words(call)?;
        self.lock().sending.push(words.clone());
        Some(Sending {
            echoes: self,
            words,
        })
    }

    /// Whether `node` holds the echo of something that was sent from here.
    pub(super) fn knows(&self, node: &Value) -> bool {
        let kept = self.lock();
        let mid = object(node, "message").and_then(|message| text(message, "mid"));
        let is_taken = mid.is_some_and(|mid| kept.taken.contains(&mid));
        is_taken || words(node).is_some_and(|words| kept.sending.contains(&words))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sending<'_> {
    /// It was taken under this id.
    pub(super) fn taken(&self, mid: &str) {
        let kept = &mut *self.echoes.lock();
        if kept.taken.insert(mid.to_owned()) {
            kept.order.push_back(mid.to_owned());
        }
        if kept.order.len() > TAKEN_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.taken.remove(&oldest);
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let sending = &mut self.echoes.lock().sending;
        if let Some(at) = sending.iter().position(|words| *words == self.words) {
            sending.swap_remove(at);
        }
    }
}

/// A call and an echo have the same form here.
fn words(node: &Value) -> Option<Words> {
    Some(Words {
        contact: text(object(node, "recipient")?, "id")?,
        text: text(object(node, "message")?, "text"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Echoes, TAKEN_MAX};

    fn node(contact: &str, message: &Value) -> Value {
        json!({"sender": {"id": "1"}, "recipient": {"id": contact}, "message": message})
    }

    #[test]
    fn an_echo_is_known_while_and_after_its_message_is_sent() {
        let echoes = Echoes::default();
        let echo = node(
            "42",
            &json!({"mid": "m_1", "text": "hello", "is_echo": true}),
        );
        assert!(!echoes.knows(&echo));
        let sending = echoes
            .sending(&node("42", &json!({"text": "hello"})))
            .unwrap();
        assert!(echoes.knows(&echo));
        for other in [
            node("43", &json!({"mid": "m_1", "text": "hello"})),
            node("42", &json!({"mid": "m_1", "text": "hello!"})),
            node("42", &json!({"mid": "m_1", "attachments": []})),
        ] {
            assert!(!echoes.knows(&other), "{other}");
        }
        sending.taken("m_1");
        drop(sending);
        assert!(echoes.knows(&echo));
        let again = node(
            "42",
            &json!({"mid": "m_2", "text": "hello", "is_echo": true}),
        );
        assert!(!echoes.knows(&again));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let echoes = Echoes::default();
        let call = node("42", &json!({"text": "hello"}));
        let sending = echoes.sending(&call).unwrap();
        for number in 0..=TAKEN_MAX {
            sending.taken(&format!("m_{number}"));
        }
        drop(sending);
        assert!(!echoes.knows(&node("42", &json!({"mid": "m_0"}))));
        assert!(echoes.knows(&node("42", &json!({"mid": "m_1"}))));
        assert_eq!(echoes.lock().taken.len(), TAKEN_MAX);
    }
}
