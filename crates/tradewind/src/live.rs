//! Live updates: sockets that hear of messages as they happen.
//!
//! Nothing durable lives here. The [`hub`] follows the log from its newest entry and hands what it
//! reads to the sockets that listen; a socket that falls behind is closed, and its client catches up
//! by reading the conversation when it returns.

pub(crate) mod hub;
pub(crate) mod socket;
pub(crate) mod stomp;
