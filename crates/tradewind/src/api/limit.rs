//! How often somebody may ask: a caller with a token, and whoever tries passwords.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use uuid::Uuid;

use crate::api::error::ApiError;

/// Attempts with a password from one address at once, and how often one more.
const ADDRESS_ATTEMPTS_MAX: u32 = 20;
const ADDRESS_ATTEMPT_EVERY: Duration = Duration::from_secs(3);
/// The same for one account from one address.
const ACCOUNT_ATTEMPTS_MAX: u32 = 10;
const ACCOUNT_ATTEMPT_EVERY: Duration = Duration::from_secs(30);
/// The same for one account from all addresses. More than one address can use up, so that nobody keeps a
/// user out from a single place.
const EVERYWHERE_ATTEMPTS_MAX: u32 = 100;
const EVERYWHERE_ATTEMPT_EVERY: Duration = Duration::from_secs(2);
/// Addresses, and accounts, that are remembered.
const REMEMBERED_MAX: usize = 100_000;
/// How often it is looked at which of them can be forgotten, when they are that many.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// When to try again if there is no room to remember who asks.
const FULL_SECONDS: u64 = 60;

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// How often each of many may ask.
#[derive(Debug)]
struct Limit<K: Hash + Eq + Clone> {
    limiter: Keyed<K>,
    clock: DefaultClock,
    forgot_at: Mutex<Option<Instant>>,
}

/// Why somebody may not ask now.
enum Refusal {
    /// They asked too often, and may again in so many seconds.
    Wait(u64),
    /// There is no room to remember them.
    Full,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let retry_after = match refusal {
            Refusal::Wait(seconds) => seconds,
            Refusal::Full => FULL_SECONDS,
        };
        Self::TooManyRequests { retry_after }
    }
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::dashmap(quota).with_middleware::<StateInformationMiddleware>(),
            clock: DefaultClock::default(),
            forgot_at: Mutex::default(),
        }
    }

    /// How many more it may ask now.
    fn ask(&self, key: &K) -> Result<u32, Refusal> {
        if self.limiter.len() >= REMEMBERED_MAX {
            self.forget();
            if self.limiter.len() >= REMEMBERED_MAX {
                return Err(Refusal::Full);
            }
        }
        let state = self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Refusal::Wait(wait.as_secs() + 1)
        })?;
        Ok(state.remaining_burst_capacity())
    }

    /// Forgets who may ask as often as anybody new, not more often than is of use: it looks at all.
    fn forget(&self) {
        let mut forgot_at = self
            .forgot_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if forgot_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            *forgot_at = Some(Instant::now());
            self.limiter.retain_recent();
        }
    }
}

/// How often passwords may be tried.
#[derive(Debug)]
pub(crate) struct LoginLimits {
    addresses: Limit<IpAddr>,
    accounts: Limit<(String, IpAddr)>,
    everywhere: Limit<String>,
}

impl Default for LoginLimits {
    fn default() -> Self {
        let quota = |every, at_once| {
            let at_once = NonZeroU32::new(at_once).unwrap_or(NonZeroU32::MIN);
            Quota::with_period(every).map_or_else(
                || Quota::per_hour(at_once),
                |quota| quota.allow_burst(at_once),
            )
        };
        Self {
            addresses: Limit::new(quota(ADDRESS_ATTEMPT_EVERY, ADDRESS_ATTEMPTS_MAX)),
            accounts: Limit::new(quota(ACCOUNT_ATTEMPT_EVERY, ACCOUNT_ATTEMPTS_MAX)),
            everywhere: Limit::new(quota(EVERYWHERE_ATTEMPT_EVERY, EVERYWHERE_ATTEMPTS_MAX)),
        }
    }
}

impl LoginLimits {
    /// Counts an attempt from `address` at `account`.
    pub(crate) fn attempt(&self, address: IpAddr, account: &str) -> Result<(), ApiError> {
        let network = network(address);
        self.addresses.ask(&network)?;
        // Who names ever other accounts to fill these is held by the addresses alone, and so is everybody.
        let accounts = [
            self.accounts.ask(&(account.to_owned(), network)),
            self.everywhere.ask(&account.to_owned()),
        ];
        for asked in accounts {
            if let Err(wait @ Refusal::Wait(_)) = asked {
                return Err(wait.into());
            }
        }
        Ok(())
    }
}

/// Whom an address stands for: who has an IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// How many requests each token may make.
#[derive(Debug)]
pub(crate) struct RequestLimit {
    per_second: NonZeroU32,
    limit: Limit<Uuid>,
}

/// What a request that was let through is told: how many more may follow at once. It is handed along with
/// the request, and filled in where its token is known.
#[derive(Debug, Default)]
pub(crate) struct Remaining(AtomicU64);

impl RequestLimit {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            limit: Limit::new(Quota::per_second(per_second)),
        }
    }

    pub(crate) fn ask(&self, token: Uuid, told: Option<&Remaining>) -> Result<(), ApiError> {
        let remaining = self.limit.ask(&token);
        if let Some(told) = told {
            // One more, as 0 says that nobody was asked.
            let left = u64::from(*remaining.as_ref().unwrap_or(&0));
            told.0.store(left + 1, Ordering::Relaxed);
        }
        remaining?;
        Ok(())
    }

    /// The headers of an answer to a request that was counted.
    pub(crate) fn tell(&self, told: &Remaining, headers: &mut HeaderMap) {
        let Some(left) = told.0.load(Ordering::Relaxed).checked_sub(1) else {
            return;
        };
        let all = u64::from(self.per_second.get());
        let policy = format!("{all};w=1");
        let fields = [
            ("ratelimit-limit", HeaderValue::from(all)),
            ("ratelimit-remaining", HeaderValue::from(left)),
            // All are there again a second after the last.
            ("ratelimit-reset", HeaderValue::from(u64::from(left < all))),
        ];
        for (name, value) in fields {
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(HeaderName::from_static("ratelimit-policy"), policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LoginLimits, network};

    #[test]
    fn an_address_and_an_account_have_so_many_attempts() {
        let limits = LoginLimits::default();
        let ask = |address: &str, account: &str| {
            limits.attempt(address.parse().unwrap(), account).is_ok()
        };
        let one_account = (0..15).filter(|_| ask("203.0.113.7", "ada"));
        assert_eq!(one_account.count(), 10);
        assert!(
            ask("192.0.2.1", "ada"),
            "nobody keeps others out from one place"
        );
        let from_everywhere = (0..200).filter(|n| ask(&format!("192.0.2.{n}"), "grace"));
        assert_eq!(from_everywhere.count(), 100);
        let one_address = (0..30).filter(|n| ask("198.51.100.1", &n.to_string()));
        assert_eq!(one_address.count(), 20);
    }

    #[test]
    fn who_has_an_address_has_its_neighbours() {
        let same =
            |one: &str, two: &str| network(one.parse().unwrap()) == network(two.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
