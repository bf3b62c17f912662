//! What a process has used, as the system tells.

use std::{collections::HashMap, ffi::OsString, fs, io};

use rustix::process::{Resource, getrlimit, setrlimit};

use super::figure::float;

/// Since the process started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Seconds of CPU, user and system.
    pub(super) cpu: f64,
    /// Bytes written that reach the disk. `None` where the system does not count them.
    pub(super) written: Option<u64>,
}

impl Usage {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let cpu = ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(Self {
            cpu: float(cpu) / float(rustix::param::clock_ticks_per_second()),
            written: field(&io, "write_bytes:"),
        })
    }
}

/// Seconds of CPU of a process and all that it started, since it did; of those that have ended, too.
pub(super) fn family(pid: u32) -> io::Result<f64> {
    let mut total = 0;
    for process in fs::read_dir("/proc")? {
        let name = process?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ended meanwhile is counted with its parent.
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        if number == pid {
            total += ticks(&stat).unwrap_or(0) + ticks_of_ended(&stat).unwrap_or(0);
        } else if parent(&stat) == Some(pid) {
            total += ticks(&stat).unwrap_or(0);
        }
    }
    Ok(float(total) / float(rustix::param::clock_ticks_per_second()))
}

/// Seconds of CPU of the whole machine, all cores together, since it started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// Programs ran.
    pub(super) busy: f64,
    /// Programs would have run, but the host of this virtual machine ran something else, or held it to a
    /// quota.
    pub(super) stolen: f64,
}

impl Cores {
    /// NaN where the system does not tell.
    pub(super) fn look() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let seconds = |ticks| float(ticks) / float(rustix::param::clock_ticks_per_second());
        let (busy, stolen) = busy_and_stolen(&stat)
            .map_or((f64::NAN, f64::NAN), |(busy, stolen)| {
                (seconds(busy), seconds(stolen))
            });
        Self { busy, stolen }
    }

    /// The mean number of cores since `before`, `seconds` ago.
    pub(super) fn since(self, before: Self, seconds: f64) -> Self {
        Self {
            busy: (self.busy - before.busy) / seconds,
            stolen: (self.stolen - before.stolen) / seconds,
        }
    }
}

/// In ticks. Fields of `/proc/stat`, as proc(5) has them: user, nice, system, idle, iowait, irq, softirq,
/// steal.
fn busy_and_stolen(stat: &str) -> Option<(u64, u64)> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields = all.split_whitespace().map(str::parse);
    let fields: Vec<u64> = fields.collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _, _, _, _, stolen, ..] = fields[..] else {
        return None;
    };
    Some((user + nice + system, stolen))
}

/// How often each thread of a process has been woken.
#[derive(Clone, Debug)]
pub(super) struct WakeUps(HashMap<OsString, u64>);

impl WakeUps {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let mut threads = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?;
            // One that ended meanwhile has no status any more.
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let count = field(&status, "voluntary_ctxt_switches:").unwrap_or_default();
            threads.insert(thread.file_name(), count);
        }
        Ok(Self(threads))
    }

    /// How many there have been since `before`. Those of threads that ended are not known.
    pub(super) fn since(&self, before: &Self) -> u64 {
        let of_each = self.0.iter().map(|(thread, count)| {
            let before = before.0.get(thread).copied().unwrap_or_default();
            count.saturating_sub(before)
        });
        of_each.sum()
    }
}

/// Bytes of memory that a process has: now, and at most so far.
pub(super) fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kibibytes = |name| field(&status, name).ok_or(io::ErrorKind::InvalidData);
    Ok((kibibytes("VmRSS:")? << 10, kibibytes("VmHWM:")? << 10))
}

/// User and system time. The name before them, in parentheses, can hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The same of its children that have ended.
fn ticks_of_ended(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parent(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    fields.next()?.parse().ok()
}

/// Lets this process, and those that it starts, open as many files as they may.
pub(super) fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// The number after `name` in a file of such lines.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_host_took_is_told_from_what_ran() {
        let stat = "cpu  10 2 30 400 50 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(super::busy_and_stolen(stat), Some((42, 8)));
        assert_eq!(super::busy_and_stolen("cpu  10 2 30"), None);
    }

    #[test]
    fn a_processs_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 5 0 0";
        assert_eq!(super::ticks(stat), Some(42));
        assert_eq!(super::ticks_of_ended(stat), Some(0));
        assert_eq!(super::parent(stat), Some(1));
        assert_eq!(super::ticks("7 (a"), None);
    }
}
