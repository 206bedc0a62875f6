//! Places taken, waited for, given back.

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

use crate::scheduler::Eager;

fn pools() -> Pools<Eager> {
    let database = PoolMember::Function("database".parse().unwrap());
    let tenant = PoolMember::Namespace("tenant".parse().unwrap());
    Pools::new(Eager::new()).pool(database, 2).pool(tenant, 3)
}

fn ready(policy: &mut Pools<Eager>, id: u128, namespace: &str, label: &str, priority: i32) {
    policy.observe(SchedulerChange::Ready(task(id, namespace, label, priority)));
}

#[test]
fn at_most_so_many_run_at_once_and_others_pass_by() {
    let mut policy = pools();
    (0..5).for_each(|id| ready(&mut policy, id, "a", "database", 0));
    ready(&mut policy, 9, "a", "other", 0);
    assert_eq!(decide(&mut policy, 99), [9, 0, 1]);
    assert_eq!(decide(&mut policy, 99), []);
    end(&mut policy, 0, 1);
    assert_eq!(decide(&mut policy, 99), [2]);
    policy.observe(SchedulerChange::Withdrawn(TaskId::from_u128(3)));
    policy.observe(SchedulerChange::Withdrawn(TaskId::from_u128(1)));
    assert_eq!(
        decide(&mut policy, 99),
        [4],
        "a place was given back, and one who waited is gone"
    );
}

#[test]
fn one_of_two_pools_needs_a_place_in_both() {
    let mut policy = pools();
    (0..3).for_each(|id| ready(&mut policy, id, "tenant", "other", 0));
    ready(&mut policy, 5, "tenant", "database", 0);
    assert_eq!(decide(&mut policy, 99), [0, 1, 2]);
    ready(&mut policy, 6, "a", "database", 0);
    assert_eq!(
        decide(&mut policy, 99),
        [6],
        "who waits for the tenant's place blocks nobody"
    );
    end(&mut policy, 1, 1);
    assert_eq!(decide(&mut policy, 99), [5]);
}

#[test]
fn the_urgent_get_the_next_place() {
    let mut policy = pools();
    (0..2).for_each(|id| ready(&mut policy, id, "a", "database", 0));
    assert_eq!(decide(&mut policy, 99), [0, 1]);
    ready(&mut policy, 2, "a", "database", 0);
    ready(&mut policy, 3, "a", "database", 7);
    end(&mut policy, 0, 1);
    assert_eq!(decide(&mut policy, 99), [3]);
}

#[test]
fn places_are_kept_through_save_and_restore() {
    let mut policy = pools();
    (0..5).for_each(|id| ready(&mut policy, id, "a", "database", 0));
    decide(&mut policy, 99);
    let mut restored = pools();
    restored.restore(&policy.save().unwrap()).unwrap();
    assert_eq!(decide(&mut restored, 99), []);
    end(&mut restored, 1, 1);
    assert_eq!(decide(&mut restored, 99), [2]);
    let mut fewer = Pools::new(Eager::new());
    assert!(
        fewer.restore(&policy.save().unwrap()).is_err(),
        "it knows no such pools"
    );
}
