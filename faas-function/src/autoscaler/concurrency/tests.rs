use std::collections::VecDeque;
use std::time::Duration;

use faas_core::{InstanceId, Resources, RevisionNumber, SeededRandom};
use proptest::prelude::*;

use super::*;

fn id() -> RevisionId {
    RevisionId {
        function: "f".parse().expect("a function"),
        number: RevisionNumber(1),
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One revision whose instances take time to start, under a policy that is asked whenever something
/// changes and whenever it wants to be.
struct World {
    options: ConcurrencyOptions,
    policy: ConcurrencyTarget,
    context: PolicyContext,
    load: RevisionLoad,
    demand: u32,
    wanted: u32,
    /// When those that are being started will be ready.
    starting: VecDeque<Monotonic>,
    last_demand: Option<Monotonic>,
    decisions: Vec<(Monotonic, u32)>,
}

impl World {
    fn new(options: ConcurrencyOptions, concurrency: u32, min: u32, max: u32) -> Self {
        let start = Monotonic::from_nanos(5_000_000_000);
        Self {
            policy: ConcurrencyTarget::new(options.clone()).expect("sound options"),
            options,
            context: PolicyContext::new(start, SeededRandom::new(1)),
            load: RevisionLoad::idle(concurrency, min, max, Resources::default()),
            demand: 0,
            wanted: 0,
            starting: VecDeque::new(),
            last_demand: None,
            decisions: Vec::new(),
        }
    }

    fn now(&self) -> Monotonic {
        self.context.now
    }

    /// Places the demand on what is ready.
    fn place(&mut self) {
        let now = self.now();
        self.load.ready = self.wanted.saturating_sub(self.starting.len() as u32);
        self.load.starting = self.wanted - self.load.ready;
        self.load.running = self.demand.min(self.load.ready * self.load.concurrency);
        self.load.queued = self.demand - self.load.running;
        let busy = self.load.running.div_ceil(self.load.concurrency);
        let idle = u128::from(busy)..u128::from(self.load.ready);
        self.load.idle = idle.map(|n| (InstanceId::from_u128(n), now)).collect();
    }

    /// Asks the policy, and checks what must hold for every decision.
    fn ask(&mut self) {
        self.place();
        let change = FleetChange::Load(id(), self.load.clone());
        self.policy.observe(&mut self.context, &change);
        let fleet = Fleet {
            revisions: [(id(), self.load.clone())].into(),
            limit: None,
        };
        let decisions = self.policy.decide(&mut self.context, &fleet);
        if let Some(wake) = self.policy.wake_at() {
            assert!(wake > self.now(), "it spins");
        }
        for decision in decisions {
            self.check(&decision);
            self.carry_out(decision.instances);
        }
        self.place();
    }

    fn check(&self, decision: &ScaleDecision) {
        let (load, wanted) = (&self.load, decision.instances);
        let supply = load.ready + load.starting;
        assert!(
            (load.min..=load.max).contains(&wanted),
            "{wanted} is out of bounds"
        );
        assert_ne!(wanted, supply, "no change");
        assert!(!decision.reasons.is_empty());
        let busy = load.running.div_ceil(load.concurrency);
        assert!(wanted >= busy.min(load.max), "one that works goes");
        let evicted: Vec<_> = load.idle.iter().map(|(id, _)| *id).collect();
        assert!(decision.evict.iter().all(|id| evicted.contains(id)));
        let ready = f64::from(load.ready.max(1));
        if wanted > supply && supply > 0 {
            let most = (ready * self.options.max_scale_up_rate).ceil() as u32;
            assert!(
                wanted <= most.max(load.min),
                "{wanted} of {} is too fast",
                load.ready
            );
        }
        if wanted < supply {
            let least = (f64::from(load.ready) / self.options.max_scale_down_rate).floor() as u32;
            assert!(
                wanted >= least.min(load.max),
                "{wanted} of {} is too fast",
                load.ready
            );
        }
        if wanted == 0
            && let Some(last) = self.last_demand
        {
            let quiet = self.now().since(last);
            // Windows end with a second.
            let least = self.options.stable_window - secs(1) + self.options.zero_grace;
            assert!(quiet >= least, "to zero after {quiet:?}");
        }
    }

    fn carry_out(&mut self, instances: u32) {
        self.decisions.push((self.now(), instances));
        while self.wanted > instances && self.starting.pop_back().is_some() {
            self.wanted -= 1;
        }
        self.wanted = self.wanted.min(instances);
        while self.wanted < instances {
            self.starting.push_back(self.now() + secs(1));
            self.wanted += 1;
        }
    }

    /// Lets time go on, and asks when the policy wants to be asked or something starts.
    fn run_until(&mut self, end: Monotonic) {
        loop {
            let start = self.starting.front().copied();
            let next = [self.policy.wake_at(), start];
            let next = next.into_iter().flatten().min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.context.now = next.max(self.now());
            while self
                .starting
                .front()
                .is_some_and(|at| *at <= self.context.now)
            {
                self.starting.pop_front();
            }
            self.ask();
        }
        self.pass(end);
    }

    fn pass(&mut self, now: Monotonic) {
        // A demand that takes no time is none.
        if self.demand > 0 && now > self.now() {
            self.last_demand = Some(now);
        }
        self.context.now = now.max(self.now());
    }

    fn set(&mut self, demand: u32) {
        self.demand = demand;
        self.ask();
    }

    fn after(&mut self, time: Duration) {
        self.run_until(self.now() + time);
    }
}

fn rates(up: f64, down: f64) -> ConcurrencyOptions {
    ConcurrencyOptions {
        max_scale_up_rate: up,
        max_scale_down_rate: down,
        ..ConcurrencyOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Bounds, rates, grace, reasons and wakes hold whatever the demand does (see `World::check`),
    /// and in the end nothing is left that nobody asks for.
    #[test]
    fn every_decision_is_sound(
        steps in prop::collection::vec((0_u32..60, 0_u64..40_000), 1..60),
        concurrency in 1_u32..8,
        min in 0_u32..3,
        more in 1_u32..50,
        up in 1.5_f64..20.0,
        down in 1.5_f64..4.0,
    ) {
        let mut world = World::new(rates(up, down), concurrency, min, min + more);
        for (demand, millis) in steps {
            // Half of the time there is none.
            world.set(demand.saturating_sub(30));
            world.after(Duration::from_millis(millis));
        }
        world.set(0);
        world.after(secs(600));
        prop_assert_eq!(world.wanted, min);
        prop_assert_eq!(world.policy.wake_at(), None, "it is awake though nothing can change");
    }

    /// In the stable mode it wants what Knative's formula wants: the average over the stable window
    /// by the target, within the rates.
    #[test]
    fn a_steady_demand_gets_what_knative_would_give(demand in 1_u32..200, concurrency in 1_u32..10) {
        let mut world = World::new(ConcurrencyOptions::default(), concurrency, 0, 10_000);
        world.set(demand);
        world.after(secs(300));
        let target = f64::from(concurrency) * 0.7;
        prop_assert_eq!(world.wanted, (f64::from(demand) / target).ceil() as u32);
    }
}

#[test]
fn a_burst_is_a_panic_and_none_goes_until_it_is_a_stable_window_ago() {
    let mut world = World::new(ConcurrencyOptions::default(), 1, 0, 1_000);
    world.set(2);
    world.after(secs(120));
    assert_eq!(world.wanted, 3, "2 by 0.7");
    // Six seconds see a burst that sixty do not.
    world.set(20);
    let burst = world.now();
    world.after(secs(6));
    assert_eq!(world.wanted, 29, "20 by 0.7");
    world.set(0);
    let end = world.now();
    world.after(secs(50));
    assert_eq!(world.wanted, 29, "none goes in a panic");
    world.after(secs(300));
    assert_eq!(world.wanted, 0);
    let lower = world.decisions.iter().filter(|(at, _)| *at > end);
    let first = lower.map(|(at, _)| at.since(burst)).next();
    let first = first.expect("they go at last");
    assert!(first >= secs(60), "after {first:?}");
    // And by halves.
    let counts: Vec<_> = world.decisions.iter().map(|(_, wanted)| *wanted).collect();
    let last = &counts[counts.len() - 5..];
    assert_eq!(last, [14, 7, 3, 1, 0]);
}

#[test]
fn what_is_under_the_threshold_is_no_panic() {
    let mut world = World::new(ConcurrencyOptions::default(), 10, 0, 1_000);
    world.set(28);
    world.after(secs(120));
    assert_eq!(world.wanted, 4);
    // The short window asks for seven, which is less than twice four; the long one for little more.
    world.set(45);
    world.after(secs(6));
    assert_eq!(world.wanted, 5);
    world.after(secs(120));
    assert_eq!(world.wanted, 7);
}

#[test]
fn from_zero_at_once_to_what_waits() {
    let mut world = World::new(ConcurrencyOptions::default(), 4, 0, 1_000);
    world.set(10);
    assert_eq!(world.wanted, 3);
}

#[test]
fn the_last_instance_stays_for_the_grace() {
    let mut world = World::new(ConcurrencyOptions::default(), 1, 0, 10);
    world.set(1);
    world.after(secs(10));
    world.set(0);
    let end = world.now();
    world.after(secs(300));
    let (at, wanted) = *world.decisions.last().expect("there are some");
    assert_eq!(wanted, 0);
    let stayed = at.since(end);
    assert!((secs(89)..secs(95)).contains(&stayed), "{stayed:?}");
    let mut world = World::new(ConcurrencyOptions::default(), 1, 0, 10);
    world.set(1);
    world.after(secs(10));
    world.set(0);
    world.after(secs(80));
    world.set(1);
    world.after(secs(1));
    world.set(0);
    let end = world.now();
    world.after(secs(300));
    let (at, _) = *world.decisions.last().expect("there are some");
    assert!(at.since(end) >= secs(89), "the grace begins anew");
}

#[test]
fn what_an_earlier_life_left_stays_until_there_is_an_average() {
    let mut world = World::new(ConcurrencyOptions::default(), 1, 0, 100);
    world.ask();
    // A restart: eight are found.
    world.wanted = 8;
    world.ask();
    world.set(3);
    world.after(secs(55));
    assert_eq!(world.wanted, 8);
    world.after(secs(60));
    assert_eq!(world.wanted, 5, "3 by 0.7");
}

#[test]
fn bad_options_are_all_told() {
    let options = ConcurrencyOptions {
        panic_window: Duration::ZERO,
        utilisation: 1.5,
        max_scale_down_rate: f64::NAN,
        tick: Duration::ZERO,
        ..ConcurrencyOptions::default()
    };
    let error = ConcurrencyTarget::new(options).expect_err("four faults");
    assert!(error.message().starts_with("4 faults"), "{error}");
}

#[test]
fn a_burst_in_the_grace_begins_it_anew() {
    let mut world = World::new(ConcurrencyOptions::default(), 1, 0, 1);
    world.set(1);
    world.after(Duration::from_millis(1));
    world.set(0);
    // The window has just forgotten it.
    world.after(secs(60));
    world.set(3);
    world.after(secs(2));
    world.set(0);
    let end = world.now();
    world.after(secs(300));
    let (at, wanted) = *world.decisions.last().expect("there are some");
    assert_eq!(wanted, 0);
    assert!(at.since(end) >= secs(89), "after {:?}", at.since(end));
}
