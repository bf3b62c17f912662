//! Carries entries of the log to whoever reads on: webhook endpoints, and sources' send APIs.
//!
//! The decisions are in [`lanes`], [`health`] and [`schedule`]: plain code without I/O and without a clock, which
//! a simulation drives through crashes and failures. Around them, [`driver`] reads the log, makes the
//! attempts and saves the cursor, one driver for each consumer; [`tail`] reads what is new for all of them;
//! [`dispatcher`] starts and ends them.
//! [`webhook`] says what an attempt at a webhook is, [`event`] what it brings, [`transport`] makes its
//! request, [`guard`] judges every address it would connect to, [`sign`] signs it.
//!
//! At least once: an event is sent, and only then is its consumer's progress saved. A crash between
//! the two sends it again, and the receiver knows it by its id.

pub mod attempt;
pub mod chain;
pub mod dispatcher;
pub mod driver;
mod due;
pub mod event;
pub mod guard;
pub mod health;
pub mod lanes;
pub mod replay;
pub mod schedule;
pub mod sign;
pub mod tail;
mod time;
pub mod transport;
pub mod view;
pub mod webhook;
