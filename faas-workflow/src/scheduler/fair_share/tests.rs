//! Shares, weights, urgency.

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

/// Who owns a task: 1,000s are those of the first namespace, and so on.
fn fill(policy: &mut FairShare, namespaces: &[&str], each: u128) {
    for (number, namespace) in (1u128..).zip(namespaces) {
        for id in 0..each {
            let ready = task(number * 1000 + id, namespace, "f", 0);
            policy.observe(SchedulerChange::Ready(ready));
        }
    }
}

fn owners(started: &[u128]) -> [usize; 3] {
    [1, 2, 3].map(|owner| started.iter().filter(|id| **id / 1000 == owner).count())
}

#[test]
fn room_is_shared_alike_however_much_one_asks_for() {
    let mut policy = FairShare::new();
    fill(&mut policy, &["greedy"], 900);
    assert_eq!(owners(&decide(&mut policy, 10)), [10, 0, 0]);
    fill(&mut policy, &["x", "modest"], 0);
    for id in 0..4 {
        policy.observe(SchedulerChange::Ready(task(2000 + id, "modest", "f", 0)));
    }
    let started = decide(&mut policy, 6);
    assert_eq!(
        owners(&started),
        [2, 4, 0],
        "the modest one is behind, and catches up"
    );
}

#[test]
fn weights_count_in_proportion() {
    let heavy = "heavy".parse().unwrap();
    let mut policy = FairShare::new().weight(heavy, 300);
    fill(&mut policy, &["heavy", "light"], 100);
    assert_eq!(owners(&decide(&mut policy, 40)), [30, 10, 0]);
}

#[test]
fn shares_follow_what_runs() {
    let mut policy = FairShare::new();
    fill(&mut policy, &["a", "b", "c"], 100);
    let started = decide(&mut policy, 30);
    assert_eq!(owners(&started), [10, 10, 10]);
    // Those of `a` are quick: it gets the room that they leave.
    for id in started.iter().filter(|id| **id / 1000 == 1) {
        end(&mut policy, *id, 1);
    }
    assert_eq!(owners(&decide(&mut policy, 10)), [10, 0, 0]);
}

#[test]
fn the_urgent_go_first_within_a_namespace_or_if_told_to_across() {
    let ready = [
        task(1, "a", "f", 0),
        task(2, "a", "f", 5),
        task(3, "b", "f", 9),
        task(4, "b", "f", 0),
    ];
    let observe = |policy: &mut FairShare| {
        for task in &ready {
            policy.observe(SchedulerChange::Ready(task.clone()));
        }
    };
    let mut within = FairShare::new();
    observe(&mut within);
    assert_eq!(decide(&mut within, 4), [2, 3, 1, 4]);
    let mut across = FairShare::new().priority_first();
    observe(&mut across);
    assert_eq!(decide(&mut across, 4), [3, 2, 4, 1]);
}

#[test]
fn nobody_who_is_gone_is_remembered() {
    let mut policy = FairShare::new();
    for number in 0..1000u128 {
        let namespace = format!("n{number}");
        policy.observe(SchedulerChange::Ready(task(number, &namespace, "f", 0)));
    }
    let started = decide(&mut policy, 1000);
    assert_eq!(started.len(), 1000);
    started.iter().for_each(|id| end(&mut policy, *id, 1));
    assert!(policy.shares.is_empty() && policy.turns.is_empty() && policy.running.is_empty());
}
