//! What of a node's containers is taken up, left alone, or cleared away.

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, ListContainersOptions, ListNetworksOptions,
    RemoveContainerOptions, WaitContainerOptions,
};
use faas_core::{ErrorKind, Name, SandboxId, WorkloadId};
use faas_docker::Network;
use faas_resource::NodeAgent;
use faas_resource::agent::{ExitCause, SandboxPhase, SandboxState};
use faas_resource::hook::{Cookie, Reach, ReachKind};
use futures::StreamExt;

use crate::common::{Fixture, LASTING, MIB, SOON, exit, running, script, with};
use crate::engine::{IMAGE, exists};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_same_names_takes_up_what_was_left() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let mut request = running(1, script(LASTING));
    request.workload = WorkloadId::from_u128(7);
    request.digest = faas_core::Digest::of(b"spec");
    request.prepared.cookie = Cookie("remember".into());
    let before = ours.node.ensure(request.clone()).await.expect("it starts");
    let mut other = running(2, script(LASTING));
    other.state = SandboxState::Paused;
    ours.node.ensure(other.clone()).await.expect("it starts");
    // Nobody wants what is left of a sandbox without a container.
    let lost = SandboxId::from_u128(9);
    let reach = ours.node.reach(lost, ReachKind::Mount).await;
    let Ok(Some(Reach::Mount { host, .. })) = reach else {
        panic!("no mount: {reach:?}");
    };
    let ours = ours.restart().await;
    assert!(!host.exists(), "a directory is left");
    let listed = ours.node.list().await.expect("a list");
    assert_eq!(listed.len(), 2);
    let after = &listed[0];
    let what = |status: &faas_resource::agent::SandboxStatus| {
        let (endpoint, cookie) = (format!("{:?}", status.endpoint), status.cookie.clone());
        (
            status.id,
            status.workload,
            status.digest,
            status.phase.clone(),
            endpoint,
            cookie,
        )
    };
    assert_eq!(what(after), what(&before));
    assert_eq!(listed[1].phase, SandboxPhase::In(SandboxState::Paused));
    // It goes on as if nothing had been.
    ours.node.ensure(request.clone()).await.expect("it runs");
    other.state = SandboxState::Running;
    let resumed = ours.node.ensure(other.clone()).await.expect("it goes on");
    assert!(resumed.is_running());
    for id in [request.id, other.id] {
        ours.node.stop(id, Duration::ZERO).await.expect("it stops");
        assert!(!exists(&ours.docker, &ours.container(id)).await);
    }
}

/// Has a sandbox end by itself, past the node, and waits for that.
async fn tell_to_end<N>(ours: &Fixture<N>, id: SandboxId) {
    let container = ours.container(id);
    let signal = KillContainerOptions {
        signal: "SIGTERM".into(),
    };
    let told = ours.docker.kill_container(&container, Some(signal)).await;
    told.expect("it is told");
    let mut ends = ours
        .docker
        .wait_container(&container, None::<WaitContainerOptions>);
    // The client takes an exit code for a failure.
    let ended = tokio::time::timeout(SOON, ends.next()).await;
    assert!(ended.expect("it ends in time").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_meanwhile_and_what_ends_then_is_listed_with_its_cause() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let obeys = "trap 'exit 5' TERM; echo ready; while true; do sleep 1 & wait; done";
    let requests = [1, 2].map(|n| running(n, script(obeys)));
    let [meanwhile, then] = requests.clone().map(|request| request.id);
    for request in requests {
        let id = request.id;
        ours.node.ensure(request).await.expect("it starts");
        // Until it has its trap, nothing ends it.
        let ready = ours.node.logs(id, true).next().await;
        ready.expect("it says so").expect("a line");
    }
    let (node, ours) = ours.split();
    drop(node);
    tell_to_end(&ours, meanwhile).await;
    let ours = ours.start_with(MIB).await;
    let mut events = ours.node.watch();
    let ended = SandboxPhase::Exited(ExitCause::Code(5));
    let listed = ours.node.list().await.expect("a list");
    assert_eq!((listed[0].id, &listed[0].phase), (meanwhile, &ended));
    assert!(listed[1].is_running(), "{:?}", listed[1]);
    tell_to_end(&ours, then).await;
    assert_eq!(exit(&mut events, then).await, ExitCause::Code(5));
    let listed = ours.node.list().await.expect("a list");
    assert_eq!((listed[1].id, &listed[1].phase), (then, &ended));
    for id in [meanwhile, then] {
        ours.node.stop(id, Duration::ZERO).await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_container_of_that_name_is_left_alone() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let request = running(1, script(LASTING));
    let (id, name) = (request.id, ours.container(request.id));
    let options = CreateContainerOptions {
        name: Some(name.clone()),
        ..CreateContainerOptions::default()
    };
    let body = ContainerCreateBody {
        image: Some(IMAGE.into()),
        cmd: Some(vec!["/bin/sh".into()]),
        ..ContainerCreateBody::default()
    };
    let created = ours.docker.create_container(Some(options), body).await;
    let stranger = created.expect("a stranger's container").id;
    let error = ours
        .node
        .ensure(request)
        .await
        .expect_err("the name is taken");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(ours.node.list().await.expect("a list").is_empty());
    ours.node
        .stop(id, Duration::ZERO)
        .await
        .expect("nothing to stop");
    ours.node.clear().await.expect("nothing to clear");
    assert!(exists(&ours.docker, &stranger).await, "it is gone");
    let removed = ours
        .docker
        .remove_container(&stranger, None::<RemoveContainerOptions>);
    removed.await.expect("the stranger clears up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_removed_from_outside_has_ended() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let mut events = ours.node.watch();
    let request = running(1, script(LASTING));
    let id = request.id;
    ours.node.ensure(request.clone()).await.expect("it starts");
    let force = RemoveContainerOptions {
        force: true,
        ..RemoveContainerOptions::default()
    };
    let container = ours.container(id);
    let removed = ours.docker.remove_container(&container, Some(force));
    removed.await.expect("somebody removes it");
    let cause = exit(&mut events, id).await;
    let known = [ExitCause::Signal(9), ExitCause::Unknown];
    assert!(known.contains(&cause), "{cause:?}");
    let listed = ours.node.list().await.expect("a list");
    assert_eq!(listed[0].phase, SandboxPhase::Exited(cause));
    let error = ours.node.ensure(request).await.expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    ours.node.stop(id, Duration::ZERO).await.expect("it stops");
    assert!(ours.node.list().await.expect("a list").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_of_our_own_go_with_the_last_sandbox() {
    let Some(ours) = Fixture::new().await else {
        return;
    };
    let own = |name: &str| -> Name { name.parse().expect("test set-up") };
    let on = |name| {
        with(LASTING, |mut options| {
            options.network = Some(Network::Own(own(name)));
            options
        })
    };
    let networks = async || {
        let options = ListNetworksOptions {
            filters: Some(
                [(
                    "label".into(),
                    vec![format!("faas.cluster={}", ours.cluster)],
                )]
                .into(),
            ),
        };
        let listed = ours.docker.list_networks(Some(options)).await;
        let names = listed
            .expect("networks")
            .into_iter()
            .filter_map(|network| network.name);
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    };
    let requests = [
        running(1, on("a")),
        running(2, on("a")),
        running(3, on("b")),
    ];
    let ids = requests.clone().map(|request| request.id);
    // All at once: each network is made once.
    let ensured = requests.map(|request| ours.node.ensure(request));
    for status in futures::future::join_all(ensured).await {
        let endpoint = format!("{:?}", status.expect("it starts").endpoint);
        assert!(
            endpoint.contains("Tcp") && endpoint.contains(":8080"),
            "{endpoint}"
        );
    }
    let name = |name| format!("faas-{}-node-{name}", ours.cluster);
    assert_eq!(networks().await, [name("a"), name("b")]);
    ours.node
        .stop(ids[0], Duration::ZERO)
        .await
        .expect("it stops");
    assert_eq!(
        networks().await,
        [name("a"), name("b")],
        "somebody is still there"
    );
    ours.node
        .stop(ids[1], Duration::ZERO)
        .await
        .expect("it stops");
    assert_eq!(networks().await, [name("b")]);
    ours.node.clear().await.expect("the rest is cleared");
    assert!(networks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_start_and_leave_nothing() {
    const MANY: u128 = 24;
    let Some(ours) = Fixture::with(|builder| {
        let gib = faas_core::ByteSize::gib(64);
        builder.capacity(faas_core::Resources::new(
            faas_core::Millicpu::cores(64),
            gib,
        ))
    })
    .await
    else {
        return;
    };
    let requests: Vec<_> = (1..=MANY).map(|n| running(n, script(LASTING))).collect();
    let ids: Vec<_> = requests.iter().map(|request| request.id).collect();
    let ensured = requests
        .into_iter()
        .map(|request| ours.node.ensure(request));
    for status in futures::future::join_all(ensured).await {
        assert!(status.expect("it starts").is_running());
    }
    let listed = ours.node.list().await.expect("a list");
    assert!(
        listed
            .iter()
            .all(faas_resource::agent::SandboxStatus::is_running)
    );
    assert_eq!(listed.len(), ids.len());
    let stopped = ids.iter().map(|id| ours.node.stop(*id, Duration::ZERO));
    for stopped in futures::future::join_all(stopped).await {
        stopped.expect("it stops");
    }
    let all = ListContainersOptions {
        all: true,
        filters: Some(
            [(
                "label".into(),
                vec![format!("faas.cluster={}", ours.cluster)],
            )]
            .into(),
        ),
        ..ListContainersOptions::default()
    };
    let left = ours
        .docker
        .list_containers(Some(all))
        .await
        .expect("containers");
    assert!(left.is_empty(), "{} are left", left.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reserved_is_never_more_than_the_node_has() {
    let Some(ours) = Fixture::with(|builder| {
        let mib = faas_core::ByteSize::mib(256);
        builder.capacity(faas_core::Resources::new(
            faas_core::Millicpu::cores(1),
            mib,
        ))
    })
    .await
    else {
        return;
    };
    let request = |n| {
        let mut request = running(n, script(LASTING));
        request.state = SandboxState::Created;
        request
    };
    for n in 1..=2 {
        ours.node.ensure(request(n)).await.expect("it fits");
    }
    // What was taken up counts as well.
    let ours = ours.restart_with(256).await;
    let error = ours
        .node
        .ensure(request(3))
        .await
        .expect_err("the node is full");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    ours.node.clear().await.expect("all is cleared");
    ours.node.ensure(request(3)).await.expect("it fits");
    ours.node.clear().await.expect("all is cleared");
}
