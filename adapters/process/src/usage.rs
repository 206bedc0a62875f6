//! What a process consumes, as `/proc` says (proc(5)).

use std::time::Duration;

use faas_core::ByteSize;
use faas_resource::agent::SandboxUsage;
use rustix::process::Pid;

/// Of the sandbox's first process and of those of its children that it has waited for.
pub(crate) fn read(pid: Pid) -> SandboxUsage {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    let read = |name: &str| std::fs::read_to_string(format!("{directory}/{name}")).ok();
    let status = read("status").unwrap_or_default();
    let mut usage = SandboxUsage::default();
    usage.cpu = read("stat").as_deref().and_then(cpu);
    usage.memory = memory(&status, "VmRSS:");
    usage.peak_memory = memory(&status, "VmHWM:");
    usage
}

/// Fields 14 to 17 of `stat`: user and system time, of itself and of its children.
fn cpu(stat: &str) -> Option<Duration> {
    // The second field is the command's name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(4);
    let ticks: u64 = times.map(|field| field.parse().unwrap_or(0)).sum();
    let nanos = u128::from(ticks) * 1_000_000_000;
    let per_second = u128::from(rustix::param::clock_ticks_per_second().max(1));
    u64::try_from(nanos / per_second)
        .ok()
        .map(Duration::from_nanos)
}

fn memory(status: &str, field: &str) -> Option<ByteSize> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib = line.split_whitespace().next()?.parse().ok()?;
    Some(ByteSize::kib(kib))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_confuse() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 100 0 0 0 20";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(
            cpu(stat),
            Some(Duration::from_nanos(100 * 1_000_000_000 / ticks))
        );
    }

    #[test]
    fn memory_is_in_kib() {
        let status = "Name:\tx\nVmRSS:\t  12 kB\n";
        assert_eq!(memory(status, "VmRSS:"), Some(ByteSize::kib(12)));
        assert_eq!(memory(status, "VmHWM:"), None);
    }
}
