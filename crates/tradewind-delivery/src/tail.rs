//! Reads each new stretch of the log once, for all who follow it.
//!
//! One task reads what is appended and keeps the newest entries in memory, shared. Whoever follows the
//! log has said what it wants, and is woken only by a stretch that has such an entry; of all others it
//! is not even told, so a webhook that wants nothing of what happens costs nothing. Who is further behind
//! than what is kept reads the store itself until it is not.
//!
//! The one hard idea is that a follower which waits has no position of its own: nothing that it wants
//! came, so it stands where the tail does. It gets one again at the moment in which something comes, under
//! the same lock that guards what is kept, so that no wake-up can fall between looking and waiting.

mod interest;
mod kept;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tradewind_model::{LogEntry, Sequence};
use tradewind_store::{LogPage, Store, StoreError};

use crate::chain::chain;
use kept::Kept;

pub use interest::Interest;

/// Entries that are read at once, and their weight in bytes.
const READ_MAX: usize = 512;
const READ_WEIGHT_MAX: usize = 1 << 20;
/// How far the followers that wait may go without being told, and for how long: after a crash, a
/// webhook looks at that many entries again which it does not want.
const UNTOLD_MAX: u64 = 10_000;
const UNTOLD_AGE_MAX: Duration = Duration::from_mins(1);
/// How long to wait after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The end of the log, as it grows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tail(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    kept: Kept,
    /// How far all followers had been told the last time.
    told_to: Sequence,
    seats: HashMap<u64, Seat>,
    next: u64,
    /// The seats that wait, by what they wait for.
    waiting: HashMap<Interest, HashSet<u64>>,
}

/// A follower, as the tail knows it.
#[derive(Debug)]
struct Seat {
    interest: Interest,
    place: Place,
    news: Arc<Notify>,
}

/// Where a follower is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing that it wants is left: it stands where the tail does, and waits.
    Waiting,
    /// It was woken: up to here was nothing for it.
    Woken(Sequence),
    /// It reads on by itself.
    Reading,
}

/// One who follows the log. Dropping it leaves.
#[derive(Debug)]
pub struct Follower {
    stand: Stand,
    news: Arc<Notify>,
}

/// Where a follower stands, for others to see. Cheap to clone; says nothing once it has left.
#[derive(Clone, Debug)]
pub struct Stand {
    tail: Tail,
    seat: u64,
}

/// What is next for a follower.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub entries: Vec<Arc<LogEntry>>,
    /// Nothing else up to here is for it.
    pub read_to: Sequence,
    /// Whether it is to ask again. If not, it is woken when there is something.
    pub more: bool,
}

impl Tail {
    /// Begins after `head`.
    pub fn new(head: Sequence) -> Self {
        Self(Arc::new(Mutex::new(State {
            kept: Kept::new(head),
            told_to: head,
            seats: HashMap::new(),
            next: 0,
            waiting: HashMap::new(),
        })))
    }

    /// Takes a seat. It reads by itself until it was told that there is nothing more for it.
    pub fn follow(&self, interest: Interest) -> Follower {
        let news = Arc::new(Notify::new());
        let mut state = self.lock();
        let seat = state.next;
        state.next += 1;
        state.seats.insert(
            seat,
            Seat {
                interest,
                place: Place::Reading,
                news: Arc::clone(&news),
            },
        );
        drop(state);
        let stand = Stand {
            tail: self.clone(),
            seat,
        };
        Follower { stand, news }
    }

    /// Reads the log on until `stop`.
    pub async fn run(self, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut head = store.head();
        let follow = async {
            let mut tell_at = None;
            loop {
                let newest = *head.borrow_and_update();
                while self.lock().kept.read_to < newest {
                    self.read(&*store).await;
                }
                tell_at = self.tell_at(tell_at);
                tokio::select! {
                    changed = head.changed() => if changed.is_err() { return },
                    () = sleep_until(tell_at.unwrap_or_else(Instant::now)), if tell_at.is_some() => {
                        self.lock().tell_all();
                    }
                }
            }
        };
        let _ = stop.run_until_cancelled(follow).await;
    }

    /// Reads the next stretch, and wakes whom it concerns.
    async fn read(&self, store: &dyn Store) {
        let after = self.lock().kept.read_to;
        match store.read_log(after, READ_MAX, READ_WEIGHT_MAX).await {
            // A database that has lost entries, by failing over to a standby that had not all, says that there
            // is nothing up to where it was: whatever it is, not at once again.
            Ok(page) if page.read_to <= after => sleep_until(Instant::now() + STORE_PAUSE).await,
            Ok(page) => self.lock().take(page),
            Err(error) => {
                // What is wrong with the disk the store tells itself.
                if !matches!(error, StoreError::Unavailable(_) | StoreError::Closed) {
                    tracing::error!(error = %chain(&error), "the log could not be read on; it is tried again");
                }
                sleep_until(Instant::now() + STORE_PAUSE).await;
            }
        }
    }

    /// When those that wait are told how far the log was read, if they were not.
    fn tell_at(&self, before: Option<Instant>) -> Option<Instant> {
        let mut state = self.lock();
        let untold = state.kept.read_to.0.saturating_sub(state.told_to.0);
        if untold >= UNTOLD_MAX {
            state.tell_all();
        }
        let is_told = state.kept.read_to <= state.told_to;
        (!is_told).then(|| before.unwrap_or_else(|| Instant::now() + UNTOLD_AGE_MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, page: LogPage) {
        let before = self.kept.read_to;
        let waiting: usize = self.waiting.values().map(HashSet::len).sum();
        if waiting == self.seats.len() {
            // Nobody is behind, so nobody asks for what is older.
            self.kept.forget();
        }
        let brought = self.kept.take(page);
        let concerned = self.waiting.iter_mut();
        for (_, seats) in concerned.filter(|(interest, _)| interest.meets(brought)) {
            wake(&mut self.seats, seats, before);
        }
    }

    /// Wakes all that wait, so that they save how far they have come.
    fn tell_all(&mut self) {
        self.told_to = self.kept.read_to;
        for seats in self.waiting.values_mut() {
            wake(&mut self.seats, seats, self.told_to);
        }
    }

    fn part(&mut self, id: u64, after: Sequence, limit: usize, weight_max: usize) -> Option<Part> {
        let seat = self.seats.get_mut(&id)?;
        let after = match seat.place {
            Place::Waiting => after.max(self.kept.read_to),
            Place::Woken(to) => after.max(to),
            Place::Reading => after,
        };
        let part = self.kept.part(after, seat.interest, limit, weight_max);
        let place = match &part {
            Some(part) if !part.more => Place::Waiting,
            _ => Place::Reading,
        };
        self.put(id, place);
        part
    }

    fn put(&mut self, id: u64, place: Place) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        if seat.place == Place::Waiting {
            self.waiting
                .entry(seat.interest)
                .and_modify(|seats| _ = seats.remove(&id));
        }
        seat.place = place;
        if place == Place::Waiting {
            self.waiting.entry(seat.interest).or_default().insert(id);
        }
    }

    fn leave(&mut self, id: u64) {
        self.put(id, Place::Reading);
        let Some(left) = self.seats.remove(&id) else {
            return;
        };
        self.forget_if_empty(left.interest);
    }

    fn change(&mut self, id: u64, interest: Interest) {
        let Some(seat) = self.seats.get(&id) else {
            return;
        };
        let (before, place) = (seat.interest, seat.place);
        self.put(id, Place::Reading);
        self.forget_if_empty(before);
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.interest = interest;
        }
        self.put(id, place);
    }

    fn forget_if_empty(&mut self, interest: Interest) {
        if self.waiting.get(&interest).is_some_and(HashSet::is_empty) {
            self.waiting.remove(&interest);
        }
    }

    fn passed(&self, id: u64) -> Option<Sequence> {
        match self.seats.get(&id)?.place {
            Place::Waiting => Some(self.kept.read_to),
            Place::Woken(to) => Some(to),
            Place::Reading => None,
        }
    }
}

/// Wakes `waiting`, for whom there was nothing up to `to`.
fn wake(seats: &mut HashMap<u64, Seat>, waiting: &mut HashSet<u64>, to: Sequence) {
    for id in waiting.drain() {
        if let Some(seat) = seats.get_mut(&id) {
            seat.place = Place::Woken(to);
            // Kept if the follower does not listen at the moment.
            seat.news.notify_one();
        }
    }
}

impl Follower {
    /// What is next for it after `after`, at most `limit` entries of about `weight_max` bytes, but one
    /// if there is one. `None`: the tail does not reach back that far, and the store is to be read.
    pub fn next(&self, after: Sequence, limit: usize, weight_max: usize) -> Option<Part> {
        let mut state = self.stand.tail.lock();
        state.part(self.stand.seat, after, limit, weight_max)
    }

    /// Resolves when there may be something for it, once it was told that there is nothing more.
    /// Cancel safety: a wake-up that was not seen is kept.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    pub fn stand(&self) -> &Stand {
        &self.stand
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stand.tail.lock().leave(self.stand.seat);
    }
}

impl Stand {
    /// Up to where nothing is left for the follower; `None` while it reads by itself.
    pub fn passed(&self) -> Option<Sequence> {
        self.tail.lock().passed(self.seat)
    }

    /// The follower wants something else from now on.
    pub fn change(&self, interest: Interest) {
        self.tail.lock().change(self.seat, interest);
    }
}
