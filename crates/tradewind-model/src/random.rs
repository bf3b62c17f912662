//! The only place that draws random bits.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
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

/// The operating system's.
#[derive(Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the system's randomness"
    )]
    fn bits(&self) -> u128 {
        let mut bytes = [0; 16];
        if let Err(error) = getrandom::fill(&mut bytes) {
            unreachable!("a system without random bits cannot run a server: {error}");
        }
        u128::from_ne_bytes(bytes)
    }
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
