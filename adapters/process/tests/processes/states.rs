//! Created and paused sandboxes.

use std::time::Duration;

use crate::common::{Fixture, SOON, exit, kill_marked, marked};
use faas_core::ErrorKind;
use faas_resource::NodeAgent;
use faas_resource::agent::{EnsureSandbox, ExitCause, SandboxPhase, SandboxState};
use futures::StreamExt;

fn to(request: &EnsureSandbox, state: SandboxState) -> EnsureSandbox {
    let mut request = request.clone();
    request.state = state;
    request
}

async fn line(fixture: &Fixture, request: &EnsureSandbox, number: usize) -> String {
    let mut logs = fixture.node.logs(request.id, true).skip(number);
    let line = tokio::time::timeout(SOON, logs.next()).await;
    let line = line.expect("a line in time").expect("a line");
    String::from_utf8_lossy(&line.expect("no line is missed").text).into_owned()
}

#[tokio::test]
async fn a_created_one_has_its_code_and_no_process() {
    let fixture = Fixture::new();
    let request = fixture.script(1, "echo $PREPARED; exec /bin/sleep 1000");
    let created = to(&request, SandboxState::Created);
    let status = fixture.node.ensure(created).await.expect("it is there");
    assert!(status.endpoint.is_none());
    let directory = fixture.directory(request.id).canonicalize().unwrap();
    assert_eq!(marked(&directory), []);
    let fetches = || {
        fixture
            .codes
            .fetches
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    assert_eq!(fetches(), 1);
    let mut running = request.clone();
    let prepared = ("PREPARED".into(), "just now".into());
    running.prepared.environment.extend([prepared]);
    fixture.node.ensure(running).await.expect("it starts");
    assert_eq!(line(&fixture, &request, 0).await, "just now");
    assert_eq!(fetches(), 1, "the code was there");
    let back = fixture
        .node
        .ensure(to(&request, SandboxState::Created))
        .await;
    assert_eq!(back.unwrap_err().kind(), ErrorKind::Conflict);
    fixture.node.stop(request.id, SOON).await.expect("it stops");
}

#[tokio::test]
async fn a_paused_one_stands_still_with_its_children_and_goes_on() {
    let fixture = Fixture::new();
    let script = "/bin/sleep 1000 & echo up; while read -r line; do echo $line; done < ./fifo";
    let script = format!("/usr/bin/mkfifo ./fifo; {script}");
    let request = fixture.script(1, &script);
    fixture
        .node
        .ensure(request.clone())
        .await
        .expect("it starts");
    assert_eq!(line(&fixture, &request, 0).await, "up");
    let directory = fixture.directory(request.id).canonicalize().unwrap();
    fixture
        .node
        .ensure(to(&request, SandboxState::Paused))
        .await
        .expect("it is paused");
    let processes = marked(&directory);
    assert!(processes.len() >= 2, "{processes:?}");
    assert!(
        processes.iter().all(|(_, state)| *state == 'T'),
        "{processes:?}"
    );
    fixture
        .node
        .ensure(request.clone())
        .await
        .expect("it goes on");
    let fifo = directory.join("w/fifo");
    let write = tokio::task::spawn_blocking(move || std::fs::write(fifo, "more\n"));
    assert_eq!(line(&fixture, &request, 1).await, "more");
    write.await.expect("no panic").expect("it is read");
    fixture
        .node
        .stop(request.id, Duration::ZERO)
        .await
        .expect("it stops");
    assert_eq!(marked(&directory), []);
}

#[tokio::test]
async fn a_paused_one_is_stopped_gracefully() {
    let fixture = Fixture::new();
    let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do /bin/sleep 0.01; done";
    let request = fixture.script(1, script);
    fixture.node.ensure(request.clone()).await.unwrap();
    assert_eq!(line(&fixture, &request, 0).await, "up");
    let logs = fixture.node.logs(request.id, true);
    fixture
        .node
        .ensure(to(&request, SandboxState::Paused))
        .await
        .unwrap();
    let mut events = fixture.node.watch();
    fixture.node.stop(request.id, SOON).await.unwrap();
    let rest = logs.map(|line| line.expect("no line is missed").text);
    let rest: Vec<_> = rest.collect().await;
    assert!(rest.iter().any(|line| line == "bye"), "{rest:?}");
    assert_eq!(exit(&mut events, request.id).await, ExitCause::Stopped);
}

#[tokio::test]
async fn the_end_of_a_paused_one_is_reported() {
    let fixture = Fixture::new();
    let request = fixture.script(1, "exec /bin/sleep 1000");
    fixture
        .node
        .ensure(to(&request, SandboxState::Paused))
        .await
        .unwrap();
    let mut events = fixture.node.watch();
    let directory = fixture.directory(request.id).canonicalize().unwrap();
    kill_marked(&directory).await;
    assert_eq!(exit(&mut events, request.id).await, ExitCause::Signal(9));
    let listed = fixture.node.list().await.unwrap();
    assert_eq!(listed[0].phase, SandboxPhase::Exited(ExitCause::Signal(9)));
    let again = fixture.node.ensure(request.clone()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
}
