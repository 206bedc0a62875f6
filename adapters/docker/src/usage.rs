//! What a container consumes, as the engine says.

use std::time::Duration;

use bollard::models::{ContainerMemoryStats, ContainerStatsResponse};
use faas_core::ByteSize;
use faas_resource::agent::SandboxUsage;

/// Of all processes of a container.
pub(crate) fn read(stats: &ContainerStatsResponse) -> SandboxUsage {
    let cpu = stats
        .cpu_stats
        .as_ref()
        .and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage);
    let memory = stats.memory_stats.as_ref();
    let mut usage = SandboxUsage::default();
    usage.cpu = cpu.map(Duration::from_nanos);
    usage.memory = memory.and_then(now).map(ByteSize);
    usage.peak_memory = memory.and_then(|memory| memory.max_usage).map(ByteSize);
    usage
}

/// Without what the kernel would give back at once: `docker stats` reckons so, too (control groups'
/// first version calls it `total_inactive_file`).
fn now(memory: &ContainerMemoryStats) -> Option<u64> {
    let stats = memory.stats.as_ref();
    let cache = |name| stats.and_then(|stats| stats.get(name)).copied();
    let cache = cache("total_inactive_file")
        .or(cache("inactive_file"))
        .unwrap_or(0);
    Some(memory.usage?.saturating_sub(cache))
}
