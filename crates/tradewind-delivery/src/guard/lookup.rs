//! Asks the system for the addresses of names.
//!
//! The system blocks a thread for as long as it likes. So a name is looked up once however many ask for
//! it at the same time, and however often they give up and ask again: one that has a slow name server
//! holds one thread, and others find theirs. What was found serves for a few seconds; what failed does
//! not.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::LookupError;

/// Longest time that the lookup of a name may take.
pub const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Lookups at the same time: each holds a thread of those that the store reads with too.
const LOOKUPS_MAX: usize = 64;

/// How long the addresses that were found serve without being looked up again.
const FOUND_MAX: Duration = Duration::from_secs(3);

/// Finds the addresses of a name, on a thread that it may block.
type Resolver = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Shared by all who look names up. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lookups {
    resolver: Arc<Resolver>,
    permits: Arc<Semaphore>,
    names: Arc<Mutex<HashMap<String, Answers>>>,
}

/// Where the answer of a lookup is told; `None` until there is one.
type Answers = watch::Receiver<Option<Answer>>;

#[derive(Clone, Debug)]
struct Answer {
    at: Instant,
    /// An error is shared among who waits, so it is kept as what can be copied of it.
    addresses: Result<Arc<[SocketAddr]>, Fault>,
}

#[derive(Clone, Debug)]
struct Fault {
    os_error: Option<i32>,
    text: String,
}

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Self::new(|host| (host, 0).to_socket_addrs().map(Iterator::collect))
    }
}

impl Lookups {
    pub(super) fn new(
        resolver: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            resolver: Arc::new(resolver),
            permits: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            names: Arc::default(),
        }
    }

    /// The addresses of `host`, with port 0. Cancel safety: a lookup that was given up goes on, and who
    /// asks next waits for the same one.
    pub(super) async fn find(&self, host: &str) -> Result<Vec<SocketAddr>, LookupError> {
        let mut answers = self.join(host);
        let answer = tokio::time::timeout(LOOKUP_MAX, answers.wait_for(Option::is_some)).await;
        let answer = answer.map_err(|_| LookupError::Timeout)?;
        // It is gone without an answer if it panicked, or if the program ends.
        let answer = answer.ok().and_then(|answer| answer.clone());
        match answer.map(|answer| answer.addresses) {
            Some(Ok(addresses)) => Ok(addresses.to_vec()),
            Some(Err(fault)) => Err(LookupError::Failed(fault.into())),
            None => Err(LookupError::Failed(io::ErrorKind::Interrupted.into())),
        }
    }

    /// The lookup of `host` that is under way or was answered lately, or else a new one.
    fn join(&self, host: &str) -> Answers {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answers) = names.get(host)
            && is_of_use(answers)
        {
            return answers.clone();
        }
        names.retain(|_, answers| is_of_use(answers));
        let (tell, answers) = watch::channel(None);
        names.insert(host.to_owned(), answers.clone());
        let (lookups, host) = (self.clone(), host.to_owned());
        #[expect(
            clippy::disallowed_methods,
            reason = "it must outlive who asked, holds nothing, and nobody waits for it"
        )]
        tokio::spawn(async move { lookups.answer(host, tell).await });
        answers
    }

    async fn answer(self, host: String, tell: watch::Sender<Option<Answer>>) {
        let permit = self.permits.acquire_owned().await;
        let resolver = self.resolver;
        let lookup = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            resolver(&host)
        });
        let found = lookup.await.map_err(io::Error::other).flatten();
        tell.send_replace(Some(Answer {
            at: Instant::now(),
            addresses: found.map(Into::into).map_err(Fault::from),
        }));
    }
}

/// Whether it is under way or found something lately.
fn is_of_use(answers: &Answers) -> bool {
    match &*answers.borrow() {
        Some(answer) => answer.addresses.is_ok() && answer.at.elapsed() < FOUND_MAX,
        None => answers.has_changed().is_ok(),
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self {
            os_error: error.raw_os_error(),
            text: error.to_string(),
        }
    }
}

impl From<Fault> for io::Error {
    fn from(Fault { os_error, text }: Fault) -> Self {
        os_error.map_or_else(|| Self::other(text), Self::from_raw_os_error)
    }
}

#[cfg(test)]
mod tests;
