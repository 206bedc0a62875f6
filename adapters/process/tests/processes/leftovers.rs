//! That nothing is left of sandboxes, whatever they do and however they are ended.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Fixture, SOON, exit, kill_marked, marked, request, until, zombies};
use crate::node::{archive_of, lines};
use faas_core::{Digest, ErrorKind};
use faas_resource::NodeAgent;
use faas_resource::agent::{ExitCause, SandboxState};
use faas_resource::spec::Packing;
use futures::{StreamExt, future};

#[tokio::test]
async fn no_zombie_process_or_directory_is_left_by_any_end() {
    let fixture = Fixture::new();
    // A name of its own, by which its zombies are told from those of other tests.
    let script = b"#!/bin/sh\ntrap '' TERM\n/bin/sleep 1000 & /bin/sleep 1000 & wait\n";
    let code = fixture.codes.add(archive_of("faas-zombie", 0o755, script));
    for round in 0..20u128 {
        let request = request(round, code, Packing::Tar, "faas-zombie");
        let (node, id) = (&fixture.node, request.id);
        let mut events = node.watch();
        match round % 4 {
            // Cancelled at some point, and stopped.
            0 => {
                let mut ensure = Box::pin(node.ensure(request));
                for _ in 0..round {
                    if future::poll_immediate(&mut ensure).await.is_some() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(ensure);
            }
            1 => drop(node.ensure(request).await.expect("it starts")),
            2 => {
                let mut paused = request;
                paused.state = SandboxState::Paused;
                node.ensure(paused).await.expect("it starts");
            }
            // It ends by itself, in the rough.
            _ => {
                node.ensure(request).await.expect("it starts");
                kill_marked(&fixture.directory(id).canonicalize().unwrap()).await;
                exit(&mut events, id).await;
            }
        }
        node.stop(id, Duration::ZERO).await.expect("it stops");
        let root = fixture.root.path().canonicalize().unwrap();
        let directory = root.join("sandboxes").join(id.to_string());
        assert_eq!(marked(&directory), [], "round {round}");
        assert!(!directory.exists(), "round {round}");
    }
    assert_eq!(zombies("faas-zombie"), 0);
    assert!(fixture.node.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_is_dropped_while_it_starts_leaves_nothing() {
    for round in 0..5u128 {
        let fixture = Fixture::new();
        let root = fixture.root.path().canonicalize().unwrap();
        let requests: Vec<_> = (0..20)
            .map(|number| fixture.script(number, "exec /bin/sleep 1000"))
            .collect();
        let node = Arc::new(fixture.node);
        let starts: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let node = node.clone();
                tokio::spawn(async move { node.ensure(request).await.map(drop) })
            })
            .collect();
        for _ in 0..round * 20 {
            tokio::task::yield_now().await;
        }
        for start in &starts {
            start.abort();
        }
        for start in starts {
            // Aborted, or done: it holds the node no more.
            let _ = start.await;
        }
        drop(node);
        until("a process is left", || marked(&root).is_empty()).await;
        let sandboxes = root.join("sandboxes");
        until("a directory is left", || {
            std::fs::read_dir(&sandboxes).is_err_and(|_| true)
                || std::fs::read_dir(&sandboxes).is_ok_and(|left| left.count() == 0)
        })
        .await;
    }
}

#[tokio::test]
async fn a_stop_cuts_a_start_short_that_hangs() {
    let fixture = Fixture::new();
    let code = Digest::of(b"never answered");
    fixture.codes.stick(code);
    let request = request(1, code, Packing::File, "main");
    let ensure = fixture.node.ensure(request.clone());
    let stop = async {
        until("it is not listed", || {
            let listed = future::FutureExt::now_or_never(fixture.node.list());
            listed.is_some_and(|listed| listed.is_ok_and(|all| all.len() == 1))
        })
        .await;
        fixture.node.stop(request.id, SOON).await
    };
    let both = future::join(ensure, stop);
    let (ensured, stopped) = tokio::time::timeout(SOON, both).await.expect("in time");
    stopped.expect("it stops");
    assert_eq!(ensured.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(fixture.node.list().await.unwrap().is_empty());
    assert!(!fixture.directory(request.id).exists());
}

#[tokio::test]
async fn a_flood_without_a_line_end_is_bounded() {
    let fixture = Fixture::new();
    let script = "/bin/dd if=/dev/zero bs=65536 count=1000 2>/dev/null; exit 4";
    let request = fixture.script(1, script);
    let mut events = fixture.node.watch();
    let _ = fixture.node.ensure(request.clone()).await;
    assert_eq!(exit(&mut events, request.id).await, ExitCause::Code(4));
    let kept = lines(&fixture, request.id).await;
    assert_eq!(kept.iter().map(String::len).collect::<Vec<_>>(), [16 << 10]);
    // One that never ends is stopped all the same.
    let endless = fixture.script(2, "exec /bin/cat /dev/zero /dev/zero");
    fixture.node.ensure(endless.clone()).await.unwrap();
    let stopped = fixture.node.stop(endless.id, Duration::from_secs(1));
    let stopped = tokio::time::timeout(SOON, stopped).await;
    stopped.expect("in time").expect("it stops");
    assert!(
        fixture
            .node
            .logs(endless.id, false)
            .next()
            .await
            .unwrap()
            .is_err()
    );
}

#[tokio::test]
async fn the_environment_is_what_was_asked_for() {
    let fixture = Fixture::new();
    let mut request = fixture.script(1, "exec /usr/bin/env");
    let mut prepared = request.prepared.clone();
    prepared.environment.insert("FROM_HOOK".into(), "1".into());
    request.prepared = prepared;
    let mut events = fixture.node.watch();
    let _ = fixture.node.ensure(request.clone()).await;
    exit(&mut events, request.id).await;
    let out = lines(&fixture, request.id).await;
    let mut names: Vec<_> = out.iter().filter_map(|line| line.split_once('=')).collect();
    // What a shell sets for itself.
    names.retain(|(name, _)| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    let expected = ["FAAS_SANDBOX_DIR", "FAAS_SOCKET", "FROM_HOOK", "GREETING"];
    assert_eq!(names, expected);
}
