use std::collections::BTreeMap;
use std::time::Duration;

use faas_core::{HandlerName, RevisionNumber, RuntimeName};
use faas_resource::Executable;
use proptest::prelude::*;

use super::*;
use crate::registry::FunctionConfig;

fn revision(number: u64) -> Arc<FunctionRevision> {
    let runtime = RuntimeName::new("test").expect("a name");
    let handler = HandlerName::new("test").expect("a name");
    Arc::new(FunctionRevision {
        function: "f".parse().expect("a function"),
        number: RevisionNumber(number),
        config: FunctionConfig::new(runtime, Executable::Handler(handler)),
    })
}

fn deploy(number: u64, instances: u32, evict: &[u128]) -> Step {
    Step::Deploy(Order {
        revision: revision(number),
        instances,
        evict: evict.iter().copied().map(InstanceId::from_u128).collect(),
        demanded: at(0),
        decided: at(0),
        caused_by: DecisionId::from_u128(1),
    })
}

fn at(millis: u64) -> Monotonic {
    Monotonic::ZERO + Duration::from_millis(millis)
}

#[test]
fn the_newest_wish_is_done_next_and_what_was_to_go_goes() {
    let (mut works, id) = (Works::default(), revision(1).id());
    works.want(&id, Step::Prepare(revision(1)));
    assert_eq!(
        works.begin(at(0)),
        Some((id.clone(), Step::Prepare(revision(1))))
    );
    works.want(&id, deploy(1, 5, &[1, 2]));
    works.want(&id, deploy(1, 3, &[2, 3]));
    works.want(&id, Step::Prepare(revision(1)));
    assert_eq!(works.begin(at(0)), None, "one at a time");
    works.done(&id, None, at(0));
    let (_, step) = works.begin(at(0)).expect("it is to be deployed");
    assert_eq!(step, deploy(1, 3, &[2, 3, 1]));
    works.done(&id, None, at(0));
    assert!(!works.has(&id) && works.begin(at(0)).is_none());
}

#[test]
fn what_fails_is_done_again_after_a_pause_unless_that_cannot_help() {
    let (mut works, id) = (Works::default(), revision(1).id());
    let away = Error::unavailable("deploy", "it is away");
    works.want(&id, deploy(1, 1, &[7]));
    for (now, pause) in [(0, 100), (100, 200), (300, 400)] {
        let (_, step) = works.begin(at(now)).expect("its time has come");
        assert_eq!(step, deploy(1, 1, &[7]));
        works.done(&id, Some(&away), at(now));
        assert_eq!(works.wake_at(), Some(at(now + pause)));
        assert_eq!(works.begin(at(now + pause - 1)), None);
    }
    works.want(&id, deploy(1, 2, &[]));
    assert_eq!(
        works.begin(at(699)),
        None,
        "a wish does not shorten the pause"
    );
    let (_, step) = works.begin(at(700)).expect("its time has come");
    assert_eq!(step, deploy(1, 2, &[7]));
    works.done(&id, Some(&Error::unsupported("deploy", "never")), at(700));
    assert!(!works.has(&id));
}

#[test]
fn what_somebody_waits_for_comes_first() {
    let mut works = Works::default();
    for number in 1..=3 {
        works.want(&revision(number).id(), Step::Prepare(revision(number)));
    }
    works.want(&revision(3).id(), deploy(3, 1, &[]));
    let order = std::iter::from_fn(|| works.begin(at(0))).map(|(id, _)| id.number.0);
    assert_eq!(order.collect::<Vec<_>>(), [3, 1, 2]);
}

proptest! {
    /// Whatever is wished, begun and ended in whatever order: nothing is done twice at once, and in
    /// the end the last thing done for each revision is the last that was wished.
    #[test]
    fn the_last_wish_comes_true(events in prop::collection::vec((0_u8..4, 1_u64..4, 0_u32..4), 1..200)) {
        let mut works = Works::default();
        let (mut doing, mut wished, mut last) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let away = Error::unavailable("deploy", "it is away");
        let mut now = 0;
        for (what, number, instances) in events {
            now += 1_000;
            let id = revision(number).id();
            match what {
                0 => {
                    let step = if instances == 0 { Step::Remove } else { deploy(number, instances, &[]) };
                    wished.insert(id.clone(), step.clone());
                    works.want(&id, step);
                }
                1 => {
                    if let Some((id, step)) = works.begin(at(now)) {
                        prop_assert!(doing.insert(id, step).is_none(), "twice at once");
                    }
                }
                _ => {
                    if let Some(step) = doing.remove(&id) {
                        let error = (what == 2).then_some(&away);
                        if error.is_none() {
                            last.insert(id.clone(), step);
                        }
                        works.done(&id, error, at(now));
                    }
                }
            }
        }
        for (id, step) in std::mem::take(&mut doing) {
            last.insert(id.clone(), step);
            works.done(&id, None, at(now));
        }
        now += 60_000;
        while let Some((id, step)) = works.begin(at(now)) {
            last.insert(id.clone(), step);
            works.done(&id, None, at(now));
        }
        prop_assert_eq!(last, wished);
        prop_assert!(works.by.is_empty() && works.later.is_empty());
    }
}
