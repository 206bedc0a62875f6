//! What a Docker node does beyond the suite.

use std::time::Duration;

use bollard::query_parameters::KillContainerOptions;
use faas_resource::NodeAgent;
use faas_resource::agent::ExitCause;
use futures::TryStreamExt;

use crate::common::{Fixture, exit, running, script};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_writes_is_read_and_followed_to_its_end() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let request = running(1, script("echo one; echo two >&2; sleep 0.2; printf three"));
    let id = request.id;
    ours.node.ensure(request).await.expect("it starts");
    let followed: Vec<_> = ours.node.logs(id, true).try_collect().await.expect("lines");
    let mut texts: Vec<_> = followed.iter().map(|line| &line.text[..]).collect();
    texts.sort_unstable();
    assert_eq!(texts, [&b"one"[..], b"three", b"two"]);
    let kept: Vec<_> = ours
        .node
        .logs(id, false)
        .try_collect()
        .await
        .expect("lines");
    assert_eq!(kept, followed);
    ours.node.stop(id, Duration::ZERO).await.expect("it stops");
    let gone = ours.node.logs(id, false).try_collect::<Vec<_>>().await;
    assert_eq!(
        gone.expect_err("it is gone").kind(),
        faas_core::ErrorKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_long_line_the_beginning_is_kept_and_the_next_one_is_whole() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    // The engine hands it on in three pieces.
    let request = running(1, script("head -c 40000 /dev/zero; echo; echo next"));
    let id = request.id;
    ours.node.ensure(request).await.expect("it starts");
    for follow in [true, false] {
        let lines: Vec<_> = ours
            .node
            .logs(id, follow)
            .try_collect()
            .await
            .expect("lines");
        let lengths: Vec<_> = lines.iter().map(|line| line.text.len()).collect();
        assert_eq!(lengths, [16 << 10, 4], "follow: {follow}");
    }
    ours.node.stop(id, Duration::ZERO).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_told_apart() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let mut events = ours.node.watch();
    let mut greedy = script("head -c 200m /dev/zero | tail -c 200m > /dev/null");
    greedy.resources.memory = faas_core::ByteSize::mib(16);
    let killed = script("while true; do sleep 1; done");
    let ends = [
        (script("exit 7"), ExitCause::Code(7)),
        (killed, ExitCause::Signal(9)),
        (greedy, ExitCause::OutOfMemory),
    ];
    for (n, (spec, expected)) in (1u128..).zip(ends) {
        let request = running(n, spec);
        let id = request.id;
        ours.node.ensure(request).await.expect("it starts");
        if expected == ExitCause::Signal(9) {
            let signal = KillContainerOptions {
                signal: "SIGKILL".into(),
            };
            let container = ours.container(id);
            let killed = ours.docker.kill_container(&container, Some(signal));
            killed.await.expect("it is killed from outside");
        }
        assert_eq!(exit(&mut events, id).await, expected);
        ours.node.stop(id, Duration::ZERO).await.expect("it stops");
    }
}
