//! Nodes that hang, fall silent, return, or are changed behind the manager's back.

use std::sync::Arc;
use std::time::Duration;

use faas_core::WorkloadId;
use faas_resource::agent::{EnsureSandbox, ExitCause, SandboxPhase, SandboxState};
use faas_resource::workload::WorkloadEvent;
use faas_resource::{NodeAgent, WorkloadSpec};

use crate::common::{gone, next, ready};
use crate::flaky::{Flaky, NodeFault, handler};
use crate::suite::Ground;

fn spec() -> WorkloadSpec {
    let mut sandbox = handler("echo");
    sandbox.hook = Some("recorder".parse().expect("a name"));
    WorkloadSpec::new(WorkloadId::from_u128(1), sandbox)
}

fn ground_of(faults: &[(&str, NodeFault)]) -> Ground {
    let mut ground = Ground::new();
    let node = |(name, fault): &(&str, NodeFault)| {
        let mut node = Flaky::new(name);
        node.fault = *fault;
        Arc::new(node)
    };
    ground.nodes = faults.iter().map(node).collect();
    ground
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_is_made_on_another_node() {
    let ground = ground_of(&[("one", NodeFault::NeverStarts), ("two", NodeFault::None)]);
    let manager = ground.life().await;
    let mut spec = spec();
    spec.min = 1;
    let mut events = manager.watch();
    manager.apply(spec).await.expect("a good spec");
    let failed = gone(&mut events).await;
    assert_eq!(failed.node.as_str(), "one");
    let SandboxPhase::Exited(ExitCause::StartFailure(why)) = failed.phase else {
        panic!("{:?} instead of a failed start", failed.phase);
    };
    assert!(why.contains("took longer than 100ms"), "{why}");
    assert_eq!(ready(&mut events).await.node.as_str(), "two");
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_node_runs_is_taken_up_again_where_it_is_wanted() {
    let ground = ground_of(&[("one", NodeFault::None)]);
    let manager = ground.life().await;
    let mut spec = spec();
    spec.min = 1;
    let mut events = manager.watch();
    manager.apply(spec.clone()).await.expect("a good spec");
    let replica = ready(&mut events).await;
    ground.nodes[0].gate.shut(true);
    let lost = gone(&mut events).await;
    assert_eq!(lost.sandbox, replica.sandbox);
    assert_eq!(lost.phase, SandboxPhase::Exited(ExitCause::NodeLost));
    while !matches!(next(&mut events).await, WorkloadEvent::Waiting(..)) {}
    let capacity = manager.capacity().await.expect("it answers");
    assert_eq!(capacity.nodes, 0, "the node is open");
    ground.nodes[0].gate.shut(false);
    let back = ready(&mut events).await;
    assert_eq!(back.sandbox, replica.sandbox, "it was started anew");
    let starts = ground.nodes[0].starts.lock().expect("no panic").clone();
    assert_eq!(
        starts.into_iter().collect::<Vec<_>>(),
        [(replica.sandbox, 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_at_first_is_taken_up_later() {
    let ground = Ground::new();
    ground.nodes[0].gate.shut(true);
    let manager = ground.life().await;
    assert_eq!(manager.capacity().await.expect("it answers").nodes, 1);
    let mut spec = spec();
    spec.min = 3;
    let mut events = manager.watch();
    manager.apply(spec).await.expect("a good spec");
    for _ in 0..3 {
        assert_eq!(ready(&mut events).await.node.as_str(), "two");
    }
    ground.nodes[0].gate.shut(false);
    // Nobody tells of capacity: it is asked for until it is there, in paused time.
    let taken_up = async {
        while manager.capacity().await.expect("it answers").nodes < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let taken_up = tokio::time::timeout(Duration::from_secs(60), taken_up).await;
    taken_up.expect("the node is taken up in time");
    assert_eq!(ground.running().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn ends_are_noticed_though_the_events_of_the_node_have_ended() {
    let ground = ground_of(&[("one", NodeFault::EndsEvents)]);
    let manager = ground.life().await;
    let mut spec = spec();
    spec.min = 1;
    let mut events = manager.watch();
    manager.apply(spec).await.expect("a good spec");
    for _ in 0..3 {
        let replica = ready(&mut events).await;
        ground.end(replica.sandbox);
        assert_eq!(gone(&mut events).await.sandbox, replica.sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_somebody_else_paused_is_brought_back() {
    let ground = ground_of(&[("one", NodeFault::None)]);
    let manager = ground.life().await;
    let mut spec = spec();
    spec.min = 1;
    let mut events = manager.watch();
    manager.apply(spec.clone()).await.expect("a good spec");
    let replica = ready(&mut events).await;
    let sandbox = Arc::new(spec.sandbox.clone());
    let mut pause = EnsureSandbox::running(replica.sandbox, spec.id, sandbox);
    pause.state = SandboxState::Paused;
    let paused = ground.nodes[0].inner.ensure(pause).await;
    paused.expect("it is paused");
    let retired = async {
        loop {
            if let WorkloadEvent::Retiring(_, sandbox) = next(&mut events).await {
                return sandbox;
            }
        }
    };
    assert_eq!(retired.await, replica.sandbox);
    assert_eq!(ready(&mut events).await.sandbox, replica.sandbox);
    assert!(ground.running().await.contains(&replica.sandbox));
}
