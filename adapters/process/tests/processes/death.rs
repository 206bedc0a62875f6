//! No sandbox outlives its node: dropped, or killed with its whole process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Codes, Fixture, builder, ended, holds, marked, request, runs, until};
use faas_core::ErrorKind;
use faas_process::{DIRECTORY_VARIABLE, ProcessNodeBuilder};
use faas_resource::NodeAgent;
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::Packing;
use futures::StreamExt;

const VICTIM: &str = "FAAS_TEST_VICTIM";

/// Not a test by itself: the process that [`left_of_the_killed`] starts and kills. It starts and
/// stops sandboxes in a loop, beside one that does not mind signals.
#[tokio::test]
async fn victim() {
    let Some(kind) = std::env::var_os(VICTIM) else {
        return;
    };
    let codes = Arc::new(Codes::default());
    let (node, _root) = if kind == "temporary" {
        let builder = ProcessNodeBuilder::temporary("node".parse().unwrap(), codes.clone());
        (builder.unwrap().build().unwrap(), None)
    } else {
        let root = tempfile::tempdir().unwrap();
        (builder(root.path(), &codes).build().unwrap(), Some(root))
    };
    let script = |text: &str| codes.add(format!("#!/bin/sh\n{text}\n"));
    let stubborn = script("trap '' TERM HUP; /bin/sleep 1000 & setsid /bin/sleep 1000 & wait");
    let stubborn = request(1, stubborn, Packing::File, "main");
    node.ensure(stubborn.clone()).await.unwrap();
    let reach = node.reach(stubborn.id, ReachKind::Mount).await.unwrap();
    let Some(Reach::Mount { host, .. }) = reach else {
        panic!("no mount")
    };
    let sandboxes = host.ancestors().nth(2).unwrap();
    println!("\nsandboxes: {}", sandboxes.display());
    let brief = script("exec /bin/sleep 1000");
    for number in 2.. {
        let started = (0..4).map(|more| {
            let request = request(number * 4 + more, brief, Packing::File, "main");
            node.ensure(request)
        });
        for status in futures::future::join_all(started).await {
            let status = status.expect("it starts");
            if status.id.as_u128() % 3 != 0 {
                node.stop(status.id, Duration::ZERO).await.unwrap();
            }
        }
        if number < 4 {
            println!("going: {number}");
        }
    }
}

struct Victim {
    child: Child,
    sandboxes: PathBuf,
}

/// A process that starts and stops sandboxes, in the midst of that.
fn start_victim(kind: &str) -> Victim {
    let mut child = Command::new(std::env::current_exe().expect("test set-up"))
        .args(["--exact", "death::victim", "--nocapture"])
        .env(VICTIM, kind)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("test set-up");
    let mut lines = BufReader::new(child.stdout.take().expect("test set-up")).lines();
    let mut value = |name: &str| {
        let found =
            lines.find_map(|line| Some(line.expect("test set-up").strip_prefix(name)?.to_owned()));
        found.expect("the victim says it")
    };
    let sandboxes = value("sandboxes: ").into();
    value("going: ");
    Victim { child, sandboxes }
}

impl Victim {
    /// Kills it, as nothing can be handled, and waits for what is left of its sandboxes to go.
    async fn kill(mut self) -> Option<String> {
        self.child.kill().expect("test set-up");
        self.child.wait().expect("test set-up");
        let gone = || marked(&self.sandboxes).is_empty() && !self.sandboxes.exists();
        (!holds(gone).await).then(|| {
            let processes = marked(&self.sandboxes);
            format!("{processes:?}, {}", self.sandboxes.display())
        })
    }
}

/// What is left of the sandboxes of a process that is killed while it starts and stops them.
pub(crate) async fn left_of_the_killed() -> Option<String> {
    let victim = tokio::task::spawn_blocking(|| start_victim("rooted")).await;
    let victim = victim.expect("test set-up");
    let root = victim.sandboxes.parent().expect("test set-up").to_owned();
    let left = victim.kill().await;
    std::fs::remove_dir_all(root).expect("test set-up");
    left
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_whenever_that_is() {
    for round in 0..8u64 {
        let kind = if round % 2 == 0 {
            "temporary"
        } else {
            "rooted"
        };
        let victim = tokio::task::spawn_blocking(|| start_victim(kind)).await;
        let victim = victim.unwrap();
        // Nothing is waited for: it is killed at any moment, and not always at the same.
        tokio::time::sleep(Duration::from_micros(round * 1700)).await;
        let root = victim.sandboxes.parent().unwrap().to_owned();
        let left = victim.kill().await;
        assert!(left.is_none(), "round {round}: {}", left.unwrap());
        match kind {
            "temporary" => until("its root stays", || !root.exists()).await,
            _ => std::fs::remove_dir_all(root).unwrap(),
        }
    }
}

#[tokio::test]
async fn the_next_node_waits_for_the_watchdog_of_the_last() {
    let victim = tokio::task::spawn_blocking(|| start_victim("rooted")).await;
    let mut victim = victim.unwrap();
    let root = victim.sandboxes.parent().unwrap().to_owned();
    victim.child.kill().unwrap();
    victim.child.wait().unwrap();
    let codes = Arc::new(Codes::default());
    // At once, while the watchdog is still at it.
    let node = builder(&root, &codes).build().expect("the root is free");
    let code = codes.add("#!/bin/sh\nexec /bin/sleep 1000\n");
    let request = request(1, code, Packing::File, "main");
    node.ensure(request.clone()).await.expect("it starts");
    let ours = victim.sandboxes.join(request.id.to_string());
    until("what the last one left stays", || {
        let all = marked(&victim.sandboxes);
        all.len() == 1 && all == marked(&ours)
    })
    .await;
    assert!(ours.exists(), "the watchdog of the last one took it");
    drop(node);
    until("it stays", || marked(&victim.sandboxes).is_empty()).await;
    std::fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn dropped_with_its_node() {
    let fixture = Fixture::new();
    let request = fixture.script(1, "echo $$; exec /bin/sleep 1000");
    fixture.node.ensure(request.clone()).await.unwrap();
    let line = fixture
        .node
        .logs(request.id, true)
        .next()
        .await
        .unwrap()
        .unwrap();
    let pid = String::from_utf8_lossy(&line.text).into_owned();
    let directory = fixture.directory(request.id);
    assert!(runs(&pid) && directory.exists());
    drop(fixture.node);
    ended("a sandbox outlives its node", &pid).await;
    assert!(!directory.exists());
}

#[tokio::test]
async fn what_was_never_registered_dies_at_the_next_start() {
    let Fixture { root, codes, node } = Fixture::new();
    let second = builder(root.path(), &codes).build().unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Conflict, "two nodes at one root");
    drop(node);
    let mark = root.path().canonicalize().unwrap().join("sandboxes/lost");
    let mut orphan = Command::new("/bin/sleep")
        .arg("1000")
        .env(DIRECTORY_VARIABLE, mark)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // As an orphan of an earlier life has: long past its exec.
    let environment = format!("/proc/{}/environ", orphan.id());
    let executed = || std::fs::read(&environment).is_ok_and(|read| !read.is_empty());
    until("the orphan does not execute", executed).await;
    let _node = builder(root.path(), &codes).build().unwrap();
    ended("the orphan lives", &orphan.id().to_string()).await;
    assert!(!orphan.wait().unwrap().success());
}

#[tokio::test]
async fn a_killed_watchdog_is_replaced() {
    let fixture = Fixture::new();
    let children = || {
        let me = std::process::id();
        let pids = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().into_string().ok()?;
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
                let parent = stat
                    .rsplit_once(") ")?
                    .1
                    .split(' ')
                    .nth(1)?
                    .parse::<u32>()
                    .ok()?;
                (parent == me && line.contains("faas-watchdog")).then_some(pid)
            });
        pids.collect::<Vec<_>>()
    };
    let first = fixture.script(1, "exec /bin/sleep 1000");
    fixture.node.ensure(first).await.expect("with a watchdog");
    // Other tests of this binary have watchdogs too; all of them may go.
    for pid in children() {
        Command::new("/bin/sh")
            .args(["-c", &format!("kill -9 {pid}")])
            .status()
            .unwrap();
        ended("the watchdog stays", &pid).await;
    }
    let request = fixture.script(2, "echo $$; exec /bin/sleep 1000");
    fixture
        .node
        .ensure(request.clone())
        .await
        .expect("with another watchdog");
    let line = fixture
        .node
        .logs(request.id, true)
        .next()
        .await
        .unwrap()
        .unwrap();
    drop(fixture.node);
    let pid = String::from_utf8_lossy(&line.text).into_owned();
    ended("a sandbox outlives its node", &pid).await;
}
