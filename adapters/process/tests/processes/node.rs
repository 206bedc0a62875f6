//! What a process node does with real processes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{Codes, Fixture, SOON, builder, ended, exit, request, until};
use faas_core::{ByteSize, Digest, ErrorKind, SandboxId};
use faas_process::ProcessNodeBuilder;
use faas_resource::NodeAgent;
use faas_resource::agent::{ExitCause, LogStream, SandboxPhase};
use faas_resource::hook::{Reach, ReachKind};
use faas_resource::spec::Packing;
use futures::{StreamExt, future};

pub(crate) async fn lines(fixture: &Fixture, id: SandboxId) -> Vec<String> {
    let read = fixture.node.logs(id, true).map(|line| {
        let line = line.expect("no line is missed");
        String::from_utf8_lossy(&line.text).into_owned()
    });
    tokio::time::timeout(SOON, read.collect())
        .await
        .expect("the logs end")
}

#[tokio::test]
async fn ensured_once_by_many() {
    let fixture = Fixture::new();
    let request = fixture.script(1, "echo started; exec sleep 1000");
    let calls = (0..20).map(|_| fixture.node.ensure(request.clone()));
    for status in future::join_all(calls).await {
        assert!(status.expect("it starts").is_running());
    }
    let mut logs = fixture.node.logs(request.id, true);
    let first = tokio::time::timeout(SOON, logs.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&first.unwrap().text[..], b"started");
    fixture.node.stop(request.id, SOON).await.expect("it stops");
    assert!(logs.next().await.is_none(), "started twice");
    assert_eq!(fixture.codes.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn ends_are_reported_with_their_causes() {
    let fixture = Fixture::new();
    let mut events = fixture.node.watch();
    let code = fixture.script(1, "exit 7");
    // It may have ended before `ensure` answers.
    let _ = fixture.node.ensure(code.clone()).await;
    assert_eq!(exit(&mut events, code.id).await, ExitCause::Code(7));
    let listed = fixture.node.list().await.unwrap();
    assert_eq!(listed[0].phase, SandboxPhase::Exited(ExitCause::Code(7)));
    let again = fixture.node.ensure(code).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let signal = fixture.script(2, "kill -9 $$");
    let _ = fixture.node.ensure(signal.clone()).await;
    assert_eq!(exit(&mut events, signal.id).await, ExitCause::Signal(9));
}

#[tokio::test]
async fn a_failed_start_leaves_nothing() {
    let fixture = Fixture::new();
    let mut events = fixture.node.watch();
    let code = fixture.codes.add("no program");
    let request = request(1, code, Packing::File, "main");
    let error = fixture.node.ensure(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let cause = exit(&mut events, request.id).await;
    assert!(matches!(cause, ExitCause::StartFailure(_)), "{cause}");
    assert!(fixture.node.list().await.unwrap().is_empty());
    assert!(!fixture.directory(request.id).exists());
}

#[tokio::test]
async fn stop_is_graceful_first() {
    let fixture = Fixture::new();
    let request = fixture.script(
        1,
        "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done",
    );
    fixture.node.ensure(request.clone()).await.unwrap();
    let mut logs = fixture.node.logs(request.id, true);
    assert_eq!(&logs.next().await.unwrap().unwrap().text[..], b"up");
    let mut events = fixture.node.watch();
    fixture.node.stop(request.id, SOON).await.unwrap();
    // The shell may say on standard error that its `sleep` was terminated.
    let rest = logs.map(|line| line.expect("no line is missed").text);
    assert!(
        rest.collect::<Vec<_>>()
            .await
            .iter()
            .any(|line| line == "bye")
    );
    assert_eq!(exit(&mut events, request.id).await, ExitCause::Stopped);
    fixture
        .node
        .stop(request.id, SOON)
        .await
        .expect("unknown is no fault");
}

#[tokio::test]
async fn stop_forces_and_leaves_no_process_or_directory() {
    let fixture = Fixture::new();
    // One child in the group, and one that has left it.
    let script = "trap '' TERM; sleep 1000 & echo $!; setsid sleep 1000 & echo $!; echo $$; wait; sleep 1000";
    let request = fixture.script(1, &format!("PATH=/usr/bin:/bin; {script}"));
    fixture.node.ensure(request.clone()).await.unwrap();
    let logs = fixture.node.logs(request.id, true).take(3);
    let pids: Vec<_> = logs.collect().await;
    fixture
        .node
        .stop(request.id, Duration::from_millis(50))
        .await
        .unwrap();
    for pid in pids {
        let pid = String::from_utf8_lossy(&pid.unwrap().text).into_owned();
        ended("a process is left", &pid).await;
    }
    assert!(!fixture.directory(request.id).exists());
    assert!(fixture.node.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_inherited_and_output_is_kept() {
    let fixture = Fixture::new();
    let script =
        "echo $1 $GREETING ${HOME-none}; pwd; echo $FAAS_SANDBOX_DIR; echo oops >&2; printf end";
    let request = fixture.script(1, script);
    let _ = fixture.node.ensure(request.clone()).await;
    let out = lines(&fixture, request.id).await;
    let directory = fixture.directory(request.id).canonicalize().unwrap();
    let directory = directory.display().to_string();
    for line in [
        "one hello none",
        &format!("{directory}/w"),
        &directory,
        "oops",
        "end",
    ] {
        assert!(out.iter().any(|found| found == line), "{line} in {out:?}");
    }
    let kept = fixture.node.logs(request.id, false).map(Result::unwrap);
    let err = kept.filter(|line| future::ready(line.stream == LogStream::Err));
    assert_eq!(err.count().await, 1);
}

#[tokio::test]
async fn a_program_is_told_where_its_code_lies() {
    let fixture = Fixture::new();
    let mut request = fixture.script(
        1,
        r#"[ "$ROOT" = "${0%/*}" ] && [ -d "$ROOT" ] && echo there"#,
    );
    Arc::make_mut(&mut request.spec).code_root_variables = ["ROOT".to_owned()].into();
    let _ = fixture.node.ensure(request.clone()).await;
    assert_eq!(lines(&fixture, request.id).await, ["there"]);
}

#[tokio::test]
async fn output_is_bounded() {
    let mut fixture = Fixture::new();
    let root = tempfile::tempdir().unwrap();
    let bounded = builder(root.path(), &fixture.codes).log_lines(3, ByteSize(4));
    fixture.node = bounded.build().unwrap();
    let request = fixture.script(1, "for n in 1 2 3 4 5; do echo line$n-and-more; done");
    let mut events = fixture.node.watch();
    let _ = fixture.node.ensure(request.clone()).await;
    exit(&mut events, request.id).await;
    assert_eq!(lines(&fixture, request.id).await, ["line", "line", "line"]);
}

#[tokio::test]
async fn the_mount_is_shared_and_removed() {
    let fixture = Fixture::new();
    let request = fixture.script(1, "echo here > \"${FAAS_SOCKET%/s}/file\"");
    let reach = fixture
        .node
        .reach(request.id, ReachKind::Mount)
        .await
        .unwrap();
    let Some(Reach::Mount { host, guest }) = reach else {
        panic!("no mount");
    };
    assert_eq!(host, guest);
    let mut events = fixture.node.watch();
    let _ = fixture.node.ensure(request.clone()).await;
    exit(&mut events, request.id).await;
    assert_eq!(
        std::fs::read_to_string(host.join("file")).unwrap(),
        "here\n"
    );
    fixture.node.stop(request.id, SOON).await.unwrap();
    assert!(!host.exists());
}

#[tokio::test]
async fn usage_comes_from_proc() {
    let fixture = Fixture::new();
    let request = fixture.script(1, "sleep 1000");
    fixture.node.ensure(request.clone()).await.unwrap();
    let usage = fixture.node.usage(request.id).await.unwrap();
    assert!(usage.cpu.is_some() && usage.memory.is_some_and(|memory| memory.0 > 0));
    let unknown = fixture
        .node
        .usage(SandboxId::from_u128(9))
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn bad_requests_change_nothing() {
    let fixture = Fixture::new();
    let mut request = fixture.script(1, "exit");
    let mut spec = (*request.spec).clone();
    spec.resources.memory = ByteSize::gib(1 << 20);
    request.spec = spec.into();
    let error = fixture.node.ensure(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(fixture.node.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn wrong_bytes_are_refused() {
    let fixture = Fixture::new();
    let digest = Digest::of(b"the true code");
    fixture.codes.lie(digest, b"#!/bin/sh\n");
    let lie = request(1, digest, Packing::File, "main");
    let error = fixture.node.ensure(lie).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
}

fn archive(path: &str, mode: u32) -> Vec<u8> {
    archive_of(path, mode, b"#!/bin/sh\nexit 5\n")
}

pub(crate) fn archive_of(path: &str, mode: u32, script: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    // Written directly: the crate's own setter refuses `..`.
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(script.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, script).expect("an archive");
    archive.into_inner().expect("an archive")
}

#[tokio::test]
async fn archives_are_unpacked_and_kept_within() {
    let fixture = Fixture::new();
    let mut events = fixture.node.watch();
    let code = fixture.codes.add(archive("bin/run", 0o755));
    let good = request(1, code, Packing::Tar, "bin/run");
    let _ = fixture.node.ensure(good.clone()).await;
    assert_eq!(exit(&mut events, good.id).await, ExitCause::Code(5));
    for path in ["../out", "a/../../out", "/tmp/out"] {
        let code = fixture.codes.add(archive(path, 0o755));
        let bad = request(2, code, Packing::Tar, "out");
        let error = fixture.node.ensure(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{path}: {error}");
    }
    assert_eq!(
        std::fs::read_dir(fixture.root.path().join("code"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn the_code_cache_is_bounded() {
    let mut fixture = Fixture::new();
    let root = tempfile::tempdir().unwrap();
    let bounded = builder(root.path(), &fixture.codes).code_cache(ByteSize(40));
    fixture.node = bounded.build().unwrap();
    for n in 1..=5 {
        let request = fixture.script(n, &format!("exit {n} # padding"));
        let _ = fixture.node.ensure(request.clone()).await;
        fixture.node.stop(request.id, SOON).await.unwrap();
    }
    assert_eq!(
        std::fs::read_dir(root.path().join("code")).unwrap().count(),
        1
    );
}

#[test]
fn all_faults_at_once() {
    let fixture = std::sync::Arc::new(Codes::default());
    let bad = builder("relative".as_ref(), &fixture).log_lines(0, ByteSize(0));
    let error = bad.build().unwrap_err();
    assert!(error.message().starts_with("3 faults"), "{error}");
}

#[tokio::test]
async fn a_temporary_node_leaves_no_root() {
    let codes = Arc::new(Codes::default());
    let builder = ProcessNodeBuilder::temporary("one".parse().unwrap(), codes.clone()).unwrap();
    let node = builder.build().unwrap();
    let code = codes.add("#!/bin/sh\nexec sleep 1000");
    let request = request(1, code, Packing::File, "main");
    node.ensure(request.clone()).await.expect("it starts");
    let mount = node.reach(request.id, ReachKind::Mount).await.unwrap();
    let Some(Reach::Mount { host, .. }) = mount else {
        panic!("{mount:?}")
    };
    assert!(host.exists());
    drop(node);
    let root = host.ancestors().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("faas-")
    });
    let root = root.expect("a root of its own").to_owned();
    until("the root stays", || !root.exists()).await;
}
