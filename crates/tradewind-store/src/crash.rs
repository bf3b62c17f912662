//! Labelled places at which a test lets the whole process die.
//!
//! A test that kills at random moments rarely hits the few instructions between a commit and its
//! answer. Armed with the name of such a place, the process ends there by itself, as abruptly as by
//! SIGKILL: nothing is flushed, closed or answered. Only builds for tests have this, and those with the
//! feature `crash-points`; in all others a point is nothing at all.
//!
//! | point | where |
//! | --- | --- |
//! | `before_commit` | a batch of writes has run and is not committed |
//! | `after_commit` | it is committed, and nobody has been answered |
//! | `after_send` | an attempt has ended, and nothing has taken note of it |
//! | `before_save` | progress of a consumer is about to be saved |
//! | `after_save` | it is saved |
//! | `replay` | entries that were delivered are being sent once more |
//!
//! What is armed is state of the process, because the process is what dies; nobody else reads it.

/// Why a point cannot be armed.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    #[error("there is no point {0:?}")]
    Unknown(String),
    #[error("this build has no points at which it dies")]
    LeftOut,
}

pub use armed::{arm, point};

#[cfg(any(debug_assertions, feature = "crash-points"))]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::ArmError;

    const POINTS: [&str; 6] = [
        "before_commit",
        "after_commit",
        "after_send",
        "before_save",
        "after_save",
        "replay",
    ];

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        name: &'static str,
        /// Passes that are left, the last of them deadly.
        left: AtomicU64,
    }

    /// Makes the process die when it passes the point for the `passes`th time. The first call counts.
    pub fn arm(name: &str, passes: u64) -> Result<(), ArmError> {
        let known = POINTS.into_iter().find(|point| *point == name);
        let name = known.ok_or_else(|| ArmError::Unknown(name.to_owned()))?;
        let left = AtomicU64::new(passes);
        ARMED.get_or_init(|| Armed { name, left });
        Ok(())
    }

    /// The process passes a point.
    pub fn point(name: &'static str) {
        if let Some(armed) = ARMED.get()
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }
}

#[cfg(not(any(debug_assertions, feature = "crash-points")))]
mod armed {
    use super::ArmError;

    /// Refuses: there are no points in this build.
    pub fn arm(_name: &str, _passes: u64) -> Result<(), ArmError> {
        Err(ArmError::LeftOut)
    }

    /// Nothing.
    #[inline]
    pub fn point(_name: &'static str) {}
}
