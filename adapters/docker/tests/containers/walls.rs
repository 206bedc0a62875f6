//! What keeps a sandbox from the host and from others.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_docker::{DockerOptions, Mount};
use faas_resource::NodeAgent;
use faas_resource::SandboxSpec;
use futures::TryStreamExt;

use crate::common::{Fixture, SOON, running, with};

/// What a script says of itself, as `name value` lines.
async fn says(ours: &Fixture, n: u128, spec: SandboxSpec) -> BTreeMap<String, String> {
    let request = running(n, spec);
    let id = request.id;
    ours.node.ensure(request).await.expect("it starts");
    let lines: Vec<_> = ours.node.logs(id, true).try_collect().await.expect("lines");
    ours.node.stop(id, Duration::ZERO).await.expect("it stops");
    let pair = |line: &faas_resource::agent::LogLine| {
        let text = String::from_utf8_lossy(&line.text).into_owned();
        let (name, value) = text.split_once(char::is_whitespace)?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    lines.iter().filter_map(pair).collect()
}

const TELL: &str = "
    b=/bin/busybox
    $b grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
    echo uid $($b id -u)
    echo links $($b ls /sys/class/net)
    echo root $(echo x 2>/dev/null > /x && echo open || echo closed)
    echo scratch $(echo x > /tmp/x && echo open || echo closed)
    echo size $($b df -k /tmp | $b tail -n 1 | $b awk '{print $2}')
    echo pids $($b cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null)
    echo memory $($b cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null)
    echo data $($b cat /data 2>/dev/null || echo none)
    echo write $(echo x 2>/dev/null > /data && echo open || echo closed)
    echo variable $GREETING
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_spec_does_not_open_is_closed() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let mut spec = with(TELL, |options| options);
    spec.environment.insert("GREETING".into(), "hello".into());
    let said = says(&ours, 1, spec).await;
    let expected = [
        ("CapEff:", "0000000000000000"),
        ("CapBnd:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
        ("uid", "0"),
        ("links", "lo"),
        ("root", "closed"),
        ("scratch", "open"),
        ("size", "65536"),
        ("pids", "512"),
        ("memory", "134217728"),
        ("data", "none"),
        ("variable", "hello"),
    ];
    for (name, value) in expected {
        assert_eq!(
            said.get(name).map(String::as_str),
            Some(value),
            "{name} of {said:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_spec_opens_is_open() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let file = ours.root.path().join("data");
    std::fs::write(&file, "shared").expect("test set-up");
    let open = |mut options: DockerOptions| {
        options.user = Some("1000:1000".into());
        options.writable_root = true;
        options.capabilities = ["NET_ADMIN".to_owned()].into();
        options.seccomp = Some("unconfined".into());
        options.processes = 64;
        options.scratch = [("/tmp".into(), faas_core::ByteSize::mib(1))].into();
        options.mounts = vec![Mount {
            host: file.clone(),
            guest: "/data".into(),
            writable: false,
        }];
        options
    };
    let said = says(&ours, 1, with(TELL, open)).await;
    let expected = [
        ("CapBnd:", "0000000000001000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "0"),
        ("uid", "1000"),
        ("size", "1024"),
        ("pids", "64"),
        ("data", "shared"),
        ("write", "closed"),
    ];
    for (name, value) in expected {
        assert_eq!(
            said.get(name).map(String::as_str),
            Some(value),
            "{name} of {said:?}"
        );
    }
    let writable = |mut options: DockerOptions| {
        options.writable_root = true;
        options
    };
    let said = says(&ours, 2, with(TELL, writable)).await;
    assert_eq!(said.get("root").map(String::as_str), Some("open"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_what_the_engine_measures() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let request = running(1, with("while true; do :; done", |options| options));
    let id = request.id;
    ours.node.ensure(request).await.expect("it starts");
    let first = ours.node.usage(id).await.expect("usage");
    // Nobody reports that a process has used more; each answer of the engine takes its time.
    let grows = async {
        loop {
            let usage = ours.node.usage(id).await.expect("usage");
            if usage.cpu > first.cpu {
                return usage;
            }
        }
    };
    let later = tokio::time::timeout(SOON, grows).await;
    let later = later.expect("it works, and that is measured");
    assert!(later.memory.is_some_and(|memory| memory.0 > 0), "{later:?}");
    ours.node.stop(id, Duration::ZERO).await.expect("it stops");
    let error = ours.node.usage(id).await.expect_err("it is gone");
    assert_eq!(error.kind(), faas_core::ErrorKind::NotFound);
}
