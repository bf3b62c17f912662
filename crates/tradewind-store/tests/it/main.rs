//! The promises of `Store`, held against every backend.
//!
//! A case is a function over a [`world::World`] and does not know what it runs on. [`conformance`]
//! makes it a test of every backend; a case that is not listed there is dead code, which the compiler
//! reports. What only one backend promises is in the module named after it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// Makes each case a test of every backend.
macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    let world = crate::world::World::new(crate::sqlite::Sqlite::new());
                    super::$case(world.await).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $case() {
                    let database = crate::postgres::Database::create().await;
                    super::$case(crate::world::World::new(database).await).await;
                }
            )+
        }
    };
}

mod account;
mod append;
mod attempt;
mod attempt_files;
mod channel;
mod consumer;
mod conversation;
mod fact;
mod filter;
mod idempotency;
mod lane;
mod lease;
mod log;
mod message;
mod note;
mod own_source;
mod postgres;
mod receipt;
mod replay;
mod retention;
mod search;
mod set_aside;
mod settle;
mod sqlite;
mod token;
mod transfer;
mod undelivered;
mod upgrade;
mod upkeep;
mod walk;
mod webhook;
mod world;
