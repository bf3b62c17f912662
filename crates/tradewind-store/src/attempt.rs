//! What is kept of each attempt at a delivery, for the operator.

use tradewind_model::{ConversationId, Sequence, Timestamp, WebhookId};
use uuid::Uuid;

/// Records that may wait to be written, which is a second and more of deliveries;
/// some 32 MiB if all are of failures with long answers.
pub(crate) const ATTEMPT_QUEUE_MAX: usize = 16_384;
/// Attempts one listing gives at most, whatever the caller asks for.
pub(crate) const LISTED_MAX: usize = 1_000;
/// Of a failure, or of what comes next, in words.
const DETAIL_BYTES_MAX: usize = 500;
/// Of an answer's body.
const RESPONSE_BYTES_MAX: usize = 1_024;

/// One attempt, as it is kept for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    pub webhook: WebhookId,
    /// The entry that was to be delivered.
    pub sequence: Sequence,
    /// The id of the message, or of the channel, that the event is about. A message's flat event has it
    /// as its `webhook-id`.
    pub event_id: Uuid,
    /// Its lane.
    pub conversation_id: ConversationId,
    /// The first attempt at an entry is 1.
    pub number: u32,
    pub is_replay: bool,
    /// When it began. Kept in whole milliseconds.
    pub at: Timestamp,
    /// [`AttemptRecord::DELIVERED`], or the class of the failure.
    pub class: String,
    pub status: Option<u16>,
    /// The class of the address that was connected to.
    pub address: Option<String>,
    /// Whether the connection was one that was kept open.
    pub reused: bool,
    /// What took how long, in microseconds; absent where it did not come to that.
    pub dns_us: Option<u32>,
    pub connect_us: Option<u32>,
    pub tls_us: Option<u32>,
    pub first_byte_us: Option<u32>,
    pub total_us: u32,
    /// Of a failure, in words. Kept up to 500 bytes.
    pub detail: String,
    /// In words, why and until when the next attempt waits; empty when there is none. Kept up to 500
    /// bytes.
    pub next: String,
    /// The first bytes of the answer's body. Kept up to 1 KiB.
    pub response: Vec<u8>,
}

impl AttemptRecord {
    /// The class of an attempt that succeeded.
    pub const DELIVERED: &'static str = "delivered";

    pub fn is_delivered(&self) -> bool {
        self.class == Self::DELIVERED
    }
}

/// Which attempts are listed. All that is given has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptQuery {
    pub webhook: WebhookId,
    pub conversation: Option<ConversationId>,
    pub event_id: Option<Uuid>,
    /// Whether the attempt failed.
    pub failed: Option<bool>,
    /// Go on from here.
    pub before: Option<AttemptCursor>,
    /// 1 to 1,000.
    pub limit: usize,
}

/// A place in the record of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptCursor {
    pub segment: u64,
    pub row: u64,
}

/// Attempts, the newest first. They are not counted: that would read them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPage {
    pub items: Vec<AttemptRecord>,
    /// Where the page after this one begins, if there is any.
    pub next: Option<AttemptCursor>,
}

/// The record with what is too long cut off.
pub(crate) fn shortened(mut record: AttemptRecord) -> AttemptRecord {
    shorten(&mut record.detail);
    shorten(&mut record.next);
    record.response.truncate(RESPONSE_BYTES_MAX);
    record
}

/// Cuts a text so that it still is one.
fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
}
