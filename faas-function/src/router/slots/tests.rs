use super::*;
use proptest::prelude::*;

const NOW: Monotonic = Monotonic::from_nanos(10);

fn tenant(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

fn id(n: u128) -> InstanceId {
    InstanceId::from_u128(n)
}

fn granted(asked: Asked) -> Taken {
    match asked {
        Asked::Granted(taken) => taken,
        other => panic!("not granted: {other:?}"),
    }
}

#[test]
fn the_last_used_is_picked_first() {
    let mut slots = Slots::new(10);
    let a = tenant("a");
    for n in 1..=3 {
        slots.add(id(n), 1, StartKind::Cold, NOW);
    }
    let picks = [(); 3].map(|()| granted(slots.ask(&a, None, ())).instance);
    assert_eq!(picks, [id(3), id(2), id(1)]);
    slots.release(id(3), NOW);
    slots.release(id(2), NOW);
    let taken = granted(slots.ask(&a, None, ()));
    assert_eq!((taken.instance, taken.start), (id(2), StartKind::Warm));
}

#[test]
fn cold_is_what_waited_for_the_start() {
    let mut slots = Slots::new(10);
    let a = tenant("a");
    assert!(matches!(slots.ask(&a, None, "w"), Asked::Queued(_)));
    let handed = slots.add(id(1), 2, StartKind::Cold, NOW);
    assert_eq!(handed[0].taken.start, StartKind::Cold);
    slots.add(id(2), 1, StartKind::Cold, NOW);
    let taken = granted(slots.ask(&a, None, "x"));
    assert_eq!((taken.instance, taken.start), (id(2), StartKind::Prewarmed));
}

#[test]
fn tenants_take_turns_and_the_late_are_passed_over() {
    let mut slots = Slots::new(10);
    let (a, b) = (tenant("a"), tenant("b"));
    for name in ["a1", "a2", "a3"] {
        slots.ask(&a, None, name);
    }
    slots.ask(&b, Some(NOW), "late");
    slots.ask(&b, None, "b1");
    let handed = slots.add(id(1), 3, StartKind::Cold, NOW);
    let order: Vec<_> = handed.iter().map(|h| h.waiter).collect();
    assert_eq!(order, ["a1", "b1", "a2"]);
    assert_eq!(slots.queued(), 2);
}

#[test]
fn full_leave_and_remove() {
    let mut slots = Slots::new(1);
    let a = tenant("a");
    let Asked::Queued(ticket) = slots.ask(&a, None, 1) else {
        panic!("should wait");
    };
    assert_eq!(slots.ask(&a, None, 2), Asked::Full);
    assert_eq!(slots.leave(&a, ticket), Some(1));
    assert_eq!(slots.leave(&a, ticket), None);
    slots.add(id(1), 1, StartKind::Cold, NOW);
    granted(slots.ask(&a, None, 3));
    assert!(slots.remove(id(1)) && !slots.remove(id(1)));
    assert_eq!((slots.running(), slots.ready()), (1, 0));
    slots.ask(&a, None, 4);
    assert!(slots.release(id(1), NOW).is_none());
    assert_eq!((slots.running(), slots.queued()), (0, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8),
    Leave(u8),
    Add(u8, u32),
    Remove(u8),
    Release(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..3).prop_map(Step::Ask),
        1 => any::<u8>().prop_map(Step::Leave),
        2 => (0u8..4, 1u32..4).prop_map(|(n, c)| Step::Add(n, c)),
        1 => (0u8..4).prop_map(Step::Remove),
        4 => any::<u8>().prop_map(Step::Release),
    ]
}

/// What a plain model knows: who holds what, who waits, and what each instance may do at once.
#[derive(Default)]
struct Model {
    held: Vec<InstanceId>,
    waiting: Vec<(u64, Namespace, Ticket)>,
    limits: HashMap<InstanceId, u32>,
    number: u64,
}

impl Model {
    fn handed(&mut self, handed: impl IntoIterator<Item = HandOver<u64>>) {
        for hand in handed {
            self.held.push(hand.taken.instance);
            let at = self.waiting.iter().position(|(n, ..)| *n == hand.waiter);
            self.waiting.remove(at.expect("it waited"));
        }
    }

    fn run(&mut self, slots: &mut Slots<u64>, step: &Step) {
        match step {
            Step::Ask(who) => {
                let tenant = tenant(["a", "b", "c"][usize::from(*who)]);
                self.number += 1;
                match slots.ask(&tenant, None, self.number) {
                    Asked::Granted(taken) => self.held.push(taken.instance),
                    Asked::Queued(ticket) => self.waiting.push((self.number, tenant, ticket)),
                    Asked::Full => assert_eq!(self.waiting.len(), 5),
                }
            }
            Step::Leave(n) if !self.waiting.is_empty() => {
                let at = usize::from(*n) % self.waiting.len();
                let (number, tenant, ticket) = self.waiting.remove(at);
                assert_eq!(slots.leave(&tenant, ticket), Some(number));
            }
            // One that still works is not made anew with another limit.
            Step::Add(n, limit) if !self.held.contains(&id((*n).into())) => {
                self.limits.insert(id((*n).into()), *limit);
                let handed = slots.add(id((*n).into()), *limit, StartKind::Cold, NOW);
                self.handed(handed);
            }
            Step::Remove(n) => {
                slots.remove(id((*n).into()));
                self.limits.remove(&id((*n).into()));
            }
            Step::Release(n) if !self.held.is_empty() => {
                let at = usize::from(*n) % self.held.len();
                let instance = self.held.remove(at);
                let handed = slots.release(instance, NOW);
                self.handed(handed);
            }
            _ => {}
        }
    }

    fn check(&self, slots: &Slots<u64>) {
        assert_eq!(slots.queued(), self.waiting.len());
        assert_eq!(slots.running() as usize, self.held.len());
        assert_eq!(slots.ready(), self.limits.len());
        for (instance, limit) in &self.limits {
            let held = self.held.iter().filter(|other| *other == instance).count();
            assert!(held <= *limit as usize, "over the limit");
        }
        assert!(
            slots.queued() == 0 || slots.free() == 0,
            "a slot is free, and one waits"
        );
        assert!(slots.stack.len() <= 2 * 4 + 18, "the stack grows");
    }
}

proptest! {
    #[test]
    fn never_over_a_limit_and_never_idle_while_one_waits(steps in prop::collection::vec(step(), 1..200)) {
        let (mut slots, mut model) = (Slots::new(5), Model::default());
        for step in &steps {
            model.run(&mut slots, step);
            model.check(&slots);
        }
    }
}
