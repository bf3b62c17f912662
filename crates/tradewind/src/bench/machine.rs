//! What the benchmark ran on: a figure without its machine says nothing.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    clock,
    latency::{Latency, Spans},
    usage::field,
};

/// What is written and synced at once to see how long that takes.
const BLOCK: [u8; 4096] = [0x5a; 4096];

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Type of the file system that holds the data.
    pub(crate) filesystem: String,
    /// What that is on.
    pub(crate) disk: String,
}

impl Machine {
    /// `directory` is where the data are.
    pub(crate) fn look(directory: &Path) -> anyhow::Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let (filesystem, disk) = mount(directory)?;
        Ok(Self {
            cpu: cpu.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_bytes: field(&memory, "MemTotal:").unwrap_or_default() << 10,
            kernel: kernel.trim().to_owned(),
            filesystem,
            disk,
        })
    }

    /// Whether the data are in memory, where a sync costs nothing.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.filesystem.as_str(), "tmpfs" | "ramfs")
    }
}

/// Type and device of what is mounted where `directory` is.
fn mount(directory: &Path) -> anyhow::Result<(String, String)> {
    let directory = fs::canonicalize(directory)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("no list of mounts")?;
    let mut found: Option<(usize, String, String)> = None;
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let point = before.split(' ').nth(4).unwrap_or_default();
        let depth = Path::new(point).components().count();
        // Of those that are mounted at one place, the last one counts.
        if directory.starts_with(point) && found.as_ref().is_none_or(|(best, ..)| depth >= *best) {
            let mut words = after.split(' ');
            let mut word = || words.next().unwrap_or("unknown").to_owned();
            found = Some((depth, word(), word()));
        }
    }
    let (_, filesystem, disk) = found.context("no mount holds the directory")?;
    Ok((filesystem, disk))
}

/// How long it takes to add 4 KiB to a file in `directory` and sync it, tried `rounds` times.
pub(crate) fn sync_latency(directory: &Path, rounds: u32) -> anyhow::Result<Latency> {
    let path = directory.join("sync");
    let mut file = fs::File::create(&path)?;
    let mut spans = Spans::new()?;
    for _ in 0..rounds {
        let started = clock::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        spans.add(clock::now().saturating_sub(started));
    }
    fs::remove_file(&path)?;
    Ok(spans.latency())
}

/// Counts what a whole disk was asked to make durable, by every process.
#[derive(Clone, Debug)]
pub(crate) struct Flushes(Option<PathBuf>);

impl Flushes {
    /// Of the disk that `directory` is on.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let device = fs::metadata(directory)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let device = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"));
        Ok(Self(device.ok().and_then(|device| {
            // A partition's are counted with its disk.
            let is_part = device.join("partition").exists();
            let disk = if is_part { device.parent()? } else { &device };
            Some(disk.join("stat"))
        })))
    }

    /// So far. `None` where the system does not count them.
    pub(crate) fn count(&self) -> Option<u64> {
        let stat = fs::read_to_string(self.0.as_ref()?).ok()?;
        stat.split_whitespace().nth(15)?.parse().ok()
    }
}
