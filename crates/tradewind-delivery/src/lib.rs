//! Carries entries of the log to whoever reads on: webhook endpoints, and sources' send APIs.
//!
//! The decisions are in [`lanes`] and [`schedule`]: plain code without I/O and without a clock, which
//! a simulation drives through crashes and failures. Around them, [`driver`] reads the log, makes the
//! attempts and saves the cursor, one driver for each consumer; [`dispatcher`] starts and ends them.
//! [`webhook`] says what an attempt at a webhook is, [`transport`] makes its request, [`guard`] judges
//! every address it would connect to, [`sign`] signs it.
//!
//! At least once: an event is sent, and only then is its consumer's progress saved. A crash between
//! the two sends it again, and the receiver knows it by its id.

pub mod attempt;
pub mod chain;
pub mod dispatcher;
pub mod driver;
pub mod guard;
pub mod lanes;
pub mod schedule;
pub mod sign;
pub mod transport;
pub mod webhook;
