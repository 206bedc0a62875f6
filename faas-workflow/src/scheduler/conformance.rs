//! The suite of W3's contract. `workflow_scheduler_conformance!(|| Box::new(Eager::new()))` makes
//! a test of each case.

use std::collections::BTreeSet;
use std::time::Duration;

use faas_core::policy::SeededRandom;
use faas_core::{ExecutionId, FunctionRef, Monotonic, Name, Namespace, TaskId, WorkflowName};

use crate::program::{DefinitionDigest, TaskTarget};

use super::{ReadyTask, Schedule, SchedulerChange, SchedulerContext, WorkflowScheduler};

/// Makes a fresh policy.
pub type Factory<'a> = &'a dyn Fn() -> Box<dyn WorkflowScheduler>;

/// The names of all cases.
pub const CASES: &[&str] = &[
    "only_ready",
    "once",
    "bounded",
    "reasoned",
    "deterministic",
    "saved",
    "starves_none",
];

/// Runs the case of that name.
pub fn run(case: &str, factory: Factory<'_>) {
    match case {
        "only_ready" => only_ready(factory),
        "once" => once(factory),
        "bounded" => bounded(factory),
        "reasoned" => reasoned(factory),
        "deterministic" => deterministic(factory),
        "saved" => saved(factory),
        "starves_none" => starves_none(factory),
        other => panic!("there is no case {other}"),
    }
}

fn task(number: u128) -> ReadyTask {
    ReadyTask {
        id: TaskId::from_u128(number),
        execution: ExecutionId::from_u128(number % 3),
        namespace: Namespace::default(),
        workflow: WorkflowName::new("w").expect("a name"),
        digest: DefinitionDigest::of(b"w"),
        label: format!("step-{}", number % 5),
        target: TaskTarget::Function(FunctionRef::latest(
            Namespace::default(),
            Name::new("f").expect("a name"),
        )),
        priority: 0,
        since: Monotonic::ZERO,
    }
}

fn observe(policy: &mut dyn WorkflowScheduler, numbers: std::ops::Range<u128>) {
    numbers.for_each(|number| policy.observe(SchedulerChange::Ready(task(number))));
}

/// Decides as an engine does: what is started is observed as started.
fn decide(policy: &mut dyn WorkflowScheduler, second: u64, free: usize) -> Schedule {
    let now = Monotonic::ZERO + Duration::from_secs(second);
    let schedule = policy.decide(&mut SchedulerContext::new(
        now,
        SeededRandom::new(second),
        free,
    ));
    for start in &schedule.starts {
        let started = task(start.task.as_u128());
        policy.observe(SchedulerChange::Started(started));
    }
    schedule
}

fn ids(schedule: &Schedule) -> Vec<u128> {
    schedule
        .starts
        .iter()
        .map(|start| start.task.as_u128())
        .collect()
}

/// "`decide` MUST start only tasks that were observed as ready, and have neither started nor been
/// withdrawn since."
pub fn only_ready(factory: Factory<'_>) {
    let mut policy = factory();
    assert!(
        decide(&mut policy, 0, 9).starts.is_empty(),
        "nothing is ready"
    );
    observe(&mut policy, 0..6);
    policy.observe(SchedulerChange::Withdrawn(TaskId::from_u128(2)));
    policy.observe(SchedulerChange::Started(task(4)));
    for second in 1..10 {
        let started = ids(&decide(&mut policy, second, 9));
        assert!(!started.contains(&2), "a withdrawn task was started");
        assert!(!started.contains(&4), "a task that runs was started");
        assert!(
            started.iter().all(|id| *id < 6),
            "an unknown task was started"
        );
    }
}

/// "no task is started twice."
pub fn once(factory: Factory<'_>) {
    let mut policy = factory();
    observe(&mut policy, 0..20);
    let mut seen = BTreeSet::new();
    for second in 1..20 {
        for id in ids(&decide(&mut policy, second, 3)) {
            assert!(seen.insert(id), "task {id} was started twice");
        }
    }
}

/// "`decide` starts at most `free` tasks."
pub fn bounded(factory: Factory<'_>) {
    let mut policy = factory();
    observe(&mut policy, 0..20);
    for (second, free) in [0, 1, 3, 7].into_iter().enumerate() {
        let starts = decide(&mut policy, second as u64, free).starts.len();
        assert!(
            starts <= free,
            "{starts} tasks were started in {free} places"
        );
    }
}

/// "each start carries at least one reason."
pub fn reasoned(factory: Factory<'_>) {
    let mut policy = factory();
    observe(&mut policy, 0..5);
    for second in 1..10 {
        let schedule = decide(&mut policy, second, 9);
        let silent = schedule.starts.iter().any(|start| start.reasons.is_empty());
        assert!(!silent, "a start has no reason");
    }
}

/// "equal observations, contexts and states give equal schedules."
pub fn deterministic(factory: Factory<'_>) {
    let (mut a, mut b) = (factory(), factory());
    observe(&mut a, 0..50);
    observe(&mut b, 0..50);
    for second in 1..10 {
        assert_eq!(decide(&mut a, second, 7), decide(&mut b, second, 7));
    }
}

/// "a policy restored from `save` decides as the saved one would."
pub fn saved(factory: Factory<'_>) {
    let mut policy = factory();
    observe(&mut policy, 0..20);
    decide(&mut policy, 1, 5);
    let bytes = policy.save().expect("it can be saved");
    let mut restored = factory();
    restored
        .restore(&bytes)
        .expect("what was saved can be restored");
    for second in 2..6 {
        assert_eq!(
            decide(&mut policy, second, 4),
            decide(&mut restored, second, 4)
        );
    }
    assert!(
        restored.restore(b"garbage").is_err(),
        "garbage was restored"
    );
}

/// "with room for all, every ready task is started, or `wake_at` says when to ask again."
pub fn starves_none(factory: Factory<'_>) {
    let mut policy = factory();
    observe(&mut policy, 0..20);
    let mut started = 0;
    for second in 1..1000 {
        let schedule = decide(&mut policy, second, 100);
        started += schedule.starts.len();
        if schedule.wake_at.is_none() {
            break;
        }
    }
    assert_eq!(
        started, 20,
        "ready tasks are left, and nobody will be asked again"
    );
}

/// Makes a test of each case of W3's suite; the factory is an expression of a type
/// `Fn() -> Box<dyn WorkflowScheduler>`.
#[macro_export]
macro_rules! workflow_scheduler_conformance {
    ($factory:expr) => {
        $crate::workflow_scheduler_conformance!(@cases $factory, only_ready once bounded reasoned
            deterministic saved starves_none);
    };
    (@cases $factory:expr, $($case:ident)*) => {$(
        #[test]
        fn $case() {
            $crate::scheduler::conformance::$case(&$factory);
        }
    )*};
}
