//! The figures of a server, and how those of two compare.

use serde::{Serialize, Serializer};

use crate::bench::{
    figure::{float, median, rounded},
    latency::Latency,
    world::Phase,
};

/// What is told of a server. What could not be measured is NaN, in JSON `null`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// Under full load, as all up to the rate.
    #[serde(serialize_with = "short")]
    pub(super) accepted_per_second: f64,
    #[serde(serialize_with = "short")]
    pub(super) delivered_per_second: f64,
    #[serde(rename = "cpu_seconds_per_1000", serialize_with = "short")]
    pub(super) cpu: f64,
    #[serde(rename = "load_cpu_seconds_per_1000", serialize_with = "short")]
    pub(super) load_cpu: f64,
    #[serde(rename = "receiver_cpu_seconds_per_1000", serialize_with = "short")]
    pub(super) receiver_cpu: f64,
    #[serde(rename = "rss_bytes", serialize_with = "short")]
    pub(super) memory: f64,
    #[serde(rename = "rss_peak_bytes", serialize_with = "short")]
    pub(super) memory_peak: f64,
    #[serde(rename = "bytes_written_per_message", serialize_with = "short")]
    pub(super) written: f64,
    #[serde(rename = "syncs_per_message", serialize_with = "short")]
    pub(super) syncs: f64,
    #[serde(serialize_with = "short")]
    pub(super) delivered: f64,
    #[serde(serialize_with = "short")]
    pub(super) repeats: f64,
    /// Cores that other programs kept busy.
    #[serde(serialize_with = "short")]
    pub(super) others_cores: f64,
    /// Cores that the host of a virtual machine withheld: under full load, and while latency was measured.
    #[serde(serialize_with = "short")]
    pub(super) stolen_cores: f64,
    #[serde(rename = "latency_stolen_cores", serialize_with = "short")]
    pub(super) open_stolen_cores: f64,
    /// Messages a second while latency was measured.
    #[serde(rename = "latency_rate", serialize_with = "short")]
    pub(super) open_rate: f64,
    #[serde(rename = "latency_cpu_seconds_per_1000", serialize_with = "short")]
    pub(super) open_cpu: f64,
    /// From when a message was to be sent to its arrival.
    #[serde(rename = "latency_us")]
    pub(super) latency: Latency,
    /// From when it was to be sent to its answer.
    #[serde(rename = "answer_latency_us")]
    pub(super) answers: Latency,
    /// From when it was to be sent to when it was.
    #[serde(rename = "load_lateness_us")]
    pub(super) lateness: Latency,
}

/// How Tradewind compares.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ratios {
    /// To the floor, as all without another name.
    #[serde(serialize_with = "short")]
    pub(super) cpu_per_message: f64,
    #[serde(serialize_with = "short")]
    pub(super) throughput: f64,
    #[serde(serialize_with = "short")]
    pub(super) latency_p50: f64,
    #[serde(serialize_with = "short")]
    pub(super) latency_p99: f64,
    /// While latency was measured.
    #[serde(serialize_with = "short")]
    pub(super) latency_cpu_per_message: f64,
    #[serde(serialize_with = "short")]
    pub(super) cpu_per_message_to_limit: f64,
    #[serde(serialize_with = "short")]
    pub(super) throughput_to_limit: f64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn short<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if *number >= 1e4 {
        // Whole numbers are written as such.
        let whole = format!("{number:.0}").parse::<u64>();
        return whole.unwrap_or_default().serialize(serializer);
    }
    rounded(*number).serialize(serializer)
}

impl Default for Figures {
    fn default() -> Self {
        Self::median(&[])
    }
}

impl Figures {
    /// `closed` was as fast as it goes, `open` at a fixed rate.
    pub(super) fn new(closed: &Phase, open: &Phase) -> Self {
        let delivered = float(closed.delivered);
        let each = |count: Option<u64>| count.map_or(f64::NAN, |count| float(count) / delivered);
        Self {
            accepted_per_second: float(closed.accepted) / closed.accepting,
            delivered_per_second: delivered / closed.delivering,
            cpu: closed.server_cpu / delivered * 1e3,
            load_cpu: closed.load_cpu / delivered * 1e3,
            receiver_cpu: closed.receiver_cpu / delivered * 1e3,
            memory: float(closed.memory),
            memory_peak: float(closed.memory_peak),
            written: each(closed.written),
            syncs: each(closed.syncs),
            delivered,
            repeats: float(closed.repeats + open.repeats),
            others_cores: closed.others_cores.max(open.others_cores),
            stolen_cores: closed.stolen_cores,
            open_stolen_cores: open.stolen_cores,
            open_rate: float(open.accepted) / open.accepting,
            open_cpu: open.server_cpu / float(open.delivered) * 1e3,
            latency: open.arrivals,
            answers: open.answers,
            lateness: open.lateness,
        }
    }

    /// Each figure's median.
    pub(super) fn median(all: &[&Self]) -> Self {
        let of = |read: fn(&Self) -> f64| median(all.iter().copied().map(read).collect());
        let latency = |read: fn(&Self) -> Latency| {
            let latencies: Vec<_> = all.iter().copied().map(read).collect();
            Latency::median(&latencies)
        };
        Self {
            accepted_per_second: of(|figures| figures.accepted_per_second),
            delivered_per_second: of(|figures| figures.delivered_per_second),
            cpu: of(|figures| figures.cpu),
            load_cpu: of(|figures| figures.load_cpu),
            receiver_cpu: of(|figures| figures.receiver_cpu),
            memory: of(|figures| figures.memory),
            memory_peak: of(|figures| figures.memory_peak),
            written: of(|figures| figures.written),
            syncs: of(|figures| figures.syncs),
            delivered: of(|figures| figures.delivered),
            repeats: of(|figures| figures.repeats),
            others_cores: of(|figures| figures.others_cores),
            stolen_cores: of(|figures| figures.stolen_cores),
            open_stolen_cores: of(|figures| figures.open_stolen_cores),
            open_rate: of(|figures| figures.open_rate),
            open_cpu: of(|figures| figures.open_cpu),
            latency: latency(|figures| figures.latency),
            answers: latency(|figures| figures.answers),
            lateness: latency(|figures| figures.lateness),
        }
    }
}

impl Ratios {
    pub(super) fn new(floor: &Figures, limit: &Figures, ours: &Figures) -> Self {
        Self {
            cpu_per_message: ours.cpu / floor.cpu,
            throughput: ours.delivered_per_second / floor.delivered_per_second,
            latency_p50: ours.latency.p50 / floor.latency.p50,
            latency_p99: ours.latency.p99 / floor.latency.p99,
            latency_cpu_per_message: ours.open_cpu / floor.open_cpu,
            cpu_per_message_to_limit: ours.cpu / limit.cpu,
            throughput_to_limit: ours.delivered_per_second / limit.delivered_per_second,
        }
    }

    /// Each ratio's median.
    pub(super) fn median(all: &[Self]) -> Self {
        let of = |read: fn(&Self) -> f64| median(all.iter().map(read).collect());
        Self {
            cpu_per_message: of(|ratios| ratios.cpu_per_message),
            throughput: of(|ratios| ratios.throughput),
            latency_p50: of(|ratios| ratios.latency_p50),
            latency_p99: of(|ratios| ratios.latency_p99),
            latency_cpu_per_message: of(|ratios| ratios.latency_cpu_per_message),
            cpu_per_message_to_limit: of(|ratios| ratios.cpu_per_message_to_limit),
            throughput_to_limit: of(|ratios| ratios.throughput_to_limit),
        }
    }
}
