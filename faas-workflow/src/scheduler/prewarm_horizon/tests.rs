//! What is warmed up when.

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

fn end(policy: &mut impl WorkflowScheduler, id: u128, seconds: u64) {
    policy.observe(SchedulerChange::Ended {
        task: TaskId::from_u128(id),
        took: Duration::from_secs(seconds),
        succeeded: true,
        cold: None,
    });
}

use std::sync::Arc;

use crate::program::{Join, Outline, OutlineStep, StepKind};
use crate::scheduler::Eager;

type Policy = PrewarmHorizon<Eager>;

/// Steps in a row of this many calls; `join` is that of the last.
fn policy(edges: &[(usize, usize)], labels: &[&str], join: Join) -> Policy {
    let mut outline = Outline::default();
    for label in labels {
        let mut step = OutlineStep::new(*label, StepKind::Task);
        // A step whose name is a question is none that anybody runs.
        let function = label.parse().ok().filter(|_| !label.starts_with("choice"));
        step.target = function.map(TaskTarget::Function);
        step.join = join;
        outline.add(step);
    }
    for (from, to) in edges {
        outline.connect(*from, *to, "");
    }
    let mut policy = PrewarmHorizon::new(Eager::new());
    policy.observe(SchedulerChange::Workflow {
        digest: DefinitionDigest::of(b"w"),
        outline: Arc::new(outline),
    });
    policy
}

/// What is warmed up at a second, and when to ask again.
fn asked(policy: &mut Policy, second: u64) -> (Vec<(String, u64, u32)>, Option<Monotonic>) {
    let mut context = SchedulerContext::new(at(second), SeededRandom::new(1), 99);
    let schedule = policy.decide(&mut context);
    let seconds = |at: Monotonic| at.since(Monotonic::ZERO).as_secs();
    let told = schedule.prewarms.iter().map(|prewarm| {
        assert!(!prewarm.reasons.is_empty());
        let name = prewarm.function.name.to_string();
        (name, seconds(prewarm.at), prewarm.concurrency)
    });
    (told.collect(), schedule.wake_at)
}

fn started(policy: &mut Policy, id: u128, label: &str) {
    policy.observe(SchedulerChange::Started(task(id, "a", label, 0)));
}

fn closed(policy: &mut Policy) {
    policy.observe(SchedulerChange::Closed(ExecutionId::from_u128(1)));
}

/// Lets an execution of these steps happen, each of so many seconds.
fn happened(policy: &mut Policy, labels: &[&str], seconds: u64) {
    for (id, label) in (1000u128..).zip(labels) {
        started(policy, id, label);
        asked(policy, 0);
        policy.observe(SchedulerChange::Ended {
            task: TaskId::from_u128(id),
            took: Duration::from_secs(seconds),
            succeeded: true,
            cold: Some(Duration::from_secs(4)),
        });
    }
    closed(policy);
    asked(policy, 0);
}

#[test]
fn a_successor_is_warmed_up_just_early_enough() {
    let mut policy = policy(&[(0, 1)], &["a", "b"], Join::Any);
    happened(&mut policy, &["a", "b"], 20);
    started(&mut policy, 1, "a");
    // It ends at 120 s; a cold start takes 4 s, and a quarter more to be safe.
    assert_eq!(asked(&mut policy, 100), (vec![], Some(at(115))));
    assert_eq!(asked(&mut policy, 114), (vec![], Some(at(115))));
    assert_eq!(asked(&mut policy, 115), (vec![("b".into(), 120, 1)], None));
    assert_eq!(asked(&mut policy, 116), (vec![], None), "once is enough");
}

#[test]
fn what_nobody_knows_the_duration_of_warms_up_nothing() {
    let mut policy = policy(&[(0, 1)], &["a", "b"], Join::Any);
    started(&mut policy, 1, "a");
    assert_eq!(asked(&mut policy, 100), (vec![], None));
}

#[test]
fn who_waits_for_several_is_warmed_up_for_the_last() {
    let mut policy = policy(&[(0, 2), (1, 2)], &["a", "b", "c"], Join::All);
    happened(&mut policy, &["a", "b", "c"], 20);
    started(&mut policy, 1, "a");
    assert_eq!(asked(&mut policy, 100), (vec![], None), "b has not begun");
    started(&mut policy, 2, "b");
    assert_eq!(asked(&mut policy, 110), (vec![], Some(at(125))));
    end(&mut policy, 1, 20);
    assert_eq!(asked(&mut policy, 125), (vec![("c".into(), 130, 1)], None));
}

#[test]
fn rare_branches_are_not_warmed_up_and_steps_that_nobody_runs_are_looked_past() {
    let edges = [(0, 1), (1, 2), (1, 3)];
    let labels = ["a", "choice", "often", "rare"];
    let mut policy = policy(&edges, &labels, Join::Any);
    for _ in 0..5 {
        happened(&mut policy, &["a", "often"], 20);
    }
    happened(&mut policy, &["a", "rare"], 20);
    started(&mut policy, 1, "a");
    asked(&mut policy, 100);
    assert_eq!(asked(&mut policy, 115).0, [("often".into(), 120, 1)]);
}

#[test]
fn a_branch_that_ends_the_workflow_counts_too() {
    let mut policy = policy(&[(0, 1)], &["a", "b"], Join::Any);
    happened(&mut policy, &["a", "b"], 20);
    for _ in 0..5 {
        happened(&mut policy, &["a"], 20);
    }
    started(&mut policy, 1, "a");
    assert_eq!(
        asked(&mut policy, 100),
        (vec![], None),
        "it mostly ends there"
    );
}

#[test]
fn calls_at_about_the_same_time_are_counted_and_executions_that_are_gone_are_not() {
    let mut policy = policy(&[(0, 1)], &["a", "b"], Join::Any);
    happened(&mut policy, &["a", "b"], 20);
    for id in 1..=3 {
        let mut one = task(id, "a", "a", 0);
        one.execution = ExecutionId::from_u128(id);
        policy.observe(SchedulerChange::Started(one));
    }
    asked(&mut policy, 100);
    policy.observe(SchedulerChange::Closed(ExecutionId::from_u128(2)));
    let mut restored = PrewarmHorizon::new(Eager::new());
    restored.restore(&policy.save().unwrap()).unwrap();
    for policy in [&mut policy, &mut restored] {
        assert_eq!(asked(policy, 115).0, [("b".into(), 120, 2)]);
    }
}
