//! A thread that brings the log into the database while the writer goes on: it takes tens of
//! milliseconds, for which otherwise everybody who writes would wait.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::{checkpoint, fault};
use crate::sqlite::fault::Fault;

pub(super) struct Checkpointer {
    orders: SyncSender<()>,
    done: Receiver<Result<(), Fault>>,
    is_under_way: bool,
    thread: JoinHandle<()>,
}

/// How far it is.
pub(super) enum Look {
    Idle,
    UnderWay,
    /// It has ended since the last look.
    Done(Result<(), Fault>),
}

impl Checkpointer {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let (orders, ordered) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while ordered.recv().is_ok() {
                    let made = checkpoint(&connection, "PASSIVE");
                    let made = made.map(drop).map_err(|error| fault(&error));
                    if tell.send(made).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            orders,
            done,
            is_under_way: false,
            thread,
        })
    }

    /// Starts a checkpoint, of what is in the log now.
    pub(super) fn ask(&mut self) {
        self.is_under_way = true;
        let _ = self.orders.try_send(());
    }

    pub(super) fn look(&mut self) -> Look {
        if !self.is_under_way {
            return Look::Idle;
        }
        let made = match self.done.try_recv() {
            Err(TryRecvError::Empty) => return Look::UnderWay,
            Ok(made) => made,
            // Should the thread be gone, all is for the writer to do.
            Err(TryRecvError::Disconnected) => Ok(()),
        };
        self.is_under_way = false;
        Look::Done(made)
    }

    /// Waits for the end of one that is under way.
    pub(super) fn wait(&mut self) {
        if self.is_under_way {
            let _ = self.done.recv();
            self.is_under_way = false;
        }
    }

    /// Ends, and closes the connection.
    pub(super) fn close(self) {
        drop(self.orders);
        let _ = self.thread.join();
    }
}
