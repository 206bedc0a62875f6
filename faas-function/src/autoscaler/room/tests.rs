use faas_core::{ByteSize, Millicpu, RevisionNumber};
use proptest::prelude::*;

use super::*;

const WHY: Reason = Reason::new("test.wish", "it was wished");

fn id(number: u64) -> RevisionId {
    RevisionId {
        function: "f".parse().expect("a function"),
        number: RevisionNumber(number),
    }
}

fn memory(mib: u64) -> Resources {
    Resources::new(Millicpu(0), ByteSize::mib(mib))
}

/// A revision: its instances of which some are idle, what waits, its bounds, and the wish.
#[derive(Debug, Clone)]
struct Case {
    mib: u64,
    ready: u32,
    idle: u32,
    queued: u32,
    min: u32,
    wanted: u32,
}

const MAX: u32 = 12;

impl Case {
    fn load(&self, number: u64) -> RevisionLoad {
        let mut load = RevisionLoad::idle(1, self.min, MAX, memory(self.mib));
        load.ready = self.ready;
        load.queued = self.queued;
        load.running = self.ready - self.idle;
        let idle = 0..u64::from(self.idle);
        load.idle = idle
            .map(|n| {
                let instance = InstanceId::from_u128(u128::from(number * 100 + n));
                (instance, Monotonic::from_nanos(number * 7 + n * 13))
            })
            .collect();
        load
    }
}

fn cases() -> impl Strategy<Value = Vec<Case>> {
    let case = (
        1_u64..4,
        0_u32..8,
        0_u32..8,
        0_u32..4,
        0_u32..3,
        0_u32..=MAX,
    );
    let case = case.prop_map(|(mib, ready, idle, queued, min, wanted)| {
        let idle = idle.min(ready);
        Case {
            mib,
            ready,
            idle,
            queued,
            min,
            // As policies wish: within bounds, and nothing that works goes.
            wanted: wanted.max(min).max(ready - idle),
        }
    });
    prop::collection::vec(case, 1..6)
}

/// How many instances each revision is given.
fn given(cases: &[Case], limit: Option<u64>) -> (Vec<u32>, Vec<ScaleDecision>) {
    let numbered = || (1_u64..).zip(cases);
    let fleet = Fleet {
        revisions: numbered().map(|(n, case)| (id(n), case.load(n))).collect(),
        limit: limit.map(memory),
    };
    let wish = |case: &Case| Wish {
        wanted: case.wanted,
        reasons: vec![WHY],
    };
    let ids: Vec<_> = numbered().map(|(n, case)| (id(n), wish(case))).collect();
    let wishes = ids.iter().map(|(id, _)| id).zip(cases.iter().map(wish));
    let decisions = decide(&fleet, wishes.collect());
    let of = |n: u64| decisions.iter().find(|d| d.revision == id(n));
    let given = numbered().map(|(n, case)| of(n).map_or(case.ready, |d| d.instances));
    (given.collect(), decisions)
}

proptest! {
    #[test]
    fn without_a_limit_wishes_come_true(cases in cases()) {
        let (given, _) = given(&cases, None);
        for (case, given) in cases.iter().zip(given) {
            prop_assert_eq!(given, case.wanted);
        }
    }

    #[test]
    fn a_limit_is_kept_and_used_up_and_takes_nothing_that_works(cases in cases(), limit in 0_u64..60) {
        let (given, decisions) = given(&cases, Some(limit));
        let used: u64 = cases.iter().zip(&given).map(|(c, n)| c.mib * u64::from(*n)).sum();
        for (case, given) in cases.iter().zip(&given) {
            prop_assert!(*given <= case.wanted);
            prop_assert!(*given >= case.min, "under the minimum");
            let busy = case.ready - case.idle;
            prop_assert!(*given >= busy.min(case.wanted), "one that works goes");
            if case.queued > 0 && case.wanted > 0 {
                prop_assert!(*given > 0, "what waits has nothing");
            }
            let due = case.min.max(u32::from(case.queued > 0));
            let more = *given > case.ready.min(case.wanted) && *given > due;
            prop_assert!(!more || used <= limit, "over the limit for more than is due");
            let lacks = *given < case.wanted;
            prop_assert!(!lacks || used + case.mib > limit, "there is room, and it lacks");
        }
        for decision in decisions {
            prop_assert!(!decision.reasons.is_empty());
        }
    }
}

#[test]
fn room_is_shared_in_turn() {
    let hungry = |ready| Case {
        mib: 1,
        ready,
        idle: 0,
        queued: 5,
        min: 0,
        wanted: 10,
    };
    assert_eq!(given(&[hungry(0), hungry(0)], Some(6)).0, [3, 3]);
    assert_eq!(given(&[hungry(4), hungry(0)], Some(6)).0, [5, 1]);
    assert_eq!(
        given(&[hungry(2), hungry(0), hungry(0)], Some(1)).0,
        [2, 1, 1]
    );
}

#[test]
fn the_longest_idle_makes_room_for_what_waits() {
    let idle = Case {
        mib: 1,
        ready: 3,
        idle: 2,
        queued: 0,
        min: 1,
        wanted: 3,
    };
    let waits = Case {
        mib: 1,
        ready: 1,
        idle: 0,
        queued: 4,
        min: 0,
        wanted: 5,
    };
    let (given, decisions) = given(&[idle.clone(), waits.clone(), idle], Some(7));
    assert_eq!(given, [1, 5, 1]);
    let first = &decisions[0];
    let evicted: Vec<_> = first.evict.iter().map(|id| id.as_u128()).collect();
    assert_eq!(
        evicted,
        [100, 101],
        "the idle ones, and not the one that works"
    );
    let text = first.reasons[1].to_string();
    assert_eq!(text, "2 idle ones make room for what waits elsewhere");
}
