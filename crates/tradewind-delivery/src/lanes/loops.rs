//! Finds bots that answer themselves.
//!
//! In a loop, each message of our side is written after the event of the one before it went out, and
//! the contact says nothing. A sender that writes many messages at once is none: its next message is
//! there before the event of the last one has started.

use std::{collections::HashMap, time::Duration};

use tradewind_model::{ConversationId, LogEntry, SenderType, Timestamp};

use crate::time::span;

/// Conversations that are watched at once. Beyond it, those that are furthest from a loop are forgotten.
const WATCHED_MAX: usize = 10_000;
/// An answer that takes longer is none to the event before it.
const ANSWER_MAX: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Loops {
    runs: HashMap<ConversationId, Run>,
}

/// Messages of our side in a row that each followed the event of the one before.
#[derive(Debug)]
struct Run {
    count: u32,
    /// When the event of the last one went out.
    sent_at: Timestamp,
    is_answered: bool,
}

impl Loops {
    /// An entry was read from the log.
    pub(super) fn read(&mut self, entry: &LogEntry) {
        // What was noted about a conversation is no answer.
        let (Some(message), Some(sender)) = (entry.message(), entry.sender()) else {
            return;
        };
        let conversation = &message.conversation_id;
        if sender == SenderType::SourceContact {
            self.runs.remove(conversation);
        } else if let Some(run) = self.runs.get_mut(conversation) {
            // The message's time is in whole milliseconds.
            let follows = message.sent_at.as_millisecond() >= run.sent_at.as_millisecond()
                && span(run.sent_at, message.sent_at) <= ANSWER_MAX;
            run.count = if follows && !run.is_answered {
                run.count.saturating_add(1)
            } else {
                0
            };
            run.is_answered = true;
        }
    }

    /// The first attempt of an entry starts.
    pub(super) fn started(&mut self, entry: &LogEntry, now: Timestamp) {
        let (Some(message), Some(sender)) = (entry.message(), entry.sender()) else {
            return;
        };
        if sender == SenderType::SourceContact {
            return;
        }
        if self.runs.len() >= WATCHED_MAX {
            self.forget_some(now);
        }
        let run = self.runs.entry(message.conversation_id).or_insert(Run {
            count: 0,
            sent_at: now,
            is_answered: false,
        });
        run.sent_at = now;
        run.is_answered = false;
    }

    /// Whether the conversation has come to `max` messages of this kind.
    pub(super) fn has_reached(&self, conversation: ConversationId, max: u32) -> bool {
        max > 0
            && self
                .runs
                .get(&conversation)
                .is_some_and(|run| run.count >= max)
    }

    pub(super) fn forget(&mut self, conversation: ConversationId) {
        self.runs.remove(&conversation);
    }

    fn forget_some(&mut self, now: Timestamp) {
        self.runs
            .retain(|_, run| span(run.sent_at, now) <= ANSWER_MAX && run.count > 0);
        if self.runs.len() >= WATCHED_MAX {
            self.runs.clear();
        }
    }
}
