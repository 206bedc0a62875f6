//! No sandbox outlives us: the watchdog, and the sweep.
//!
//! A parent-death signal would cost `posix_spawn` and follows the spawning *thread*. Instead one
//! small shell per node reads the process groups that we start from a pipe. However we die, the
//! kernel closes the pipe, and the shell kills what is registered; what we started and had not
//! registered yet, or what left its group, it finds by a mark in its environment. If somebody kills
//! the shell together with us, a node that starts at the same root looks for that mark.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Error as IoError, Result as IoResult, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::DIRECTORY_VARIABLE;

/// POSIX sh; `kill` is a builtin, so that the groups need neither PATH nor a new process. The rest is
/// for our death alone: whoever closes us properly does it without.
///
/// `$1` marks the environment of our sandboxes, and `$2` is what is to be removed.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=' ' closed=
while read -r verb group; do
    case $verb in
    add) groups="$groups$group " ;;
    del) case $groups in
        *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
        esac ;;
    end) closed=1 ;;
    esac
done
for group in $groups; do kill -9 "-$group"; done
test "$closed" && exit
# What left its group, or was not registered yet. Twice: the environment of a process in the midst
# of an exec reads as empty.
for round in 1 2; do
    for file in $(LC_ALL=C grep -lsF "$1" /proc/[0-9]*/environ); do
        process=${file#/proc/}
        kill -9 "${process%/environ}"
    done
done
rm -rf "$2"
"#;

/// What a shell is told when it starts.
#[derive(Debug)]
struct Charge {
    /// What the environment of each of our processes has.
    mark: std::ffi::OsString,
    /// What is left of us on disk.
    remains: PathBuf,
    /// Held by the shell, too: while it cleans up after our death, nobody else has the root.
    lock: Option<File>,
}

#[derive(Debug)]
struct State {
    /// `None` until the first group, for a node that starts nothing needs none, and once closed.
    shell: Option<Child>,
    closed: bool,
    groups: BTreeSet<i32>,
    charge: Charge,
}

/// Kills the registered process groups when it is closed, or when this process dies.
#[derive(Debug)]
pub(crate) struct Watchdog(Mutex<State>);

impl Watchdog {
    /// A watchdog over the sandboxes of a root, whose lock is held; `remains` is removed if we die.
    pub(crate) fn new(root: &Path, remains: PathBuf, lock: File) -> Self {
        let mut mark = std::ffi::OsString::from(format!("{DIRECTORY_VARIABLE}="));
        mark.push(root.join("sandboxes/"));
        Self(Mutex::new(State {
            shell: None,
            closed: false,
            groups: BTreeSet::new(),
            charge: Charge {
                mark,
                remains,
                lock: Some(lock),
            },
        }))
    }

    /// Whether the node is going, and nothing is to be started any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a group.
    pub(crate) fn add(&self, group: Pid) -> IoResult<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(IoError::other("the node is closed"));
        }
        let group = group.as_raw_nonzero().get();
        state.groups.insert(group);
        if state.shell.is_some() && state.tell("add", group).is_ok() {
            return Ok(());
        }
        let restarted = state.restart();
        if restarted.is_err() {
            state.groups.remove(&group);
        }
        restarted
    }

    /// Forgets a group; before its leader is reaped, because its number is free after that.
    pub(crate) fn remove(&self, group: Pid) {
        let mut state = self.lock();
        let group = group.as_raw_nonzero().get();
        state.groups.remove(&group);
        // A shell that is gone kills nothing; `add` replaces it.
        let _ = state.tell("del", group);
    }

    /// Has it kill all that is registered, and waits for that. Later `add`s fail. Answers whether
    /// there was ever anything to kill.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        state.closed = true;
        state.charge.lock = None;
        // If it cannot be told, it looks for more than there is.
        let _ = state.tell("end", 0);
        let shell = state.shell.take();
        drop(state);
        let Some(mut shell) = shell else {
            return false;
        };
        // Closes the pipe first.
        let _ = shell.wait();
        true
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    fn tell(&mut self, verb: &str, group: i32) -> IoResult<()> {
        let pipe = self.shell.as_mut().and_then(|shell| shell.stdin.as_mut());
        // One write, shorter than PIPE_BUF: whole or not at all.
        let line = format!("{verb} {group}\n");
        pipe.ok_or_else(|| IoError::other("no watchdog runs"))?
            .write_all(line.as_bytes())
    }

    /// Starts the shell, or another in the place of one that somebody killed.
    fn restart(&mut self) -> IoResult<()> {
        if let Some(mut shell) = self.shell.take() {
            tracing::warn!("the watchdog is gone; starting another");
            let _ = shell.kill();
            let _ = shell.wait();
        }
        self.shell = Some(self.charge.spawn()?);
        for group in self.groups.clone() {
            self.tell("add", group)?;
        }
        Ok(())
    }
}

impl Charge {
    fn spawn(&self) -> IoResult<Child> {
        let lock = self.lock.as_ref().map(File::try_clone).transpose()?;
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "faas-watchdog"])
            .arg(&self.mark)
            .arg(&self.remains)
            .env_clear()
            .current_dir("/")
            // A group of its own: what is sent to ours from a terminal does not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            // Nothing is written: it is there to be held.
            .stdout(lock.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::null())
            .spawn()
    }
}

/// Kills every process whose environment says that it belongs to a sandbox at or below
/// `directory`; answers how many. Bounded: a process that forks faster than we look wins.
pub(crate) fn sweep(directory: &Path) -> usize {
    const ROUNDS: usize = 8;
    let (mut killed, mut quiet) = (0, 0);
    for _ in 0..ROUNDS {
        let found = sweep_once(directory);
        killed += found;
        // Twice: the environment of a process in the midst of an exec reads as empty.
        quiet = if found == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            break;
        }
    }
    killed
}

fn sweep_once(directory: &Path) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let number = |name: std::ffi::OsString| name.to_str()?.parse().ok().and_then(Pid::from_raw);
    processes
        .flatten()
        .filter_map(|entry| number(entry.file_name()))
        .filter(|pid| kill_if_marked(*pid, directory))
        .count()
}

fn kill_if_marked(pid: Pid, directory: &Path) -> bool {
    // Opened before the environment is read: a number that is used again is not killed.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    let Some(environment) = environment(pid) else {
        return false;
    };
    marked(&environment, directory) && pidfd_send_signal(process, Signal::KILL).is_ok()
}

/// The environment of a process; none of one that has ended. In the midst of an exec it reads as
/// empty although there is a program: it is read again, for a bounded number of times.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    const READS: usize = 100;
    let file = |name: &str| format!("/proc/{}/{name}", pid.as_raw_nonzero());
    for _ in 0..READS {
        let environment = std::fs::read(file("environ")).ok()?;
        if !environment.is_empty() || std::fs::read_link(file("exe")).is_err() {
            return Some(environment);
        }
        std::thread::yield_now();
    }
    None
}

fn marked(environment: &[u8], directory: &Path) -> bool {
    let value = |variable: &'_ [u8]| -> Option<std::path::PathBuf> {
        let rest = variable.strip_prefix(DIRECTORY_VARIABLE.as_bytes())?;
        Some(std::ffi::OsStr::from_bytes(rest.strip_prefix(b"=")?).into())
    };
    environment
        .split(|byte| *byte == 0)
        .filter_map(value)
        .any(|path| path.starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_of_one_root() {
        let environment = b"A=1\0FAAS_SANDBOX_DIR=/r/sandboxes/7\0";
        assert!(marked(environment, Path::new("/r/sandboxes")));
        assert!(marked(environment, Path::new("/r/sandboxes/7")));
        assert!(!marked(environment, Path::new("/r/sand")));
        assert!(!marked(b"", Path::new("/r")));
    }
}
