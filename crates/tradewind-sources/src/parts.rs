//! Sends messages that a provider wants in several calls: a text, and each attachment by itself.
//!
//! A call that fails after others were taken is tried again, and those are not: what was taken is kept in
//! memory. After a crash in between, the contact gets the first parts twice, as the guarantee is at least once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tradewind_model::MessageId;

use crate::{SendError, Sent};

/// Messages of which a part was taken; the oldest is forgotten first.
const PARTLY_SENT_MAX: usize = 10_000;

/// How many parts of a message were taken, and what the last of them is called.
type Taken = (usize, Option<String>);

#[derive(Debug, Default)]
pub(crate) struct Parts(Mutex<BTreeMap<MessageId, Taken>>);

impl Parts {
    /// Sends the parts that were not taken before, in their order. `call` sends the one of this number, from 0
    /// on, and answers how the provider calls what it took.
    ///
    /// Cancel safety: what was taken until then is not sent again.
    pub(crate) async fn send<F>(
        &self,
        id: MessageId,
        all: usize,
        call: impl Fn(usize) -> F,
    ) -> Result<Sent, SendError>
    where
        F: Future<Output = Result<Option<String>, SendError>>,
    {
        let (mut count, mut last) = self.lock().get(&id).cloned().unwrap_or_default();
        while count < all {
            match call(count).await {
                Ok(name) => {
                    count += 1;
                    last = name;
                    if all > 1 {
                        self.keep(id, (count, last.clone()));
                    }
                }
                Err(error) => return Err(self.failed(id, error, count, all)),
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
