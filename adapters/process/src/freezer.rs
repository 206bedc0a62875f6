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

/// Whether every process of a group that was told to stop has stopped or ended.
fn stands_still(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    let group = group.as_raw_nonzero().get();
    let members = processes.flatten().filter_map(|entry| {
        let named = entry.file_name();
        let first = named.as_encoded_bytes().first()?;
        let stat = first.is_ascii_digit().then(|| entry.path().join("stat"))?;
        // One that cannot be read has ended.
        Member::read(&std::fs::read_to_string(stat).ok()?, group)
    });
    are_still(&members.collect::<Vec<_>>())
}

/// A process of a group.
struct Member {
    number: i32,
    parent: i32,
    state: u8,
}

impl Member {
    /// From a line of proc(5)'s `stat`; none if it is of another group.
    fn read(stat: &str, group: i32) -> Option<Self> {
        // The second field is the command's name in parentheses, which may hold anything.
        let (number, rest) = stat.split_once(' ')?;
        let (_, fields) = rest.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let its_group: i32 = fields.next()?.parse().ok()?;
        (its_group == group).then_some(Self {
            number: number.parse().ok()?,
            parent,
            state,
        })
    }
}

fn are_still(members: &[Member]) -> bool {
    let waits_for_a_stopped = |parent: &Member| {
        let mut children = members.iter().filter(|child| child.parent == parent.number);
        children.any(|child| matches!(child.state, b'T' | b't'))
    };
    members.iter().all(|member| match member.state {
        b'T' | b't' | b'Z' | b'X' => true,
        // In the midst of vfork(2) nothing stops it until its child, which stopped first, goes on.
        b'D' => waits_for_a_stopped(member),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still(stats: &[&str]) -> bool {
        let members = stats.iter().filter_map(|stat| Member::read(stat, 7));
        are_still(&members.collect::<Vec<_>>())
    }

    #[test]
    fn only_running_processes_of_the_group_count() {
        assert!(still(&["7 (a) b) T 1 7 7 0"]));
        assert!(!still(&["7 (a) b) S 1 7 7 0"]));
        assert!(still(&["8 (a) R 1 8 8 0"]));
        assert!(still(&["9 (a) Z 1 7 7 0"]));
        assert!(still(&[""]));
        assert!(!still(&["7 (a) T 1 7 7 0", "9 (a) R 7 7 7 0"]));
    }

    #[test]
    fn what_waits_for_a_stopped_child_to_execute_stands_still() {
        assert!(still(&["7 (a) D 1 7 7 0", "9 (a) T 7 7 7 0"]));
        assert!(!still(&["7 (a) D 1 7 7 0"]));
        assert!(!still(&["7 (a) D 1 7 7 0", "9 (a) T 1 7 7 0"]));
        assert!(!still(&["7 (a) D 1 7 7 0", "9 (a) R 7 7 7 0"]));
    }
}
