//! No sandbox outlives its node: dropped, or killed with its whole process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::common::{Fixture, builder, runs, until};
use faas_core::ErrorKind;
use faas_process::DIRECTORY_VARIABLE;
use faas_resource::NodeAgent;
use futures::StreamExt;

const VICTIM: &str = "FAAS_TEST_VICTIM";

/// Not a test by itself: the process that `killed_with_its_process` starts and kills.
#[tokio::test]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let fixture = Fixture::new();
    let request = fixture.script(1, "trap '' TERM HUP; /bin/sleep 1000 & echo $! $$; wait");
    fixture.node.ensure(request.clone()).await.unwrap();
    let line = fixture
        .node
        .logs(request.id, true)
        .next()
        .await
        .unwrap()
        .unwrap();
    println!("\npids: {}", String::from_utf8_lossy(&line.text));
    println!("root: {}", fixture.root.path().display());
    std::future::pending().await
}

#[tokio::test]
async fn killed_with_its_process() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "death::victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut value = |name: &str| {
        let found = lines.find_map(|line| Some(line.unwrap().strip_prefix(name)?.to_owned()));
        found.expect("the victim says it")
    };
    let (pids, root) = (value("pids: "), value("root: "));
    let pids: Vec<_> = pids.split(' ').collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| runs(pid)));
    victim.kill().unwrap();
    victim.wait().unwrap();
    for pid in pids {
        until("a sandbox outlives its node", || !runs(pid)).await;
    }
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
    until("a sandbox outlives its node", || !runs(&pid)).await;
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
    until("the orphan lives", || orphan.try_wait().unwrap().is_some()).await;
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
        until("the watchdog goes", || !runs(&pid)).await;
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
    until("a sandbox outlives its node", || !runs(&pid)).await;
}
