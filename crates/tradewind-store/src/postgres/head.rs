//! How far the log goes, and when those who read it are woken.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tradewind_model::Sequence;

/// How far apart readers are woken while the log grows without a pause: each time costs every node a look
/// into the database.
const WAKE_EVERY: Duration = Duration::from_millis(2);

/// The newest entry. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Head(Arc<State>);

#[derive(Debug)]
struct State {
    newest: watch::Sender<Sequence>,
    woken_at: Mutex<Instant>,
    /// There is something that nobody was woken for.
    late: Notify,
}

impl Head {
    pub(super) fn new(newest: Sequence) -> Self {
        Self(Arc::new(State {
            newest: watch::Sender::new(newest),
            woken_at: Mutex::new(Instant::now()),
            late: Notify::new(),
        }))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Sequence> {
        self.0.newest.subscribe()
    }

    /// Moves the head on, never back. Who waits is woken at once, or a little later when it just was.
    pub(super) fn advance(&self, newest: Sequence) {
        let mut woken_at = self
            .0
            .woken_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_due = woken_at.elapsed() >= WAKE_EVERY;
        let mut is_newer = false;
        self.0.newest.send_if_modified(|head| {
            is_newer = newest > *head;
            *head = newest.max(*head);
            is_newer && is_due
        });
        if is_newer && is_due {
            *woken_at = Instant::now();
        } else if is_newer {
            self.0.late.notify_one();
        }
    }

    /// Wakes later who was not woken at once. Runs for ever.
    pub(super) async fn wake_late(self) {
        loop {
            self.0.late.notified().await;
            let due_at = *self
                .0
                .woken_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                + WAKE_EVERY;
            sleep_until(due_at).await;
            *self
                .0
                .woken_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.0.newest.send_modify(|_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tradewind_model::Sequence;

    use super::{Head, WAKE_EVERY};

    #[tokio::test]
    async fn readers_are_woken_for_the_last_of_many_and_seldom() {
        let head = Head::new(Sequence(0));
        let mut seen = head.subscribe();
        let mut waking = Box::pin(head.clone().wake_late());
        let began = Instant::now();
        for number in 1..=100 {
            head.advance(Sequence(number));
            assert_eq!(head.0.newest.borrow().0, number, "who asks is told at once");
        }
        let mut wakes = 0;
        while *seen.borrow() < Sequence(100) || wakes == 0 {
            tokio::select! {
                changed = seen.changed() => changed.unwrap(),
                () = &mut waking => unreachable!("it runs for ever"),
            }
            seen.mark_unchanged();
            wakes += 1;
        }
        let most = began.elapsed().as_micros() / WAKE_EVERY.as_micros() + 2;
        assert!(wakes <= most, "{wakes} times");
    }
}
