//! The words of Tradewind and the rules that hold between them.
//!
//! Everything here is plain data: no I/O, no SQL, no HTTP, no async. The two things that a program
//! cannot do without reaching outside, reading the clock and drawing random bits, are behind the
//! traits [`Clock`] and [`Random`], so that a test owns both.

mod audit;
mod channel;
mod content;
mod conversation;
pub mod filter;
mod id;
mod log;
mod message;
mod random;
pub mod search;
mod shard;
mod source;
mod tag;
mod time;
mod token;
mod user;
mod webhook;

pub use audit::{Action, Actor, AuditEntry};
pub use channel::Channel;
pub use content::{Attachment, AttachmentKind, Content, Postback, UNSUPPORTED_TEXT};
pub use conversation::{Contact, Conversation};
pub use filter::{Filter, SyntaxError};
pub use id::{
    ChannelId, ConversationId, Id, InvitationId, MessageId, ReplayId, SessionId, TagId, TokenId,
    UserId, WebhookId, kind,
};
pub use log::{EntryKind, LogEntry, Sequence, Subject};
pub use message::{DeliveryState, Message, Receipt, Sender, SenderType};
pub use random::{OsRandom, Random, SeededRandom};
pub use search::Search;
pub use shard::{SHARDS, Shards, shard_of};
pub use source::{Source, SourceNameError};
pub use tag::{Tag, TagColor};
pub use time::{Clock, ManualClock, SystemClock, Timestamp, WireTime};
pub use token::{Scope, Token};
pub use user::{Invitation, User};
pub use webhook::{EventType, OldSecret, Webhook, WebhookStatus};
