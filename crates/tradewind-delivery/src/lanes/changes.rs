//! What there is to save, and what there is to show.

use std::collections::BTreeSet;

use tradewind_model::{ConversationId, Sequence, Timestamp};
use tradewind_store::{HeldLane, SetAside};

use super::{Lanes, Work};

/// What is to be saved, in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub cursor: Sequence,
    pub backed_off_since: Option<Timestamp>,
    pub held: Vec<HeldLane>,
    pub released: Vec<ConversationId>,
    /// Their lanes go on when [`Lanes::saved`] says that this is saved: otherwise a crash could bring
    /// the event back after those behind it.
    pub set_aside: Vec<SetAside>,
    /// What was delivered, if [`super::Limits::tells_delivered`].
    pub delivered: Vec<Sequence>,
}

#[derive(Debug)]
pub(super) struct Unsaved {
    /// Lanes whose row differs from what was last saved.
    pub(super) lanes: BTreeSet<ConversationId>,
    pub(super) set_aside: Vec<SetAside>,
    pub(super) delivered: Vec<Sequence>,
    saved_cursor: Sequence,
    saved_backed_off_since: Option<Timestamp>,
}

impl Unsaved {
    pub(super) fn new(cursor: Sequence, backed_off_since: Option<Timestamp>) -> Self {
        Self {
            lanes: BTreeSet::new(),
            set_aside: Vec::new(),
            delivered: Vec::new(),
            saved_cursor: cursor,
            saved_backed_off_since: backed_off_since,
        }
    }
}

/// How a consumer does, for the operator's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How far the log was read, and up to where everything is dealt with or held.
    pub read_to: Sequence,
    pub cursor: Sequence,
    /// Entries in memory, and held lanes.
    pub entries: usize,
    pub held: usize,
    /// Attempts under way, and how many may be.
    pub in_flight: usize,
    pub concurrency: usize,
    /// Since when the endpoint is backed off, and when it is probed next.
    pub backed_off: Option<(Timestamp, Timestamp)>,
}

/// Where one lane stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneStatus {
    /// Nothing of it waits, as far as the log was read.
    Free {
        read_to: Sequence,
    },
    /// Its first entry is in memory: it is being tried, or will be when there is room.
    Going {
        first: Sequence,
        is_attempting: bool,
    },
    Held(HeldLane, LaneWork),
    /// The entry before it is given up on; the lane goes on when that is saved.
    SettingAside,
}

/// What a held lane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneWork {
    Waiting,
    Attempting,
    /// It goes on when there is room.
    Queued,
}

impl Lanes {
    /// What is to be saved, or `None` if all is. It counts as saved from now on: the caller saves it and
    /// says so by [`Self::saved`], or gives up the whole consumer.
    pub fn take_changes(&mut self) -> Option<Changes> {
        if !self.has_changes() {
            return None;
        }
        let cursor = self.cursor();
        let backed_off_since = self.health.backed_off_since();
        self.unsaved.saved_cursor = cursor;
        self.unsaved.saved_backed_off_since = backed_off_since;
        let mut changes = Changes {
            cursor,
            backed_off_since,
            held: Vec::new(),
            released: Vec::new(),
            set_aside: std::mem::take(&mut self.unsaved.set_aside),
            delivered: std::mem::take(&mut self.unsaved.delivered),
        };
        for conversation in std::mem::take(&mut self.unsaved.lanes) {
            let lane = self.by_conversation.get(&conversation);
            match lane.and_then(|lane| lane.held) {
                Some(held) => changes.held.push(held.row(conversation)),
                None => changes.released.push(conversation),
            }
        }
        Some(changes)
    }

    /// What was set aside is saved: those lanes go on.
    pub fn saved(&mut self, set_aside: &[SetAside]) {
        for record in set_aside {
            let conversation = record.conversation_id;
            if let Some(lane) = self.by_conversation.get_mut(&conversation)
                && lane.work == Work::SettingAside
            {
                lane.work = Work::Idle;
                self.go_on(conversation);
            }
        }
    }

    pub fn has_changes(&self) -> bool {
        !self.unsaved.lanes.is_empty()
            || self.must_save_now()
            || !self.unsaved.delivered.is_empty()
            || self.cursor() != self.unsaved.saved_cursor
            || self.health.backed_off_since() != self.unsaved.saved_backed_off_since
    }

    /// A lane waits for the changes to be saved.
    pub fn must_save_now(&self) -> bool {
        !self.unsaved.set_aside.is_empty()
    }

    pub fn status(&self) -> Status {
        Status {
            read_to: self.read_to,
            cursor: self.cursor(),
            entries: self.load.entries,
            held: self.held_count,
            in_flight: self.flights.count(),
            concurrency: self.health.concurrency(),
            backed_off: self.health.backed_off_since().zip(self.health.probe_at()),
        }
    }

    pub fn lane_status(&self, conversation: ConversationId) -> LaneStatus {
        let free = LaneStatus::Free {
            read_to: self.read_to,
        };
        let Some(lane) = self.by_conversation.get(&conversation) else {
            return free;
        };
        let is_attempting = matches!(lane.work, Work::Attempting { .. });
        match (lane.held, lane.queue.front()) {
            (Some(_), _) if lane.work == Work::SettingAside => LaneStatus::SettingAside,
            (Some(held), _) => {
                let work = match lane.work {
                    Work::Idle | Work::SettingAside => LaneWork::Waiting,
                    Work::Attempting { .. } => LaneWork::Attempting,
                    Work::Queued | Work::Reading { .. } => LaneWork::Queued,
                };
                LaneStatus::Held(held.row(conversation), work)
            }
            (None, Some(first)) => LaneStatus::Going {
                first: first.sequence,
                is_attempting,
            },
            (None, None) => free,
        }
    }
}
