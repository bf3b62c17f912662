//! Open sockets on a server.

use std::time::Duration;

use crate::bench::{
    child::Process,
    load::Visitors,
    part::{Part, Said},
    sockets::{Heard, Pages},
    world::World,
};

/// Longest time until all are open, or a message that was stored has reached its socket.
const PATIENCE_MAX: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sockets of visitors.
pub(crate) struct OpenPages(Process);

impl World {
    /// Opens the sockets of the first `count` visitors.
    pub(crate) async fn open_sockets(&self, count: u32) -> anyhow::Result<OpenPages> {
        let part = Part::Sockets(Pages {
            server: self.address()?,
            visitors: Visitors {
                conversations: count,
                ..self.visitors.clone()
            },
        });
        let mut process = Process::start_part(&part, "sockets", &self.directory).await?;
        match process.said(PATIENCE_MAX).await? {
            Said::Ready => Ok(OpenPages(process)),
            other => Err(process.failed(&format!("{other:?}"))),
        }
    }
}

impl OpenPages {
    /// What they have got, once that is `messages`.
    ///
    /// # Errors
    /// [`Invalid`](crate::bench::Invalid) when it is never, or a socket was closed.
    pub(crate) async fn heard(&mut self, world: &World, messages: u64) -> anyhow::Result<Heard> {
        let mut rest = PATIENCE_MAX.as_millis() / LOOK_EVERY.as_millis();
        loop {
            self.0.tell(&"stats").await?;
            let heard = match self.0.said(Duration::ZERO).await? {
                Said::Heard(heard) => heard,
                other => return Err(self.0.failed(&format!("{other:?}"))),
            };
            if heard.closed == 0 && heard.messages == messages {
                return Ok(heard);
            }
            rest = rest.saturating_sub(1);
            if heard.closed > 0 || heard.messages > messages || rest == 0 {
                let what = format!(
                    "{messages} messages were stored, {} reached their sockets; {} sockets were closed",
                    heard.messages, heard.closed
                );
                return Err(world.invalid(&what));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
