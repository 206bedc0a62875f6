use std::collections::HashSet;

use super::*;
use proptest::prelude::*;

const NOW: Monotonic = Monotonic::from_nanos(10);

fn tenant(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn id(n: u128) -> InstanceId {
    InstanceId::from_u128(n)
}

fn granted<W: std::fmt::Debug>(asked: Asked<W, ()>) -> Taken<()> {
    match asked {
        Asked::Granted(taken) => taken,
        other => panic!("not granted: {other:?}"),
    }
}

#[test]
fn the_last_used_is_picked_first() {
    let mut slots = Slots::new(10, NOW);
    let a = tenant("a");
    for n in 1..=3 {
        slots.add(id(n), (), 1, StartKind::Cold, NOW);
    }
    let picks = [(); 3].map(|()| granted(slots.ask(&a, None, (), NOW)).instance);
    assert_eq!(picks, [id(3), id(2), id(1)]);
    slots.release(id(3), NOW);
    slots.release(id(2), NOW);
    let taken = granted(slots.ask(&a, None, (), NOW));
    assert_eq!((taken.instance, taken.start), (id(2), StartKind::Warm));
}

#[test]
fn cold_is_what_waited_for_the_start() {
    let mut slots = Slots::new(10, NOW);
    let a = tenant("a");
    assert!(matches!(slots.ask(&a, None, "w", NOW), Asked::Queued(_)));
    let handed = slots.add(id(1), (), 2, StartKind::Cold, NOW);
    assert_eq!(handed[0].taken.start, StartKind::Cold);
    slots.add(id(2), (), 1, StartKind::Cold, NOW);
    let taken = granted(slots.ask(&a, None, "x", NOW));
    assert_eq!((taken.instance, taken.start), (id(2), StartKind::Prewarmed));
}

#[test]
fn tenants_take_turns_and_the_late_are_passed_over() {
    let mut slots = Slots::new(10, NOW);
    let (a, b) = (tenant("a"), tenant("b"));
    for name in ["a1", "a2", "a3"] {
        slots.ask(&a, None, name, NOW);
    }
    slots.ask(&b, Some(NOW), "late", NOW);
    slots.ask(&b, None, "b1", NOW);
    let handed = slots.add(id(1), (), 3, StartKind::Cold, NOW);
    let order: Vec<_> = handed.iter().map(|h| h.waiter).collect();
    assert_eq!(order, ["a1", "b1", "a2"]);
    assert_eq!(slots.queued(), 2);
}

#[test]
fn full_leave_and_remove() {
    let mut slots = Slots::new(1, NOW);
    let a = tenant("a");
    let Asked::Queued(ticket) = slots.ask(&a, None, 1, NOW) else {
        panic!("should wait");
    };
    assert_eq!(slots.ask(&a, None, 2, NOW), Asked::Full);
    assert_eq!(slots.leave(&a, ticket), Some(1));
    assert_eq!(slots.leave(&a, ticket), None);
    slots.add(id(1), (), 1, StartKind::Cold, NOW);
    granted(slots.ask(&a, None, 3, NOW));
    assert!(slots.remove(id(1)).is_some() && slots.remove(id(1)).is_none());
    assert_eq!((slots.running(), slots.ready()), (1, 0));
    slots.ask(&a, None, 4, NOW);
    assert!(slots.release(id(1), NOW).is_none());
    assert_eq!((slots.running(), slots.queued()), (0, 1));
}

#[test]
fn a_full_queue_is_shared_out() {
    let mut slots = Slots::<_, ()>::new(4, NOW);
    let (many, few) = (tenant("many"), tenant("few"));
    for name in ["m1", "m2", "m3", "m4"] {
        assert!(matches!(
            slots.ask(&many, None, name, NOW),
            Asked::Queued(_)
        ));
    }
    assert_eq!(slots.ask(&many, None, "m5", NOW), Asked::Full);
    for (name, newest) in [("f1", "m4"), ("f2", "m3")] {
        let Asked::Displaced(_, displaced) = slots.ask(&few, None, name, NOW) else {
            panic!("{name} gets no place");
        };
        assert_eq!((displaced, slots.queued()), (newest, 4));
    }
    assert_eq!(slots.ask(&few, None, "f3", NOW), Asked::Full);
    assert_eq!(slots.ask(&many, None, "m5", NOW), Asked::Full);
}

#[derive(Debug, Clone)]
enum Step {
    /// A tenant asks, and waits for so long at most.
    Ask(u8, Option<u8>),
    Leave(u8),
    Add(u8, u32),
    Remove(u8),
    Release(u8),
    Pass(u8),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let patience = prop::option::of(0u8..20);
    prop_oneof![
        8 => (0u8..3, patience).prop_map(|(who, patience)| Step::Ask(who, patience)),
        2 => any::<u8>().prop_map(Step::Leave),
        4 => (0u8..4, 1u32..4).prop_map(|(n, c)| Step::Add(n, c)),
        2 => (0u8..4).prop_map(Step::Remove),
        8 => any::<u8>().prop_map(Step::Release),
        3 => (1u8..10).prop_map(Step::Pass),
        1 => Just(Step::Clear),
    ]
}

struct Waits {
    number: u64,
    tenant: Namespace,
    ticket: Ticket,
    deadline: Option<Monotonic>,
}

/// What a plain model knows: who holds what, who waits, and what each instance may do at once.
#[derive(Default)]
struct Model {
    now: Monotonic,
    held: Vec<InstanceId>,
    waiting: Vec<Waits>,
    limits: HashMap<InstanceId, u32>,
    number: u64,
    busy: Duration,
    /// Who was served since each of those that wait is its tenant's first.
    passed_by: HashMap<Namespace, Vec<Namespace>>,
}

impl Model {
    fn in_time(&self, waits: &Waits) -> bool {
        waits.deadline.is_none_or(|deadline| deadline > self.now)
    }

    fn handed(&mut self, handed: impl IntoIterator<Item = HandOver<u64, ()>>) {
        for hand in handed {
            self.held.push(hand.taken.instance);
            let at = self.waiting.iter().position(|w| w.number == hand.waiter);
            let waits = self.waiting.remove(at.expect("it waited"));
            assert!(self.in_time(&waits), "it was too late");
            let first = |other: &Waits| {
                other.tenant == waits.tenant && self.in_time(other) && other.number < waits.number
            };
            assert!(!self.waiting.iter().any(first), "out of order");
            self.fair(&waits.tenant);
        }
    }

    /// No tenant is served twice while another one waits that is not too late.
    fn fair(&mut self, tenant: &Namespace) {
        self.passed_by.remove(tenant);
        let waiting = self.waiting.iter().filter(|w| w.deadline.is_none());
        let waiting: HashSet<_> = waiting.map(|w| w.tenant.clone()).collect();
        self.passed_by.retain(|other, _| waiting.contains(other));
        for other in waiting.into_iter().filter(|other| other != tenant) {
            let served = self.passed_by.entry(other).or_default();
            assert!(
                !served.contains(tenant),
                "one waits, and {tenant} is served twice"
            );
            served.push(tenant.clone());
        }
    }

    fn waits_of(&self, tenant: &Namespace) -> usize {
        let ours = self.waiting.iter().filter(|w| w.tenant == *tenant);
        ours.count()
    }

    /// The newest of the longest queue made room for one of `tenant`.
    fn displaced(&mut self, tenant: &Namespace, newest: u64) {
        let at = self.waiting.iter().position(|w| w.number == newest);
        let at = at.expect("it waited");
        let loser = self.waiting[at].tenant.clone();
        let newer = |w: &Waits| w.tenant == loser && w.number > newest;
        assert!(!self.waiting.iter().any(newer), "not its newest");
        let length = self.waits_of(&loser);
        let longest = self.waiting.iter().map(|w| self.waits_of(&w.tenant)).max();
        assert_eq!(Some(length), longest, "not the longest");
        assert!(length >= self.waits_of(tenant) + 2, "it had no more");
        self.waiting.remove(at);
    }

    fn run(&mut self, slots: &mut Slots<u64, ()>, step: &Step) {
        let now = self.now;
        match step {
            Step::Ask(who, patience) => {
                let tenant = tenant(["a", "b", "c"][usize::from(*who)]);
                let deadline = patience.map(|nanos| now + Duration::from_nanos(nanos.into()));
                self.number += 1;
                let number = self.number;
                match slots.ask(&tenant, deadline, number, now) {
                    Asked::Granted(taken) => self.held.push(taken.instance),
                    Asked::Queued(ticket) => self.waiting.push(Waits {
                        number,
                        tenant,
                        ticket,
                        deadline,
                    }),
                    Asked::Displaced(ticket, newest) => {
                        assert_eq!(self.waiting.len(), 5);
                        self.displaced(&tenant, newest);
                        self.waiting.push(Waits {
                            number,
                            tenant,
                            ticket,
                            deadline,
                        });
                    }
                    Asked::Full => {
                        assert_eq!(self.waiting.len(), 5);
                        let own = self.waits_of(&tenant);
                        let mut others = self.waiting.iter().map(|w| self.waits_of(&w.tenant));
                        assert!(others.all(|other| other < own + 2), "kept out");
                    }
                }
            }
            Step::Leave(n) if !self.waiting.is_empty() => {
                let at = usize::from(*n) % self.waiting.len();
                let left = self.waiting.remove(at);
                let answer = slots.leave(&left.tenant, left.ticket);
                assert_eq!(answer, Some(left.number));
                assert_eq!(slots.leave(&left.tenant, left.ticket), None);
                if !self.waiting.iter().any(|w| w.tenant == left.tenant) {
                    self.passed_by.remove(&left.tenant);
                }
            }
            // One that still works is not made anew with another limit.
            Step::Add(n, limit) if !self.held.contains(&id((*n).into())) => {
                let instance = id((*n).into());
                self.limits.insert(instance, *limit);
                self.handed(slots.add(instance, (), *limit, StartKind::Cold, now));
            }
            Step::Remove(n) => {
                let instance = id((*n).into());
                let was_there = self.limits.remove(&instance).is_some();
                assert_eq!(slots.remove(instance).is_some(), was_there);
            }
            Step::Release(n) if !self.held.is_empty() => {
                let at = usize::from(*n) % self.held.len();
                let instance = self.held.remove(at);
                self.handed(slots.release(instance, now));
            }
            Step::Pass(nanos) => {
                let passed = Duration::from_nanos((*nanos).into());
                self.busy += passed * u32::try_from(self.held.len()).unwrap();
                self.now = now + passed;
            }
            Step::Clear => {
                let mut cleared = slots.clear_queue();
                cleared.sort_unstable();
                let waited: Vec<_> = self.waiting.drain(..).map(|w| w.number).collect();
                assert_eq!(cleared, waited);
                self.passed_by.clear();
            }
            _ => {}
        }
    }

    fn check(&self, slots: &Slots<u64, ()>) {
        assert_eq!(slots.queued(), self.waiting.len());
        assert_eq!(slots.running() as usize, self.held.len());
        assert_eq!(slots.busy(self.now), self.busy);
        assert_eq!(slots.ready(), self.limits.len());
        let (mut free, mut idle) = (0, HashSet::new());
        for (instance, limit) in &self.limits {
            let held = self.held.iter().filter(|other| *other == instance).count();
            assert!(held <= *limit as usize, "over the limit");
            free += *limit as usize - held;
            idle.extend((held == 0).then_some(*instance));
        }
        assert_eq!(slots.free() as usize, free);
        let told = slots.idle();
        assert!(told.is_sorted_by_key(|(_, since)| *since), "{told:?}");
        let instances: HashSet<_> = told.iter().map(|(instance, _)| *instance).collect();
        assert_eq!((told.len(), instances), (idle.len(), idle));
        let in_time = self.waiting.iter().any(|waits| self.in_time(waits));
        assert!(
            !in_time || slots.free() == 0,
            "a slot is free, and one waits"
        );
        assert!(slots.stack.len() <= 2 * 4 + 18, "the stack grows");
        let gone = self.limits.is_empty() && self.held.is_empty() && self.waiting.is_empty();
        assert_eq!(slots.is_empty(), gone, "nothing is left of what is gone");
    }
}

proptest! {
    #[test]
    fn bounded_fair_in_order_and_never_idle_while_one_waits(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut slots = Slots::new(5, Monotonic::ZERO);
        let mut model = Model::default();
        for step in &steps {
            model.run(&mut slots, step);
            model.check(&slots);
        }
    }
}
