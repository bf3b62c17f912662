//! How long things took, in a space that does not grow with their number.

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::figure::{float, median, rounded};

/// A minute; what took longer counts as this.
const NANOS_HIGHEST: u64 = 60_000_000_000;

/// A distribution of spans.
#[derive(Debug)]
pub(super) struct Spans(Histogram<u64>);

/// What is told of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Of each part the median.
    pub(crate) fn median(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| rounded(median(all.iter().map(part).collect()));
        Self {
            p50: of(|latency| latency.p50),
            p95: of(|latency| latency.p95),
            p99: of(|latency| latency.p99),
            max: of(|latency| latency.max),
        }
    }
}

impl Spans {
    pub(super) fn new() -> anyhow::Result<Self> {
        Histogram::new_with_bounds(1_000, NANOS_HIGHEST, 3)
            .map(Self)
            .context("no histogram")
    }

    pub(super) fn add(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn latency(&self) -> Latency {
        let micros = |nanos: u64| float(nanos) / 1e3;
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        Latency {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: micros(self.0.max()),
        }
    }
}
