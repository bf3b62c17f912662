//! The only place that draws random bits.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A source of random bits: identifiers, tokens and jitter.
pub trait Random: Send + Sync + fmt::Debug + 'static {
    fn bits(&self) -> u128;

    /// 256 bits, for secrets.
    fn secret(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.bits().to_be_bytes());
        bytes[16..].copy_from_slice(&self.bits().to_be_bytes());
        bytes
    }

    /// Evenly distributed over `[0, 1)`, in steps of 2⁻³².
    fn unit(&self) -> f64 {
        let [a, b, c, d, ..] = self.bits().to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / 4_294_967_296.0
    }
}

/// The operating system's, fetched for some draws at a time: an identifier is drawn for each message.
#[derive(Debug, Default)]
pub struct OsRandom(Mutex<Drawn>);

/// Draws that one call of the system serves.
const DRAWS: usize = 64;

/// Bits that nobody has seen yet.
#[derive(Default)]
struct Drawn(Vec<u128>);

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn")
    }
}

impl Random for OsRandom {
    fn bits(&self) -> u128 {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.0.is_empty() {
            let bytes: [u8; 16 * DRAWS] = system_bytes();
            let (draws, _) = bytes.as_chunks();
            drawn
                .0
                .extend(draws.iter().copied().map(u128::from_ne_bytes));
        }
        drawn.0.pop().unwrap_or_default()
    }

    /// Straight from the system: none of it was in memory before.
    fn secret(&self) -> [u8; 32] {
        system_bytes()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the system's randomness"
)]
fn system_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        unreachable!("a system without random bits cannot run a server: {error}");
    }
    bytes
}

/// A test's: the same seed, the same bits (`SplitMix64`, two words at a time).
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn word(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn bits(&self) -> u128 {
        u128::from(self.word()) << 64 | u128::from(self.word())
    }
}
