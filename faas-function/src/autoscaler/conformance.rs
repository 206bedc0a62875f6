//! The suite of [`FunctionAutoscaler`]: one case for each rule of its contract, played on histories
//! of made-up loads. Cases need no runtime: policies do no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faas_core::{
    ErrorKind, InstanceId, Monotonic, Name, Namespace, PolicyContext, Resources, RevisionNumber,
    SeededRandom,
};

use super::{Fleet, FleetChange, FunctionAutoscaler, RevisionId, RevisionLoad, ScaleDecision};
use crate::registry::FunctionId;

/// Makes a fresh autoscaler; each the same as the other.
pub type Factory = Arc<dyn Fn() -> Box<dyn FunctionAutoscaler> + Send + Sync>;

/// A case by name.
pub type Case = fn(&Factory);

/// All cases.
pub const CASES: &[(&str, Case)] = &[
    ("within_bounds", within_bounds),
    ("from_zero", from_zero),
    ("only_changes", only_changes),
    ("explains", explains),
    ("deterministic", deterministic),
    ("wakes", wakes),
    ("save_restore", save_restore),
];

/// Expands to one `#[test]` per rule of [`FunctionAutoscaler`](crate::FunctionAutoscaler)'s
/// contract. Takes a closure that makes an autoscaler; put it into a module of its own.
#[macro_export]
macro_rules! function_autoscaler_conformance {
    ($factory:expr) => {
        $crate::function_autoscaler_conformance! { @cases $factory;
            within_bounds from_zero only_changes explains deterministic wakes save_restore
        }
    };
    (@cases $factory:expr; $($case:ident)*) => {$(
        #[test]
        fn $case() {
            let factory: $crate::autoscaler::conformance::Factory =
                ::std::sync::Arc::new(|| ::std::boxed::Box::new(($factory)()));
            $crate::autoscaler::conformance::$case(&factory);
        }
    )*};
}

const SEEDS: u64 = 32;
const STEPS: usize = 60;

fn id(number: u64) -> RevisionId {
    let function = FunctionId {
        namespace: Namespace::default(),
        name: Name::new("scaled").expect("a valid name"),
    };
    let number = RevisionNumber(number);
    RevisionId { function, number }
}

fn load(min: u32, max: u32, concurrency: u32) -> RevisionLoad {
    RevisionLoad::idle(concurrency, min, max, Resources::default())
}

/// A fleet whose instances are there as soon as they are wanted, under a load by chance.
struct World {
    fleet: Fleet,
    context: PolicyContext,
    chance: SeededRandom,
}

impl World {
    fn new(seed: u64) -> Self {
        let loads = [(1, load(0, 10, 1)), (2, load(2, 5, 4)), (3, load(0, 1, 1))];
        let revisions: BTreeMap<_, _> = loads.into_iter().map(|(n, l)| (id(n), l)).collect();
        let start = Monotonic::from_nanos(3_000_000_000);
        let fleet = Fleet {
            revisions,
            limit: None,
        };
        Self {
            fleet,
            context: PolicyContext::new(start, SeededRandom::new(seed)),
            chance: SeededRandom::new(seed),
        }
    }

    /// Time goes on and the load changes; what the policy decides is done.
    fn step(&mut self, policy: &mut dyn FunctionAutoscaler) -> Vec<ScaleDecision> {
        let millis = self.chance.below(20_000);
        self.context.now = self.context.now + Duration::from_millis(millis);
        for (id, load) in &mut self.fleet.revisions {
            let burst = self.chance.below(4) == 0;
            let wanted = self.chance.below(if burst { 40 } else { 2 });
            set_demand(load, u32::try_from(wanted).unwrap_or(0), self.context.now);
            let change = FleetChange::Load(id.clone(), load.clone());
            policy.observe(&mut self.context, &change);
        }
        let decisions = policy.decide(&mut self.context, &self.fleet);
        for decision in &decisions {
            if let Some(load) = self.fleet.revisions.get_mut(&decision.revision) {
                load.ready = decision.instances;
                set_demand(load, load.running + load.queued, self.context.now);
            }
        }
        decisions
    }

    fn play(&mut self, policy: &mut dyn FunctionAutoscaler) -> Vec<Vec<ScaleDecision>> {
        (0..STEPS).map(|_| self.step(policy)).collect()
    }
}

fn set_demand(load: &mut RevisionLoad, demand: u32, now: Monotonic) {
    load.running = demand.min(load.ready * load.concurrency);
    load.queued = demand - load.running;
    let busy = load.running.div_ceil(load.concurrency);
    let idle = u128::from(busy)..u128::from(load.ready);
    load.idle = idle.map(|n| (InstanceId::from_u128(n), now)).collect();
}

fn each_history(factory: &Factory, check: impl Fn(&World, &[ScaleDecision])) {
    for seed in 0..SEEDS {
        let (mut world, mut policy) = (World::new(seed), factory());
        for _ in 0..STEPS {
            let decisions = world.step(&mut *policy);
            check(&world, &decisions);
        }
    }
}

/// "No decision leaves a revision's `min..=max`."
pub fn within_bounds(factory: &Factory) {
    each_history(factory, |world, decisions| {
        for decision in decisions {
            let load = &world.fleet.revisions[&decision.revision];
            let bounds = load.min..=load.max;
            assert!(
                bounds.contains(&decision.instances),
                "{decision:?} leaves {bounds:?}"
            );
        }
    });
}

/// "A revision with waiting invocations and no instance, starting ones included, is given at least
/// one at once."
pub fn from_zero(factory: &Factory) {
    for queued in [1, 7, 500] {
        let (mut world, mut policy) = (World::new(1), factory());
        let waiting = world.fleet.revisions.get_mut(&id(1)).expect("it is there");
        waiting.queued = queued;
        let decisions = policy.decide(&mut world.context, &world.fleet);
        let given = decisions.iter().find(|d| d.revision == id(1));
        assert!(
            given.is_some_and(|d| d.instances > 0),
            "{queued} wait: {decisions:?}"
        );
    }
}

/// "A revision whose supply is as it should be has no decision."
pub fn only_changes(factory: &Factory) {
    for seed in 0..SEEDS {
        let (mut world, mut policy) = (World::new(seed), factory());
        for _ in 0..STEPS {
            let before = world.fleet.clone();
            for decision in world.step(&mut *policy) {
                let load = &before.revisions[&decision.revision];
                let supply = load.ready + load.starting;
                assert_ne!(decision.instances, supply, "{decision:?} changes nothing");
            }
        }
    }
}

/// "Each decision has at least one reason."
pub fn explains(factory: &Factory) {
    each_history(factory, |_, decisions| {
        for decision in decisions {
            assert!(!decision.reasons.is_empty(), "{decision:?} has no reason");
        }
    });
}

/// "The same history of changes, times and seed gives the same decisions."
pub fn deterministic(factory: &Factory) {
    for seed in 0..SEEDS {
        let one = World::new(seed).play(&mut *factory());
        let other = World::new(seed).play(&mut *factory());
        assert_eq!(one, other, "seed {seed}");
    }
}

/// "If waiting alone would change a decision, `wake_at` says when."
pub fn wakes(factory: &Factory) {
    let (mut world, mut policy) = (World::new(1), factory());
    world.play(&mut *policy);
    for load in world.fleet.revisions.values_mut() {
        set_demand(load, 0, world.context.now);
    }
    policy.decide(&mut world.context, &world.fleet);
    // Nothing was decided on at first; does a day change that although nobody was to be woken?
    for _ in 0..10_000 {
        let Some(wake) = policy.wake_at() else { break };
        world.context.now = wake.max(world.context.now);
        for decision in policy.decide(&mut world.context, &world.fleet) {
            let load = world.fleet.revisions.get_mut(&decision.revision);
            let load = load.expect("it is there");
            load.ready = decision.instances;
            set_demand(load, 0, world.context.now);
        }
    }
    world.context.now = world.context.now + Duration::from_secs(86_400);
    let missed = policy.decide(&mut world.context, &world.fleet);
    assert!(
        missed.is_empty(),
        "waiting changed {missed:?}, and nobody was to be woken"
    );
}

/// "An autoscaler restored from what another saved decides as that one would."
pub fn save_restore(factory: &Factory) {
    for seed in 0..SEEDS {
        let (mut world, mut policy) = (World::new(seed), factory());
        world.play(&mut *policy);
        let mut restored = factory();
        restored.restore(&policy.save()).expect("what it saved");
        assert_eq!(restored.wake_at(), policy.wake_at(), "when to wake");
        let saved = policy.save();
        let error = policy.restore(b"\xff not a state").expect_err("foreign");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(policy.save(), saved, "a refused state changes nothing");
        let mut twin = World {
            fleet: world.fleet.clone(),
            context: world.context,
            chance: world.chance,
        };
        assert_eq!(
            world.play(&mut *policy),
            twin.play(&mut *restored),
            "seed {seed}"
        );
    }
}
