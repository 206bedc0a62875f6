//! Freezing a sandbox's process group, and letting it go on.

use std::time::Duration;

use faas_core::{Error, Result, SandboxId};
use faas_resource::agent::SandboxState;
use rustix::process::{Pid, Signal};

use crate::error;
use crate::table::Shared;

/// How often it is looked whether all have stopped, and how long after each look.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// Stops the whole process group, and answers when each of its processes stands still. A process
/// that has left the group goes on.
pub(crate) async fn freeze(shared: &Shared, sandbox: SandboxId) -> Result<()> {
    let gone = || Error::conflict("pause sandbox", format!("sandbox {sandbox} has ended"));
    let clock = &shared.config.clock;
    for _ in 0..LOOKS {
        let group = shared.signal(sandbox, Signal::STOP).ok_or_else(gone)?;
        let still = tokio::task::spawn_blocking(move || stands_still(group)).await;
        if still.map_err(|_| error::lost("pause sandbox"))? {
            shared.changed(sandbox, SandboxState::Paused);
            return Ok(());
        }
        clock.sleep_until(clock.now() + PAUSE).await;
    }
    // All of it goes on, rather than half.
    shared.signal(sandbox, Signal::CONT);
    let message = format!("processes of sandbox {sandbox} do not stop");
    Err(Error::unavailable("pause sandbox", message))
}

/// Has a process group that was stopped go on.
pub(crate) fn thaw(shared: &Shared, sandbox: SandboxId) {
    if shared.signal(sandbox, Signal::CONT).is_some() {
        shared.changed(sandbox, SandboxState::Running);
    }
}

/// Whether every process of a group is stopped or has ended.
fn stands_still(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    let group = group.as_raw_nonzero().get();
    processes.flatten().all(|entry| {
        let named = entry.file_name();
        let number = named
            .as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit);
        let stat = number.then(|| std::fs::read_to_string(entry.path().join("stat")));
        // One that cannot be read has ended.
        stat.and_then(Result::ok)
            .is_none_or(|stat| is_still(&stat, group))
    })
}

/// What a line of proc(5)'s `stat` says of a process: of another group, stopped, or ended.
fn is_still(stat: &str, group: i32) -> bool {
    // The second field is the command's name in parentheses, which may hold anything.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return true;
    };
    let mut fields = fields.split_whitespace();
    let state = fields.next();
    let its_group = fields.nth(1).and_then(|field| field.parse().ok());
    its_group != Some(group) || matches!(state, Some("T" | "t" | "Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_processes_of_the_group_count() {
        assert!(is_still("7 (a) b) T 1 7 7 0", 7));
        assert!(!is_still("7 (a) b) S 1 7 7 0", 7));
        assert!(is_still("8 (a) R 1 8 8 0", 7));
        assert!(is_still("9 (a) Z 1 7 7 0", 7));
        assert!(is_still("", 7));
    }
}
