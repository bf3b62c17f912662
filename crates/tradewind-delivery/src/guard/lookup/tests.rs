//! Lookups that are slow, that many wait for, that fail.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{FOUND_MAX, LOOKUP_MAX, LOOKUPS_MAX, Lookups};
use crate::guard::LookupError;

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 0))
}

/// A resolver that blocks for names that start with "slow" until the sender is dropped, and counts its
/// calls.
fn resolver() -> (Lookups, Arc<AtomicUsize>, mpsc::Sender<()>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let lookups = Lookups::new({
        let calls = Arc::clone(&calls);
        move |host| {
            calls.fetch_add(1, Ordering::SeqCst);
            if host.starts_with("slow") {
                released.lock().unwrap().recv().unwrap_err();
            }
            if host.starts_with("gone") {
                return Err(io::Error::from_raw_os_error(24));
            }
            Ok(vec![address()])
        }
    });
    (lookups, calls, release)
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_once_for_all_who_wait_and_again_after_a_while() {
    let (lookups, calls, _) = resolver();
    let all = (0..100).map(|_| lookups.find("example.com"));
    for found in futures_util::future::join_all(all).await {
        assert_eq!(found.unwrap(), [address()]);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    tokio::time::advance(FOUND_MAX).await;
    lookups.find("example.com").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(lookups.names.lock().unwrap().len(), 1);
    lookups.find("example.org").await.unwrap();
    tokio::time::advance(FOUND_MAX).await;
    lookups.find("example.net").await.unwrap();
    assert_eq!(lookups.names.lock().unwrap().len(), 1, "old ones are gone");
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_looked_up_again_at_once() {
    let (lookups, calls, _) = resolver();
    for call in 1..=2 {
        let LookupError::Failed(error) = lookups.find("gone.example").await.unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(error.raw_os_error(), Some(24), "the cause is kept");
        assert_eq!(calls.load(Ordering::SeqCst), call);
    }
}

#[tokio::test]
async fn a_slow_name_holds_one_thread_however_often_it_is_asked_for() {
    let (lookups, calls, release) = resolver();
    // They give up long before there is an answer.
    for _ in 0..LOOKUPS_MAX * 2 {
        let asked = tokio::time::timeout(Duration::from_millis(1), lookups.find("slow.example"));
        asked.await.unwrap_err();
    }
    assert_eq!(lookups.permits.available_permits(), LOOKUPS_MAX - 1);
    lookups.find("example.com").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(release);
    lookups.find("slow.example").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2, "the first lookup served");
}

#[tokio::test(start_paused = true)]
async fn a_lookup_is_given_up_after_five_seconds() {
    let (lookups, _, release) = resolver();
    let started = Instant::now();
    let later = async {
        tokio::time::advance(LOOKUP_MAX).await;
        started.elapsed()
    };
    let (found, waited) = tokio::join!(lookups.find("slow.example"), later);
    let error = found.unwrap_err();
    assert!(matches!(error, LookupError::Timeout), "{error:?}");
    assert_eq!((waited, started.elapsed()), (LOOKUP_MAX, LOOKUP_MAX));
    drop(release);
}
