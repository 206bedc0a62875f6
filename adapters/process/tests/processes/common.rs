//! A node over a temporary directory, with shell scripts as programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::{Digest, Error, Result, SandboxId, WorkloadId};
use faas_process::{DIRECTORY_VARIABLE, ProcessNode, ProcessNodeBuilder};
use faas_resource::agent::{EnsureSandbox, ExitCause, NodeEvent, SandboxPhase};
use faas_resource::spec::{Packing, Program};
use faas_resource::{CodeSource, Executable, SandboxSpec};
use futures::StreamExt;
use futures::stream::BoxStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Code in memory, which counts its fetches.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    codes: Mutex<BTreeMap<Digest, Bytes>>,
    /// What is asked for and never answered.
    stuck: Mutex<BTreeSet<Digest>>,
    pub(crate) fetches: AtomicUsize,
}

impl Codes {
    pub(crate) fn add(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.codes
            .lock()
            .expect("test set-up")
            .insert(digest, bytes);
        digest
    }

    pub(crate) fn stick(&self, digest: Digest) {
        self.stuck.lock().expect("test set-up").insert(digest);
    }

    pub(crate) fn lie(&self, digest: Digest, bytes: &'static [u8]) {
        self.codes
            .lock()
            .expect("test set-up")
            .insert(digest, bytes.into());
    }
}

#[async_trait]
impl CodeSource for Codes {
    async fn fetch(&self, digest: &Digest) -> Result<Bytes> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let stuck = self.stuck.lock().expect("test set-up").contains(digest);
        if stuck {
            std::future::pending::<()>().await;
        }
        let found = self.codes.lock().expect("test set-up").get(digest).cloned();
        found.ok_or_else(|| Error::not_found("fetch code", digest.to_string()))
    }
}

pub(crate) struct Fixture {
    pub(crate) root: tempfile::TempDir,
    pub(crate) codes: Arc<Codes>,
    pub(crate) node: ProcessNode,
}

pub(crate) fn builder(root: &Path, codes: &Arc<Codes>) -> ProcessNodeBuilder {
    ProcessNode::builder("node".parse().expect("test set-up"), root, codes.clone())
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("test set-up");
        let codes = Arc::new(Codes::default());
        let node = builder(root.path(), &codes).build().expect("test set-up");
        Self { root, codes, node }
    }

    pub(crate) fn script(&self, n: u128, script: &str) -> EnsureSandbox {
        request(
            n,
            self.codes.add(format!("#!/bin/sh\n{script}\n")),
            Packing::File,
            "main",
        )
    }

    pub(crate) fn directory(&self, id: SandboxId) -> PathBuf {
        self.root.path().join("sandboxes").join(id.to_string())
    }
}

pub(crate) fn request(n: u128, code: Digest, packing: Packing, entrypoint: &str) -> EnsureSandbox {
    let program = Program {
        code,
        packing,
        entrypoint: entrypoint.into(),
        arguments: vec!["one".into()],
    };
    let mut spec = SandboxSpec::new(Executable::Program(program));
    spec.environment.insert("GREETING".into(), "hello".into());
    let id = SandboxId::from_u128(n);
    EnsureSandbox::running(id, WorkloadId::from_u128(1), Arc::new(spec))
}

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The next end of a sandbox.
pub(crate) async fn exit(events: &mut BoxStream<'static, NodeEvent>, id: SandboxId) -> ExitCause {
    let find = async {
        while let Some(event) = events.next().await {
            if let NodeEvent::Sandbox(status) = event
                && status.id == id
                && let SandboxPhase::Exited(cause) = status.phase
            {
                return cause;
            }
        }
        panic!("the events ended");
    };
    tokio::time::timeout(SOON, find)
        .await
        .expect("an exit in time")
}

/// Whether a process is there and no zombie.
pub(crate) fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state == Some(false)
}

/// Waits, bounded, until a process has ended, whoever's child it is.
pub(crate) async fn ended(what: &str, pid: &str) {
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    let process = match pidfd_open(pid.expect("a number"), PidfdFlags::empty()) {
        Err(Errno::SRCH) => return,
        process => process.expect("test set-up"),
    };
    let bound = Timespec::try_from(SOON).expect("test set-up");
    let wait = move || poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&bound));
    let ended = tokio::task::spawn_blocking(wait).await.expect("no panic");
    assert_eq!(ended, Ok(1), "{what}");
}

/// Waits, bounded, for a condition of the operating system; whether it came to hold. It is looked at
/// again and again: what it is about (files, and processes that are nobody's children here, of which
/// not even the numbers are known beforehand) nobody reports.
pub(crate) async fn holds(mut condition: impl FnMut() -> bool) -> bool {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, poll).await.is_ok()
}

/// As [`holds`], which it must.
pub(crate) async fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds(condition).await, "{what}");
}

/// The processes whose environment says that they are of a sandbox at or below a directory, and
/// the state of each, by proc(5).
pub(crate) fn marked(directory: &Path) -> Vec<(u32, char)> {
    let mark = format!("{DIRECTORY_VARIABLE}={}", directory.display());
    let all = std::fs::read_dir("/proc").expect("test set-up").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = numbers.filter_map(|pid: u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        variables.find(|variable| variable.starts_with(mark.as_bytes()))?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        Some((pid, state))
    });
    found.collect()
}

/// Zombies among our own children, of a command of that name.
pub(crate) fn zombies(command: &str) -> usize {
    let me = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").expect("test set-up").flatten();
    let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let ours = stats.filter(|stat| {
        let Some((name, fields)) = stat.rsplit_once(") ") else {
            return false;
        };
        let mut fields = fields.split(' ');
        let zombie = fields.next() == Some("Z");
        zombie && fields.next() == Some(&me) && name.ends_with(command)
    });
    ours.count()
}

/// Kills the first process of a sandbox, from outside.
pub(crate) async fn kill_marked(directory: &Path) {
    // In the midst of an exec it cannot be seen.
    until("it has no process", || !marked(directory).is_empty()).await;
    let Some((pid, _)) = marked(directory).into_iter().min() else {
        panic!("it has ended by itself");
    };
    let kill = format!("kill -9 {pid}");
    let killed = std::process::Command::new("/bin/sh")
        .args(["-c", &kill])
        .status();
    assert!(killed.expect("a shell").success());
}
