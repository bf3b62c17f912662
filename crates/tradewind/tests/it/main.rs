//! Black-box tests: the real binary on a real directory, over real sockets.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and a helper of tests ends with them"
)]

mod agents;
mod api;
mod bad_input;
#[cfg(target_os = "linux")]
mod bench;
mod cli;
mod cluster;
mod delivery;
mod faults;
mod filters;
mod health;
mod hostile;
mod kill;
mod live;
mod many;
mod moves;
mod openapi;
mod operator;
mod pull;
mod readme;
mod search;
mod sources;
mod support;
mod tidy;
mod users;
