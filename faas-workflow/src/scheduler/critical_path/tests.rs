//! Long ways first.

use std::time::Duration;

use faas_core::policy::SeededRandom;
use faas_core::{ExecutionId, Monotonic, TaskId};

use super::*;
use crate::program::{DefinitionDigest, TaskTarget};
use crate::scheduler::{ReadyTask, SchedulerChange, SchedulerContext, WorkflowScheduler};

fn at(seconds: u64) -> Monotonic {
    Monotonic::ZERO + Duration::from_secs(seconds)
}

fn task(id: u128, namespace: &str, label: &str, priority: i32) -> ReadyTask {
    ReadyTask {
        id: TaskId::from_u128(id),
        execution: ExecutionId::from_u128(1),
        namespace: namespace.parse().unwrap(),
        workflow: "w".parse().unwrap(),
        digest: DefinitionDigest::of(b"w"),
        label: label.into(),
        target: TaskTarget::Function(label.parse().unwrap()),
        priority,
        since: Monotonic::ZERO,
    }
}

fn decide(policy: &mut impl WorkflowScheduler, free: usize) -> Vec<u128> {
    let mut context = SchedulerContext::new(at(1), SeededRandom::new(1), free);
    let starts = policy.decide(&mut context).starts;
    starts.iter().map(|start| start.task.as_u128()).collect()
}

fn end(policy: &mut impl WorkflowScheduler, id: u128, seconds: u64) {
    policy.observe(SchedulerChange::Ended {
        task: TaskId::from_u128(id),
        took: Duration::from_secs(seconds),
        succeeded: true,
        cold: None,
    });
}

use std::sync::Arc;

use crate::program::{Outline, OutlineStep, StepKind};

/// `short`, and `long` → `slow`.
fn policy() -> CriticalPath {
    let mut outline = Outline::default();
    for label in ["short", "long", "slow"] {
        let mut step = OutlineStep::new(label, StepKind::Task);
        step.target = Some(TaskTarget::Function(label.parse().unwrap()));
        outline.add(step);
    }
    outline.connect(1, 2, "");
    let mut policy = CriticalPath::new();
    policy.observe(SchedulerChange::Workflow {
        digest: DefinitionDigest::of(b"w"),
        outline: Arc::new(outline),
    });
    policy
}

fn ready(policy: &mut CriticalPath, id: u128, label: &str) {
    policy.observe(SchedulerChange::Ready(task(id, "a", label, 0)));
}

fn ran(policy: &mut CriticalPath, id: u128, label: &str, seconds: u64) {
    ready(policy, id, label);
    assert_eq!(decide(policy, 1), [id]);
    policy.observe(SchedulerChange::Started(task(id, "a", label, 0)));
    end(policy, id, seconds);
}

#[test]
fn what_leads_to_more_goes_first_and_durations_are_learned() {
    let mut policy = policy();
    ready(&mut policy, 1, "short");
    ready(&mut policy, 2, "long");
    assert_eq!(
        decide(&mut policy, 2),
        [2, 1],
        "two steps are longer than one"
    );
    for id in 10..20 {
        ran(&mut policy, id, "short", 60);
        ran(&mut policy, id + 10, "long", 1);
        ran(&mut policy, id + 20, "slow", 5);
    }
    for (id, label) in [
        (90, "slow"),
        (91, "long"),
        (92, "short"),
        (93, "long"),
        (94, "slow"),
    ] {
        ready(&mut policy, id, label);
    }
    assert_eq!(decide(&mut policy, 3), [92, 91, 93]);
    let mut restored = CriticalPath::new();
    restored.restore(&policy.save().unwrap()).unwrap();
    assert_eq!(decide(&mut restored, 9), [90, 94]);
}

#[test]
fn a_workflow_without_an_outline_is_served_in_order() {
    let mut policy = CriticalPath::new();
    (0..5).for_each(|id| ready(&mut policy, id, "f"));
    assert_eq!(decide(&mut policy, 9), [0, 1, 2, 3, 4]);
}
